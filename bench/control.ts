/**
 * @module
 * The control plane with 500 apps: memory when idle, requests a second and their 99th percentile.
 */
import { readFileSync } from 'node:fs'
import { Agent, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask, percentile, print, type Row, startServer } from './support.ts'

const APPS = 500
const CLIENTS = 8
const REQUESTS = Number(process.env['REQUESTS'] ?? 2000)

/** Proportional memory of a process, MiB. */
function pssMiB(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? Number.NaN) / 1024
}

type Load = { perSecond: number; p50: number; p99: number }

/** Ask with some clients on kept connections, each one request after the other. */
async function load(
  port: number,
  path: (n: number) => string,
  headers: Record<string, string>,
): Promise<Load> {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
  const times: number[] = []
  let left = REQUESTS
  const began = performance.now()
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      while (left-- > 0) {
        const at = performance.now()
        const { status, body } = await ask(port, 'localhost', path(left), { agent, headers })
        if (status !== 200) throw new Error(`${status} ${body}`)
        times.push(performance.now() - at)
      }
    }),
  )
  const seconds = (performance.now() - began) / 1000
  agent.destroy()
  return {
    perSecond: REQUESTS / seconds,
    p50: percentile(times, 0.5),
    p99: percentile(times, 0.99),
  }
}

const server = await startServer()
const bare = createServer((_, res) => {
  res.setHeader('content-type', 'application/json')
  res.end('{"ok":true}')
})
await new Promise<void>((done) => bare.listen(0, '127.0.0.1', done))
try {
  const fresh = pssMiB(server.pid)
  for (let n = 0; n < APPS; n++) await server.call('POST', '/apps', { name: `app-${n}` })
  await sleep(10_000)
  const idle = pssMiB(server.pid)
  const headers = { authorization: `Bearer ${server.token}` }
  const floor = await load((bare.address() as AddressInfo).port, () => '/', {})
  const rows: Row[] = [
    {
      what: `idle memory (PSS) with ${APPS} apps`,
      value: `${idle.toFixed(0)} MiB`,
      baseline: `${fresh.toFixed(0)} MiB with none`,
      target: 'under 110 MB',
    },
  ]
  const cases: [string, (n: number) => string][] = [
    ['GET /apps/:app', (n) => `/api/v1/apps/app-${n % APPS}`],
    ['GET /apps/:app/status', (n) => `/api/v1/apps/app-${n % APPS}/status`],
    ['GET /apps (a page of 50)', () => '/api/v1/apps?limit=50'],
  ]
  for (const [what, path] of cases) {
    await load(server.api, path, headers)
    const got = await load(server.api, path, headers)
    rows.push({
      what: `${what}, ${CLIENTS} clients`,
      value: `${got.perSecond.toFixed(0)}/s, p50 ${got.p50.toFixed(1)} ms, p99 ${got.p99.toFixed(1)} ms`,
      baseline: `bare node:http ${floor.perSecond.toFixed(0)}/s, p99 ${floor.p99.toFixed(1)} ms`,
      ratio: got.perSecond / floor.perSecond,
      target: 'p99 under 20 ms',
    })
  }
  print('control', rows)
} finally {
  bare.close()
  await server.remove()
}
