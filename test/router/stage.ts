/**
 * @module
 * A router with a real Caddy, backends and clients for the tests of this folder.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, createServer, request, type Server } from 'node:http'
import { connect as connectH2 } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket, WebSocketServer } from 'ws'
import { createLogger } from '../../src/lib/log.ts'
import { stopCaddy } from '../../src/router/process.ts'
import { createRouter, type RouterOptions, type RouterPart } from '../../src/router/router.ts'

const { HELIOS_TEST_CADDY } = process.env

/** The Caddy the tests run. */
export const CADDY = HELIOS_TEST_CADDY ?? resolve('.tools/caddy/caddy')

/** A router of its own with one port. */
export type Stage = {
  router: RouterPart
  dir: string
  port: number
  adminSocket: string
  /** The log lines of this router. */
  lines: { msg: string; level: string }[]
  signal: AbortSignal
  close(): Promise<void>
}

/** A free port of the loopback. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  await new Promise((done) => server.close(done))
  return port
}

/** A router that is not started yet. */
export async function stage(opts: Partial<RouterOptions> = {}): Promise<Stage> {
  const dir = opts.dir ?? mkdtempSync(join(tmpdir(), 'router-'))
  const port = Number(opts.listen?.[0]?.split(':')[1] ?? (await freePort()))
  const lines: Stage['lines'] = []
  const log = createLogger({
    level: 'info',
    stream: { write: (line) => void lines.push(JSON.parse(line)) },
  })
  const router = createRouter({ caddy: CADDY, dir, listen: [`127.0.0.1:${port}`], log, ...opts })
  const signal = AbortSignal.timeout(240_000)
  const close = async (): Promise<void> => {
    await router.stop(signal)
    await stopCaddy(dir, signal)
    rmSync(dir, { recursive: true, force: true })
  }
  return { router, dir, port, adminSocket: join(dir, 'admin.sock'), lines, signal, close }
}

/** What a request to a router came to. */
export type Answer = { status: number; body: string; headers: NodeJS.Dict<string | string[]> }

/** Ask a host once; rejects when the connection breaks. */
export function get(port: number, host: string, agent: Agent | false = false): Promise<Answer> {
  return new Promise((done, fail) => {
    const sent = request({ host: '127.0.0.1', port, agent, headers: { host } }, (res) => {
      text(res).then(
        (body) => done({ status: res.statusCode ?? 0, body, headers: res.headers }),
        fail,
      )
    })
    sent.on('error', fail).end()
  })
}

/** An instance that answers with its name, after `delayMs`, and echoes websockets. */
export type Backend = { address: string; server: Server; kill(): Promise<void> }

/** Start an instance. */
export async function backend(name: string, delayMs = 0): Promise<Backend> {
  const server = createServer((req, res) => {
    const slow = Number(/\/slow\/(\d+)/.exec(req.url ?? '')?.[1] ?? delayMs)
    setTimeout(() => res.end(name), slow)
  })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(String(data))))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  const kill = async (): Promise<void> => {
    for (const socket of sockets.clients) socket.terminate()
    server.closeAllConnections()
    await new Promise((done) => server.close(done))
  }
  return { address: `127.0.0.1:${port}`, server, kill }
}

/** What clients saw. */
export type Load = {
  good: number
  failed: string[]
  /** Connections that were opened. */
  opened: number
  stop(): Promise<void>
}

type Ask = () => Promise<string>

async function repeat(load: Load, expected: RegExp, ask: Ask, going: () => boolean): Promise<void> {
  while (going()) {
    const body = await ask().catch((error: unknown) => `failed: ${error}`)
    if (expected.test(body)) load.good += 1
    else load.failed.push(body)
    await sleep(3)
  }
}

function clients(expected: RegExp, asks: Ask[], opened: () => number, end: () => void): Load {
  let going = true
  const load: Load = {
    good: 0,
    failed: [],
    get opened() {
      return opened()
    },
    stop: async () => {
      going = false
      await loops
      end()
    },
  }
  const loops = Promise.all(asks.map((ask) => repeat(load, expected, ask, () => going)))
  return load
}

const plain = ({ status, body }: Answer): string => (status === 200 ? body : `${status} ${body}`)

/** HTTP/1.1 clients on kept connections, one each; without `keep` on a new connection each time. */
export function h1Load(
  port: number,
  host: string,
  expected: RegExp,
  count: number,
  keep = true,
): Load {
  let opened = 0
  const agent = new Agent({ keepAlive: true, maxSockets: count })
  const open = agent.createConnection.bind(agent)
  agent.createConnection = (...args) => {
    opened += 1
    return open(...args)
  }
  const asks = Array.from({ length: count }, () => async () => {
    return plain(await get(port, host, keep && agent))
  })
  return clients(
    expected,
    asks,
    () => opened,
    () => agent.destroy(),
  )
}

/** HTTP/2 clients without TLS: `sessions` connections with 3 streams at a time. */
export function h2Load(port: number, host: string, expected: RegExp, sessions: number): Load {
  const open = Array.from({ length: sessions }, () => connectH2(`http://127.0.0.1:${port}`))
  const closed: string[] = []
  for (const session of open) {
    session.on('error', (error) => closed.push(String(error)))
    session.on('goaway', () => closed.push('goaway'))
  }
  const asks = open.flatMap((session) =>
    Array.from({ length: 3 }, () => async () => {
      const stream = session.request({ ':path': '/', ':authority': host })
      const status = new Promise<number>((done, fail) => {
        stream.once('response', (headers) => done(headers[':status'] ?? 0)).once('error', fail)
      })
      const [code, body] = await Promise.all([status, text(stream)])
      return code === 200 ? body : `${code} ${body}`
    }),
  )
  return clients(
    expected,
    asks,
    () => sessions + closed.length,
    () => {
      for (const session of open) session.destroy()
    },
  )
}

/** Websockets that are echoed without end; a closed one shows as failed. */
export async function wsLoad(port: number, host: string, count: number): Promise<Load> {
  const open = await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { host } })
      await new Promise((done, fail) => socket.once('open', done).once('error', fail))
      return socket
    }),
  )
  const asks = open.map((socket, i) => async () => {
    const echo = new Promise<string>((done, fail) => {
      socket.once('message', (data) => done(String(data)))
      socket.once('close', (code) => fail(new Error(`websocket closed with ${code}`)))
    })
    socket.send(`echo ${i}`)
    const answer = await echo
    socket.removeAllListeners('close')
    return answer
  })
  return clients(
    /^echo/,
    asks,
    () => count,
    () => {
      for (const socket of open) socket.terminate()
    },
  )
}
