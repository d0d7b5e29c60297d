/**
 * @module
 * Caddy's admin API over its unix socket: load a configuration, read it back, see requests in flight.
 */
import { request } from 'node:http'
import { HeliosError, messageOf } from '../lib/errors.ts'
import { ADMIN_ORIGIN } from './caddy-config.ts'

/** One address Caddy sends to, and how many requests it has there now. */
type Upstream = { address: string; requests: number }

/** What Helios asks of a running Caddy; each call throws HP52 when Caddy does not answer. */
export type CaddyClient = {
  /** Replace the whole configuration. @throws {HeliosError} router_error when Caddy refuses it; the old one keeps serving */
  load(config: object, signal: AbortSignal): Promise<void>
  /** The text of the configuration that runs, in Caddy's order of keys. */
  config(signal: AbortSignal): Promise<string>
  /** The addresses in use, with their requests in flight. */
  upstreams(signal: AbortSignal): Promise<Upstream[]>
}

type Call = { method: 'GET' | 'POST'; path: string; body?: string }

const MAX_ANSWER = 32 * 1024 * 1024

/** A client of the Caddy whose admin socket is given; each call ends within `timeoutMs`. */
export function createCaddyClient(opts: { adminSocket: string; timeoutMs?: number }): CaddyClient {
  const { adminSocket, timeoutMs = 10_000 } = opts
  const call = async (what: Call, signal: AbortSignal): Promise<string> => {
    const deadline = AbortSignal.timeout(timeoutMs)
    try {
      return await exchange(adminSocket, what, AbortSignal.any([signal, deadline]))
    } catch (error) {
      if (error instanceof HeliosError) throw error
      signal.throwIfAborted()
      const why = deadline.aborted ? `no answer in ${timeoutMs} ms` : messageOf(error)
      throw new HeliosError('HP52', `Router did not answer ${what.path}: ${why}`, {
        hint: `Check that Caddy runs with its admin socket at ${adminSocket}.`,
        cause: error,
      })
    }
  }
  return {
    load: async (config, signal) => {
      await call({ method: 'POST', path: '/load', body: JSON.stringify(config) }, signal)
    },
    config: (signal) => call({ method: 'GET', path: '/config/' }, signal),
    upstreams: async (signal) =>
      parseUpstreams(await call({ method: 'GET', path: '/reverse_proxy/upstreams' }, signal)),
  }
}

function exchange(socketPath: string, what: Call, signal: AbortSignal): Promise<string> {
  const { method, path, body = '' } = what
  const headers = {
    Host: ADMIN_ORIGIN,
    Origin: `http://${ADMIN_ORIGIN}`,
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
  }
  return new Promise((resolve, reject) => {
    // A kept connection would be cut by the next load, so each call has its own.
    const sent = request({ socketPath, method, path, headers, agent: false, signal }, (answer) => {
      const parts: string[] = []
      let length = 0
      answer.setEncoding('utf8')
      answer.on('error', reject)
      answer.on('data', (part: string) => {
        parts.push(part)
        length += part.length
        if (length > MAX_ANSWER) answer.destroy(new Error(`more than ${MAX_ANSWER} characters`))
      })
      answer.on('end', () => {
        const text = parts.join('')
        if (answer.statusCode === 200) resolve(text)
        else reject(refusal(path, answer.statusCode, text))
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

function refusal(path: string, status: number | undefined, text: string): HeliosError {
  const why = text.trim().slice(0, 500)
  return new HeliosError('router_error', `Router refused ${path} with ${status}: ${why}`)
}

function parseUpstreams(text: string): Upstream[] {
  const list: unknown = JSON.parse(text)
  if (!Array.isArray(list)) return []
  return list.flatMap((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return []
    if (!('address' in entry && 'num_requests' in entry)) return []
    return [{ address: String(entry.address), requests: Number(entry.num_requests) }]
  })
}
