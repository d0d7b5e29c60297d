/**
 * @module
 * What a command prints: results on stdout, notes and progress on stderr, all of it JSON when asked.
 */
import type { WriteStream } from 'node:tty'
import { styleText } from 'node:util'
import { HeliosError, messageOf } from '../lib/errors.ts'
import { layOut, type Row } from './columns.ts'
import { EXIT, exitCodeOf } from './exit-codes.ts'

/** Looks of text. */
export type Look = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan' | 'magenta' | 'blue'

/** Where a command prints to. */
export type Output = {
  json: boolean
  /** Colours are on. */
  colours: boolean
  /** Somebody looks at stdout, and may be asked. */
  interactive: boolean
  style(look: Look, text: string): string
  /** What was asked for: text, or the data with `--json`. */
  result(data: unknown, text: string | (() => string)): void
  /** One of many things that come as they happen. */
  event(data: unknown, text: string): void
  table(headings: readonly string[], rows: readonly Row[]): string
  /** What to do next, or what is worth knowing; to stderr, not with `--json`. */
  note(text: string): void
  /** Replaces the line of progress on a terminal; without a text, takes it away. */
  progress(text?: string): void
  /** Print an error with what to do next; gives the exit code. */
  error(error: unknown): number
  /** Aborts when nobody reads stdout any more, as after `| head`. */
  closed: AbortSignal
}

type Stream = Pick<WriteStream, 'write' | 'isTTY' | 'columns' | 'on'>

/** Print to these streams. */
export function createOutput(opts: {
  json: boolean
  colours: boolean
  stdout: Stream
  stderr: Stream
}): Output {
  const { json, stdout, stderr } = opts
  const closing = new AbortController()
  stdout.on('error', () => closing.abort())
  stderr.on('error', () => undefined)
  const paint = (stream: Stream, look: Look, text: string): string =>
    opts.colours && stream.isTTY ? styleText(look, text, { validateStream: false }) : text
  let shown = false
  const progress = (text?: string): void => {
    if (json || !stderr.isTTY || (text === undefined && !shown)) return
    shown = text !== undefined
    stderr.write(`\r\x1b[K${text === undefined ? '' : paint(stderr, 'dim', text)}`)
  }
  const print = (text: string): void => {
    progress()
    if (!closing.signal.aborted) stdout.write(text.endsWith('\n') ? text : `${text}\n`)
  }
  return {
    json,
    colours: opts.colours && stdout.isTTY === true,
    interactive: stdout.isTTY === true,
    style: (look, text) => paint(stdout, look, text),
    result: (data, text) =>
      print(json ? JSON.stringify(data) : typeof text === 'string' ? text : text()),
    event: (data, text) => print(json ? JSON.stringify(data) : text),
    table: (headings, rows) =>
      layOut(headings, rows, {
        width: stdout.isTTY ? stdout.columns : undefined,
        heading: (text) => paint(stdout, 'dim', text),
      }),
    note: (text) => {
      progress()
      if (!json) stderr.write(`${paint(stderr, 'dim', text)}\n`)
    },
    progress,
    error: (error) => {
      progress()
      const { code, ...body } = describe(error)
      if (json) stderr.write(`${JSON.stringify({ code, ...body })}\n`)
      else {
        stderr.write(`${paint(stderr, 'red', 'helios:')} ${body.message}\n`)
        if (body.hint) stderr.write(`  ${body.hint.replaceAll('\n', '\n  ')}\n`)
      }
      return error instanceof HeliosError ? exitCodeOf(error.code) : EXIT.other
    },
    closed: closing.signal,
  }
}

function describe(error: unknown): {
  code: string
  message: string
  field?: string
  hint?: string
} {
  if (!(error instanceof HeliosError)) return { code: 'internal', message: messageOf(error) }
  const { code, message, field, hint } = error
  return { code, message, ...(field ? { field } : {}), ...(hint ? { hint } : {}) }
}
