import { createHash, randomBytes } from 'node:crypto'
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'

/** What an app of {@link trafficApp} answers with. */
type Told = {
  app: string
  version: string
  instance: string
  path: string
  sum: string
  /** Port of the connection it came over. */
  from: number
}

/**
 * A Node app, without dependencies, whose answers name it, its version, and what it was asked.
 * `/?ms=N` answers after N ms, `/drip?ms=N` bit by bit over N ms, and websockets get their text back.
 */
export function trafficApp(app: string, version: string): Record<string, string> {
  const server = `
const { createServer } = require('node:http')
const { createHash } = require('node:crypto')
const { hostname } = require('node:os')
const { setTimeout: sleep } = require('node:timers/promises')
const version = ${JSON.stringify(version)} + (process.env.MORE ?? '')
const me = { app: ${JSON.stringify(app)}, version, instance: hostname() }
const server = createServer(async (req, res) => {
  const hash = createHash('sha256')
  for await (const chunk of req) hash.update(chunk)
  const { pathname, searchParams } = new URL(req.url, 'http://app')
  const ms = Number(searchParams.get('ms') ?? 0)
  for (let i = 0; i < 10 && ms > 0; i++) {
    if (pathname === '/drip') res.write(' ')
    await sleep(ms / 10)
  }
  const from = req.socket.remotePort
  res.end(JSON.stringify({ ...me, path: req.url, sum: hash.digest('hex'), from }))
})
server.on('upgrade', (req, socket, head) => {
  const key = req.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
  const accept = createHash('sha1').update(key).digest('base64')
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n')
  let data = head
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk) => {
    data = Buffer.concat([data, chunk])
    while (data.length >= 6 && data.length >= 6 + (data[1] & 127)) {
      const length = data[1] & 127
      const mask = data.subarray(2, 6)
      const body = data.subarray(6, 6 + length).map((byte, i) => byte ^ mask[i % 4])
      socket.write(Buffer.concat([Buffer.from([data[0], length]), body]))
      if ((data[0] & 15) === 8) socket.end()
      data = data.subarray(6 + length)
    }
  })
})
server.listen(process.env.PORT)
`
  return { 'package.json': '{ "main": "server.js" }', 'server.js': server }
}

/** What was asked and what went wrong; `failures` has the first 20. */
export type Tally = {
  requests: number
  failed: number
  failures: string[]
  /** Requests that took seconds and were right. */
  slow: number
  /** Right answers by version. */
  versions: Record<string, number>
  /** Instances that gave a right answer since the last reset. */
  instances: Set<string>
  /** Milliseconds of each right answer that did not wait on purpose. */
  times: number[]
}

/** Where requests go and which answers are right: those of a version that was live while it was asked. */
export type Aim = { port: number; app: string; versions(): readonly string[] }

/** Requests that go on until they are stopped. */
export type Load = { tally: Tally; stop(): Promise<Tally> }

type Ask = {
  method: 'GET' | 'POST'
  path: string
  agent: Agent | false
  /** Sent bit by bit over this many milliseconds. */
  overMs?: number
}

const MAX_FAILURES = 20
const SLOW_MS = 5000

function newTally(): Tally {
  return {
    requests: 0,
    failed: 0,
    failures: [],
    slow: 0,
    versions: {},
    instances: new Set(),
    times: [],
  }
}

/**
 * Steady load on an app: lanes with a kept connection each, lanes with a new connection for each
 * request, both GET and POST by turns with a pause after each; and, unless `slow` is false, lanes whose
 * requests take 5 s: one waits for its answer, one gets it bit by bit, one sends its body bit by bit.
 */
export function startLoad(
  aim: Aim,
  opts: { kept: number; fresh: number; pauseMs: number; slow?: boolean },
): Load {
  const tally = newTally()
  const agents: Agent[] = []
  let going = true
  const lane = async (next: (turn: number) => Ask): Promise<void> => {
    for (let turn = 0; going; turn++) {
      await count(tally, aim, next(turn))
      if (going) await delay(opts.pauseMs)
    }
  }
  const usual =
    (agent: Agent | false) =>
    (turn: number): Ask => ({
      method: turn % 2 === 0 ? 'GET' : 'POST',
      path: `/?n=${randomBytes(6).toString('hex')}`,
      agent,
    })
  const kept = (): Agent => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    agents.push(agent)
    return agent
  }
  const slow: ((turn: number) => Ask)[] = [
    () => ({ method: 'GET', path: `/?ms=${SLOW_MS}`, agent: false }),
    () => ({ method: 'GET', path: `/drip?ms=${SLOW_MS}`, agent: false }),
    () => ({ method: 'POST', path: '/', agent: false, overMs: SLOW_MS }),
  ]
  const lanes = [
    ...Array.from({ length: opts.kept }, () => lane(usual(kept()))),
    ...Array.from({ length: opts.fresh }, () => lane(usual(false))),
    ...(opts.slow === false ? [] : slow.map(lane)),
  ]
  return {
    tally,
    stop: async () => {
      going = false
      await Promise.all(lanes)
      for (const agent of agents) agent.destroy()
      return tally
    },
  }
}

async function count(tally: Tally, aim: Aim, ask: Ask): Promise<void> {
  const before = aim.versions()
  const began = performance.now()
  tally.requests += 1
  const body = ask.method === 'POST' ? randomBytes(ask.overMs ? 50_000 : 3000) : Buffer.alloc(0)
  try {
    const { told } = await send(aim, ask, body)
    const problem = wrong(told, { aim, ask, body, allowed: [...before, ...aim.versions()] })
    if (problem) throw new Error(problem)
    tally.versions[told.version] = (tally.versions[told.version] ?? 0) + 1
    tally.instances.add(told.instance)
    const ms = performance.now() - began
    if (ms >= SLOW_MS) tally.slow += 1
    else tally.times.push(ms)
  } catch (error) {
    tally.failed += 1
    if (tally.failures.length >= MAX_FAILURES) return
    const how = ask.agent ? 'kept' : 'new'
    const after = Math.round(performance.now() - began)
    tally.failures.push(
      `${new Date().toISOString()} ${aim.app} ${ask.method} ${ask.path} (${how}, after ${after} ms): ${error}`,
    )
  }
}

function wrong(
  told: Told,
  by: { aim: Aim; ask: Ask; body: Buffer; allowed: readonly string[] },
): string | undefined {
  if (told.app !== by.aim.app) return `the answer is of ${told.app}`
  if (told.path !== by.ask.path) return `the answer is to ${told.path}`
  if (told.sum !== createHash('sha256').update(by.body).digest('hex')) return 'another body arrived'
  if (by.allowed.includes(told.version)) return undefined
  return `${told.version} answered, live: ${by.allowed.join(', ')}`
}

type Sent = { told: Told; answer: IncomingMessage; reused: boolean }

async function send(
  { port, app }: Pick<Aim, 'port' | 'app'>,
  ask: Ask,
  body: Buffer,
): Promise<Sent> {
  const { method, path, agent } = ask
  const length = method === 'POST' ? { 'content-length': String(body.length) } : {}
  const sent = request({
    host: '127.0.0.1',
    port,
    method,
    path,
    agent,
    headers: { host: `${app}.localhost`, ...length },
    timeout: 40_000,
  })
  sent.on('timeout', () => sent.destroy(new Error('no answer for 40 s')))
  const arrives = new Promise<IncomingMessage>((done, fail) => {
    sent.once('response', done).once('error', fail)
  })
  arrives.catch(() => undefined)
  await sendBody(sent, body, ask.overMs)
  const answer = await arrives
  const shown = await text(answer)
  if (answer.statusCode !== 200) throw new Error(`${answer.statusCode} ${shown.slice(0, 200)}`)
  return { told: JSON.parse(shown), answer, reused: sent.reusedSocket }
}

async function sendBody(sent: ClientRequest, body: Buffer, overMs = 0): Promise<void> {
  const pieces = overMs > 0 ? 20 : 1
  const size = Math.ceil(body.length / pieces)
  for (let at = 0; at < body.length && !sent.destroyed; at += size) {
    sent.write(body.subarray(at, at + size))
    if (overMs > 0) await delay(overMs / pieces)
  }
  sent.end()
}

/** What the connections of a bystander went through. */
export type Seen = {
  requests: number
  /** Texts the websocket sent back. */
  echoes: number
  failures: string[]
}

/** Connections to an app beside those that change; they may not notice anything. */
export type Bystander = { seen: Seen; stop(): Promise<Seen> }

/** Hold connections with a request each `everyMs` and a websocket with a text each; any that closes is a failure. */
export async function startBystander(
  aim: Aim,
  opts: { sockets: number; everyMs: number },
): Promise<Bystander> {
  const seen: Seen = { requests: 0, echoes: 0, failures: [] }
  const note = (what: string): void => {
    if (seen.failures.length < MAX_FAILURES)
      seen.failures.push(`${new Date().toISOString()} ${what}`)
  }
  const going = new AbortController()
  const hold = async (name: string): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (let turn = 0; !going.signal.aborted; turn++) {
      const path = `/?n=${name}-${turn}`
      try {
        const { told, reused } = await send(aim, { method: 'GET', path, agent }, Buffer.alloc(0))
        const body = Buffer.alloc(0)
        const problem = wrong(told, {
          aim,
          ask: { method: 'GET', path, agent },
          body,
          allowed: aim.versions(),
        })
        if (problem) note(problem)
        if (turn > 0 && !reused) note(`connection ${name} was closed before request ${turn}`)
        seen.requests += 1
      } catch (error) {
        note(`connection ${name}, request ${turn}: ${error}`)
      }
      await delay(opts.everyMs)
    }
    agent.destroy()
  }
  const socket = await openSocket(aim)
  socket.on('close', () => {
    if (!going.signal.aborted) note('the websocket was closed')
  })
  const echo = async (): Promise<void> => {
    for (let turn = 0; !going.signal.aborted && socket.readyState === socket.OPEN; turn++) {
      const answer = new Promise<string>((done) => {
        socket.once('message', (data) => done(String(data)))
      })
      socket.send(`text ${turn}`)
      const got = await Promise.race([answer, delay(10_000, 'nothing within 10 s')])
      if (got === `text ${turn}`) seen.echoes += 1
      else note(`the websocket sent ${got} back`)
      await delay(opts.everyMs)
    }
    socket.terminate()
  }
  const all = [echo(), ...Array.from({ length: opts.sockets }, (_, i) => hold(String(i)))]
  return {
    seen,
    stop: async () => {
      going.abort()
      await Promise.all(all)
      return seen
    },
  }
}

async function openSocket({ port, app }: Aim): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { host: `${app}.localhost` } })
  await new Promise((done, fail) => {
    socket.once('open', done).once('error', fail)
  })
  socket.on('error', () => undefined)
  return socket
}

/** The value below which this part of the numbers is. */
export function quantile(numbers: readonly number[], part: number): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0)
}
