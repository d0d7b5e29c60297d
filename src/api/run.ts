/**
 * @module
 * One-off commands over a WebSocket: who may, then bytes both ways until the exit code.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { type App, findApp, mustBeActive } from '../core/apps.ts'
import { HeliosError } from '../lib/errors.ts'
import { bearerActor, type Standing, standing } from './auth.ts'
import type { ApiDeps } from './context.ts'
import { type Door, newRequestId } from './door.ts'
import { refusalOf } from './errors.ts'
import { API } from './routes.ts'
import { bridge } from './run-bridge.ts'
import type { OpenStream, Streams } from './streams.ts'

/** Takes over connections that ask to become a WebSocket. */
export type RunDoor = {
  /** Tell whether a request is for this door; every other one stays plain HTTP. */
  wants(request: IncomingMessage): boolean
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
  /** Resolves when every command that ran has been told to end. */
  stop(): Promise<void>
}

const PERMISSION = 'exec.run'
const PATH = /^\/api\/v1\/apps\/([^/?]+)\/run(?:\?|$)/
const MAX_FRAME_BYTES = 1024 * 1024

/** Make the door at `/api/v1/apps/NAME/run`. */
export function createRunDoor(door: Door, deps: ApiDeps, streams: Streams): RunDoor {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: MAX_FRAME_BYTES,
    perMessageDeflate: false,
  })
  const running = new Set<Promise<void>>()
  door.mount('GET', `${API}/apps/:app/run`, PERMISSION, () => {
    throw new HeliosError('bad_request', 'This address speaks WebSocket only', {
      hint: 'Use helios run, or a client that upgrades the connection',
    })
  })
  return {
    wants: (request) =>
      request.headers.upgrade?.toLowerCase() === 'websocket' && PATH.test(request.url ?? ''),
    upgrade(request, socket, head) {
      socket.on('error', () => socket.destroy())
      let admitted: Admitted
      try {
        admitted = admit(request, deps, streams)
      } catch (error) {
        refuse(socket, error)
        return
      }
      // A handshake that is unsound ends here, without a client.
      socket.once('close', admitted.stream.end)
      server.handleUpgrade(request, socket, head, (client) => {
        const work = session(client, admitted, deps).finally(() => {
          admitted.stream.end()
          running.delete(work)
        })
        running.add(work)
      })
    },
    async stop() {
      await Promise.allSettled(running)
    },
  }
}

type Admitted = { app: App; held: Standing; stream: OpenStream }

function admit(request: IncomingMessage, deps: ApiDeps, streams: Streams): Admitted {
  const { authorization, origin, host } = request.headers
  const held = standing(() => bearerActor(deps, authorization), PERMISSION)
  // A browser cannot send the header above; a page of another origin has no business here at all.
  if (origin !== undefined && URL.parse(origin)?.host !== host) {
    throw new HeliosError('missing_permission', 'A page of another origin may not connect here')
  }
  const app = findApp(deps.db, held.actor, decoded(PATH.exec(request.url ?? '')?.[1] ?? ''))
  mustBeActive(deps.db, app)
  return { app, held, stream: streams.open(held.actor.userId) }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

async function session(client: WebSocket, admitted: Admitted, deps: ApiDeps): Promise<void> {
  const { app, held, stream } = admitted
  const begun = performance.now()
  const outcome = await bridge(client, {
    stream,
    stillHolds: held.stillHolds,
    start: (command, tty, signal) =>
      deps.runOneOff({ app, actor: held.actor, command, ...(tty ? { tty } : {}) }, signal),
    onFailure: (err) => deps.log.error({ err, app: app.id }, 'one-off failed'),
  })
  deps.log.info(
    {
      route: 'run',
      actor: `${held.actor.name} (${held.actor.via} ${held.actor.credential})`,
      app: app.id,
      outcome,
      ms: Math.round(performance.now() - begun),
    },
    'request',
  )
}

function refuse(socket: Duplex, error: unknown): void {
  const { status, body } = refusalOf(error, newRequestId())
  const text = JSON.stringify(body)
  socket.end(
    `HTTP/1.1 ${status} Refused\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
  )
}
