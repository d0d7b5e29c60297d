import { spawn } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { Agent, createServer } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createCaddyClient } from '../../src/router/caddy-client.ts'
import { stopCaddy } from '../../src/router/process.ts'
import { type Backend, backend, CADDY, get, type Stage, stage } from './stage.ts'

const HOSTS = [
  { host: 'one.test', app: 'app_one' },
  { host: 'two.test', app: 'app_two' },
]
let on: Stage
let made: Backend

beforeEach(async () => {
  made = await backend('answer')
})
afterEach(async () => {
  await on.close()
  await made.kill()
})

const pidOf = ({ dir }: Stage): number => Number(readFileSync(join(dir, 'caddy.pid'), 'utf8'))
const config = ({ adminSocket, signal }: Stage): Promise<string> =>
  createCaddyClient({ adminSocket }).config(signal)

async function begin(opts: Parameters<typeof stage>[0] = {}, hosts = HOSTS): Promise<void> {
  on = await stage(opts)
  await on.router.start(on.signal)
  await on.router.setLive({ app: 'app_one', release: 'v1', addresses: [made.address] })
  await on.router.applyTable({ hosts }, on.signal)
}

/** Milliseconds until the host answers with 200. */
async function backAfter(host = 'one.test'): Promise<number> {
  const from = performance.now()
  const ask = (): Promise<number> =>
    get(on.port, host).then(
      (a) => a.status,
      () => 0,
    )
  await expect.poll(ask, { interval: 20, timeout: 10_000 }).toBe(200)
  return performance.now() - from
}

describe('a router that runs', () => {
  test('a killed Caddy is back with its configuration within 3 s, each time', async () => {
    await begin()
    for (let i = 0; i < 3; i += 1) {
      const pid = pidOf(on)
      process.kill(pid, 'SIGKILL')
      expect(await backAfter()).toBeLessThan(3000)
      await expect.poll(() => pidOf(on)).not.toBe(pid)
    }
    expect(on.router.state()).toEqual({ ok: true })
    expect(on.lines.filter(({ msg }) => msg === 'router started')).toHaveLength(4)
  })

  test('its files are private and its admin is asked by nobody else', async () => {
    await begin()
    expect(statSync(on.dir).mode & 0o777).toBe(0o700)
    for (const file of ['admin.sock', 'caddy.json', 'caddy.pid']) {
      expect(statSync(join(on.dir, file)).mode & 0o777).toBe(0o600)
    }
    expect(existsSync(join(on.dir, 'caddy', 'autosave.json'))).toBe(false)
  })

  test('another Helios takes it over and touches nothing', async () => {
    await begin()
    const before = [pidOf(on), await config(on), statSync(join(on.dir, 'caddy.json')).mtimeMs]
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    await get(on.port, 'one.test', agent)
    const [kept] = Object.values(agent.freeSockets).flat()
    await on.router.stop(on.signal)
    expect((await get(on.port, 'one.test', agent)).body).toBe('answer')
    const next = await stage({ dir: on.dir, listen: [`127.0.0.1:${on.port}`] })
    on = next
    await on.router.start(on.signal)
    await on.router.applyTable({ hosts: [...HOSTS].reverse() }, on.signal)
    expect(await on.router.getLive('app_one')).toMatchObject({ release: 'v1' })
    await sleep(600)
    expect((await get(on.port, 'one.test', agent)).body).toBe('answer')
    expect(Object.values(agent.freeSockets).flat()).toEqual([kept])
    const after = [pidOf(on), await config(on), statSync(join(on.dir, 'caddy.json')).mtimeMs]
    expect(after).toEqual(before)
    agent.destroy()
  })

  test('it goes on when the process that started it is killed', async () => {
    on = await stage()
    const script = `
      import { createRouter } from ${JSON.stringify(join(process.cwd(), 'src/router/router.ts'))}
      import { silentLogger } from ${JSON.stringify(join(process.cwd(), 'src/lib/log.ts'))}
      const signal = new AbortController().signal
      const [caddy, dir, listen] = process.argv.slice(1)
      const router = createRouter({ caddy, dir, listen: [listen], log: silentLogger() })
      await router.start(signal)
      await router.applyTable({ hosts: ${JSON.stringify(HOSTS)} }, signal)
      process.stdout.write('ready')`
    const argv = ['--input-type=module', '-e', script, CADDY, on.dir, `127.0.0.1:${on.port}`]
    const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise((done) => child.stdout.once('data', done))
    const gone = new Promise((done) => child.once('exit', done))
    child.kill('SIGKILL')
    await gone
    await on.router.setLive({ app: 'app_one', release: 'v1', addresses: [made.address] })
    expect((await get(on.port, 'one.test')).body).toBe('answer')
  })
})

describe('what others do to it', () => {
  test('a configuration edited by hand is put back, and said once', async () => {
    await begin({ compareEveryMs: 300 })
    await createCaddyClient({ adminSocket: on.adminSocket }).load(
      { admin: JSON.parse(await config(on)).admin },
      on.signal,
    )
    expect(await backAfter()).toBeLessThan(3000)
    await sleep(1000)
    expect(on.lines.filter(({ msg }) => msg.includes('changed from outside'))).toHaveLength(1)
    expect(JSON.parse(await config(on))).toEqual(
      JSON.parse(readFileSync(join(on.dir, 'caddy.json'), 'utf8')),
    )
  })

  test('a Caddy started by somebody else gets the right configuration', async () => {
    await begin({ compareEveryMs: 60_000 })
    const file = join(on.dir, 'other.json')
    writeFileSync(file, JSON.stringify({ admin: JSON.parse(await config(on)).admin }))
    const foreign = spawn(CADDY, ['run', '--config', file], {
      stdio: 'ignore',
      env: { HOME: on.dir },
    })
    // It has taken the socket; the one before it goes.
    await expect.poll(() => config(on), { timeout: 5000 }).not.toContain('main')
    process.kill(pidOf(on), 'SIGKILL')
    expect(await backAfter()).toBeLessThan(3000)
    const gone = new Promise((done) => foreign.once('exit', done))
    foreign.kill('SIGKILL')
    await gone
    expect(await backAfter()).toBeLessThan(3000)
  })

  test('a host Caddy refuses is left out and named, the others are served', async () => {
    const hosts = [
      ...HOSTS,
      { host: 'xn--0.test', app: 'app_bad' },
      { host: '{env.HOME}', app: 'x' },
    ]
    await begin({}, hosts)
    expect((await get(on.port, 'one.test')).status).toBe(200)
    expect(on.router.rejectedHosts()).toEqual([
      { host: '{env.HOME}', app: 'x', reason: 'not a host name' },
      { host: 'xn--0.test', app: 'app_bad', reason: expect.stringContaining('idna') },
    ])
    expect(on.router.state()).toEqual({
      ok: true,
      detail: '2 hosts left out: {env.HOME}, xn--0.test',
    })
    const before = await config(on)
    await on.router.applyTable({ hosts }, on.signal)
    await on.router.applyTable({ hosts: [...hosts, { host: 'xn--1.test', app: 'y' }] }, on.signal)
    expect(on.router.rejectedHosts()).toHaveLength(3)
    expect(await config(on)).toBe(before)
    await on.router.applyTable({ hosts: HOSTS }, on.signal)
    expect(on.router.state()).toEqual({ ok: true })
  })

  test('a spoiled configuration file does not stop it', async () => {
    await begin()
    const good = JSON.parse(await config(on))
    await on.router.stop(on.signal)
    const unfit = JSON.stringify({ ...good, apps: { ...good.apps, nonsense: {} } })
    for (const spoiled of ['{"admin', '{"apps":{}}', unfit]) {
      await stopCaddy(on.dir, on.signal)
      writeFileSync(join(on.dir, 'caddy.json'), spoiled)
      on = await stage({ dir: on.dir, listen: [`127.0.0.1:${on.port}`] })
      await on.router.start(on.signal)
      await on.router.applyTable({ hosts: HOSTS }, on.signal)
      expect((await get(on.port, 'one.test')).body).toBe('answer')
      await on.router.stop(on.signal)
    }
  })
})

describe('what keeps it from starting', () => {
  test('a Caddy that is missing or too old is named with what to do', async () => {
    on = await stage()
    const old = join(on.dir, 'old-caddy')
    writeFileSync(old, '#!/bin/sh\necho v2.6.2 h1:abc=\n')
    chmodSync(old, 0o755)
    for (const [caddy, why] of [
      [old, 'is Caddy "v2.6.2", which is older than 2.11.2'],
      [join(on.dir, 'none'), 'no Caddy runs as'],
    ] as const) {
      const other = await stage({ dir: on.dir, caddy })
      await expect(other.router.start(on.signal)).rejects.toMatchObject({
        code: 'config_invalid',
        message: expect.stringContaining(why),
        hint: expect.stringContaining('HELIOS_CADDY'),
      })
    }
  })

  test('a port in use shows in its state until it is free', async () => {
    on = await stage()
    const squatter = createServer()
    await new Promise<void>((done) => squatter.listen(on.port, '127.0.0.1', done))
    await on.router.start(on.signal)
    expect(on.router.state()).toMatchObject({ ok: false })
    expect(on.router.state().detail).toMatch(/^HP52: .*address already in use/)
    await sleep(1500)
    expect(on.lines.filter(({ level }) => level === 'error')).toHaveLength(1)
    await new Promise((done) => squatter.close(done))
    await expect.poll(() => on.router.state().ok, { timeout: 10_000 }).toBe(true)
  })

  test('a folder Caddy cannot take is refused at once', async () => {
    on = await stage()
    await expect(stage({ dir: '/tmp/{x}' })).rejects.toThrow('cannot be the folder')
    await expect(stage({ dir: `/tmp/${'x'.repeat(120)}` })).rejects.toThrow('cannot be the folder')
  })

  test('stopping for good leaves no process behind, also when it hangs', async () => {
    await begin()
    const pid = pidOf(on)
    await on.router.stop(on.signal)
    process.kill(pid, 'SIGSTOP')
    await stopCaddy(on.dir, on.signal)
    await stopCaddy(on.dir, on.signal)
    expect(
      existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8'),
    ).toBeFalsy()
    expect(existsSync(join(on.dir, 'caddy.pid'))).toBe(false)
  })
})
