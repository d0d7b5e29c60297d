/**
 * @module
 * The session of a browser: its cookie, who it is, and that a form was sent by our own page.
 */
import type { Context } from 'hono'
import { deleteCookie, getCookie, setCookie } from 'hono/cookie'
import { type Standing, standing } from '../api/auth.ts'
import type { ApiDeps, ApiEnv } from '../api/context.ts'
import { actorOfSession } from '../core/access.ts'
import type { Permission } from '../core/roles.ts'
import { HeliosError } from '../lib/errors.ts'

type Deps = Pick<ApiDeps, 'db' | 'clock' | 'address'>

/** A cookie with the prefix needs TLS; on a plain connection it has none. */
const SECURE_NAME = '__Host-helios'
const PLAIN_NAME = 'helios_session'

const isSecure = ({ address }: Deps): boolean => address.apiUrl.startsWith('https://')
const nameOf = (deps: Deps): string => (isSecure(deps) ? SECURE_NAME : PLAIN_NAME)

/** The cookie's value. */
export function sessionId(c: Context<ApiEnv>, deps: Deps): string | undefined {
  return getCookie(c, nameOf(deps))
}

/** Give the browser its session. */
export function keepSession(
  c: Context<ApiEnv>,
  deps: Deps,
  session: { id: string; expiresAt: number },
): void {
  setCookie(c, nameOf(deps), session.id, {
    httpOnly: true,
    sameSite: 'Lax',
    path: '/',
    secure: isSecure(deps),
    expires: new Date(session.expiresAt),
  })
}

/** Take it away again. */
export function dropSession(c: Context<ApiEnv>, deps: Deps): void {
  deleteCookie(c, nameOf(deps), { path: '/', secure: isSecure(deps) })
}

/** Who the browser is. @throws {HeliosError} unauthenticated, missing_permission */
export function sessionStanding(c: Context<ApiEnv>, deps: Deps, permission: Permission): Standing {
  const id = sessionId(c, deps)
  return standing(() => {
    const actor = id === undefined ? undefined : actorOfSession(deps.db, id, deps.clock())
    if (actor) return actor
    throw new HeliosError('unauthenticated', 'Your session ended', { hint: 'Sign in again' })
  }, permission)
}

/** Refuse a form that another site sent. @throws {HeliosError} missing_permission */
export function mustBeOurForm(c: Context<ApiEnv>): void {
  const site = c.req.header('sec-fetch-site')
  const origin = c.req.header('origin') ?? ''
  // Browsers send the first only over TLS and to this machine itself, the second with every form.
  const ours =
    site === undefined ? URL.parse(origin)?.host === c.req.header('host') : site === 'same-origin'
  if (!ours) throw new HeliosError('missing_permission', 'This form was not sent by this site')
}
