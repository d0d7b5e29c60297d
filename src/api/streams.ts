/**
 * @module
 * The long answers that are open: bounded, and ended together when the server stops.
 */
import { HeliosError } from '../lib/errors.ts'

/** One long answer; `end` may be called more than once. */
export type OpenStream = { signal: AbortSignal; end(): void }

/** All of them. */
export type Streams = {
  /** @throws {HeliosError} too_many_requests when there are too many, of all or of one */
  open(who: string): OpenStream
  endAll(): void
}

const MAX_STREAMS = 1000
const MAX_STREAMS_EACH = 100

/** Make the set of open streams. */
export function createStreams(): Streams {
  const open = new Map<AbortController, string>()
  return {
    open(who) {
      const own = [...open.values()].filter((each) => each === who).length
      if (open.size >= MAX_STREAMS || own >= MAX_STREAMS_EACH) {
        throw new HeliosError('too_many_requests', 'Too many streams are open', {
          hint: 'Close some and try again',
        })
      }
      const controller = new AbortController()
      open.set(controller, who)
      const end = (): void => {
        open.delete(controller)
        controller.abort()
      }
      return { signal: controller.signal, end }
    },
    endAll() {
      for (const controller of open.keys()) controller.abort()
      open.clear()
    },
  }
}
