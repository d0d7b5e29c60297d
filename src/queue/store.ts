/**
 * @module
 * Durable jobs: enqueue, claim with a lease, heartbeat, finish, requeue what was lost.
 */
import { and, asc, count, desc, eq, inArray, lte, notInArray, sql } from 'drizzle-orm'
import { type Db, inTransaction } from '../db/open.ts'
import { jobs } from '../db/schema.ts'
import { HeliosError } from '../lib/errors.ts'
import { newId } from '../lib/ids.ts'

/** A row of durable work. */
export type Job = typeof jobs.$inferSelect

/** What a caller says of new work; jobs of one worker and key run one after the other, in order. */
export type NewJob = {
  kind: string
  key: string
  payload: unknown
  /** Higher goes first (default 0). */
  priority?: number
  /** Tries in all (default 1: never again by itself). */
  maxAttempts?: number
}

const MAX_WAITING = 10_000

/** Add a job; call it inside the transaction of the change that wants it. @throws {HeliosError} queue_full */
export function enqueue(db: Db, input: NewJob, now: number): Job {
  const waiting = db.select({ n: count() }).from(jobs).where(eq(jobs.state, 'queued')).get()?.n ?? 0
  if (waiting >= MAX_WAITING) {
    throw new HeliosError('queue_full', `${waiting} jobs wait already`, {
      hint: 'Try again when some have run',
    })
  }
  return db
    .insert(jobs)
    .values({
      id: newId('job', now),
      kind: input.kind,
      key: input.key,
      payload: input.payload,
      priority: input.priority ?? 0,
      state: 'queued',
      attempts: 0,
      maxAttempts: input.maxAttempts ?? 1,
      runAt: now,
      cancelRequested: false,
      createdAt: now,
    })
    .returning()
    .get()
}

/** Take the next job of these kinds whose key has none of them running; undefined when there is none. */
export function claim(
  db: Db,
  by: { kinds: string[]; owner: string; leaseMs: number },
  now: number,
): Job | undefined {
  return inTransaction(db, () => {
    const busy = db
      .select({ key: jobs.key })
      .from(jobs)
      .where(and(eq(jobs.state, 'running'), inArray(jobs.kind, by.kinds)))
    const next = db
      .select({ id: jobs.id })
      .from(jobs)
      .where(
        and(
          eq(jobs.state, 'queued'),
          inArray(jobs.kind, by.kinds),
          lte(jobs.runAt, now),
          notInArray(jobs.key, busy),
        ),
      )
      .orderBy(desc(jobs.priority), asc(jobs.createdAt), asc(sql`rowid`))
      .limit(1)
      .get()
    if (!next) return undefined
    return db
      .update(jobs)
      .set({
        state: 'running',
        attempts: sql`${jobs.attempts} + 1`,
        leaseOwner: by.owner,
        leaseUntil: now + by.leaseMs,
      })
      .where(eq(jobs.id, next.id))
      .returning()
      .get()
  })
}

const held = (job: Pick<Job, 'id' | 'leaseOwner'>) =>
  and(eq(jobs.id, job.id), eq(jobs.state, 'running'), eq(jobs.leaseOwner, job.leaseOwner ?? ''))

/** Extend the lease; tells whether the job is still ours and whether it should stop. */
export function heartbeat(
  db: Db,
  job: Job,
  leaseMs: number,
  now: number,
): 'go' | 'cancel' | 'lost' {
  const row = db
    .update(jobs)
    .set({ leaseUntil: now + leaseMs })
    .where(held(job))
    .returning({ cancelRequested: jobs.cancelRequested })
    .get()
  if (!row) return 'lost'
  return row.cancelRequested ? 'cancel' : 'go'
}

/** How a try of a job ended; `retry` is for failures that may pass by themselves. */
export type Outcome =
  | { state: 'done' }
  | { state: 'cancelled' }
  | { state: 'failed'; error: string; retry: boolean }
  | { state: 'returned' }

/** Write how a try ended; a job whose lease was lost is left alone. Gives the job's state now. */
export function finish(db: Db, job: Job, outcome: Outcome, now: number): Job['state'] {
  const change = { ...afterTry(job, outcome, now), leaseOwner: null, leaseUntil: null }
  const row = db.update(jobs).set(change).where(held(job)).returning({ state: jobs.state }).get()
  return row?.state ?? findJob(db, job.id)?.state ?? 'cancelled'
}

function afterTry(job: Job, outcome: Outcome, now: number): Partial<Job> {
  if (outcome.state === 'returned') return { state: 'queued', attempts: job.attempts - 1 }
  if (outcome.state !== 'failed') return { state: outcome.state, error: null, finishedAt: now }
  const { error, retry } = outcome
  if (retry && job.attempts < job.maxAttempts) {
    return { state: 'queued', error, runAt: now + backoffMs(job.attempts) }
  }
  return { state: 'failed', error, finishedAt: now }
}

/** Wait before the next try: 1, 2, 4, ... up to 60 seconds. */
export function backoffMs(attempts: number): number {
  return Math.min(60_000, 1000 * 2 ** (attempts - 1))
}

/** Ask a job to stop: one that waits is cancelled at once, one that runs learns it at its next heartbeat. */
export function requestCancel(db: Db, id: string, now: number): Job | undefined {
  db.update(jobs)
    .set({ state: 'cancelled', finishedAt: now })
    .where(and(eq(jobs.id, id), eq(jobs.state, 'queued')))
    .run()
  return db.update(jobs).set({ cancelRequested: true }).where(eq(jobs.id, id)).returning().get()
}

/** Put back jobs that no living owner holds: at boot all of them, later those of some kinds whose lease ran out. Gives how many. */
export function requeueLost(
  db: Db,
  which: { all: true } | { kinds: string[] },
  now: number,
): number {
  const lost =
    'all' in which
      ? eq(jobs.state, 'running')
      : and(eq(jobs.state, 'running'), inArray(jobs.kind, which.kinds), lte(jobs.leaseUntil, now))
  return db
    .update(jobs)
    .set({ state: 'queued', leaseOwner: null, leaseUntil: null, runAt: now })
    .where(lost)
    .run().changes
}

/** One job by its id. */
export function findJob(db: Db, id: string): Job | undefined {
  return db.select().from(jobs).where(eq(jobs.id, id)).get()
}

/** Tell whether a job of one of these kinds waits or runs for the key; with `states`, only one that does this. */
export function hasOpenJob(
  db: Db,
  which: { kinds: readonly string[]; key: string; states?: readonly ('queued' | 'running')[] },
): boolean {
  const open = and(
    eq(jobs.key, which.key),
    inArray(jobs.kind, [...which.kinds]),
    inArray(jobs.state, [...(which.states ?? (['queued', 'running'] as const))]),
  )
  return db.select({ id: jobs.id }).from(jobs).where(open).limit(1).get() !== undefined
}

/** How many jobs wait and how many run. */
export function countJobs(db: Db): { waiting: number; running: number } {
  const rows = db
    .select({ state: jobs.state, n: count() })
    .from(jobs)
    .where(inArray(jobs.state, ['queued', 'running']))
    .groupBy(jobs.state)
    .all()
  const of = (state: Job['state']): number => rows.find((row) => row.state === state)?.n ?? 0
  return { waiting: of('queued'), running: of('running') }
}

/** Remove jobs that ended before `before`. */
export function forgetEndedJobs(db: Db, before: number): number {
  return db.delete(jobs).where(lte(jobs.finishedAt, before)).run().changes
}
