/**
 * @module
 * What every benchmark needs: a Helios of its own, medians, tables.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type Agent, request } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from '../src/lib/exec.ts'

/** The engine that benchmarks use. */
export const SOCKET = process.env['HELIOS_DOCKER_SOCKET'] ?? '/var/run/docker.sock'

/** The Caddy that benchmarks run. */
export const CADDY = process.env['HELIOS_CADDY'] ?? resolve('.tools/caddy/caddy')

/** A port nothing listens on right now. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  await new Promise((done) => server.close(done))
  return port
}

/** A running Helios and how to reach it. */
export type Server = {
  dir: string
  pid: number
  http: number
  api: number
  ssh: number
  token: string
  call(method: string, path: string, body?: unknown): Promise<unknown>
  /** End it and remove all that it made. */
  remove(): Promise<void>
}

/** Start a Helios in a process of its own, as built. */
export async function startServer(): Promise<Server> {
  if (!existsSync('dist/main.js')) throw new Error('dist/main.js is missing: npm run build')
  const dir = mkdtempSync(join(tmpdir(), 'helbench-'))
  const [http, api, ssh] = [await freePort(), await freePort(), await freePort()]
  const child: ChildProcess = spawn(process.execPath, ['dist/main.js', 'serve'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      PATH: process.env['PATH'],
      HELIOS_DATA_DIR: dir,
      HELIOS_LOG_LEVEL: 'info',
      HELIOS_HTTP_ADDRESS: `127.0.0.1:${http}`,
      HELIOS_API_ADDRESS: `127.0.0.1:${api}`,
      HELIOS_SSH_ADDRESS: `127.0.0.1:${ssh}`,
      HELIOS_DOCKER_SOCKET: SOCKET,
      HELIOS_CADDY: CADDY,
      HELIOS_SUBNET_POOL: `10.${100 + (http % 90)}`,
      ...(await buildVariables(dir)),
    },
  })
  const ended = once(child, 'exit')
  const ready = async (): Promise<boolean> =>
    (await ask(api, 'localhost', '/readyz').catch(() => undefined))?.status === 200
  for (let tries = 0; !(await ready()); tries++) {
    if (tries > 300 || child.exitCode !== null) throw new Error('Helios did not become ready')
    await sleep(100)
  }
  const token = readFileSync(join(dir, 'first-token'), 'utf8').trim()
  const serverId = readFileSync(join(dir, 'server-id'), 'utf8').trim()
  return {
    dir,
    pid: child.pid ?? 0,
    http,
    api,
    ssh,
    token,
    call: (method, path, body) => callApi({ api, token }, method, path, body),
    remove: async () => {
      child.kill('SIGTERM')
      await ended
      await removeAll(dir, serverId)
    },
  }
}

/** A registry of one's own, and the certificates to reach it, are for builds too. */
async function buildVariables(dir: string): Promise<Record<string, string>> {
  const npm = ['npm', 'config', 'get', 'registry']
  const { stdout } = await run(npm, {
    env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '' },
  })
  const npmrc = join(dir, 'bench-npmrc')
  writeFileSync(npmrc, `registry=${stdout.toString().trim()}\n`)
  const ca = process.env['HELIOS_BUILD_CA_FILE'] ?? process.env['NODE_EXTRA_CA_CERTS'] ?? ''
  return { HELIOS_BUILD_NPMRC: npmrc, ...(ca === '' ? {} : { HELIOS_BUILD_CA_FILE: ca }) }
}

async function removeAll(dir: string, serverId: string): Promise<void> {
  const docker = ['docker', '--host', `unix://${SOCKET}`]
  const filter = ['--filter', `label=helios.server=${serverId}`, '--quiet']
  const ids = async (...list: string[]): Promise<string[]> =>
    (await run([...docker, ...list, ...filter])).stdout.toString().split('\n').filter(Boolean)
  const remove = async (words: string[], list: string[]): Promise<void> => {
    if (list.length > 0) await run([...docker, ...words, ...new Set(list)], { okCodes: [0, 1] })
  }
  await remove(['rm', '--force', '--volumes'], await ids('ps', '--all', '--no-trunc'))
  await remove(['network', 'rm'], await ids('network', 'ls', '--no-trunc'))
  await remove(['image', 'rm', '--force'], await ids('image', 'ls', '--no-trunc'))
  const pidFile = join(dir, 'router', 'caddy.pid')
  if (existsSync(pidFile)) process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGKILL')
  rmSync(dir, { recursive: true, force: true })
}

/** An answer and its body. */
export type Answer = { status: number; body: string }

/** Ask a port on this machine for a host. */
export function ask(
  port: number,
  host: string,
  path = '/',
  more: { headers?: Record<string, string>; method?: string; body?: string; agent?: Agent } = {},
): Promise<Answer> {
  const { headers = {}, method = 'GET', body, agent = false } = more
  return new Promise((done, fail) => {
    const sent = request(
      { host: '127.0.0.1', port, path, method, agent, headers: { host, ...headers } },
      (res) => {
        text(res).then((got) => done({ status: res.statusCode ?? 0, body: got }), fail)
      },
    )
    sent.on('error', fail).end(body)
  })
}

async function callApi(
  at: { api: number; token: string },
  method: string,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const payload = body === undefined ? undefined : JSON.stringify(body)
  const answer = await ask(at.api, 'localhost', `/api/v1${path}`, {
    method,
    ...(payload === undefined ? {} : { body: payload }),
    headers: {
      authorization: `Bearer ${at.token}`,
      ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
    },
  })
  if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`)
  return JSON.parse(answer.body || 'null')
}

/** Ask as fast as possible until the answer is the wanted one. */
export async function untilAnswers(port: number, host: string, wanted: string): Promise<void> {
  for (let tries = 0; tries < 10_000; tries++) {
    const answer = await ask(port, host).catch(() => undefined)
    if (answer?.body.includes(wanted)) return
    await sleep(2)
  }
  throw new Error(`${host} never answered ${wanted}`)
}

/** The value that half of them do not exceed. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5)
}

/** The value that this share of them do not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** One line of a result: what was measured, against what, and the target of the ratio. */
export type Row = { what: string; value: string; baseline: string; ratio?: number; target?: string }

/** Print a result as a table of Markdown and as one line of JSON. */
export function print(name: string, rows: readonly Row[]): void {
  const machine = `${cpus().length} x ${cpus()[0]?.model ?? '?'}, ${Math.round(totalmem() / 2 ** 30)} GiB`
  console.log(`\n## ${name}\n\n${machine}, Node ${process.version}\n`)
  console.log('| what | measured | baseline | ratio | target |\n|---|---|---|---|---|')
  for (const { what, value, baseline, ratio, target } of rows) {
    console.log(
      `| ${what} | ${value} | ${baseline} | ${ratio === undefined ? '' : ratio.toFixed(2)} | ${target ?? ''} |`,
    )
  }
  console.log(`\n${JSON.stringify({ bench: name, machine, node: process.version, rows })}`)
}
