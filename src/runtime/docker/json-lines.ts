/**
 * @module
 * Streams of the engine that carry one JSON object a line.
 */
import { HeliosError } from '../../lib/errors.ts'

/** A longer line means that the stream is none of these. */
const MAX_LINE = 16 * 1024 * 1024

/** The objects of a stream, one by one. @throws {HeliosError} engine_error when it holds something else. */
export async function* jsonLines<T>(source: AsyncIterable<Buffer | string>): AsyncGenerator<T> {
  let parts: Buffer[] = []
  let bytes = 0
  for await (const piece of source) {
    let chunk = typeof piece === 'string' ? Buffer.from(piece) : piece
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a)) {
      const line = Buffer.concat([...parts, chunk.subarray(0, end)])
      parts = []
      bytes = 0
      chunk = chunk.subarray(end + 1)
      if (line.length > 1) yield parse<T>(line)
    }
    parts.push(chunk)
    bytes += chunk.length
    if (bytes > MAX_LINE) throw notJson()
  }
  const last = Buffer.concat(parts)
  if (last.toString('utf8').trim() !== '') yield parse<T>(last)
}

function parse<T>(line: Buffer): T {
  try {
    return JSON.parse(line.toString('utf8')) as T
  } catch (error) {
    throw notJson(error)
  }
}

function notJson(cause?: unknown): HeliosError {
  return new HeliosError(
    'engine_error',
    'The engine sent a stream that is not made of JSON lines.',
    {
      cause,
    },
  )
}
