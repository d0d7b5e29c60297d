import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { run } from '../../src/lib/exec.ts'
import { ENGINE_SOCKET, startHelios, type TestHelios } from '../support/helios.ts'
import { newPerson, type Work } from '../support/pusher.ts'
import {
  type Bystander,
  type Load,
  quantile,
  startBystander,
  startLoad,
  type Tally,
  trafficApp,
} from '../support/traffic.ts'

type Deployment = { id: string; state: string; release: number; error: unknown }
type Processes = { items: { instances: { name: string; healthy: boolean; state: string }[] }[] }

const REDEPLOYS = 30
const ROLLBACKS = 5

let at: TestHelios
let work: Work
let bystander: Bystander
/** Versions that may answer now: one, or two while another takes over. */
let live: readonly string[] = ['v1']

beforeAll(async () => {
  at = await startHelios()
  const person = await newPerson(at.settings, at.token)
  work = person.work('shop', undefined, trafficApp('shop', 'v1'))
  const beside = person.work('beside', undefined, trafficApp('beside', 'v1'))
  expect(await work.push('shop')).toMatchObject({ code: 0 })
  expect(await beside.push('beside')).toMatchObject({ code: 0 })
  const aim = { port: at.settings.http.port, app: 'beside', versions: () => ['v1'] }
  bystander = await startBystander(aim, { sockets: 4, everyMs: 100 })
})

afterAll(async () => {
  await bystander?.stop()
  await at.remove()
})

function load(): Load {
  const aim = { port: at.settings.http.port, app: 'shop', versions: () => live }
  const started = startLoad(aim, { kept: 4, fresh: 2, pauseMs: 20 })
  onTestFinished(async () => void (await started.stop()))
  return started
}

/** Old and new may answer until the work is done, and only the new after it. */
async function turning(next: string, change: () => Promise<void>): Promise<number> {
  const began = performance.now()
  live = [...live, next]
  await change()
  live = [next]
  return performance.now() - began
}

async function succeeded({ id }: Deployment): Promise<Deployment> {
  for (;;) {
    const { body } = await at.api<Deployment>('GET', `/apps/shop/deployments/${id}`)
    if (body.state === 'succeeded') return body
    expect(['queued', 'building', 'deploying']).toContain(body.state)
    await delay(20)
  }
}

/** Wait until exactly this many instances of the app are left, all healthy. */
async function settled(count: number): Promise<void> {
  const filter = `label=helios.server=${at.serverId}`
  const docker = ['docker', '--host', `unix://${ENGINE_SOCKET}`]
  for (const until = Date.now() + 60_000; ; await delay(100)) {
    const { body } = await at.api<Processes>('GET', '/apps/shop/processes')
    const instances = body.items.flatMap((item) => item.instances)
    const { stdout } = await run([...docker, 'ps', '--all', '--quiet', '--filter', filter])
    const containers = stdout.toString().split('\n').filter(Boolean).length
    const well = instances.filter(({ healthy }) => healthy).length
    if (well === count && instances.length === count && containers === count + 1) return
    if (Date.now() < until) continue
    throw new Error(`${containers} containers, instances: ${JSON.stringify(instances)}`)
  }
}

function report(name: string, tally: Tally, more: Record<string, unknown>): void {
  const { requests, failed, slow, times } = tally
  const ms = { p50: quantile(times, 0.5), p99: quantile(times, 0.99), max: quantile(times, 1) }
  console.log(name, { requests, failed, slow, ms, beside: bystander.seen, ...more })
}

function unharmed(tally: Tally): void {
  expect(tally.failures).toEqual([])
  expect(tally.failed).toBe(0)
  expect(bystander.seen.failures).toEqual([])
}

test(`${REDEPLOYS} redeploys and ${ROLLBACKS} rollbacks fail no request`, async () => {
  const began = performance.now()
  const traffic = load()
  const pushes: number[] = []
  for (let n = 2; n <= REDEPLOYS + 1; n++) {
    await turning(`v${n}`, async () => {
      work.edit('server.js', /"v\d+"/, `"v${n}"`)
      const pushed = await work.push('shop')
      expect(pushed).toMatchObject({ code: 0, text: expect.stringContaining(`v${n} live at http`) })
      pushes.push(pushed.ms)
    })
  }
  const rollbacks: number[] = []
  for (let n = 0; n < ROLLBACKS; n++) {
    const release = REDEPLOYS - (n % 4)
    const ms = await turning(`v${release}`, async () => {
      const { status, body } = await at.api<Deployment>('POST', '/apps/shop/rollback', { release })
      expect(status).toBe(202)
      await succeeded(body)
    })
    rollbacks.push(ms)
  }
  await delay(500)
  const tally = await traffic.stop()
  report('redeploys', tally, {
    redeploys: pushes.length,
    rollbacks: rollbacks.length,
    seconds: Math.round((performance.now() - began) / 1000),
    pushMs: { min: quantile(pushes, 0), p50: quantile(pushes, 0.5), max: quantile(pushes, 1) },
    rollbackMs: { min: quantile(rollbacks, 0), max: quantile(rollbacks, 1) },
  })
  unharmed(tally)
  expect(Object.keys(tally.versions).length).toBe(REDEPLOYS + 1)
  expect(tally.slow).toBeGreaterThan(3 * 3)
  await settled(1)
}, 1_800_000)

test('a connection that was idle for as long as apps may close them is not used again', {
  retry: 2,
}, async () => {
  const from = async (): Promise<unknown> => JSON.parse((await at.ask('shop')).body).from
  await delay(2000)
  const first = await from()
  expect(await from()).toBe(first)
  await delay(2000)
  expect(await from()).not.toBe(first)
})

test('scaling to 3 and back fails no request', async () => {
  const traffic = load()
  const scale = async (web: number): Promise<void> => {
    const { status } = await at.api('PATCH', '/apps/shop/processes', { formation: { web } })
    expect(status).toBe(202)
    await settled(web)
    traffic.tally.instances.clear()
    await delay(1000)
    expect(traffic.tally.instances.size).toBe(web)
  }
  await delay(500)
  await scale(3)
  await scale(1)
  const tally = await traffic.stop()
  report('scale', tally, {})
  unharmed(tally)
})

test('a restart and a change of config fail no request', async () => {
  const traffic = load()
  await delay(500)
  const { body } = await at.api<Deployment>('POST', '/apps/shop/restart')
  await succeeded(body)
  const [version] = live
  await turning(`${version} blue`, async () => {
    const changed = await at.api<{ deployment: Deployment }>('PATCH', '/apps/shop/env', {
      set: { MORE: ' blue' },
    })
    await succeeded(changed.body.deployment)
  })
  await delay(500)
  const tally = await traffic.stop()
  report('restart and config', tally, { versions: tally.versions })
  unharmed(tally)
  await settled(1)
})

test('connections beside all this were never closed', async () => {
  const { requests, echoes, failures } = await bystander.stop()
  expect(failures).toEqual([])
  expect(requests).toBeGreaterThan(100)
  expect(echoes).toBeGreaterThan(100)
})
