import { randomInt } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { type IncomingHttpHeaders, request } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { createHelios, type Helios } from '../../src/app.ts'
import type { Settings } from '../../src/config/settings.ts'
import { run } from '../../src/lib/exec.ts'
import { createLogger } from '../../src/lib/log.ts'

/** The engine tests run against, by its socket. */
export const ENGINE_SOCKET = (
  process.env['HELIOS_TEST_DOCKER'] ?? 'unix:///var/run/docker.sock'
).replace(/^unix:\/\//, '')

/** The Caddy tests run. */
const CADDY = process.env['HELIOS_TEST_CADDY'] ?? resolve('.tools/caddy/caddy')

/** A port nothing listens on right now. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  await new Promise((done) => server.close(done))
  return port
}

/** Settings of a Helios of its own: data dir, ports, subnets. */
export async function testSettings(more: Partial<Settings> = {}): Promise<Settings> {
  const address = async () => ({ host: '127.0.0.1', port: await freePort() })
  return {
    dataDir: mkdtempSync(join(tmpdir(), 'hel-')),
    logLevel: process.env['HELIOS_TEST_LOG'] ?? 'silent',
    http: await address(),
    api: await address(),
    ssh: await address(),
    baseDomain: 'localhost',
    dockerSocket: ENGINE_SOCKET,
    caddy: CADDY,
    subnetPool: `10.${randomInt(100, 200)}`,
    buildsAtOnce: 2,
    logBudgetBytes: 10 * 1024 * 1024,
    buildCaFile: undefined,
    buildNpmrc: undefined,
    faultAt: undefined,
    ...more,
  }
}

/** An answer to a plain HTTP request. */
export type Answer = { status: number; body: string; headers: IncomingHttpHeaders }

/** Ask the router for a host. */
export function ask(port: number, host: string, path = '/', method = 'GET'): Promise<Answer> {
  return new Promise((done, fail) => {
    const sent = request(
      { host: '127.0.0.1', port, path, method, agent: false, headers: { host }, timeout: 60_000 },
      (res) => {
        text(res).then(
          (body) => done({ status: res.statusCode ?? 0, body, headers: res.headers }),
          fail,
        )
      },
    )
    sent.on('error', fail).end()
  })
}

/** Call the API with a token. */
export function call<T>(
  settings: Settings,
  token: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: T }> {
  const payload = body === undefined ? undefined : JSON.stringify(body)
  return new Promise((done, fail) => {
    const sent = request(
      {
        host: settings.api.host,
        port: settings.api.port,
        method,
        path: `/api/v1${path}`,
        agent: false,
        headers: {
          authorization: `Bearer ${token}`,
          ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
        },
      },
      (res) => {
        text(res).then(
          (answer) => done({ status: res.statusCode ?? 0, body: JSON.parse(answer || 'null') }),
          fail,
        )
      },
    )
    sent.on('error', fail).end(payload)
  })
}

/** What git needs to push over SSH with a key of its own. */
export type Pusher = { env: Record<string, string>; publicKey: string }

/** Make a key, and the environment that makes git use it. */
export async function makePusher(dir: string): Promise<Pusher> {
  mkdirSync(dir, { recursive: true })
  const key = join(dir, 'id_ed25519')
  if (!existsSync(key)) {
    await run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'test', '-f', key])
  }
  return {
    publicKey: readFileSync(`${key}.pub`, 'utf8').trim(),
    env: {
      HOME: dir,
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_AUTHOR_NAME: 'Ada',
      GIT_AUTHOR_EMAIL: 'ada@example.com',
      GIT_COMMITTER_NAME: 'Ada',
      GIT_COMMITTER_EMAIL: 'ada@example.com',
      GIT_SSH_COMMAND: `ssh -F /dev/null -i ${key} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=${join(dir, 'known_hosts')} -o LogLevel=ERROR`,
    },
  }
}

/** Remove every container, network and image a Helios left, its router, and its data dir. */
export async function removeLeftovers(settings: Settings, serverId: string): Promise<void> {
  const docker = ['docker', '--host', `unix://${settings.dockerSocket}`]
  const label = `label=helios.server=${serverId}`
  const ids = async (...list: string[]): Promise<string[]> => {
    const { stdout } = await run([...docker, ...list, '--filter', label, '--quiet'])
    return stdout.toString().split('\n').filter(Boolean)
  }
  const containers = await ids('ps', '--all', '--no-trunc')
  if (containers.length > 0) {
    await run([...docker, 'rm', '--force', '--volumes', ...containers], { okCodes: [0, 1] })
  }
  const networks = await ids('network', 'ls', '--no-trunc')
  if (networks.length > 0) {
    await run([...docker, 'network', 'rm', ...networks], { okCodes: [0, 1] })
  }
  const images = await ids('image', 'ls', '--no-trunc')
  if (images.length > 0) {
    await run([...docker, 'image', 'rm', '--force', ...new Set(images)], { okCodes: [0, 1] })
  }
  stopCaddy(join(settings.dataDir, 'router', 'caddy.pid'))
  rmSync(settings.dataDir, { recursive: true, force: true })
}

function stopCaddy(pidFile: string): void {
  if (!existsSync(pidFile)) return
  const pid = Number(readFileSync(pidFile, 'utf8').trim())
  if (!(pid > 1)) return
  const name = `/proc/${pid}/cmdline`
  if (existsSync(name) && readFileSync(name, 'utf8').includes('caddy')) process.kill(pid, 'SIGKILL')
}

/** A Helios that runs in this process, with all that a test wants of it. */
export type TestHelios = {
  settings: Settings
  token: string
  serverId: string
  helios: Helios
  api<T = unknown>(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; body: T }>
  ask(app: string, path?: string, method?: string): Promise<Answer>
  /** Stop it and leave everything as it is. */
  stop(): Promise<void>
  /** Start it again on the same data dir. */
  restart(): Promise<void>
  /** Stop it and remove all that it made. */
  remove(): Promise<void>
}

/** Start a Helios in this process. */
export async function startHelios(more: Partial<Settings> = {}): Promise<TestHelios> {
  const settings = await testSettings(more)
  const start = async (): Promise<Helios> => {
    const helios = createHelios(settings, createLogger({ level: settings.logLevel }))
    await helios.start()
    return helios
  }
  let helios = await start()
  const token = readFileSync(join(settings.dataDir, 'first-token'), 'utf8').trim()
  const { serverId } = helios
  return {
    settings,
    token,
    serverId,
    get helios() {
      return helios
    },
    api: (method, path, body) => call(settings, token, method, path, body),
    ask: (app, path, method) => ask(settings.http.port, `${app}.localhost`, path, method),
    stop: () => helios.stop(),
    restart: async () => {
      await helios.stop()
      helios = await start()
    },
    remove: async () => {
      await helios.stop()
      await removeLeftovers(settings, serverId)
    },
  }
}
