/**
 * @module
 * Ask whoever sits at the terminal.
 */
import type { ReadStream } from 'node:tty'
import { HeliosError } from '../lib/errors.ts'

const MOST_BYTES = 1024 * 1024

/** Tell whether there is somebody to ask. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true
}

/** Ask for one line; hidden ones are not shown while typed. @throws {HeliosError} cancelled on ctrl-C */
export async function ask(question: string, opts: { hidden: boolean }): Promise<string> {
  const input = process.stdin as ReadStream
  // First, so that nothing typed at the question is shown.
  input.setRawMode(true)
  process.stderr.write(question)
  try {
    return await readLine(
      input,
      opts.hidden ? () => undefined : (text) => process.stderr.write(text),
    )
  } finally {
    input.setRawMode(false)
    input.pause()
    process.stderr.write('\n')
  }
}

function readLine(input: ReadStream, echo: (text: string) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    let line = ''
    const onData = (data: Buffer): void => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: ctrl-C and ctrl-D end it
      const [text = '', end] = data.toString().split(/([\r\n\x03\x04])/)
      line = [...text].reduce((before, key) => {
        const after = typed(before, key)
        if (after !== before) echo(after.length > before.length ? key : '\b \b')
        return after
      }, line)
      if (end === undefined) return
      input.off('data', onData)
      if (/[\r\n]/.test(end)) resolve(line)
      else reject(new HeliosError('cancelled', 'Nothing was changed'))
    }
    input.on('data', onData)
    input.resume()
  })
}

function typed(line: string, key: string): string {
  if (key === '\x7f' || key === '\b') return [...line].slice(0, -1).join('')
  return key >= ' ' ? line + key : line
}

/** Everything on standard input. @throws {HeliosError} usage when it is over 1 MiB */
export async function readInput(): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MOST_BYTES) throw new HeliosError('usage', 'Standard input is over 1 MiB')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
