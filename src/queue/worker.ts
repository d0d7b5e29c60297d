/**
 * @module
 * Claim jobs and run their handlers: a lease kept by heartbeat, cancel, back-off, hand-back on stop.
 */
import type { Db } from '../db/open.ts'
import type { Clock } from '../lib/clock.ts'
import { HeliosError, messageOf } from '../lib/errors.ts'
import { newId } from '../lib/ids.ts'
import type { Part } from '../lib/lifecycle.ts'
import type { Logger } from '../lib/log.ts'
import { claim, findJob, finish, heartbeat, type Job, type Outcome, requeueLost } from './store.ts'

/** Does one job; must be safe to run again from its start. */
export type Handler = (job: Job, signal: AbortSignal) => Promise<void>

/** What a worker is made of. */
export type WorkerOptions = {
  db: Db
  log: Logger
  clock: Clock
  name: string
  handlers: Record<string, Handler>
  /** Jobs at once. */
  concurrency: number
  leaseMs?: number
  pollMs?: number
}

/** Why a job's signal aborted. */
type Stop = 'cancel' | 'lost' | 'shutdown'

/** `beatAt` is when its lease was last renewed. */
type Running = { job: Job; stop: AbortController; done: Promise<void>; beatAt: number }

/** A worker for these kinds of job, as a part. `wake` looks for work, and for what is to stop, at once. */
export function createWorker(opts: WorkerOptions): Part & { wake(): void } {
  const leaseMs = opts.leaseMs ?? 15_000
  const owner = newId('srv')
  const kinds = Object.keys(opts.handlers)
  const running = new Map<string, Running>()
  let timer: NodeJS.Timeout | undefined

  const runOne = async (job: Job, stop: AbortController): Promise<void> => {
    const outcome = await attempt(opts.handlers[job.kind], job, stop.signal)
    const state = finish(opts.db, job, outcome, opts.clock())
    const error = outcome.state === 'failed' ? outcome.error : undefined
    opts.log.info({ job: job.id, kind: job.kind, key: job.key, state, error }, 'job ended')
  }

  const hold = (one: Running): void => {
    if (opts.clock() - one.beatAt < leaseMs / 3) {
      if (findJob(opts.db, one.job.id)?.cancelRequested) one.stop.abort('cancel' satisfies Stop)
      return
    }
    one.beatAt = opts.clock()
    const answer = heartbeat(opts.db, one.job, leaseMs, one.beatAt)
    if (answer !== 'go') one.stop.abort(answer satisfies Stop)
  }

  const look = (): void => {
    if (!timer) return
    // Before anything counts as lost: a process that was paused still does what it did.
    for (const one of running.values()) hold(one)
    requeueLost(opts.db, { kinds }, opts.clock())
    while (running.size < opts.concurrency) {
      const beatAt = opts.clock()
      const job = claim(opts.db, { kinds, owner, leaseMs }, beatAt)
      if (!job) return
      const stop = new AbortController()
      const done = runOne(job, stop).finally(() => {
        running.delete(job.id)
        look()
      })
      running.set(job.id, { job, stop, done, beatAt })
    }
  }

  return {
    name: opts.name,
    start: async () => {
      timer = setInterval(look, opts.pollMs ?? 1000)
      look()
    },
    stop: async () => {
      clearInterval(timer)
      timer = undefined
      for (const { stop } of running.values()) stop.abort('shutdown' satisfies Stop)
      await Promise.all([...running.values()].map(({ done }) => done))
    },
    wake: look,
  }
}

async function attempt(
  handler: Handler | undefined,
  job: Job,
  signal: AbortSignal,
): Promise<Outcome> {
  try {
    if (!handler) throw new HeliosError('internal', `No handler for jobs of kind ${job.kind}`)
    await handler(job, signal)
    return { state: 'done' }
  } catch (error) {
    if (signal.aborted && signal.reason === 'shutdown') return { state: 'returned' }
    if (signal.aborted && signal.reason === 'cancel') return { state: 'cancelled' }
    // What a person has to mend does not mend itself; an engine that is away does.
    const retry = !(error instanceof HeliosError) || error.code === 'HP51' || error.code === 'HP52'
    return { state: 'failed', error: messageOf(error), retry }
  }
}
