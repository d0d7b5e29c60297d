/**
 * @module
 * Split a command into words as a shell would, without ever running one.
 */
import { parse } from 'shell-quote'
import { show } from '../lib/errors.ts'

/** The words of a command, or why there are none; `shell` when a shell could run it all the same. */
type Split = { words: string[] } | { problem: string; shell: boolean }

/** Pieces by quoting: escaped, in single quotes, in double quotes, bare. */
const PIECES = /\\[\s\S]|'[^']*'|"(?:[^"\\]|\\[\s\S])*"|[^'"\\]/g
const BUILTINS = new Set(['.', 'cd', 'eval', 'exec', 'export', 'set', 'source', 'ulimit', 'umask'])

/**
 * Split a command line. What only a shell can do (operators, patterns, variables, comments) is a problem:
 * a program would get it as plain text and do something else than its author meant.
 */
export function splitCommand(text: string): Split {
  const line = text.trim()
  if (line === '') return { problem: 'the command is empty', shell: false }
  if (/[\r\n]/.test(line)) return { problem: 'the command has more than one line', shell: false }
  const pieces = line.match(PIECES) ?? []
  if (pieces.join('') !== line) {
    return { problem: 'a quote or backslash in it has no end', shell: false }
  }
  const bare = pieces.map((piece) => (/^['"\\]/.test(piece) ? 'x' : piece)).join('')
  if (/(^|\s)~/.test(bare)) return needsShell('~')
  if (pieces.some((piece) => /^[^'\\]/.test(piece) && piece.includes('`'))) return needsShell('`')
  return wordsOf(line)
}

/**
 * The words that make a shell run a command line that needs one.
 * A single program takes the shell's place, so that it gets the stop signal itself.
 */
export function shellCommand(text: string): string[] {
  const line = text.trim()
  const [first, ...rest] = entriesOf(line)
  const single = typeof first === 'string' && !isBuiltin(first) && !rest.some(isOperator)
  return ['sh', '-c', single && !/[`#]/.test(line) ? `exec ${line}` : line]
}

function wordsOf(line: string): Split {
  const words: string[] = []
  for (const entry of entriesOf(line)) {
    if (typeof entry === 'string') words.push(entry)
    else if ('variable' in entry) return needsShell(`$${entry.variable}`)
    else if ('comment' in entry) return needsShell('#')
    else return needsShell('pattern' in entry ? entry.pattern : entry.op)
  }
  const [first = ''] = words
  return isBuiltin(first) ? needsShell(first) : { words }
}

type Entry = ReturnType<typeof parse<{ variable: string }>>[number]

function entriesOf(line: string): Entry[] {
  try {
    return parse(line, (variable) => ({ variable }))
  } catch {
    return [{ variable: '{' }]
  }
}

function isOperator(entry: Entry): boolean {
  return typeof entry === 'object' && 'op' in entry && entry.op !== 'glob'
}

/** What a shell does itself, settings for one command included: no program has that name. */
function isBuiltin(word: string): boolean {
  return BUILTINS.has(word) || /^[A-Za-z_]\w*=/.test(word)
}

function needsShell(sign: string): Split {
  return { problem: `${show(sign)} needs a shell and none runs it`, shell: true }
}
