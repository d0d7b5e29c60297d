import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createCaddyClient } from '../../src/router/caddy-client.ts'
import { caddyConfig } from '../../src/router/caddy-config.ts'
import { createLiveStates } from '../../src/router/live.ts'
import type { HostRoute } from '../../src/router/types.ts'

const { HELIOS_TEST_CADDY, PATH } = process.env
const binary = HELIOS_TEST_CADDY ?? resolve('.tools/caddy/caddy')
const signal = AbortSignal.timeout(60_000)
const dir = mkdtempSync(join(tmpdir(), 'router-'))
const adminSocket = join(dir, 'admin.sock')
const upDir = join(dir, 'up')
const client = createCaddyClient({ adminSocket })
const live = createLiveStates(upDir)
const servers: Server[] = []
const addresses: string[] = []
let caddy: ChildProcess | undefined
let port = 0

async function serve(answer: string, delayMs = 0): Promise<string> {
  const server = createServer((_, res) => {
    setTimeout(() => res.end(answer), delayMs)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  servers.push(server)
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const found = (server.address() as AddressInfo).port
  await new Promise((done) => server.close(done))
  return found
}

type Answer = { status: number; body: string }

function get(host: string, agent: Agent | false = false): Promise<Answer> {
  return new Promise((done, fail) => {
    const sent = request({ host: '127.0.0.1', port, agent, headers: { host }, signal }, (res) => {
      text(res).then((body) => done({ status: res.statusCode ?? 0, body }), fail)
    })
    sent.on('error', fail).end()
  })
}

function config(hosts: HostRoute[], generation: number): object {
  return caddyConfig({ hosts }, { listen: [`127.0.0.1:${port}`], adminSocket, upDir, generation })
}

type Load = { good: number; failed: string[]; stop: () => Promise<void> }

/** Clients that ask one host again and again on kept connections, until stopped. */
function load(host: string, clients: number): Load {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const result: Load = { good: 0, failed: [], stop: async () => {} }
  let running = true
  const loops = Array.from({ length: clients }, async () => {
    while (running) {
      const { status, body } = await get(host, agent).catch((error: unknown) => ({
        status: 0,
        body: String(error),
      }))
      if (status === 200) result.good += 1
      else result.failed.push(`${status} ${body}`)
      await sleep(2)
    }
  })
  result.stop = async () => {
    running = false
    await Promise.all(loops)
    agent.destroy()
  }
  return result
}

const first: HostRoute[] = [
  { host: 'one.test', app: 'app_1' },
  { host: 'none.test', app: 'app_none' },
]

beforeAll(async () => {
  if (!existsSync(binary)) {
    throw new Error(`No Caddy at ${binary}: set HELIOS_TEST_CADDY to a Caddy of 2.11.2 or newer`)
  }
  port = await freePort()
  addresses.push(await serve('blue'), await serve('green'))
  mkdirSync(upDir)
  const file = join(dir, 'caddy.json')
  writeFileSync(file, JSON.stringify(config(first, 0)))
  const env = { PATH, HOME: dir }
  caddy = spawn(binary, ['run', '--config', file], { stdio: 'ignore', env })
  await vi.waitFor(() => client.upstreams(signal), { timeout: 10_000, interval: 50 })
})

afterAll(async () => {
  const child = caddy
  if (child?.pid !== undefined && child.exitCode === null) {
    const gone = new Promise((done) => child.once('exit', done))
    child.kill('SIGKILL')
    await gone
  }
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
  rmSync(dir, { recursive: true, force: true })
})

const set = (release: string, to: string[]): Promise<void> =>
  live.setLive({ app: 'app_1', release, addresses: to })

test('an unknown host and an app without instances get our pages', async () => {
  const unknown = await get('unknown.test')
  expect(unknown.status).toBe(404)
  expect(unknown.body).toContain('No app here')
  const none = await get('none.test')
  expect(none.status).toBe(503)
  expect(none.body).toContain('App not running')
  await set('rel_0', [])
  expect((await get('one.test')).status).toBe(503)
})

test('30 switches under load fail no request, and each is seen at once', async () => {
  await set('rel_0', addresses.slice(0, 1))
  const running = load('one.test', 8)
  for (let i = 1; i <= 30; i += 1) {
    const now = i % 2
    await set(`rel_${i}`, addresses.slice(now, now + 1))
    expect((await get('one.test')).body).toBe(now === 0 ? 'blue' : 'green')
    await sleep(50)
  }
  await running.stop()
  expect(running.failed).toEqual([])
  expect(running.good).toBeGreaterThan(300)
})

test('several instances share the requests', async () => {
  const more = [...addresses, await serve('red'), await serve('grey')]
  for (const count of [2, 3, 4]) {
    await set(`rel_n${count}`, more.slice(0, count))
    const answers = await Promise.all(Array.from({ length: 24 }, () => get('ONE.test')))
    expect(new Set(answers.map((a) => a.body)).size).toBe(count)
  }
})

test('a request in flight is seen at its address until it ends', async () => {
  const slow = await serve('slow', 400)
  await set('rel_slow', [slow])
  const answer = get('one.test')
  const inFlight = async (): Promise<number> =>
    (await client.upstreams(signal)).find((u) => u.address === slow)?.requests ?? 0
  await expect.poll(inFlight, { interval: 20 }).toBe(1)
  await set('rel_next', addresses.slice(0, 1))
  expect((await answer).body).toBe('slow')
  await expect.poll(inFlight, { interval: 20 }).toBe(0)
})

test('new hosts by the hundred are loaded without a failed request', async () => {
  await set('rel_load', addresses.slice(0, 1))
  const running = load('one.test', 4)
  const many = Array.from({ length: 200 }, (_, i) => ({ host: `h${i}.test`, app: 'app_1' }))
  await client.load(config([...first, ...many], 1), signal)
  for (const host of ['h0.test', 'h199.test', 'one.test']) {
    expect((await get(host)).body).toBe('blue')
  }
  await client.load(config(first, 2), signal)
  expect((await get('h0.test')).status).toBe(404)
  await running.stop()
  expect(running.failed).toEqual([])
})

test('a configuration Caddy refuses leaves the old one serving', async () => {
  await expect(client.load({ apps: { nonsense: {} } }, signal)).rejects.toThrow('nonsense')
  expect((await get('one.test')).status).toBe(200)
})
