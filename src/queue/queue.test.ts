import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { migrate, readMigrations } from '../db/migrate.ts'
import { type Db, openDatabase } from '../db/open.ts'
import { deadline, sleep, until } from '../lib/async.ts'
import { systemClock } from '../lib/clock.ts'
import { HeliosError } from '../lib/errors.ts'
import { silentLogger } from '../lib/log.ts'
import {
  backoffMs,
  claim,
  enqueue,
  findJob,
  finish,
  heartbeat,
  requestCancel,
  requeueLost,
} from './store.ts'
import { createWorker, type Handler } from './worker.ts'

let dir: string
let db: Db
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'helios-queue-'))
  db = openDatabase(dir)
  migrate(db, readMigrations('drizzle'))
})
afterEach(() => {
  db.$client.close()
  rmSync(dir, { recursive: true, force: true })
})

const by = { kinds: ['build'], owner: 'one', leaseMs: 1000 }
const add = (key: string, more: { priority?: number; maxAttempts?: number } = {}) =>
  enqueue(db, { kind: 'build', key, payload: { key }, ...more }, 0)

describe('store', () => {
  test('one job a key at a time, priority first, then order', () => {
    const first = add('a')
    const second = add('a')
    const urgent = add('b', { priority: 5 })
    expect([claim(db, by, 1)?.id, claim(db, by, 1)?.id, claim(db, by, 1)]).toEqual([
      urgent.id,
      first.id,
      undefined,
    ])
    finish(db, { ...first, leaseOwner: 'one' }, { state: 'done' }, 2)
    expect(claim(db, by, 3)?.id).toBe(second.id)
  })

  test('other kinds are left to other workers', () => {
    add('a')
    expect(claim(db, { ...by, kinds: ['rollout'] }, 1)).toBeUndefined()
  })

  test('a failure that may pass waits longer each time, and ends after the last try', () => {
    add('a', { maxAttempts: 2 })
    const failed = { state: 'failed', error: 'engine away', retry: true } as const
    const one = claim(db, by, 10)
    expect(one && finish(db, one, failed, 10)).toBe('queued')
    expect(claim(db, by, 500)).toBeUndefined()
    const two = claim(db, by, 1010)
    expect(two && finish(db, two, failed, 1010)).toBe('failed')
    expect([backoffMs(1), backoffMs(3), backoffMs(30)]).toEqual([1000, 4000, 60_000])
  })

  test('a job whose lease was lost cannot be finished by its old owner', () => {
    const job = add('a')
    const mine = claim(db, by, 0)
    expect(mine && heartbeat(db, mine, 1000, 500)).toBe('go')
    expect(requeueLost(db, { kinds: ['build'] }, 1000)).toBe(0)
    expect(requeueLost(db, { kinds: ['rollout'] }, 1500)).toBe(0)
    expect(requeueLost(db, { kinds: ['build'] }, 1500)).toBe(1)
    const theirs = claim(db, { ...by, owner: 'two' }, 1600)
    expect(theirs?.attempts).toBe(2)
    expect(mine && heartbeat(db, mine, 1000, 1700)).toBe('lost')
    expect(mine && finish(db, mine, { state: 'done' }, 1700)).toBe('running')
    expect(findJob(db, job.id)?.leaseOwner).toBe('two')
  })

  test('cancel ends what waits at once and tells what runs', () => {
    const running = add('a')
    const waiting = add('a')
    const mine = claim(db, by, 0)
    expect(requestCancel(db, waiting.id, 1)?.state).toBe('cancelled')
    expect(requestCancel(db, running.id, 1)?.state).toBe('running')
    expect(mine && heartbeat(db, mine, 1000, 2)).toBe('cancel')
    expect(requestCancel(db, 'job_none', 1)).toBeUndefined()
  })

  test('the queue is bounded', () => {
    const fill = db.$client.prepare(
      "INSERT INTO jobs (id, kind, key, priority, payload, state, attempts, max_attempts, run_at, cancel_requested, created_at) VALUES (?, 'build', 'k', 0, '{}', 'queued', 0, 1, 0, 0, 0)",
    )
    db.$client.transaction(() => {
      for (let n = 0; n < 10_000; n++) fill.run(`job_${n}`)
    })()
    expect(() => add('a')).toThrow(HeliosError)
  })
})

describe('worker', () => {
  const work = (build: Handler, more: { leaseMs?: number; concurrency?: number } = {}) =>
    createWorker({
      db,
      log: silentLogger(),
      clock: systemClock,
      name: 'build-worker',
      handlers: { build },
      concurrency: 2,
      pollMs: 20,
      ...more,
    })
  const state = (id: string, wanted: string) =>
    until(() => (findJob(db, id)?.state === wanted ? true : undefined), {
      everyMs: 5,
      signal: deadline(5000),
    })
  const none = new AbortController().signal

  test('runs jobs of other keys side by side and of one key in order', async () => {
    const seen: string[] = []
    const worker = work(async (job) => {
      seen.push(`+${job.key}`)
      await sleep(30)
      seen.push(`-${job.key}`)
    })
    const ids = ['a', 'a', 'b'].map((key) => add(key).id)
    await worker.start(none)
    await Promise.all(ids.map((id) => state(id, 'done')))
    await worker.stop(none)
    expect(seen.slice(0, 2)).toEqual(['+a', '+b'])
    expect(seen.filter((step) => step.endsWith('a'))).toEqual(['+a', '-a', '+a', '-a'])
  })

  test('cancels a running job at its next heartbeat', async () => {
    const worker = work((_, signal) => sleep(60_000, signal), { leaseMs: 30 })
    const { id } = add('a')
    await worker.start(none)
    await state(id, 'running')
    requestCancel(db, id, 1)
    await state(id, 'cancelled')
    await worker.stop(none)
  })

  test('hands running jobs back when it stops, so that the next start goes on', async () => {
    const worker = work((_, signal) => sleep(60_000, signal))
    const { id } = add('a')
    await worker.start(none)
    await worker.stop(none)
    expect(findJob(db, id)).toMatchObject({ state: 'queued', attempts: 0, leaseOwner: null })
  })

  test('a failure is written with its message, and no handler is a failure', async () => {
    const worker = work(async () => {
      throw new HeliosError('HX30', 'npm ended with 1')
    })
    const { id } = add('a', { maxAttempts: 3 })
    await worker.start(none)
    await state(id, 'failed')
    await worker.stop(none)
    expect(findJob(db, id)?.error).toBe('npm ended with 1')
  })

  test('a process that was paused for longer than a lease still holds its jobs', async () => {
    let now = 1000
    let began = 0
    const worker = createWorker({
      db,
      log: silentLogger(),
      clock: () => now,
      name: 'build-worker',
      handlers: {
        build: async () => {
          began += 1
          await sleep(80)
        },
      },
      concurrency: 2,
      leaseMs: 15_000,
      pollMs: 5,
    })
    const { id } = add('a')
    await worker.start(none)
    await state(id, 'running')
    now += 60_000
    await state(id, 'done')
    await worker.stop(none)
    expect([began, findJob(db, id)?.attempts]).toEqual([1, 1])
  })

  test('jobs of a process that died are taken again at boot', async () => {
    const { id } = add('a')
    claim(db, { ...by, leaseMs: 3_600_000 }, Date.now())
    expect(requeueLost(db, { all: true }, Date.now())).toBe(1)
    const worker = work(async () => undefined)
    await worker.start(none)
    worker.wake()
    await state(id, 'done')
    await worker.stop(none)
  })
})
