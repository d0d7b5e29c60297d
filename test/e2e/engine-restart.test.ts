import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startHelios, type TestHelios } from '../support/helios.ts'
import { type OwnEngine, startOwnEngine } from '../support/own-engine.ts'
import { newPerson, type Person, type Work } from '../support/pusher.ts'
import { docker } from '../support/sound.ts'

/** Apps answer again this long after the engine is back. */
const BACK_MS = 15_000
const FORMATION: Record<string, number> = { red: 2, blue: 3 }
const APPS = Object.keys(FORMATION)

type Deployment = { id: string; state: string; error: { code: string } | null }
type Instance = {
  name: string
  release: number
  healthy: boolean
  state: string
  restarts: number
  oomKilled: boolean
}

let engine: OwnEngine
let at: TestHelios
let person: Person
const works: Record<string, Work> = {}

/** An app that names itself and its instance, and can be made to run out of memory or to crash for good. */
function app(name: string): Record<string, string> {
  return {
    'package.json': '{ "main": "server.js" }',
    'oal.yaml': 'oal: 1\nprocesses: { web: { memory: 64MiB } }\n',
    'server.js': `
const { existsSync, writeFileSync } = require('node:fs')
if (existsSync('/tmp/broken')) process.exit(7)
const kept = []
require('node:http').createServer((req, res) => {
  if (req.url === '/eat') setInterval(() => kept.push(Buffer.alloc(5e6, 1)), 1)
  if (req.url === '/break') { writeFileSync('/tmp/broken', ''); process.exit(7) }
  res.end('${name} ' + require('node:os').hostname())
}).listen(process.env.PORT)
`,
  }
}

beforeAll(async () => {
  engine = await startOwnEngine(['node:24-slim', 'debian:bookworm-slim'])
  at = await startHelios({ dockerSocket: engine.socket })
  person = await newPerson(at.settings, at.token)
  for (const name of APPS) {
    const work = person.work(name, undefined, app(name))
    works[name] = work
    expect(await work.push(name)).toMatchObject({ code: 0 })
    await at.api('PATCH', `/apps/${name}/processes`, { formation: { web: FORMATION[name] } })
  }
  await complete()
})
afterAll(async () => {
  await at?.remove()
  await engine?.remove()
})

async function instancesOf(name: string): Promise<Instance[]> {
  const { body } = await at.api<{ items: { instances: Instance[] }[] }>(
    'GET',
    `/apps/${name}/processes`,
  )
  return body.items.flatMap(({ instances }) => instances)
}

/** Wait until every app has all its instances, and the router knows where they are. */
async function complete(ms = 60_000): Promise<void> {
  for (const limit = Date.now() + ms; ; await delay(50)) {
    const found = await Promise.all(
      APPS.map(async (name) => {
        const well = (await instancesOf(name)).filter(({ healthy }) => healthy).length
        return well === FORMATION[name] && (await addressesFit(name))
      }),
    )
    if (found.every(Boolean)) return
    if (Date.now() > limit) {
      throw new Error(JSON.stringify(await Promise.all(APPS.map(instancesOf))))
    }
  }
}

/** Tell whether the instances that answer for an app are those the engine runs of it. */
async function addressesFit(name: string): Promise<boolean> {
  const { body } = await at.api<{ id: string }>('GET', `/apps/${name}`)
  const ids = await docker(at, 'ps', '--quiet', '--filter', `label=helios.app=${body.id}`)
  const seen = new Set<string>()
  for (let asked = 0; asked < 40 && seen.size < ids.length; asked++) {
    const { status, body: text } = await at.ask(name)
    if (status === 200) seen.add(text.split(' ')[1] ?? '')
  }
  return ids.length === FORMATION[name] && [...seen].sort().join() === ids.join()
}

type Watch = {
  /** Failed requests by app, and when the last of them was begun. */
  failed: Record<string, number>
  lastFailure: number
  /** Stop; gives answers that came from another app. */
  stop(): Promise<string[]>
}

/** Ask every app all the time; nobody may ever answer for another. */
function watch(): Watch {
  const wrong: string[] = []
  let going = true
  const state: Watch = { failed: {}, lastFailure: 0, stop: async () => wrong }
  const lanes = APPS.map(async (name) => {
    for (; going; await delay(20)) {
      const began = performance.now()
      const asked = await at.ask(name).catch(() => ({ status: 0, body: '' }))
      if (asked.status !== 200) {
        state.failed[name] = (state.failed[name] ?? 0) + 1
        state.lastFailure = Math.max(state.lastFailure, began)
      } else if (!asked.body.startsWith(`${name} `)) wrong.push(`${name}: ${asked.body}`)
    }
  })
  state.stop = async () => {
    going = false
    await Promise.all(lanes)
    return wrong
  }
  return state
}

async function ended(name: string, { id }: Deployment, ms: number): Promise<Deployment> {
  for (const limit = Date.now() + ms; ; await delay(50)) {
    const { body } = await at.api<Deployment>('GET', `/apps/${name}/deployments/${id}`)
    if (!['queued', 'building', 'deploying'].includes(body.state)) return body
    if (Date.now() > limit) throw new Error(`still ${body.state}`)
  }
}

function report(what: string, watched: Watch, back: number): void {
  const seconds = Math.max(0, watched.lastFailure - back) / 1000
  process.stdout.write(
    `${what}: failed ${JSON.stringify(watched.failed)}, the last begun ${seconds.toFixed(1)} s after the engine was back\n`,
  )
}

test('an engine that was stopped: apps come back by themselves, and a deploy that met it goes on', async () => {
  const watched = watch()
  await engine.stop()
  const { body: deployment } = await at.api<Deployment>('POST', '/apps/red/restart')
  await delay(2000)
  await engine.start()
  const back = performance.now()
  expect(await ended('red', deployment, 60_000)).toMatchObject({ state: 'succeeded' })
  await complete()
  await delay(500)
  expect(await watched.stop()).toEqual([])
  report('stopped', watched, back)
  expect(watched.lastFailure - back).toBeLessThan(BACK_MS)
})

test('an engine that was killed: apps answer without it, deploys fail with HP51 in the end, and all come back', async () => {
  const watched = watch()
  await engine.kill()
  const { body: deployment } = await at.api<Deployment>('POST', '/apps/blue/restart')
  const end = await ended('blue', deployment, 120_000)
  expect(end).toMatchObject({ state: 'failed', error: { code: 'HP51' } })
  expect(watched.failed).toEqual({})
  await engine.start()
  const back = performance.now()
  await complete()
  await delay(500)
  expect(await watched.stop()).toEqual([])
  report('killed', watched, back)
  expect(watched.lastFailure - back).toBeLessThan(BACK_MS)
})

test.each(['kill', 'stop'] as const)(
  'an engine that meets a %s in the middle of a build: the build is done again',
  async (end) => {
    const name = `green-${end}`
    const slow = {
      'server.js': app(name)['server.js'] ?? '',
      Dockerfile: `FROM node:24-slim\nRUN echo ${name} && sleep 6\nCOPY server.js /\nCMD ["node", "/server.js"]\n`,
    }
    const pushing = person.work(name, undefined, slow).push(name)
    for (;;) {
      const { body } = await at.api<{ items: Deployment[] }>('GET', `/apps/${name}/deployments`)
      if (body.items?.[0]?.state === 'building') break
      await delay(50)
    }
    await delay(2500)
    await engine[end]()
    await engine.start()
    const pushed = await pushing
    expect(pushed.text).toContain('The engine does not answer: waiting for it')
    expect(pushed.text).toContain('-----> v1 live at')
    expect((await at.ask(name)).body).toContain(`${name} `)
    await complete()
  },
)

test('an instance that runs out of memory is restarted, and the others answer', async () => {
  const before = await instancesOf('blue')
  const watched = watch()
  await at.ask('blue', '/eat').catch(() => undefined)
  for (const limit = Date.now() + 60_000; ; await delay(100)) {
    const now = await instancesOf('blue')
    const sum = (list: Instance[]) => list.reduce((total, { restarts }) => total + restarts, 0)
    if (sum(now) > sum(before)) break
    if (Date.now() > limit) throw new Error(JSON.stringify(now))
  }
  await complete()
  expect(await watched.stop()).toEqual([])
  process.stdout.write(`out of memory: failed ${JSON.stringify(watched.failed)}\n`)
  // Those that were in the instance when it was killed.
  expect(watched.failed['blue'] ?? 0).toBeLessThan(3)
  expect(watched.failed['red'] ?? 0).toBe(0)
})

test('an instance that crashes again and again gets no requests, and the others answer', async () => {
  // Not a GET: one whose connection broke is sent again, and would break another instance.
  await at.ask('blue', '/break', 'POST').catch(() => undefined)
  await delay(1000)
  const watched = watch()
  await delay(8000)
  expect(await watched.stop()).toEqual([])
  expect(watched.failed).toEqual({})
  const found = await instancesOf('blue')
  expect(found.filter(({ healthy }) => healthy).length).toBeGreaterThanOrEqual(2)
  expect(found.some(({ restarts, healthy }) => restarts > 1 && !healthy)).toBe(true)
})
