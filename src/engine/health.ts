/**
 * @module
 * Wait until an instance answers, or say why it does not.
 */
import { request } from 'node:http'
import { connect } from 'node:net'
import { sleep } from '../lib/async.ts'
import { HeliosError } from '../lib/errors.ts'
import { printSize } from '../lib/size.ts'
import type { HealthSpec } from '../manifest/types.ts'
import type { Instance, Runtime } from '../runtime/types.ts'

/** What is asked of one instance. */
export type Gate = {
  id: string
  /** As `web.1`, for messages. */
  shown: string
  address: string
  /** Absent: it takes no requests and must only stay up. */
  port?: number
  health: HealthSpec
  /** How often it had been restarted before; more often means that it crashed meanwhile (default 0). */
  restarts?: number
}

type Deps = { runtime: Pick<Runtime, 'inspectInstance' | 'listeningSockets' | 'logs'> }

/** A process without a port is well when it stays up this long. */
const STAY_UP_MS = 5000
const FIRST_TRY_MS = 10
const LOOK_EVERY_MS = 150
const SHOWN_LINES = 50

/**
 * Wait until the instance is healthy, at most its grace.
 * @throws {HeliosError} HX10 crashed, HR15 out of memory, HX20 nothing listens, HX40 wrong answer
 */
export async function waitHealthy(deps: Deps, gate: Gate, signal: AbortSignal): Promise<void> {
  const stop = new AbortController()
  const both = AbortSignal.any([signal, stop.signal])
  try {
    await Promise.race([answers(gate, both, deps), dies(deps, gate, both)])
  } finally {
    stop.abort()
  }
}

async function answers(gate: Gate, signal: AbortSignal, deps: Deps): Promise<void> {
  if (gate.port === undefined) return sleep(STAY_UP_MS, signal)
  const end = performance.now() + gate.health.graceMs
  let last: Probe = { ok: false, why: 'refused' }
  // Quick at first, since most apps are up in no time; then at the pace that was asked for.
  for (let wait = FIRST_TRY_MS; performance.now() < end; wait = Math.min(wait * 1.5, 500)) {
    last = await probe(gate, gate.port, signal)
    if (last.ok) return
    await sleep(wait, signal)
  }
  throw await explain(deps, gate, last)
}

type Probe = { ok: true } | { ok: false; why: 'refused' | 'silent' } | { ok: false; status: number }

/** One look at an instance: a GET of its path, or a TCP connect without one. */
async function probe(gate: Gate, port: number, signal: AbortSignal): Promise<Probe> {
  const { path, timeoutMs } = gate.health
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  const result = await (path === undefined
    ? tryConnect(gate.address, port, limit)
    : tryGet(gate.address, port, path, limit))
  signal.throwIfAborted()
  return result
}

function tryConnect(host: string, port: number, signal: AbortSignal): Promise<Probe> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const done = (result: Probe): void => {
      signal.removeEventListener('abort', silent)
      socket.destroy()
      resolve(result)
    }
    const silent = (): void => done({ ok: false, why: 'silent' })
    signal.addEventListener('abort', silent, { once: true })
    socket.once('connect', () => done({ ok: true }))
    socket.once('error', () => done({ ok: false, why: 'refused' }))
  })
}

function tryGet(host: string, port: number, path: string, signal: AbortSignal): Promise<Probe> {
  return new Promise((resolve) => {
    const sent = request({ host, port, path, agent: false, signal }, (answer) => {
      answer.resume()
      const status = answer.statusCode ?? 0
      resolve(status >= 200 && status < 400 ? { ok: true } : { ok: false, status })
    })
    sent.on('error', () => resolve({ ok: false, why: signal.aborted ? 'silent' : 'refused' }))
    sent.end()
  })
}

/** Rejects when the instance ends; otherwise waits for ever. */
async function dies(deps: Deps, gate: Gate, signal: AbortSignal): Promise<never> {
  for (;;) {
    await sleep(LOOK_EVERY_MS, signal)
    const instance = await deps.runtime.inspectInstance(gate.id)
    if (instance === undefined) {
      throw new HeliosError('HX10', `${gate.shown} was removed while it started`)
    }
    const crashed = instance.state !== 'running' || instance.restarts > (gate.restarts ?? 0)
    if (crashed) throw ended(gate, instance)
  }
}

function ended(gate: Gate, instance: Instance): HeliosError {
  if (instance.oomKilled || instance.exitCode === 137) {
    return new HeliosError(
      'HR15',
      `${gate.shown} ran out of memory at ${printSize(instance.memoryBytes)}`,
      { hint: 'Give the process more memory in oal.yaml: processes.NAME.memory' },
    )
  }
  const how = instance.exitCode === undefined ? 'ended' : `crashed with exit ${instance.exitCode}`
  return new HeliosError('HX10', `${gate.shown} ${how} at its start`, {
    hint: 'See its last lines above, or run it by hand: helios run -- COMMAND',
  })
}

async function explain(deps: Deps, gate: Gate, last: Probe): Promise<HeliosError> {
  const within = `within ${Math.round(gate.health.graceMs / 1000)} s`
  if ('status' in last) {
    return new HeliosError(
      'HX40',
      `${gate.shown}: health path ${gate.health.path} answered ${last.status} ${within}`,
      { hint: 'It must answer 2xx or 3xx; see processes.NAME.health in oal.yaml' },
    )
  }
  const instance = await deps.runtime.inspectInstance(gate.id)
  const sockets = instance ? await deps.runtime.listeningSockets(instance) : []
  const listening = sockets.length === 0 ? 'nothing' : sockets.join(', ')
  const heard = sockets.some((socket) => socket.endsWith(`:${gate.port}`))
  if (heard && sockets.every((s) => !s.endsWith(`:${gate.port}`) || /^(127\.|\[::1\])/.test(s))) {
    return new HeliosError(
      'HX20',
      `${gate.shown} listens on its own loopback only (listening: ${listening})`,
      { hint: `Bind 0.0.0.0 (or ::) on port ${gate.port} instead` },
    )
  }
  if (heard) {
    return new HeliosError('HX40', `${gate.shown} does not answer on port ${gate.port} ${within}`, {
      hint: 'It took the connection but gave no answer in time',
    })
  }
  return new HeliosError(
    'HX20',
    `${gate.shown}: nothing listens on $PORT (=${gate.port}) ${within}; listening: ${listening}`,
    { hint: `Listen on 0.0.0.0 and the port that $PORT says, here ${gate.port}` },
  )
}

/** The newest lines an instance wrote, at most 50; none when they are gone. */
export async function newestLines(deps: Pick<Deps, 'runtime'>, id: string): Promise<string[]> {
  const lines: string[] = []
  try {
    const tail = { follow: false, tail: SHOWN_LINES }
    for await (const line of deps.runtime.logs(id, tail, AbortSignal.timeout(5000))) {
      if (lines.push(line.text) >= SHOWN_LINES) break
    }
  } catch {
    // The output went with the instance; the sentence alone must do.
  }
  return lines
}
