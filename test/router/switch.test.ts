import { afterAll, beforeAll, expect, test } from 'vitest'
import { createCaddyClient } from '../../src/router/caddy-client.ts'
import {
  type Backend,
  backend,
  get,
  h1Load,
  h2Load,
  type Load,
  type Stage,
  stage,
  wsLoad,
} from './stage.ts'

const HOSTS = ['one', 'two', 'none'].map((name) => ({ host: `${name}.test`, app: `app_${name}` }))
let on: Stage
const started: Backend[] = []

async function instance(name: string, delayMs = 0): Promise<Backend> {
  const made = await backend(name, delayMs)
  started.push(made)
  return made
}

const put = (app: string, release: string, ...instances: Backend[]): Promise<void> =>
  on.router.setLive({ app, release, addresses: instances.map((i) => i.address) })

beforeAll(async () => {
  on = await stage()
  await on.router.start(on.signal)
  await on.router.applyTable({ hosts: HOSTS }, on.signal)
})

afterAll(async () => {
  await on.close()
  await Promise.all(started.map((made) => made.kill().catch(() => undefined)))
})

const total = (loads: Load[]): number => loads.reduce((sum, { good }) => sum + good, 0)

test('30 switches under load: nothing fails, on this app or another, by any protocol', async () => {
  let old = await instance('one 0')
  await put('app_one', 'v0', old)
  await put('app_two', 'v0', await instance('two'))
  const { port } = on
  const kept = h1Load(port, 'two.test', /^two$/, 4)
  const loads = [
    kept,
    h1Load(port, 'one.test', /^one \d+$/, 6),
    h1Load(port, 'one.test', /^one \d+$/, 2, false),
    h2Load(port, 'one.test', /^one \d+$/, 2),
    h2Load(port, 'two.test', /^two$/, 1),
    await wsLoad(port, 'one.test', 2),
    await wsLoad(port, 'two.test', 2),
  ]
  for (let i = 1; i <= 30; i += 1) {
    const next = await instance(`one ${i}`)
    await put('app_one', `v${i}`, next)
    expect((await get(port, 'one.test')).body).toBe(`one ${i}`)
    // The first holds the websockets, so it would not drain.
    if (i > 1) {
      expect(await on.router.drain([old.address], 10_000, on.signal)).toBe(true)
      await old.kill()
    }
    old = next
  }
  await Promise.all(loads.map((load) => load.stop()))
  expect(loads.flatMap(({ failed }) => failed)).toEqual([])
  expect(total(loads)).toBeGreaterThan(1000)
  expect(kept.opened).toBe(4)
  expect(loads.slice(3, 5).map(({ opened }) => opened)).toEqual([2, 1])
})

test('a request under way ends well while its instance drains', async () => {
  const slow = await instance('slow', 2000)
  await put('app_one', 'v100', slow)
  const answer = get(on.port, 'one.test')
  const inFlight = async (): Promise<number> => {
    const all = await createCaddyClient({ adminSocket: on.adminSocket }).upstreams(on.signal)
    return all.find((u) => u.address === slow.address)?.requests ?? 0
  }
  await expect.poll(inFlight, { interval: 20 }).toBe(1)
  await put('app_one', 'v101', await instance('next'))
  const [drained, { body }] = await Promise.all([
    on.router.drain([slow.address], 10_000, on.signal),
    answer,
  ])
  expect(drained).toBe(true)
  expect(body).toBe('slow')
  expect(await inFlight()).toBe(0)
})

test('draining ends at its deadline, and at once when it is cancelled', async () => {
  const held = await instance('held')
  await put('app_one', 'v102', held)
  const load = await wsLoad(on.port, 'one.test', 1)
  await put('app_one', 'v103', await instance('next'))
  const before = performance.now()
  expect(await on.router.drain([held.address], 300, on.signal)).toBe(false)
  expect(performance.now() - before).toBeLessThan(1500)
  const cancelled = on.router.drain([held.address], 10_000, AbortSignal.timeout(100))
  await expect(cancelled).rejects.toThrow(/timeout/)
  expect(await on.router.drain([], 0, on.signal)).toBe(true)
  await load.stop()
  expect(load.failed).toEqual([])
})

test('1 to 16 instances share the requests', async () => {
  const all = await Promise.all(Array.from({ length: 16 }, (_, i) => instance(`part ${i}`)))
  for (const count of [1, 2, 3, 16]) {
    await put('app_one', `n${count}`, ...all.slice(0, count))
    const asked = Array.from({ length: count * 12 }, () => get(on.port, 'ONE.test'))
    const answers = new Set((await Promise.all(asked)).map(({ body }) => body))
    expect(answers.size).toBe(count)
  }
  await all[0]?.kill()
  const asked = Array.from({ length: 40 }, () => get(on.port, 'one.test'))
  const statuses = (await Promise.all(asked)).map(({ status }) => status)
  expect(new Set(statuses)).toEqual(new Set([200]))
})

test('new hosts by the hundred come in one load, without a failed request or a closed websocket', async () => {
  await put('app_one', 'v200', await instance('blue'))
  const loads = [h1Load(on.port, 'one.test', /^blue$/, 4), await wsLoad(on.port, 'one.test', 2)]
  const spare = async (): Promise<string | undefined> =>
    /gen\d/.exec(await createCaddyClient({ adminSocket: on.adminSocket }).config(on.signal))?.[0]
  const before = await spare()
  const many = Array.from({ length: 300 }, (_, i) => ({ host: `h${i}.test`, app: 'app_one' }))
  const calls = [100, 200, 300].map((count) =>
    on.router.applyTable({ hosts: [...HOSTS, ...many.slice(0, count)] }, on.signal),
  )
  await Promise.all(calls)
  expect(await spare()).not.toBe(before)
  for (const host of ['h0.test', 'h299.test', 'one.test']) {
    expect((await get(on.port, host)).body).toBe('blue')
  }
  await on.router.applyTable({ hosts: HOSTS }, on.signal)
  expect((await get(on.port, 'h0.test')).status).toBe(404)
  await Promise.all(loads.map((load) => load.stop()))
  expect(loads.flatMap(({ failed }) => failed)).toEqual([])
})
