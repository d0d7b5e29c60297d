/**
 * @module
 * Git over HTTP: who pushes or fetches, then bytes through to git and back.
 */
import { Readable } from 'node:stream'
import type { Context } from 'hono'
import { basicActor, standing } from './auth.ts'
import type { ApiDeps, ApiEnv } from './context.ts'
import type { Door } from './door.ts'
import { refusalOf } from './errors.ts'

const REQUESTS = [
  ['GET', '/info/refs'],
  ['POST', '/git-upload-pack'],
  ['POST', '/git-receive-pack'],
] as const

/** Mount git's smart HTTP protocol at `/git/NAME.git` and `/NAME.git`. */
export function mountGit(door: Door, deps: ApiDeps): void {
  for (const prefix of ['/git', '']) {
    for (const [method, request] of REQUESTS) {
      const path = `${prefix}/:repo{[^/]+\\.git}${request}`
      door.mount(method, path, 'app.read', (c) => serve(c, request, deps))
    }
  }
}

async function serve(c: Context<ApiEnv>, request: string, deps: ApiDeps): Promise<Response> {
  c.set('route', 'git')
  try {
    const { searchParams, search } = new URL(c.req.url)
    const service = searchParams.get('service') ?? request
    const permission = service.endsWith('git-receive-pack') ? 'app.deploy' : 'app.read'
    const { actor } = standing(() => basicActor(deps, c.req.header('authorization')), permission)
    c.set('actor', actor)
    const { body } = c.req.raw
    const answer = await deps.git({
      method: c.req.method,
      path: `/${c.req.param('repo')}${request}`,
      query: search.slice(1),
      headers: headersOf(c.req.raw),
      body: body === null ? Readable.from([]) : Readable.fromWeb(body as never),
      actor,
      signal: c.req.raw.signal,
    })
    const cut = (): void => void c.env?.outgoing?.destroy()
    const { status, headers } = answer
    return new Response(webStream(answer.body, cut), { status, headers })
  } catch (error) {
    return refuse(c, error, deps)
  }
}

/** Everything but the credential. */
function headersOf(request: Request): Record<string, string> {
  return Object.fromEntries([...request.headers].filter(([name]) => name !== 'authorization'))
}

/** What git writes, at the pace of the client; where git broke off, the connection is cut so that nobody takes it for whole. */
function webStream(body: Readable, cut: () => void): ReadableStream<Uint8Array> {
  const pieces = body[Symbol.asyncIterator]()
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await pieces.next()
        if (done) controller.close()
        else controller.enqueue(typeof value === 'string' ? Buffer.from(value) : value)
      } catch {
        cut()
        controller.close()
      }
    },
    cancel: () => void body.destroy(),
  })
}

/** Git shows people a refusal only as plain text. */
function refuse(c: Context<ApiEnv>, error: unknown, deps: ApiDeps): Response {
  const requestId = c.get('requestId')
  const { status, body } = refusalOf(error, requestId)
  if (status >= 500) deps.log.error({ err: error, requestId }, 'failed')
  const headers = status === 401 ? { 'WWW-Authenticate': 'Basic realm="Helios"' } : {}
  const hint = body.hint === undefined ? '' : `\n${body.hint}`
  return new Response(`${body.message}${hint}\n`, {
    status,
    headers: {
      'Content-Type': 'text/plain; charset=utf-8',
      'Cache-Control': 'no-store',
      ...headers,
    },
  })
}
