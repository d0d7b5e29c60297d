/**
 * @module
 * Turn the bytes of a file into text, and offsets in it into lines and columns.
 */
import { HeliosError, messageOf, show } from '../lib/errors.ts'

/** What is wrong with a file, and at which offset of its text. */
export type Problem = { offset: number; message: string }

const MAX_BYTES = 256 * 1024
const MAX_SHOWN = 50

/** Decode UTF-8 without its byte order mark; refuses what is too large before looking at it. */
export function decodeText(input: string | Uint8Array): { text: string; problem?: Problem } {
  const bytes = typeof input === 'string' ? Buffer.byteLength(input) : input.byteLength
  if (bytes > MAX_BYTES) {
    const message = `the file has ${bytes} bytes; at most ${MAX_BYTES} (256 KiB) are read`
    return { text: '', problem: { offset: 0, message } }
  }
  if (typeof input === 'string') return { text: input.replace(/^\uFEFF/, '') }
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(input) }
  } catch {
    const text = new TextDecoder('utf-8').decode(input)
    const offset = Math.max(0, text.indexOf('\uFFFD'))
    return { text, problem: { offset, message: 'the file is not UTF-8 from here on' } }
  }
}

/** Where JSON text breaks JSON's own rules, which are narrower than those of YAML. */
export function jsonProblem(text: string): Problem | undefined {
  const said = jsonError(text)
  if (said === undefined) return undefined
  const offset = jsonErrorOffset(text, said)
  const found = offset < text.length ? show(text.slice(offset, offset + 12)) : 'its end'
  return { offset, message: `this is no JSON: ${found} cannot stand here` }
}

function jsonError(text: string): string | undefined {
  try {
    JSON.parse(text)
    return undefined
  } catch (error) {
    return messageOf(error)
  }
}

/** JSON.parse names the offset of some errors only; the shortest text that has the others ends at them. */
function jsonErrorOffset(text: string, said: string): number {
  if (endsEarly(text, said)) return text.length
  const named = offsetIn(said)
  if (named !== undefined) return named
  let [sound, broken] = [0, text.length]
  while (broken - sound > 1) {
    const middle = (sound + broken) >> 1
    const part = text.slice(0, middle)
    const partSaid = jsonError(part)
    if (partSaid === undefined || endsEarly(part, partSaid)) sound = middle
    else broken = middle
  }
  return sound
}

function endsEarly(text: string, said: string): boolean {
  return /Unexpected end|Unterminated/.test(said) || (offsetIn(said) ?? 0) >= text.length
}

function offsetIn(said: string): number | undefined {
  const named = /at position (\d+)/.exec(said)?.[1]
  return named === undefined ? undefined : Number(named)
}

/** One error that names every problem of a file with line and column, in the order of the text. */
export function problemsError(
  file: string,
  text: string,
  problems: readonly Problem[],
): HeliosError {
  const sorted = [...problems].sort((a, b) => a.offset - b.offset)
  const lines = sorted.slice(0, MAX_SHOWN).map(({ offset, message }) => {
    const before = text.slice(0, offset)
    const line = before.split('\n').length
    return `${file}:${line}:${offset - before.lastIndexOf('\n')}: ${message}`
  })
  if (sorted.length > MAX_SHOWN) lines.push(`and ${sorted.length - MAX_SHOWN} more`)
  return new HeliosError('invalid_manifest', lines.join('\n'), {
    field: file,
    hint: `Correct ${file} and deploy again.`,
  })
}
