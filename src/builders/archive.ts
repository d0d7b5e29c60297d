/**
 * @module
 * A source archive as a stream of checked entries; nothing is written to disk.
 */
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { type Extract, extract as tarExtract } from 'tar-stream'
import { HeliosError, messageOf, show } from '../lib/errors.ts'
import {
  ARCHIVE_LIMITS,
  type ArchiveLimits,
  type CheckedEntry,
  createArchiveRules,
} from './archive-rules.ts'

/** Below this size a good ratio is no attack. */
const RATIO_FROM_BYTES = 10 * 1024 ** 2
const BLOCK = 512

/** A checked entry with its content, which may be read once, before the next entry. */
export type ArchiveEntry = CheckedEntry & { body: AsyncIterable<Uint8Array> }

type Progress = { packed: number; unpacked: number; zeros: number; last: string | undefined }

/**
 * Read a tar, plain or gzipped, entry by entry; the source is destroyed at the end.
 * @throws {HeliosError} archive_rejected with the entry and the rule; or the signal's reason.
 */
export async function* readArchive(
  source: Readable,
  signal: AbortSignal,
  limits: ArchiveLimits = ARCHIVE_LIMITS,
): AsyncGenerator<ArchiveEntry> {
  const progress: Progress = { packed: 0, unpacked: 0, zeros: 0, last: undefined }
  const check = createArchiveRules(limits)
  const tar = tarExtract()
  // The loop below hears of errors too; without this one they would be unhandled between its steps.
  tar.on('error', () => undefined)
  const feeding = feed(source, tar, progress, limits, signal)
  feeding.catch(() => undefined)
  try {
    for await (const entry of tar) {
      const checked = check(entry.header)
      progress.last = entry.header.name
      const body = explained(entry, (error) => explain(error, progress, signal))
      if (checked !== undefined) yield { ...checked, body }
      entry.resume()
    }
    await feeding
    if (progress.zeros < BLOCK) throw truncated(progress)
  } catch (error) {
    throw explain(error, progress, signal)
  } finally {
    tar.destroy()
    source.destroy()
  }
}

// A reader of the content hears of an error before the loop over the entries does.
async function* explained(
  body: AsyncIterable<unknown>,
  explanation: (error: unknown) => unknown,
): AsyncGenerator<Uint8Array> {
  try {
    // What comes out is what went in: buffers.
    yield* body as AsyncIterable<Uint8Array>
  } catch (error) {
    throw explanation(error)
  }
}

async function feed(
  source: Readable,
  tar: Extract,
  progress: Progress,
  limits: ArchiveLimits,
  signal: AbortSignal,
): Promise<void> {
  try {
    const head = await peek(source, signal)
    if (head.length === 0) throw refused('it is empty')
    if (head.subarray(0, 4).toString('latin1') === 'PK\u0003\u0004') {
      throw refused('it is a zip, not a tar')
    }
    const gzipped = head[0] === 0x1f && head[1] === 0x8b
    const packed = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        progress.packed += chunk.length
        yield chunk
      }
    }
    const unpacked = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        measure(chunk, progress, limits)
        yield chunk
      }
    }
    if (gzipped) await pipeline(source, packed, createGunzip(), unpacked, tar, { signal })
    else await pipeline(source, packed, unpacked, tar, { signal })
  } catch (error) {
    tar.destroy(error instanceof Error ? error : new Error(messageOf(error)))
    throw error
  }
}

// The first bytes, put back for the next reader.
async function peek(source: Readable, signal: AbortSignal): Promise<Buffer> {
  const parts: Buffer[] = []
  let bytes = 0
  while (bytes < 4) {
    const chunk: Buffer | null = source.read()
    if (chunk !== null) {
      parts.push(chunk)
      bytes += chunk.length
    } else if (source.readableEnded) {
      break
    } else {
      await readable(source, signal)
    }
  }
  const head = Buffer.concat(parts)
  if (head.length > 0) source.unshift(head)
  return head
}

function readable(source: Readable, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error?: unknown): void => {
      for (const name of ['readable', 'end'] as const) source.off(name, proceed)
      source.off('error', done)
      source.off('close', closed)
      signal.removeEventListener('abort', aborted)
      if (error === undefined) resolve()
      else reject(error)
    }
    const proceed = (): void => done()
    const closed = (): void => done(new Error('the source was closed'))
    const aborted = (): void => done(signal.reason)
    if (signal.aborted) return aborted()
    if (source.destroyed) return done(source.errored ?? new Error('the source was closed'))
    for (const name of ['readable', 'end'] as const) source.once(name, proceed)
    source.once('error', done)
    source.once('close', closed)
    signal.addEventListener('abort', aborted)
  })
}

function measure(chunk: Buffer, progress: Progress, limits: ArchiveLimits): void {
  progress.unpacked += chunk.length
  let at = chunk.length
  while (at > 0 && chunk.length - at < BLOCK && chunk[at - 1] === 0) at--
  progress.zeros = chunk.length - at + (at === 0 ? progress.zeros : 0)
  if (progress.unpacked > limits.bytes) {
    throw refused(`it unpacks to more than ${limits.bytes} bytes`)
  }
  const isBomb = progress.unpacked > progress.packed * limits.ratio
  if (isBomb && progress.unpacked > RATIO_FROM_BYTES) {
    throw refused(`it unpacks to more than ${limits.ratio} times its size`)
  }
}

function refused(rule: string, cause?: unknown): HeliosError {
  return new HeliosError('archive_rejected', `the archive is rejected: ${rule}`, {
    cause,
    hint: 'Send a tar, plain or gzipped, as made by: git archive HEAD',
  })
}

function truncated({ last }: Progress, cause?: unknown): HeliosError {
  const where = last === undefined ? '' : ` after the entry ${show(last)}`
  return refused(`it ends too early${where}`, cause)
}

function explain(error: unknown, progress: Progress, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  if (error instanceof HeliosError) return error
  const message = messageOf(error)
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (/Invalid tar header|Invalid header|Unexpected end of data/.test(message)) {
    if (progress.last === undefined) return refused('it is not a tar', error)
    if (message === 'Unexpected end of data') return truncated(progress, error)
    return refused(`it is damaged after the entry ${show(progress.last)}`, error)
  }
  if (code === 'Z_BUF_ERROR' || code === 'ERR_STREAM_PREMATURE_CLOSE') {
    return truncated(progress, error)
  }
  if (code.startsWith('Z_')) return refused('its gzip is damaged', error)
  if (/exceeds max size/.test(message)) return refused('a header is larger than 4 MiB', error)
  return error
}
