/**
 * @module
 * Carry a request through: who, may they, is it sound, then the handler of its route.
 */
import type { Context } from 'hono'
import type { z } from 'zod'
import type { Actor } from '../core/access.ts'
import { isPermission } from '../core/roles.ts'
import { type Archive, discardArchive, receiveArchive } from './archive.ts'
import { bearerActor, standing } from './auth.ts'
import { readJson } from './body.ts'
import type { ApiDeps, ApiEnv } from './context.ts'
import { answer, type Door } from './door.ts'
import { answerOnce } from './idempotent.ts'
import { checkBody, checkParams, checkQuery } from './input.ts'
import type { Endpoint } from './schemas/endpoint.ts'
import { ENDPOINTS, type EndpointName } from './schemas/index.ts'
import { eventStream, type ServerEvent } from './sse.ts'
import type { Streams } from './streams.ts'

type Shape<E, K extends string> =
  E extends Record<K, infer S extends z.ZodType> ? z.output<S> : undefined

/** What a handler is given: a request that was checked. */
export type Call<E = Endpoint> = {
  deps: ApiDeps
  actor: Actor
  params: Shape<E, 'params'>
  query: Shape<E, 'query'>
  body: Shape<E, 'body'>
  archive: E extends { takes: 'tar' } ? Archive : undefined
  /** `Last-Event-ID` of a stream that goes on. */
  lastEventId: string | undefined
  /** Aborts when nobody waits for the answer any more. */
  signal: AbortSignal
  now: number
}

type Answer<E extends Endpoint> = E extends { gives: 'sse' }
  ? AsyncIterable<ServerEvent>
  : E extends { method: 'get' }
    ? z.output<E['response']> | Promise<z.output<E['response']>>
    : z.output<E['response']>

/** A handler for each route of some; what changes anything is synchronous, and runs in one transaction. */
export type Handlers<N extends EndpointName = EndpointName> = {
  [K in N]: (call: Call<(typeof ENDPOINTS)[K]>) => Answer<(typeof ENDPOINTS)[K]>
}

/** A handler whose route is not known by type any more. */
type AnyHandler = (call: Call) => unknown

/** What {@link mountEndpoints} needs beside the handlers. */
export type RouteDeps = { deps: ApiDeps; streams: Streams }

/** Where the API is. */
export const API = '/api/v1'

/** Routes after which the router has to look again. */
const CHANGES_ROUTES: ReadonlySet<string> = new Set<EndpointName>([
  'createApp',
  'destroyApp',
  'addDomain',
  'removeDomain',
])

/** Mount every route of the table. */
export function mountEndpoints(door: Door, handlers: Handlers, given: RouteDeps): void {
  for (const [name, endpoint] of Object.entries<Endpoint>(ENDPOINTS)) {
    const handler = handlers[name as EndpointName] as unknown as AnyHandler
    door.mount(endpoint.method, API + endpoint.path, endpoint.permission, (c) =>
      serve(c, { name, endpoint, handler }, given),
    )
  }
}

type Route = { name: string; endpoint: Endpoint; handler: AnyHandler }

async function serve(c: Context<ApiEnv>, route: Route, given: RouteDeps): Promise<Response> {
  const { deps, streams } = given
  const { endpoint, handler } = route
  c.set('route', route.name)
  const { permission } = endpoint
  if (!isPermission(permission)) throw new Error(`${route.name} names no permission`)
  const held = standing(() => bearerActor(deps, c.req.header('authorization')), permission)
  c.set('actor', held.actor)
  const call = {
    deps,
    actor: held.actor,
    params: checkParams(endpoint.params, c.req.param()),
    query: checkQuery(endpoint.query, new URL(c.req.url).searchParams),
    body: undefined,
    archive: undefined,
    lastEventId: c.req.header('last-event-id'),
    signal: c.req.raw.signal,
    now: deps.clock(),
  } as Call
  if (endpoint.gives === 'sse') {
    const stream = streams.open(held.actor.userId)
    try {
      const events = handler({ ...call, signal: stream.signal }) as AsyncIterable<ServerEvent>
      const cut = (): void => void c.env?.outgoing?.destroy()
      return eventStream(events, { stream, stillHolds: held.stillHolds, cut })
    } catch (error) {
      stream.end()
      throw error
    }
  }
  if (endpoint.method === 'get') return answer(200, JSON.stringify(await handler(call)))
  return change(c, route, call)
}

/** Do what changes something: the body, then everything in one transaction, then those who must know. */
async function change(c: Context<ApiEnv>, route: Route, call: Call): Promise<Response> {
  const { endpoint, handler } = route
  const { deps } = call
  const took = await receive(c, endpoint, call)
  try {
    const given = await answerOnce(
      c,
      { call, status: endpoint.status ?? 200, digest: took.digest },
      {
        before: async () => {
          if (took.archive) await deps.checkArchive(took.archive.file, call.signal)
        },
        work: () => handler({ ...call, body: took.body, archive: took.archive } as Call),
      },
    )
    if (given.again) await discardArchive(took.archive)
    else {
      deps.wake()
      if (CHANGES_ROUTES.has(route.name)) deps.routesChanged()
    }
    return answer(given.status, given.body, given.again ? { 'Idempotency-Replayed': 'true' } : {})
  } catch (error) {
    await discardArchive(took.archive)
    throw error
  }
}

type Taken = { digest: string; body?: unknown; archive?: Archive }

async function receive(c: Context<ApiEnv>, endpoint: Endpoint, call: Call): Promise<Taken> {
  if (endpoint.takes === 'tar') {
    const archive = await receiveArchive(c.req.raw, call.deps, call.signal)
    return { digest: archive.digest, archive }
  }
  const { text, value } = await readJson(c.req.raw, call.signal)
  return { digest: text, body: checkBody(endpoint.body, value) }
}
