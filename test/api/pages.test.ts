import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { requestDeployment, setDeploymentState } from '../../src/core/deployments.ts'
import { HeliosError } from '../../src/lib/errors.ts'
import { createPages } from '../../src/web/routes.tsx'
import { makeApi, type TestApi } from './support.ts'

let t: TestApi
let now = Date.now()
beforeEach(() => {
  t = makeApi({ clock: () => now }, createPages)
})
afterEach(() => t.close())

const OURS = { Origin: 'http://localhost', Host: 'localhost' }
const FORM = { ...OURS, 'Content-Type': 'application/x-www-form-urlencoded' }

const post = (path: string, headers: Record<string, string>, body = '') =>
  t.app.request(`http://localhost${path}`, { method: 'POST', headers, body })
const signIn = (token: string, headers = FORM) =>
  post('/login', headers, new URLSearchParams({ token }).toString())
const cookieOf = (response: Response): string =>
  (response.headers.get('set-cookie') ?? '').split(';')[0] ?? ''
const open = async (path = '/', as: keyof TestApi['tokens'] = 'viewer') => {
  const Cookie = cookieOf(await signIn(t.tokens[as]))
  return t.app.request(path, { headers: { Cookie } })
}

describe('signing in', () => {
  test('a token becomes a session, which ends with signing out', async () => {
    const response = await signIn(` ${t.tokens.viewer}\n`)
    expect([response.status, response.headers.get('location')]).toEqual([303, '/'])
    expect(response.headers.get('set-cookie')).toMatch(
      /^helios_session=\w{43}; Path=\/; Expires=.*; HttpOnly; SameSite=Lax$/,
    )
    const Cookie = cookieOf(response)
    expect((await t.app.request('/', { headers: { Cookie } })).status).toBe(200)
    expect((await t.app.request('/login', { headers: { Cookie } })).headers.get('location')).toBe(
      '/',
    )
    const out = await post('/logout', { ...OURS, Cookie })
    expect(out.headers.get('location')).toBe('/login')
    expect(out.headers.get('set-cookie')).toMatch(/^helios_session=;.*Max-Age=0/)
    const after = await t.app.request('/', { headers: { Cookie } })
    expect([after.status, after.headers.get('location')]).toEqual([303, '/login'])
    expect((await t.app.request('/events', { headers: { Cookie } })).status).toBe(401)
  })

  test('over TLS the cookie is bound to the host', async () => {
    t.deps.address.apiUrl = 'https://helios.example.com'
    const response = await signIn(t.tokens.viewer)
    expect(response.headers.get('set-cookie')).toMatch(/^__Host-helios=.*; Secure;/)
  })

  test('a session ends after twelve hours', async () => {
    const Cookie = cookieOf(await signIn(t.tokens.viewer))
    now += 12 * 60 * 60 * 1000
    expect((await t.app.request('/', { headers: { Cookie } })).status).toBe(303)
  })

  test.each([
    ['from another origin', { ...FORM, Origin: 'http://evil.example.com' }, 403],
    ['without an origin', { Host: 'localhost', 'Content-Type': FORM['Content-Type'] }, 403],
    ['from nowhere', { ...FORM, Origin: 'null' }, 403],
    ['across sites', { ...FORM, 'Sec-Fetch-Site': 'cross-site' }, 403],
    ['from a sibling', { ...FORM, 'Sec-Fetch-Site': 'same-site' }, 403],
    ['from here', { ...FORM, 'Sec-Fetch-Site': 'same-origin' }, 303],
    ['as JSON', { ...OURS, 'Content-Type': 'application/json' }, 415],
  ])('a form %s', async (_, headers, status) => {
    expect((await signIn(t.tokens.viewer, headers as typeof FORM)).status).toBe(status)
    expect((await post('/logout', headers)).status).toBe(status === 403 ? 403 : 303)
  })

  test('who misses often waits longer and longer', async () => {
    const page = await signIn('wrong')
    expect([page.status, await page.text()]).toEqual([
      401,
      expect.stringContaining('This token is not known here.'),
    ])
    for (let n = 0; n < 4; n++) await signIn('wrong')
    const early = await signIn(t.tokens.viewer)
    expect([early.status, early.headers.get('retry-after')]).toEqual([429, '1'])
    now += 1000
    expect((await signIn(t.tokens.viewer)).status).toBe(303)
    for (let n = 0; n < 9; n++) {
      now += 60_000
      expect((await signIn('wrong')).status).toBe(401)
    }
    expect(Number((await signIn('wrong')).headers.get('retry-after'))).toBeLessThanOrEqual(60)
  })
})

describe('the status page', () => {
  test('shows the three commands when there is nothing yet', async () => {
    const text = await (await open()).text()
    expect(text).toContain('git remote add helios ssh://git@127.0.0.1:2222/my-app.git')
    expect(text).toMatch(/^<!doctype html>/)
  })

  test('allows nothing inline and comes from us alone', async () => {
    t.newApp('shop')
    const response = await open()
    const text = await response.text()
    const policy = response.headers.get('content-security-policy') ?? ''
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'")
    expect(policy).not.toMatch(/unsafe|data:|\*/)
    expect(text).not.toMatch(/<script(?![^>]* src=)|\son\w+=|\sstyle=|javascript:/i)
    expect(response.headers.get('cache-control')).toBe('no-store')
    for (const [, url = ''] of text.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)) {
      const asset = await t.app.request(url)
      expect(asset.headers.get('cache-control')).toContain('immutable')
      expect(asset.headers.get('x-content-type-options')).toBe('nosniff')
      expect((await t.app.request(url.split('?')[0] ?? '')).headers.get('cache-control')).toBe(
        'no-cache',
      )
    }
  })

  test('hostile text comes out as text', async () => {
    const app = t.newApp('shop')
    const actor = { userId: 'u', name: '<b>ada</b>', via: 'key', credential: '"x"' } as const
    const hostile = `</p><script>alert(1)</script><img src=x onerror="alert(1)">`
    const made = requestDeployment(t.db, { app, actor, reason: 'push', description: hostile, now })
    const error = new HeliosError('HX30', hostile, { hint: hostile })
    setDeploymentState(t.db, made.id, { state: 'failed', error }, now)
    const text = await (await open()).text()
    expect(text).not.toMatch(/<script>|<img src=x|<b>/)
    expect(text.split('&lt;script&gt;alert(1)').length).toBe(4)
  })

  test('shows the apps of the visitor only, a page at a time', async () => {
    for (let n = 100; n < 220; n++) t.newApp(`app-${n}`)
    t.deploy('app-100')
    const first = await (await open()).text()
    expect([first.match(/<li data-id/g)?.length, first.includes('100 of 120 apps')]).toEqual([
      100,
      true,
    ])
    expect(first).toContain('href="/?after=app-199"')
    expect(first).toContain('href="http://app-100.localhost:8080/"')
    const second = await (await open('/?after=app-199')).text()
    expect(second.match(/<li data-id/g)?.length).toBe(20)
    expect(await (await open('/', 'other')).text()).not.toContain('app-1')
  })

  test('sends the list each time it changed, and ends with the session', async () => {
    const Cookie = cookieOf(await signIn(t.tokens.viewer))
    const response = await t.app.request('/events', { headers: { Cookie } })
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    const next = async () => new TextDecoder().decode((await reader.read()).value)
    expect(await next()).toMatch(/^event: board\ndata: <div id="board">.*\n\n$/)
    t.newApp('shop')
    expect(await next()).toContain('shop.localhost:8080')
    await post('/logout', { ...OURS, Cookie })
    expect((await reader.read()).done).toBe(true)
  })

  test('a failure is a page with a request id and no secrets', async () => {
    const Cookie = cookieOf(await signIn(t.tokens.viewer))
    t.newApp('shop')
    t.db.$client.exec('DROP TABLE deployments')
    const response = await t.app.request('/', { headers: { Cookie } })
    const text = await response.text()
    expect([response.status, text]).toEqual([500, expect.stringMatching(/req_[0-9a-f]{16}/)])
    expect(text).not.toContain('deployments')
  })
})
