/**
 * @module
 * What a command prints: a line or JSON, and an error with its exit code.
 */
import { HeliosError, messageOf } from '../lib/errors.ts'

/** Print the result of a command: the text, or the data with `--json`. */
export function printResult(
  result: { text: string; data: unknown },
  opts: { json: boolean },
): void {
  process.stdout.write(`${opts.json ? JSON.stringify(result.data) : result.text}\n`)
}

const EXIT: Record<string, number> = { usage: 2, unknown_command: 2, data_dir_locked: 5 }

/** Print an error with what to do next; gives the exit code. */
export function printError(error: unknown, opts: { json: boolean }): number {
  const known = error instanceof HeliosError ? error : undefined
  const code = known?.code ?? 'internal'
  const body = { code, message: messageOf(error), ...(known?.hint ? { hint: known.hint } : {}) }
  const text = `helios: ${body.message}${known?.hint ? `\n  ${known.hint}` : ''}`
  process.stderr.write(`${opts.json ? JSON.stringify(body) : text}\n`)
  return EXIT[code] ?? 1
}
