/**
 * @module
 * The output of instances: frames of the engine become lines with a time.
 */
import type Docker from 'dockerode'
import { withDeadline } from '../../lib/async.ts'
import { HeliosError } from '../../lib/errors.ts'
import type { LogLine } from '../types.ts'
import { engineCall } from './engine-call.ts'

/** A longer line is cut into several. */
const MAX_LINE = 64 * 1024
/** The engine writes frames of 16 KiB and a time; far more means the stream is no frames. */
const MAX_FRAME = 1024 * 1024
const HEADER = 8
/** The engine cuts a longer line into pieces of just this size; a shorter piece without an end is all there is. */
const PIECE = 16 * 1024

/** One piece of output as the engine frames it. */
type Frame = { stream: LogLine['stream']; data: Buffer }

/**
 * Lines of a container; ends with the container, or without an error when the signal aborts.
 * The engine may end a followed stream before the last write; a read without `follow` has it.
 */
export async function* containerLogs(
  docker: Docker,
  id: string,
  opts: { since?: string; follow: boolean; tail?: number },
  signal: AbortSignal,
): AsyncGenerator<LogLine> {
  if (signal.aborted) return
  const closing = new AbortController()
  const abortSignal = AbortSignal.any([signal, closing.signal])
  try {
    const { tty, source } = await openLogs(docker, id, opts, abortSignal, signal)
    yield* tty ? linesOf(rawFrames(source)) : linesOf(framesOf(source))
  } catch (error) {
    if (signal.aborted) return
    throw error instanceof HeliosError
      ? error
      : new HeliosError('HP51', `The engine broke off the output of ${id}.`, { cause: error })
  } finally {
    closing.abort()
  }
}

/** Cut a multiplexed stream into its frames; output of a terminal is not multiplexed. */
export async function* framesOf(source: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of source) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (;;) {
      const length = frameLength(rest)
      if (length === undefined || rest.length < HEADER + length) break
      const data = rest.subarray(HEADER, HEADER + length)
      yield { stream: rest[0] === 2 ? 'stderr' : 'stdout', data }
      rest = rest.subarray(HEADER + length)
    }
  }
}

/** Join frames, each with its time in front, to lines; what a program wrote last without an end counts. */
export async function* linesOf(frames: AsyncIterable<Frame>): AsyncGenerator<LogLine> {
  const open = new Map<LogLine['stream'], { at: string; parts: Buffer[]; bytes: number }>()
  for await (const { stream, data } of frames) {
    const space = data.indexOf(0x20)
    const at = data.toString('latin1', 0, Math.max(0, space))
    const line = open.get(stream) ?? { at, parts: [], bytes: 0 }
    const part = data.subarray(space + 1, data.at(-1) === 0x0a ? -1 : undefined)
    line.parts.push(part)
    line.bytes += part.length
    const more = part.length === PIECE && data.at(-1) !== 0x0a
    if (!more || line.bytes >= MAX_LINE) {
      open.delete(stream)
      yield { at: line.at, stream, text: textOf(line.parts) }
    } else {
      open.set(stream, line)
    }
  }
  for (const [stream, { at, parts }] of open) yield { at, stream, text: textOf(parts) }
}

/** An RFC 3339 time as the seconds and nanoseconds the engine wants. */
export function engineTime(at: string): string {
  const millis = Date.parse(at)
  if (Number.isNaN(millis)) {
    throw new HeliosError('invalid_value', `${JSON.stringify(at)} is no time.`, {
      field: 'since',
      hint: 'Give a time like 2026-01-31T12:00:00Z.',
    })
  }
  const fraction = /\.(\d{1,9})/.exec(at)?.[1] ?? ''
  return `${Math.floor(millis / 1000)}.${fraction.padEnd(9, '0')}`
}

async function openLogs(
  docker: Docker,
  id: string,
  opts: { since?: string; follow: boolean; tail?: number },
  abortSignal: AbortSignal,
  signal: AbortSignal,
): Promise<{ tty: boolean; source: AsyncIterable<Buffer> }> {
  const container = docker.getContainer(id)
  const query = {
    stdout: true,
    stderr: true,
    timestamps: true,
    ...(opts.since === undefined ? {} : { since: engineTime(opts.since) }),
    ...(opts.tail === undefined ? {} : { tail: opts.tail }),
    abortSignal,
  }
  return await engineCall(
    `read the output of ${id}`,
    async (limit) => {
      const { Config } = await container.inspect({ abortSignal: limit })
      // Only the answer has a deadline: the stream behind it may stay open for days.
      const answer = opts.follow
        ? container.logs({ ...query, follow: true })
        : container.logs({ ...query, follow: false }).then((all) => [all])
      const source = (await withDeadline<unknown>(answer, limit)) as AsyncIterable<Buffer>
      return { tty: Config.Tty, source }
    },
    { signal },
  )
}

async function* rawFrames(source: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of source) {
    rest = Buffer.concat([rest, chunk])
    for (let end = cutAt(rest); end > 0; end = cutAt(rest)) {
      yield { stream: 'stdout', data: rest.subarray(0, end) }
      rest = rest.subarray(end)
    }
  }
  if (rest.length > 0) yield { stream: 'stdout', data: rest }
}

function cutAt(rest: Buffer): number {
  const end = rest.indexOf(0x0a) + 1
  return end > 0 || rest.length < MAX_LINE ? end : rest.length
}

function frameLength(rest: Buffer): number | undefined {
  if (rest.length < HEADER) return undefined
  const length = rest.readUInt32BE(4)
  if (length > MAX_FRAME || (rest[0] ?? 3) > 2) {
    throw new HeliosError('engine_error', 'The engine sent output that is not made of frames.')
  }
  return length
}

function textOf(parts: Buffer[]): string {
  return Buffer.concat(parts).toString('utf8').replace(/\r$/, '')
}
