import { expect, test } from 'vitest'
import { HeliosError } from '../lib/errors.ts'
import { silentLogger } from '../lib/log.ts'
import { offenders } from './offenders.ts'
import { createSync, type SyncDeps } from './sync.ts'
import type { HostRoute, RouteTable } from './types.ts'

const { signal } = new AbortController()
const table = (...hosts: string[]): RouteTable => ({
  hosts: hosts.map((host) => ({ host, app: 'app_1' })),
})

/** A Caddy that runs what it is given, unless a host starts with `bad`. */
function fake(more: Partial<SyncDeps> = {}) {
  const seen = { running: 'null', loads: 0, kept: 0, looks: 0, away: 0 }
  const reasonAgainst = (config: object): string | undefined =>
    JSON.stringify(config).includes('"bad') ? 'a bad host' : undefined
  const deps: SyncDeps = {
    client: {
      config: async () => {
        if (seen.away > 0) {
          seen.away -= 1
          throw new HeliosError('HP52', 'away')
        }
        return seen.running
      },
      load: async (config) => {
        const reason = reasonAgainst(config)
        if (reason) throw new HeliosError('router_error', reason)
        seen.loads += 1
        seen.running = JSON.stringify(config)
      },
    },
    build: ({ hosts }, generation) => ({ generation, hosts: hosts.map(({ host }) => host) }),
    generationOf: (config) => (JSON.stringify(config).includes('"generation":0') ? 0 : 1),
    judge: async (config) => {
      seen.looks += 1
      return reasonAgainst(config)
    },
    keep: () => {
      seen.kept += 1
    },
    log: silentLogger(),
    signal,
    ...more,
  }
  return { seen, sync: createSync(deps) }
}

test('a table is loaded once, each load with the other generation', async () => {
  const { seen, sync } = fake()
  await sync.apply(table('a', 'b'), signal)
  await sync.apply(table('b', 'a'), signal)
  expect(seen).toMatchObject({ loads: 1, running: '{"generation":0,"hosts":["a","b"]}' })
  await sync.apply(table('a'), signal)
  expect(seen).toMatchObject({ loads: 2, running: '{"generation":1,"hosts":["a"]}' })
})

test('calls close together become one load of the newest table', async () => {
  const { seen, sync } = fake()
  const calls = [table('a'), table('b'), table('c')].map((t) => sync.apply(t, signal))
  await Promise.all(calls)
  expect(seen).toMatchObject({ loads: 1, running: '{"generation":0,"hosts":["c"]}' })
  const again = [sync.apply(table('d'), signal), sync.apply(table('c'), signal)]
  await Promise.all(again)
  expect(seen).toMatchObject({ loads: 1, running: '{"generation":0,"hosts":["c"]}' })
})

test('what already runs is not loaded, but kept', async () => {
  const { seen, sync } = fake()
  seen.running = '{"generation":1,"hosts":["a"]}'
  await sync.apply(table('a'), signal)
  expect(seen).toMatchObject({ loads: 0, kept: 1 })
  expect(sync.current()).toEqual({ generation: 0, hosts: ['a'] })
})

test('a caller who gives up does not end the load of the others', async () => {
  const { seen, sync } = fake()
  const patient = sync.apply(table('a'), signal)
  await expect(sync.apply(table('a'), AbortSignal.abort(new Error('enough')))).rejects.toThrow(
    'enough',
  )
  await patient
  expect(seen.loads).toBe(1)
})

test('a Caddy that is away is asked again', async () => {
  const { seen, sync } = fake()
  seen.away = 3
  await sync.apply(table('a'), signal)
  expect(seen).toMatchObject({ loads: 1, away: 0 })
})

test('refused hosts are left out, and nothing is loaded when the rest already runs', async () => {
  const { seen, sync } = fake()
  await sync.apply(table('a', 'bad1', 'b', '{x}', 'bad2', 'c'), signal)
  expect(seen.running).toBe('{"generation":0,"hosts":["a","b","c"]}')
  expect(sync.rejected().map(({ host, reason }) => `${host}: ${reason}`)).toEqual([
    '{x}: not a host name',
    'bad1: a bad host',
    'bad2: a bad host',
  ])
  await sync.apply(table('a', 'b', 'c', 'bad3'), signal)
  expect(seen.loads).toBe(1)
  expect(sync.rejected()).toHaveLength(1)
})

test('a refusal that no host explains is thrown, and the old table stays', async () => {
  const { seen, sync } = fake({ judge: async () => undefined })
  await sync.apply(table('a'), signal)
  await expect(sync.apply(table('a', 'bad'), signal)).rejects.toThrow('a bad host')
  expect(sync.current()).toEqual({ generation: 0, hosts: ['a'] })
  expect(seen.loads).toBe(1)
})

test('what somebody else loaded is put back, but not before the first table', async () => {
  const { seen, sync } = fake()
  seen.running = '{"other":1}'
  await sync.restore()
  expect(seen.loads).toBe(0)
  await sync.apply(table('a'), signal)
  await sync.restore()
  await sync.restore()
  expect(seen.loads).toBe(1)
  seen.running = '{"generation":0,"hosts":["stranger"]}'
  await sync.restore()
  expect(seen).toMatchObject({ loads: 2, running: '{"generation":1,"hosts":["a"]}' })
})

test('few offenders among many are found with few looks', async () => {
  const hosts: HostRoute[] = Array.from({ length: 500 }, (_, i) => ({ host: `h${i}`, app: 'x' }))
  let looks = 0
  const judge = async (part: HostRoute[]): Promise<string | undefined> => {
    looks += 1
    return part.some(({ host }) => host === 'h7' || host === 'h499') ? 'no' : undefined
  }
  expect((await offenders(hosts, judge)).map(({ host }) => host)).toEqual(['h7', 'h499'])
  expect(looks).toBeLessThan(40)
  await expect(offenders(hosts, async () => 'all')).rejects.toThrow('hosts are refused')
})
