/**
 * @module
 * The HTTP server of the API and the pages: listens, holds its limits, drains.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { getRequestListener } from '@hono/node-server'
import { sleep, withDeadline } from '../lib/async.ts'
import { HeliosError, messageOf } from '../lib/errors.ts'
import type { Part } from '../lib/lifecycle.ts'
import { type Api, createApi, type MountPages } from './app.ts'
import { removeUnfinished } from './archive.ts'
import type { ApiDeps } from './context.ts'
import { answer } from './door.ts'
import { refusalOf } from './errors.ts'

/** The part that serves the API; `address` is known once it started. */
export type ApiServer = Part & { address(): { host: string; port: number } }

const MAX_HEADER_BYTES = 16 * 1024
const HEADER_MS = 10_000
const KEEP_ALIVE_MS = 65_000
/** Bodies have deadlines of their own; this one only ends what they missed. */
const REQUEST_MS = 2 * 60 * 60 * 1000
const MAX_CONNECTIONS = 4000
const MAX_CONNECTIONS_EACH = 256
const DRAIN_LOOK_MS = 50

/** Make the part that serves the API, and pages beside it. @throws when a route does not say who may use it */
export function createApiServer(
  deps: ApiDeps,
  opts: { listen: Readonly<{ host: string; port: number }>; pages?: MountPages },
): ApiServer {
  const api = createApi(deps, opts.pages)
  const server = httpServer(api)
  let listening = false
  return {
    name: 'api',
    async start() {
      await removeUnfinished(deps.sourcesDir)
      await listen(server, opts.listen)
      listening = true
      deps.log.info({ ...bound(server) }, 'the API listens')
    },
    async stop(signal) {
      if (!listening) return
      listening = false
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      api.streams.endAll()
      await withDeadline(Promise.all([drained(server, closed), api.run.stop()]), signal).catch(
        () => undefined,
      )
      server.closeAllConnections()
      await closed
    },
    state: () => (listening ? { ok: true } : { ok: false, detail: 'does not listen' }),
    address: () => bound(server),
  }
}

function httpServer(api: Api): Server {
  const listener = getRequestListener((request, env) => api.door.app.fetch(request, env), {
    errorHandler: (error) => refusedRequest(error),
  })
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADER_MS,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: 1000,
      noDelay: true,
      // Refused by the listener, in the form of every other refusal.
      requireHostHeader: false,
      // Offers of other protocols, as h2c, are passed over; the request is answered as it is.
      shouldUpgradeCallback: (request) => api.run.wants(request),
    },
    listener,
  )
  server.maxConnections = MAX_CONNECTIONS
  server.on('connection', limitEach())
  server.on('upgrade', (request, socket, head) => api.run.upgrade(request, socket, head))
  server.on('clientError', refuseGarbage)
  return server
}

async function listen(server: Server, at: { host: string; port: number }): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(at.port, at.host, () => {
      server.off('error', reject)
      resolve()
    })
  }).catch((cause) => {
    throw new HeliosError(
      'config_invalid',
      `Listen on ${at.host}:${at.port}: ${messageOf(cause)}`,
      {
        hint: 'Give the API another address with HELIOS_API_ADDRESS',
        cause,
      },
    )
  })
}

function bound(server: Server): { host: string; port: number } {
  const { address, port } = (server.address() ?? { address: '', port: 0 }) as AddressInfo
  return { host: address, port }
}

/** A connection that was busy when the server closed is idle later: look again. */
async function drained(server: Server, closed: Promise<void>): Promise<void> {
  let over = false
  const mark = closed.then(() => {
    over = true
  })
  while (!over) {
    server.closeIdleConnections()
    await Promise.race([mark, sleep(DRAIN_LOOK_MS)])
  }
}

/** Cut connections of one address beyond its share; a proxy on this machine speaks for many. */
function limitEach(): (socket: Socket) => void {
  const open = new Map<string, number>()
  return (socket) => {
    const from = socket.remoteAddress ?? ''
    if (/^(::ffff:)?127\.|^::1$/.test(from)) return
    const count = (open.get(from) ?? 0) + 1
    open.set(from, count)
    socket.once('close', () => {
      const left = (open.get(from) ?? 1) - 1
      if (left === 0) open.delete(from)
      else open.set(from, left)
    })
    if (count > MAX_CONNECTIONS_EACH) socket.destroy()
  }
}

function refusedRequest(error: unknown): Response {
  const known = new HeliosError('bad_request', 'The request has no sound target or Host', {
    cause: error,
  })
  const { status, body } = refusalOf(known, '')
  return answer(status, JSON.stringify({ ...body, requestId: undefined }))
}

/** Answer what is no HTTP request at all. */
function refuseGarbage(error: Error & { code?: string }, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, message] = garbage(error.code)
  const text = JSON.stringify({ code: 'bad_request', message })
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
  )
}

function garbage(code: string | undefined): [status: string, message: string] {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return ['431 Request Header Fields Too Large', 'The headers have more than 16 KiB']
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return ['408 Request Timeout', 'The request took too long']
  return ['400 Bad Request', 'This is no HTTP request']
}
