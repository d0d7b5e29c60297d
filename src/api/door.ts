/**
 * @module
 * The routes of the server, each with who may use it: one that does not say so keeps the server from starting.
 */
import { randomBytes } from 'node:crypto'
import { type Context, Hono } from 'hono'
import { isPermission } from '../core/roles.ts'
import { HeliosError } from '../lib/errors.ts'
import type { Logger } from '../lib/log.ts'
import type { ApiEnv } from './context.ts'
import { refusalOf } from './errors.ts'

/** Answers a request. */
export type RouteHandler = (c: Context<ApiEnv>) => Response | Promise<Response>

/** Takes routes until it is sealed. */
export type Door = {
  app: Hono<ApiEnv>
  /** Add a route; `access` is a permission, or `public` for what anybody may see. @throws on any other */
  mount(method: string, path: string, access: string, handler: RouteHandler): void
  /** Refuse other methods on the paths of the routes, and check that none came in by the side. */
  seal(): void
}

const SECURITY_HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  // Stricter, and browsers would not say where a form of ours came from.
  'Referrer-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
} as const

/** Make a door whose requests are named, logged and refused in one form. */
export function createDoor(log: Logger): Door {
  const app = new Hono<ApiEnv>()
  app.use('*', async (c, next) => {
    const begun = performance.now()
    c.set('requestId', newRequestId())
    await next()
    // Set on the response itself: the context would make it anew for each of them.
    const { headers } = c.res
    headers.set('X-Request-Id', c.get('requestId'))
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) headers.set(name, value)
    logRequest(log, c, performance.now() - begun)
  })
  app.onError((error, c) => {
    const refused = refuse(c, error)
    if (refused.status >= 500) log.error({ err: error, requestId: c.get('requestId') }, 'failed')
    if (refused.status === 401) refused.headers.set('WWW-Authenticate', 'Bearer')
    return refused
  })
  app.notFound((c) => refuse(c, new HeliosError('not_found', 'There is nothing at this address')))
  const ours = app.routes.length
  const paths = new Map<string, string[]>()
  return {
    app,
    mount(method, path, access, handler) {
      if (access !== 'public' && !isPermission(access)) {
        throw new Error(`${method} ${path} names no permission: ${access}`)
      }
      paths.set(path, [...(paths.get(path) ?? []), method.toUpperCase()])
      app.on(method.toUpperCase(), path, handler)
    },
    seal() {
      for (const route of app.routes.slice(ours)) {
        if (paths.get(route.path)?.includes(route.method)) continue
        throw new Error(`${route.method} ${route.path} names no permission`)
      }
      for (const [path, methods] of paths) app.all(path, (c) => refuseMethod(c, methods))
    },
  }
}

/** Make a name for a request, as told to the client and written to the log. */
export function newRequestId(): string {
  return `req_${randomBytes(8).toString('hex')}`
}

/** Answer with text that is JSON already. */
export function answer(
  status: number,
  body: string,
  headers: Record<string, string> = {},
): Response {
  return new Response(body, {
    status,
    headers: { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', ...headers },
  })
}

function refuse(c: Context<ApiEnv>, error: unknown, headers?: Record<string, string>): Response {
  const { status, body } = refusalOf(error, c.get('requestId'))
  return answer(status, JSON.stringify(body), headers)
}

function refuseMethod(c: Context<ApiEnv>, methods: string[]): Response {
  const allowed = methods.join(', ')
  const hint = `Use ${allowed}`
  const error = new HeliosError('method_not_allowed', `${c.req.method} is not taken here`, { hint })
  return refuse(c, error, { Allow: allowed })
}

function logRequest(log: Logger, c: Context<ApiEnv>, ms: number): void {
  const actor = c.get('actor')
  log.info(
    {
      requestId: c.get('requestId'),
      route: c.get('route') ?? 'none',
      method: c.req.method,
      status: c.res.status,
      ms: Math.round(ms * 10) / 10,
      ...(actor ? { actor: `${actor.name} (${actor.via} ${actor.credential})` } : {}),
    },
    'request',
  )
}
