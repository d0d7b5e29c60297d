/**
 * @module
 * The pages: sign in and out, and the status of the apps, which follows what happens.
 */
import type { Context } from 'hono'
import type { FC } from 'hono/jsx'
import type { MountPages } from '../api/app.ts'
import { readText } from '../api/body.ts'
import type { ApiDeps, ApiEnv } from '../api/context.ts'
import type { RouteHandler } from '../api/door.ts'
import { refusalOf } from '../api/errors.ts'
import { eventStream, type ServerEvent } from '../api/sse.ts'
import type { Streams } from '../api/streams.ts'
import { actorOfToken, createSession, endSession } from '../core/access.ts'
import { teamName } from '../core/users.ts'
import { sleep } from '../lib/async.ts'
import { HeliosError } from '../lib/errors.ts'
import { mountAssets } from './assets.ts'
import { type Backoff, createBackoff } from './backoff.ts'
import { createBoards } from './boards.tsx'
import { type AssetUrls, ProblemPage, SignInPage, StatusPage } from './pages.tsx'
import { dropSession, keepSession, mustBeOurForm, sessionId, sessionStanding } from './session.ts'

const LOOK_MS = 1000
const FORM_TYPE = 'application/x-www-form-urlencoded'

const HEADERS = {
  'Content-Type': 'text/html; charset=utf-8',
  'Cache-Control': 'no-store',
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
  'X-Frame-Options': 'DENY',
} as const

/** Make what mounts the pages. */
export function createPages(deps: ApiDeps): MountPages {
  return (door, streams) => {
    const assets = mountAssets(door)
    const site: Site = {
      deps,
      assets,
      boards: createBoards(deps),
      backoff: createBackoff(deps.clock),
    }
    const page = (name: string, handler: RouteHandler): RouteHandler =>
      explained(site, name, handler)
    door.mount(
      'GET',
      '/',
      'app.read',
      page('status page', (c) => statusPage(c, site)),
    )
    door.mount('GET', '/events', 'app.read', (c) => events(c, site, streams))
    door.mount(
      'GET',
      '/login',
      'public',
      page('sign in', (c) => signInPage(c, site)),
    )
    door.mount(
      'POST',
      '/login',
      'public',
      page('sign in', (c) => signIn(c, site)),
    )
    door.mount(
      'POST',
      '/logout',
      'public',
      page('sign out', (c) => signOut(c, site)),
    )
  }
}

type Site = {
  deps: ApiDeps
  assets: AssetUrls
  boards: ReturnType<typeof createBoards>
  backoff: Backoff
}

/** A failure is a page too; without a session it is the one to sign in. */
function explained(site: Site, name: string, handler: RouteHandler): RouteHandler {
  return async (c) => {
    c.set('route', name)
    try {
      return await handler(c)
    } catch (error) {
      const requestId = c.get('requestId')
      const { status, body } = refusalOf(error, requestId)
      if (status === 401) return c.redirect('/login', 303)
      if (status >= 500) site.deps.log.error({ err: error, requestId }, 'failed')
      const { message, hint } = body
      return html(
        status,
        <ProblemPage assets={site.assets} message={message} hint={hint} requestId={requestId} />,
      )
    }
  }
}

function html(status: number, page: ReturnType<FC>): Response {
  return new Response(`<!doctype html>${page}`, { status, headers: HEADERS })
}

function statusPage(c: Context<ApiEnv>, site: Site): Response {
  const { deps, assets } = site
  const { actor } = sessionStanding(c, deps, 'app.read')
  c.set('actor', actor)
  const who = { user: actor.name, team: teamName(deps.db, actor) }
  const board = site.boards.props(actor, c.req.query('after'))
  return html(200, <StatusPage assets={assets} who={who} board={board} />)
}

function events(c: Context<ApiEnv>, site: Site, streams: Streams): Response {
  c.set('route', 'status events')
  const held = sessionStanding(c, site.deps, 'app.read')
  c.set('actor', held.actor)
  const stream = streams.open(held.actor.userId)
  const look = (): string | undefined =>
    held.stillHolds() ? site.boards.fragment(held.actor, c.req.query('after')) : undefined
  return eventStream(boardEvents(look, stream.signal), {
    stream,
    stillHolds: held.stillHolds,
    cut: () => void c.env?.outgoing?.destroy(),
  })
}

/** The list each time it differs from the last, until there is none to see. */
async function* boardEvents(
  look: () => string | undefined,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent> {
  let last: string | undefined
  while (!signal.aborted) {
    const fragment = look()
    if (fragment === undefined) return
    if (fragment !== last) yield { event: 'board', data: fragment }
    last = fragment
    await sleep(LOOK_MS, signal).catch(() => undefined)
  }
}

function signInPage(c: Context<ApiEnv>, site: Site): Response {
  try {
    sessionStanding(c, site.deps, 'app.read')
    return c.redirect('/', 303)
  } catch {
    return html(200, <SignInPage assets={site.assets} />)
  }
}

async function signIn(c: Context<ApiEnv>, site: Site): Promise<Response> {
  const { deps, backoff, assets } = site
  mustBeOurForm(c)
  const address = c.env?.incoming?.socket.remoteAddress ?? 'local'
  const wait = Math.ceil(backoff.waitOf(address) / 1000)
  if (wait > 0) {
    const problem = `Too many tries from your address: wait ${wait} s and try again.`
    const page = html(429, <SignInPage assets={assets} problem={problem} />)
    page.headers.set('Retry-After', String(wait))
    return page
  }
  const text = await readText(c.req.raw, [FORM_TYPE], c.req.raw.signal)
  const token = new URLSearchParams(text).get('token')?.trim() ?? ''
  try {
    const actor = actorOfToken(deps.db, token, deps.clock())
    backoff.forget(address)
    keepSession(c, deps, createSession(deps.db, actor.userId, deps.clock()))
    c.set('actor', actor)
    return c.redirect('/', 303)
  } catch (error) {
    if (!(error instanceof HeliosError) || error.code !== 'unauthenticated') throw error
    backoff.miss(address)
    return html(401, <SignInPage assets={assets} problem={`${error.message}.`} />)
  }
}

function signOut(c: Context<ApiEnv>, site: Site): Response {
  mustBeOurForm(c)
  const id = sessionId(c, site.deps)
  if (id !== undefined) endSession(site.deps.db, id)
  dropSession(c, site.deps)
  return c.redirect('/login', 303)
}
