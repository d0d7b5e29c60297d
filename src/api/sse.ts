/**
 * @module
 * Server-sent events: taken from their source only as fast as the client reads, kept alive, ended with the right to see them.
 */
import { HeliosError } from '../lib/errors.ts'
import type { OpenStream } from './streams.ts'

/** One event; `data` is sent as it is, line by line. */
export type ServerEvent = { event: string; id?: string; data: string }

/** How a stream lives. */
export type EventStreamOptions = {
  /** Its signal is the one the source obeys. */
  stream: OpenStream
  /** Asked every `recheckMs`; false ends the stream. */
  stillHolds(): boolean
  /** Cuts the connection of a client that takes nothing. */
  cut(): void
  heartbeatMs?: number
  recheckMs?: number
  stallMs?: number
}

const HEADERS = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-store',
  // Asks proxies not to hold events back.
  'X-Accel-Buffering': 'no',
}

const HEARTBEAT_MS = 15_000
const RECHECK_MS = 60_000
const STALL_MS = 60_000

/**
 * Answer with events. Nothing piles up for a slow client, because the next event is asked for when
 * the last one was taken; a client that takes nothing for `stallMs` is cut.
 */
export function eventStream(
  source: AsyncIterable<ServerEvent>,
  opts: EventStreamOptions,
): Response {
  const { stream } = opts
  const iterator = source[Symbol.asyncIterator]()
  const encoder = new TextEncoder()
  const recheck = setInterval(() => opts.stillHolds() || stream.end(), opts.recheckMs ?? RECHECK_MS)
  let stall: NodeJS.Timeout | undefined
  let beat: NodeJS.Timeout | undefined
  let asked = false
  let ready: ServerEvent | 'end' | undefined
  let deliver: ((what: ServerEvent | 'end' | 'beat') => void) | undefined

  const offer = (what: ServerEvent | 'end'): void => {
    ready = what
    deliver?.(what)
  }
  // One request to the source at a time, which heartbeats outlive.
  const ask = (): void => {
    if (asked) return
    asked = true
    iterator.next().then(
      (got) => {
        asked = false
        offer(got.done ? 'end' : got.value)
      },
      () => offer('end'),
    )
  }
  const close = (): void => {
    clearInterval(recheck)
    clearTimeout(stall)
    clearTimeout(beat)
    stream.end()
    iterator.return?.().catch(() => undefined)
  }
  stream.signal.addEventListener('abort', () => offer('end'), { once: true })

  const pull = (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> =>
    new Promise((resolve) => {
      clearTimeout(stall)
      deliver = (what) => {
        deliver = undefined
        clearTimeout(beat)
        if (what === 'end') {
          close()
          controller.close()
          return resolve()
        }
        if (what !== 'beat') ready = undefined
        controller.enqueue(encoder.encode(what === 'beat' ? ': beat\n\n' : frame(what)))
        stall = setTimeout(() => {
          close()
          opts.cut()
        }, opts.stallMs ?? STALL_MS)
        resolve()
      }
      if (ready !== undefined) return deliver(ready)
      beat = setTimeout(() => deliver?.('beat'), opts.heartbeatMs ?? HEARTBEAT_MS)
      ask()
    })
  const cancel = (): void => {
    deliver = undefined
    close()
  }
  const body = new ReadableStream<Uint8Array>({ pull, cancel }, { highWaterMark: 0 })
  return new Response(body, { headers: HEADERS })
}

/** One event as text; a line break in the data begins a new data line. */
export function frame({ event, id, data }: ServerEvent): string {
  const lines = data.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`)
  return `event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}${lines.join('')}\n`
}

/** Read `Last-Event-ID` as a number that goes up; 0 without one. @throws {HeliosError} bad_request */
export function lastSeq(header: string | undefined): number {
  if (header === undefined || header === '') return 0
  if (/^\d{1,15}$/.test(header)) return Number(header)
  throw new HeliosError('bad_request', 'This Last-Event-ID is none of this stream', {
    field: 'Last-Event-ID',
    hint: 'Send the id of the last event as it came, or none',
  })
}
