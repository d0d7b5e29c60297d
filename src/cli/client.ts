/**
 * @module
 * The typed client of the API: paths, inputs and answers come from the table of routes the server is made of.
 */
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import type { z } from 'zod'
import type { ENDPOINTS } from '../api/schemas/index.ts'
import { sleep } from '../lib/async.ts'
import { HeliosError } from '../lib/errors.ts'
import { readJson, send, type Target, unreachable } from './http.ts'
import { readEvents } from './sse.ts'

type Table = typeof ENDPOINTS
type RouteOf<E> = E extends { method: infer M extends string; path: infer P extends string }
  ? `${M} ${P}`
  : never
type Named<R> = { [N in keyof Table]: RouteOf<Table[N]> extends R ? Table[N] : never }[keyof Table]
type Only<Kind> = {
  [N in keyof Table]: Table[N] extends Kind ? RouteOf<Table[N]> : never
}[keyof Table]

/** Routes by method and path, as `get /apps/:app`. */
export type Route = RouteOf<Table[keyof Table]>
type TarRoute = Only<{ takes: 'tar' }>
type SseRoute = Only<{ gives: 'sse' }>
type JsonRoute = Exclude<Route, TarRoute | SseRoute>

/** What a route answers. */
export type Answer<R extends Route> =
  Named<R> extends { response: infer S extends z.ZodType } ? z.output<S> : never
/** What a route takes. */
export type Input<R extends Route> = Piece<R, 'params'> & Piece<R, 'body'> & Maybe<R, 'query'>
type Piece<R extends Route, K extends string> =
  Named<R> extends { [key in K]: infer S extends z.ZodType } ? { [key in K]: z.output<S> } : unknown
type Maybe<R extends Route, K extends string> =
  Named<R> extends { [key in K]: infer S extends z.ZodType }
    ? Partial<z.output<S>> extends z.output<S>
      ? { [key in K]?: z.output<S> }
      : { [key in K]: z.output<S> }
    : unknown
type Given<R extends Route> =
  Partial<Input<R>> extends Input<R> ? [input?: Input<R>] : [input: Input<R>]

/** An event with its data read. */
export type Event<T> = { id: string | undefined; event: string; data: T }

/** The API of one server. Everything throws HeliosError: what the server refused, or api_unreachable. */
export type Api = {
  target: Target
  call<R extends JsonRoute>(route: R, ...given: Given<R>): Promise<Answer<R>>
  /** Send an archive (gzip of a tar) as it is made. */
  upload<R extends TarRoute>(
    route: R,
    input: Input<R>,
    archive: Readable,
    signal?: AbortSignal,
  ): Promise<Answer<R>>
  /** Events as they come; connects again after the last one when the connection breaks, for two minutes. */
  events<R extends SseRoute>(
    route: R,
    input: Input<R>,
    opts: { signal: AbortSignal; after?: string | undefined; onLost?: () => void },
  ): AsyncGenerator<Event<Answer<R>>>
}

/** Talk to a server. */
export function createApi(target: Target): Api {
  return {
    target,
    call: async (route, ...[input]) => {
      const { method, path, body } = lay(route, input)
      const exchange = {
        method,
        path,
        headers: {
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(method === 'post' ? { 'idempotency-key': randomKey() } : {}),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }
      const answer = await send(target, exchange).catch(async (error: unknown) => {
        // Cut before an answer: the same request again is safe, as its key says it is the same.
        if (!wasCut(error) || method === 'patch') throw error
        await sleep(200)
        return send(target, exchange)
      })
      return (await readJson(target, answer)) as never
    },
    upload: async (route, input, archive, signal) => {
      const { method, path } = lay(route, input)
      const headers = { 'content-type': 'application/gzip', 'idempotency-key': randomKey() }
      const answer = await send(target, {
        method,
        path,
        headers,
        body: archive,
        idleMs: 120_000,
        signal,
      })
      const result = await readJson(target, answer)
      archive.destroy()
      return result as never
    },
    events: (route, input, opts) => follow(target, lay(route, input).path, opts) as never,
  }
}

// Loaded by who needs it: an import costs every command a tenth of its start.
const randomKey = (): string => process.getBuiltinModule('node:crypto').randomUUID()

/** Put an input into the path and the query of a route. */
export function lay(
  route: string,
  input: unknown,
): { method: string; path: string; body: unknown } {
  const {
    params = {},
    query = {},
    body,
  } = (input ?? {}) as {
    params?: Record<string, string>
    query?: Record<string, unknown>
    body?: unknown
  }
  const [method = '', pattern = ''] = route.split(' ')
  const path = pattern.replace(/:(\w+)/g, (_, name: string) => segment(name, params[name]))
  const given = Object.entries(query).filter(([, value]) => value !== undefined)
  const search = new URLSearchParams(
    given.map(([name, value]): [string, string] => [name, String(value)]),
  )
  return { method, path: given.length > 0 ? `${path}?${search}` : path, body }
}

function segment(name: string, value: string | undefined): string {
  // `.` and `..` would be taken out of the path on the way.
  if (value !== undefined && !/^\.{0,2}$/.test(value)) return encodeURIComponent(value)
  throw new HeliosError('usage', `${JSON.stringify(value ?? '')} names no ${name}`)
}

function wasCut(error: unknown): boolean {
  const cause = error instanceof HeliosError ? error.cause : undefined
  return (
    cause instanceof Error && 'code' in cause && /^(ECONNRESET|EPIPE)$/.test(String(cause.code))
  )
}

const QUIET_MS = 60_000
const GIVE_UP_MS = 120_000
const FIRST_WAIT_MS = 250
const MOST_WAIT_MS = 5000

type FollowOptions = { signal: AbortSignal; after?: string | undefined; onLost?: () => void }

async function* follow(
  target: Target,
  path: string,
  opts: FollowOptions,
): AsyncGenerator<Event<unknown>> {
  let { after } = opts
  // Never heard: the first connection must work at once.
  let heardAt = 0
  let wait = FIRST_WAIT_MS
  for (;;) {
    try {
      const answer = await openStream(target, path, after, opts.signal)
      heardAt = Date.now()
      for await (const { id, event, data } of readEvents(answer)) {
        heardAt = Date.now()
        wait = FIRST_WAIT_MS
        after = id ?? after
        yield { id, event, data: JSON.parse(data) }
      }
    } catch (error) {
      opts.signal.throwIfAborted()
      const lost = unreachable(target.server, error)
      if (lost.code !== 'api_unreachable' || Date.now() - heardAt > GIVE_UP_MS) throw lost
    }
    opts.onLost?.()
    await sleep(wait, opts.signal)
    wait = Math.min(wait * 2, MOST_WAIT_MS)
  }
}

async function openStream(
  target: Target,
  path: string,
  after: string | undefined,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const headers = {
    accept: 'text/event-stream',
    ...(after === undefined ? {} : { 'last-event-id': after }),
  }
  const answer = await send(target, { method: 'get', path, headers, idleMs: QUIET_MS, signal })
  const type = answer.headers['content-type'] ?? ''
  if (answer.statusCode === 200 && type.startsWith('text/event-stream')) return answer
  await readJson(target, answer)
  throw new Error('the answer is no stream of events')
}
