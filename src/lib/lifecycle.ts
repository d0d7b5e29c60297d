/**
 * @module
 * Start parts in order and stop them in reverse under one deadline.
 */
import { withDeadline } from './async.ts'
import type { Logger } from './log.ts'

/** What has to be started and stopped; `state` says in a word how it is, for `/readyz`. */
export type Part = {
  name: string
  start(signal: AbortSignal): Promise<void>
  stop(signal: AbortSignal): Promise<void>
  state?(): PartState
}

/** How a part is: `ok`, or what is wrong with it. */
type PartState = { ok: boolean; detail?: string }

/** Parts that run; `stop` may be called twice and gives the same promise. */
export type Running = { stop(): Promise<void>; states(): Record<string, PartState> }

/** Start every part in order. If one fails, those already started are stopped in reverse and the failure is thrown. */
export async function runParts(
  parts: readonly Part[],
  opts: { log: Logger; stopDeadlineMs: number; signal: AbortSignal },
): Promise<Running> {
  const started: Part[] = []
  const stopAll = async (): Promise<void> => {
    const deadline = AbortSignal.timeout(opts.stopDeadlineMs)
    for (const part of started.splice(0).reverse()) {
      await withDeadline(part.stop(deadline), deadline).catch((error: unknown) =>
        opts.log.error({ err: error, part: part.name }, 'part did not stop cleanly'),
      )
    }
  }
  for (const part of parts) {
    try {
      await part.start(opts.signal)
      started.push(part)
      opts.log.debug({ part: part.name }, 'started')
    } catch (error) {
      await stopAll()
      throw error
    }
  }
  let stopping: Promise<void> | undefined
  return {
    stop: () => {
      stopping ??= stopAll()
      return stopping
    },
    states: () =>
      Object.fromEntries(parts.map((part) => [part.name, part.state?.() ?? { ok: true }])),
  }
}
