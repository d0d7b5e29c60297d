/**
 * @module
 * Requests per second through Helios' router with 1 and 500 apps against a bare Caddy with one, in one run.
 *
 * Run: node bench/router.ts [--rounds N] [--seconds N] [--json FILE]. Needs wrk and the Caddy of scripts/caddy.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { silentLogger } from '../src/lib/log.ts'
import { stopCaddy } from '../src/router/process.ts'
import { createRouter } from '../src/router/router.ts'
import { CADDY, freePort, get } from '../test/router/stage.ts'

/** How long to measure. */
export type RouterBenchOptions = { rounds: number; seconds: number }

/** Medians of one way through one Caddy. */
export type RouterBenchRow = {
  through: string
  bytes: number
  requestsPerSecond: number
  /** Against the bare Caddy in the same rounds. */
  ratio: number
  /** Caddy's processor time per request, in microseconds. */
  cpuMicros: number
}

type Way = { through: string; port: number; host: string; pid: number; close(): Promise<void> }
type Sample = { perSecond: number; cpuMicros: number }

const BARE = 'bare Caddy'
const SIZES = [36, 10_240]
const CONNECTIONS = 32
const signal = new AbortController().signal

/** Measure in interleaved rounds; the first row of each size is the bare Caddy. */
export async function benchRouter(opts: RouterBenchOptions): Promise<RouterBenchRow[]> {
  const rows: RouterBenchRow[] = []
  for (const bytes of SIZES) {
    const instance = await fixedAnswer(bytes)
    const ways = [
      await bareCaddy(BARE, instance.address, {}),
      await bareCaddy('bare Caddy, GOGC=400', instance.address, { GOGC: '400' }),
      await helios(1, instance.address),
      await helios(500, instance.address),
    ]
    try {
      rows.push(...(await measureAll(ways, bytes, opts)))
    } finally {
      for (const way of ways) await way.close()
      instance.close()
    }
  }
  return rows
}

async function measureAll(
  ways: Way[],
  bytes: number,
  { rounds, seconds }: RouterBenchOptions,
): Promise<RouterBenchRow[]> {
  for (const way of ways) {
    const { status, body } = await get(way.port, way.host)
    if (status !== 200 || body.length !== bytes)
      throw new Error(`${way.through}: ${status} ${body}`)
    await measure(way, 1)
  }
  const samples = new Map<Way, Sample[]>(ways.map((way) => [way, []]))
  for (let round = 0; round < rounds; round += 1) {
    for (const [way, list] of samples) list.push(await measure(way, seconds))
  }
  const bare = [...samples.values()][0] ?? []
  return [...samples].map(([{ through }, list]) => ({
    through,
    bytes,
    requestsPerSecond: Math.round(median(list.map((s) => s.perSecond))),
    ratio: round2(median(list.map((s, i) => s.perSecond / (bare[i]?.perSecond ?? 1)))),
    cpuMicros: Math.round(median(list.map((s) => s.cpuMicros))),
  }))
}

const round2 = (value: number): number => Math.round(value * 100) / 100

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? 0
}

async function measure(way: Way, seconds: number): Promise<Sample> {
  const before = cpuMs(way.pid)
  const url = `http://127.0.0.1:${way.port}/`
  const argv = ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '-H', `Host: ${way.host}`, url]
  const printed = await output('wrk', argv)
  if (/Non-2xx|Socket errors/.test(printed)) throw new Error(`${way.through}: ${printed}`)
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(printed)?.[1])
  const requests = Number(/(\d+) requests in/.exec(printed)?.[1])
  return { perSecond, cpuMicros: ((cpuMs(way.pid) - before) * 1000) / requests }
}

function output(program: string, argv: string[]): Promise<string> {
  return new Promise((done, fail) => {
    const child = spawn(program, argv, { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.on('data', (part) => {
      text += part
    })
    child.once('error', fail).once('close', () => done(text))
  })
}

/** User and system time, in ticks of 10 ms. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** An instance that costs next to nothing: it counts ends of requests and writes the same bytes. */
async function fixedAnswer(bytes: number) {
  const head = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${bytes}\r\n\r\n`
  const answer = Buffer.from(head + 'x'.repeat(bytes))
  const server = createServer({ noDelay: true }, (socket) => {
    let rest = ''
    socket.on('error', () => undefined)
    socket.on('data', (data) => {
      const parts = (rest + data.toString('latin1')).split('\r\n\r\n')
      rest = parts.pop() ?? ''
      for (const _ of parts) socket.write(answer)
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return { address: `127.0.0.1:${port}`, close: () => server.close() }
}

async function bareCaddy(through: string, dial: string, env: Record<string, string>): Promise<Way> {
  const dir = mkdtempSync(join(tmpdir(), 'bare-'))
  const port = await freePort()
  const routes = [{ handle: [{ handler: 'reverse_proxy', upstreams: [{ dial }] }] }]
  const main = { listen: [`127.0.0.1:${port}`], automatic_https: { disable: true }, routes }
  const config = { admin: { disabled: true }, apps: { http: { servers: { main } } } }
  writeFileSync(join(dir, 'caddy.json'), JSON.stringify(config))
  const child = spawn(CADDY, ['run', '--config', join(dir, 'caddy.json')], {
    stdio: 'ignore',
    env: { HOME: dir, ...env },
  })
  for (let left = 100; ; left -= 1) {
    const answers = await get(port, 'any.test').then(
      () => true,
      () => false,
    )
    if (answers) break
    if (left === 0) throw new Error('the bare Caddy did not start')
    await new Promise((done) => setTimeout(done, 50))
  }
  const close = async (): Promise<void> => {
    const gone = new Promise((done) => child.once('exit', done))
    child.kill('SIGKILL')
    await gone
    rmSync(dir, { recursive: true, force: true })
  }
  return { through, port, host: 'any.test', pid: child.pid ?? 0, close }
}

async function helios(apps: number, address: string): Promise<Way> {
  const dir = mkdtempSync(join(tmpdir(), 'bench-'))
  const port = await freePort()
  const listen = [`127.0.0.1:${port}`]
  const router = createRouter({ caddy: CADDY, dir, listen, log: silentLogger() })
  await router.start(signal)
  const hosts = Array.from({ length: apps }, (_, i) => ({
    host: `app-${i}.example.test`,
    app: `app_${i}`,
  }))
  await router.applyTable({ hosts }, signal)
  for (const { app } of hosts) await router.setLive({ app, release: 'v1', addresses: [address] })
  const close = async (): Promise<void> => {
    await router.stop(signal)
    await stopCaddy(dir, signal)
    rmSync(dir, { recursive: true, force: true })
  }
  const pid = Number(readFileSync(join(dir, 'caddy.pid'), 'utf8'))
  const host = hosts[apps >> 1]?.host ?? ''
  const through = `Helios, ${apps} app${apps > 1 ? 's' : ''}`
  return { through, port, host, pid, close }
}

/** The rows as lines for a person. */
export function routerBenchTable(rows: RouterBenchRow[]): string {
  const cells = rows.map((row) => [
    row.through,
    String(row.bytes),
    String(row.requestsPerSecond),
    row.ratio.toFixed(2),
    String(row.cpuMicros),
  ])
  const all = [['through', 'bytes', 'requests/s', 'ratio', 'CPU us/request'], ...cells]
  const widths = all[0]?.map((_, i) => Math.max(...all.map((line) => line[i]?.length ?? 0))) ?? []
  return all.map((line) => line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')).join('\n')
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '2' },
      json: { type: 'string' },
    },
  })
  const rows = await benchRouter({ rounds: Number(values.rounds), seconds: Number(values.seconds) })
  console.log(routerBenchTable(rows))
  const text = JSON.stringify({ bench: 'router', rows })
  if (values.json) writeFileSync(values.json, `${text}\n`)
  else console.log(text)
}
