/**
 * @module
 * Refuse text over which a YAML parser would spend seconds, by a look at its words and signs.
 */
import { Lexer } from 'yaml'
import type { Problem } from './text.ts'

/** How deep lists and maps may stand in each other. */
export const MAX_DEPTH = 32
/** Says that a file is nested deeper than that. */
export const TOO_DEEP = `nested more than ${MAX_DEPTH} deep`
/** Enough for 1,000 config vars several times over; the parser needs about 5 µs for each. */
const MAX_TOKENS = 30_000

/** The lexer says with this that the next token is the text of a scalar. */
const SCALAR_MARK = '\u001f'
const MARKS: ReadonlySet<string> = new Set([SCALAR_MARK, '\u0002', '\u0018'])

/** Where text becomes too long or too deep to be a manifest; undefined when it does not. */
export function tooComplex(text: string): Problem | undefined {
  let [offset, tokens] = [0, 0]
  const depth = { flow: 0, compact: 0 }
  let scalar = false
  for (const token of new Lexer().lex(text)) {
    if (MARKS.has(token)) {
      scalar = token === SCALAR_MARK
      continue
    }
    tokens += 1
    if (tokens > MAX_TOKENS) {
      return { offset, message: `more than ${MAX_TOKENS} words and signs are no manifest` }
    }
    if (!scalar) deepen(depth, token)
    if (Math.max(depth.flow, depth.compact) > MAX_DEPTH) return { offset, message: TOO_DEEP }
    scalar = false
    offset += token.length
  }
  return undefined
}

/** Count brackets, and the signs that open a list or map on the line of the one around it. */
function deepen(depth: { flow: number; compact: number }, token: string): void {
  if (token === '[' || token === '{') depth.flow += 1
  else if (token === ']' || token === '}') depth.flow = Math.max(0, depth.flow - 1)
  else if (token.includes('\n')) depth.compact = 0
  else if (depth.flow === 0 && /^[-?:]/.test(token)) depth.compact += 1
}
