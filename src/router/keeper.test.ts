import { expect, test } from 'vitest'
import { HeliosError } from '../lib/errors.ts'
import { silentLogger } from '../lib/log.ts'
import { createKeeper, type KeeperDeps } from './keeper.ts'

/** A Caddy that runs while `alive` has a name, a clock that goes when told, a look each 250 ms. */
function stage(more: Partial<KeeperDeps> = {}) {
  const seen = { now: 0, alive: '', starts: 0, stops: 0, met: 0, restored: 0 }
  const deps: KeeperDeps = {
    identity: async () => seen.alive || undefined,
    start: async () => {
      seen.starts += 1
      seen.alive = `caddy ${seen.starts}`
    },
    stop: async () => {
      seen.stops += 1
    },
    met: () => {
      seen.met += 1
    },
    restore: async () => {
      seen.restored += 1
    },
    log: silentLogger(),
    signal: new AbortController().signal,
    compareEveryMs: 10_000,
    now: () => seen.now,
    ...more,
  }
  const keeper = createKeeper(deps)
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 250) {
      seen.now += 250
      await keeper.look()
    }
  }
  return { seen, keeper, pass }
}

test('a Caddy that answers is left alone and compared at intervals', async () => {
  const { seen, keeper, pass } = stage()
  seen.alive = 'there'
  await keeper.look()
  await pass(25_000)
  expect(seen).toMatchObject({ starts: 0, met: 1, restored: 3 })
  seen.alive = 'another'
  await pass(250)
  expect(seen).toMatchObject({ starts: 0, met: 2, restored: 4 })
})

test('a dead Caddy is started by the next look, also again soon', async () => {
  const { seen, keeper, pass } = stage()
  await keeper.look()
  for (let starts = 1; starts < 5; starts += 1) {
    expect(seen).toMatchObject({ starts, met: starts, restored: starts })
    await pass(6000)
    seen.alive = ''
    await pass(250)
  }
})

test('one that ends at once is started less and less often, and shows as trouble', async () => {
  const starts: number[] = []
  const { seen, keeper, pass } = stage({
    start: async () => {
      starts.push(seen.now)
      throw new HeliosError('HP52', 'port in use')
    },
  })
  await keeper.look()
  expect(keeper.trouble()?.message).toBe('port in use')
  await pass(180_000)
  const pauses = starts.slice(1).map((at, i) => at - (starts[i] ?? at))
  expect(pauses).toEqual([250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000])
  // One that holds the lock without answering is ended after a while.
  expect(seen.stops).toBeGreaterThan(0)
  seen.alive = 'there'
  await pass(250)
  expect(keeper.trouble()).toBeUndefined()
})

test('trouble of any kind has a code, none is told after the end', async () => {
  const stop = new AbortController()
  const { seen, keeper } = stage({
    restore: async () => Promise.reject(new Error('odd')),
    signal: stop.signal,
  })
  seen.alive = 'there'
  await keeper.look()
  expect(keeper.trouble()).toMatchObject({ code: 'HP52', message: 'odd' })
  const run = keeper.run()
  stop.abort(new Error('stop'))
  await run
})
