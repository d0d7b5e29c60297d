import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Endpoint } from '../../src/api/schemas/endpoint.ts'
import { ENDPOINTS, type EndpointName } from '../../src/api/schemas/index.ts'
import { setDeploymentState } from '../../src/core/deployments.ts'
import { can } from '../../src/core/roles.ts'
import { HeliosError } from '../../src/lib/errors.ts'
import { makeApi, type TestApi } from './support.ts'

let t: TestApi
beforeEach(() => {
  t = makeApi()
})
afterEach(() => t.close())

const shape = (name: EndpointName, body: unknown): void => {
  const { response } = ENDPOINTS[name] as Endpoint
  const result = response.safeParse(body)
  expect(result.error?.issues ?? []).toEqual([])
}

const KEY =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3Y9dC0C0Qm3z1Q1cS0i3Zl6b2VqfQkVd5o8mXH2ZkP ada@laptop'

describe('a day with an app', () => {
  test('create, deploy, look, change, scale, roll back, destroy', async () => {
    const created = await t.call('POST', '/apps', { body: { name: 'shop' } })
    expect(created.status).toBe(201)
    shape('createApp', created.json)
    expect(created.json).toMatchObject({
      state: 'new',
      url: 'http://shop.localhost:8080/',
      gitUrl: 'ssh://git@127.0.0.1:2222/shop.git',
      release: null,
    })
    expect(t.called.routes).toBe(1)
    expect((await t.call('POST', '/apps/shop/restart')).json).toMatchObject({ code: 'HX14' })
    expect(
      (await t.call('PATCH', '/apps/shop/processes', { body: { formation: { web: 2 } } })).json,
    ).toMatchObject({ code: 'HX14' })

    t.deploy('shop')
    const shown = await t.call('GET', '/apps/shop')
    shape('getApp', shown.json)
    expect(shown.json).toMatchObject({
      state: 'running',
      release: 1,
      instances: { wanted: 2, healthy: 2 },
      lastDeployment: { state: 'succeeded', release: 1, actor: 'ada (key laptop)' },
    })

    const set = await t.call('PATCH', '/apps/shop/env', { body: { set: { A: '1', B: '2' } } })
    shape('changeEnv', set.json)
    expect(set.json).toMatchObject({
      env: { A: '1', B: '2' },
      deployment: { reason: 'config', state: 'queued', description: 'Set A, B' },
    })
    expect((await t.call('GET', '/apps/shop')).json.state).toBe('deploying')
    const same = await t.call('PATCH', '/apps/shop/env', {
      body: { set: { A: '1' }, unset: ['Z'] },
    })
    expect(same.json.deployment).toBeNull()
    shape('getEnv', (await t.call('GET', '/apps/shop/env')).json)

    const scaled = await t.call('PATCH', '/apps/shop/processes', {
      body: { formation: { web: 3 } },
    })
    expect([scaled.status, scaled.json]).toEqual([202, { formation: { web: 3 } }])
    const processes = await t.call('GET', '/apps/shop/processes')
    shape('listProcesses', processes.json)
    expect(processes.json.items).toMatchObject([
      { name: 'web', wanted: 3, instances: [{ name: 'web.1' }, { name: 'web.2' }] },
    ])

    t.deploy('shop')
    const releases = await t.call('GET', '/apps/shop/releases')
    shape('listReleases', releases.json)
    expect(releases.json.items).toMatchObject([
      { number: 2, live: true, available: false },
      { number: 1, live: false, available: true },
    ])
    const back = await t.call('POST', '/apps/shop/rollback', { body: {} })
    expect(back.json).toMatchObject({ reason: 'rollback', description: 'Roll back to v1' })
    expect((await t.call('POST', '/apps/shop/rollback')).status).toBe(202)

    const cancelled = await t.call('POST', `/apps/shop/deployments/${back.json.id}/cancel`)
    expect(cancelled.json.code).toBe('conflict')
    const listed = await t.call('GET', '/apps/shop/deployments')
    shape('listDeployments', listed.json)
    expect(listed.json.items[0]).toMatchObject({ state: 'queued', reason: 'rollback' })
    const first = listed.json.items[0].id
    shape('getDeployment', (await t.call('GET', `/apps/shop/deployments/${first}`)).json)
    expect((await t.call('POST', `/apps/shop/deployments/${first}/cancel`)).json.state).toBe(
      'cancelled',
    )

    expect((await t.call('DELETE', '/apps/shop?confirm=shopp')).json.code).toBe('confirm_required')
    expect((await t.call('DELETE', '/apps/shop?confirm=shop')).status).toBe(202)
    expect((await t.call('GET', '/apps/shop')).json.state).toBe('destroying')
    const late = await t.call('PATCH', '/apps/shop/env', { body: { set: { A: '2' } } })
    expect(late.json.code).toBe('conflict')
    expect(t.called.wake).toBeGreaterThan(5)
  })

  test('the status tells of the live release, the rollout under way and the last error', async () => {
    const app = t.newApp('shop')
    t.deploy('shop')
    t.appLogs.append(app.id, [
      {
        at: '2026-01-01T00:00:00Z',
        process: 'web',
        instance: 'web.1',
        source: 'c',
        stream: 'stdout',
        text: 'up',
      },
    ])
    const failed = await t.call('POST', '/apps/shop/restart')
    const error = new HeliosError('HX10', 'crashed at start with exit 1', { hint: 'See the log' })
    setDeploymentState(t.db, failed.json.id, { state: 'failed', error }, 5)
    await t.call('POST', '/apps/shop/restart')
    const { json } = await t.call('GET', '/apps/shop/status')
    shape('getStatus', json)
    expect(json).toMatchObject({
      release: { number: 1, live: true },
      rollout: { state: 'queued' },
      lastError: { code: 'HX10', hint: 'See the log', deployment: failed.json.id },
      log: [{ text: 'up', instance: 'web.1' }],
    })
    expect(json.log[0].source).toBeUndefined()
  })

  test('domains, keys, who am I, the server', async () => {
    t.newApp('shop')
    const added = await t.call('POST', '/apps/shop/domains', {
      body: { host: 'Shop.Example.com.' },
    })
    expect([added.status, added.json.host]).toEqual([201, 'shop.example.com'])
    const list = await t.call('GET', '/apps/shop/domains')
    shape('listDomains', list.json)
    expect(list.json.items.map((each: { host: string }) => each.host)).toEqual([
      'shop.localhost',
      'shop.example.com',
    ])
    expect((await t.call('DELETE', '/apps/shop/domains/shop.example.com')).status).toBe(200)
    expect((await t.call('DELETE', '/apps/shop/domains/shop.example.com')).json.code).toBe(
      'domain_not_found',
    )

    const key = await t.call('POST', '/keys', { body: { key: KEY } })
    expect(key.json).toMatchObject({ name: 'ada@laptop' })
    expect((await t.call('POST', '/keys', { body: { key: KEY }, as: 'other' })).json.code).toBe(
      'key_taken',
    )
    shape('listKeys', (await t.call('GET', '/keys')).json)
    expect((await t.call('DELETE', '/keys/ada%40laptop')).status).toBe(200)

    const me = await t.call('GET', '/api/v1/whoami', { as: 'viewer' })
    shape('whoami', me.json)
    expect(me.json).toMatchObject({ user: 'viewer', team: 'default', role: 'viewer' })
    const server = await t.call('GET', '/api/v1/server')
    shape('server', server.json)
    expect(server.json).toMatchObject({ ok: true, engine: '20.10', apps: 1 })
  })
})

describe('uploads and images', () => {
  const tar = { 'Content-Type': 'application/x-tar' }

  test('an archive is on disk under the id of its source', async () => {
    t.newApp('shop')
    const made = await t.call('POST', '/apps/shop/deployments?description=by%0Ahand', {
      body: Buffer.from('tar tar'),
      headers: tar,
    })
    expect(made.json).toMatchObject({ reason: 'upload', description: 'by hand', state: 'queued' })
    const [name = ''] = readdirSync(t.deps.sourcesDir)
    expect(name).toMatch(/^src_\w+\.tar$/)
    expect(readFileSync(join(t.deps.sourcesDir, name), 'utf8')).toBe('tar tar')
    const source = t.db.$client
      .prepare('SELECT kind FROM sources WHERE id = ?')
      .get(name.slice(0, -4))
    expect(source).toEqual({ kind: 'archive' })
  })

  test.each([
    ['another type', '/apps/shop/deployments', { 'Content-Type': 'text/plain' }, 'x', 415],
    ['nothing', '/apps/shop/deployments', tar, '', 422],
    ['too long', '/apps/shop/deployments', { ...tar, 'Content-Length': '536870913' }, 'x', 413],
    ['no such app', '/apps/none/deployments', tar, 'x', 404],
  ])('refuses %s and keeps nothing', async (_, path, headers, body, status) => {
    t.newApp('shop')
    expect((await t.call('POST', path, { body: Buffer.from(body), headers })).status).toBe(status)
    expect(existsSync(t.deps.sourcesDir) ? readdirSync(t.deps.sourcesDir) : []).toEqual([])
    expect(t.db.$client.prepare('SELECT count(*) n FROM deployments').get()).toEqual({ n: 0 })
  })

  test('an archive that the check refuses is not kept', async () => {
    t.close()
    const error = new HeliosError('archive_rejected', 'the entry ../x leaves the folder')
    t = makeApi({ checkArchive: () => Promise.reject(error) })
    t.newApp('shop')
    const refused = await t.call('POST', '/apps/shop/deployments', {
      body: Buffer.from('x'),
      headers: tar,
    })
    expect([refused.status, refused.json.message]).toEqual([422, error.message])
    expect(readdirSync(t.deps.sourcesDir)).toEqual([])
  })

  test.each([
    ['ghcr.io/example/shop:1.4', 202],
    ['nginx', 202],
    [`reg.example.com:5000/a/b@sha256:${'a'.repeat(64)}`, 202],
    ['helios/abc', 422],
    ['docker.io/helios/abc', 422],
    [`sha256:${'a'.repeat(64)}`, 422],
    ['A B', 422],
    ['-x', 422],
    ['http://x/y', 422],
    ['a..b/c', 422],
  ])('image %s: %d', async (image, status) => {
    t.newApp('shop')
    const made = await t.call('POST', '/apps/shop/deployments/image', { body: { image } })
    expect(made.status).toBe(status)
    if (status === 422) expect(made.json.code).toBe('invalid_image')
  })
})

describe('pages', () => {
  test('a list is read to its end, each item once', async () => {
    for (let n = 0; n < 7; n++) t.newApp(`app-${n}`)
    const seen: string[] = []
    let cursor = ''
    for (let pages = 0; pages < 10; pages++) {
      const { json } = await t.call('GET', `/apps?limit=3${cursor && `&cursor=${cursor}`}`)
      seen.push(...json.items.map((app: { name: string }) => app.name))
      if (json.next === null) break
      cursor = json.next
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6].map((n) => `app-${n}`))
  })

  test('deployments and releases too', async () => {
    t.newApp('shop')
    for (let n = 0; n < 3; n++) t.deploy('shop')
    for (const list of ['deployments', 'releases']) {
      const first = await t.call('GET', `/apps/shop/${list}?limit=2`)
      const second = await t.call('GET', `/apps/shop/${list}?limit=2&cursor=${first.json.next}`)
      expect([first.json.items.length, second.json.items.length]).toEqual([2, 1])
      expect(second.json.next).toBeNull()
    }
  })

  test.each([
    ['limit=-1', 422],
    ['limit=0', 422],
    ['limit=1e9', 200],
    ['limit=abc', 422],
    ['limit=1&limit=2', 422],
    ['limmit=1', 422],
    ['cursor=abc', 400],
    [`cursor=${Buffer.from('00000000shop').toString('base64url')}`, 400],
    [`cursor=${'a'.repeat(201)}`, 422],
  ])('%s: %d', async (query, status) => {
    expect((await t.call('GET', `/apps?${query}`)).status).toBe(status)
  })

  test('a cursor belongs to its list', async () => {
    for (const name of ['a', 'b']) t.newApp(name)
    const { next } = (await t.call('GET', '/apps?limit=1')).json
    expect((await t.call('GET', `/apps/a/releases?cursor=${next}`)).json.code).toBe(
      'cursor_invalid',
    )
  })
})

describe('Idempotency-Key', () => {
  const key = { 'Idempotency-Key': 'k1' }

  test('the same request is done once and answered alike', async () => {
    const first = await t.call('POST', '/apps', { body: { name: 'shop' }, headers: key })
    const second = await t.call('POST', '/apps', { body: { name: 'shop' }, headers: key })
    expect([second.status, second.text]).toEqual([201, first.text])
    expect(second.headers.get('idempotency-replayed')).toBe('true')
    const other = await t.call('POST', '/apps', { body: { name: 'shop2' }, headers: key })
    expect([other.status, other.json.code]).toEqual([409, 'idempotency_conflict'])
    const theirs = await t.call('POST', '/apps', { body: { name: 'b' }, headers: key, as: 'other' })
    expect(theirs.status).toBe(201)
  })

  test('a refusal is not kept, for it changed nothing', async () => {
    const body = { name: 'shop' }
    t.newApp('shop')
    expect((await t.call('POST', '/apps', { body, headers: key })).json.code).toBe('name_taken')
    t.db.$client.prepare('DELETE FROM apps').run()
    expect((await t.call('POST', '/apps', { body, headers: key })).status).toBe(201)
  })

  test('an archive counts with its bytes', async () => {
    t.newApp('shop')
    const headers = { ...key, 'Content-Type': 'application/gzip' }
    const send = (text: string) =>
      t.call('POST', '/apps/shop/deployments', { body: Buffer.from(text), headers })
    const first = await send('one')
    expect((await send('one')).json.id).toBe(first.json.id)
    expect((await send('two')).json.code).toBe('idempotency_conflict')
    expect(readdirSync(t.deps.sourcesDir)).toHaveLength(1)
  })

  test('a key that is none', async () => {
    const headers = { 'Idempotency-Key': 'a b' }
    expect((await t.call('POST', '/apps', { body: { name: 'x' }, headers })).status).toBe(422)
  })
})

describe('who may', () => {
  const roles = ['viewer', 'developer', 'admin', 'owner'] as const
  const paths: [EndpointName, string][] = Object.entries<Endpoint>(ENDPOINTS).map(
    ([name, { path }]) => [
      name as EndpointName,
      path
        .replace(':app', 'shop')
        .replace(':deployment', 'dep_x')
        .replace(':host', 'x.example.com')
        .replace(':key', 'k'),
    ],
  )

  test.each(paths)('%s', async (name, path) => {
    t.newApp('shop')
    const { method, permission } = ENDPOINTS[name] as Endpoint
    const send = (as: (typeof roles)[number] | 'nobody' | 'other') =>
      t.call(method.toUpperCase(), `/api/v1${path}`, { as })
    expect((await send('nobody')).json).toMatchObject({ code: 'unauthenticated' })
    for (const role of roles) {
      const actor = { role } as Parameters<typeof can>[0]
      const may = can(actor, permission as Parameters<typeof can>[1])
      const { status, json } = path.includes('stream') ? { status: 0, json: {} } : await send(role)
      expect([role, status === 403]).toEqual([role, !may && !path.includes('stream')])
      if (status === 403) expect(json.message).toContain(permission)
    }
    if (!path.startsWith('/apps/')) return
    const foreign = await send('other')
    // What a stranger gets for an app of others is what everybody gets for none at all.
    const body = JSON.stringify({ ...foreign.json, requestId: undefined })
    if (foreign.status === 404) expect(body).toContain('No app called \\"shop\\"')
    else expect([400, 415, 422]).toContain(foreign.status)
  })
})

test('cancel of one that is over', async () => {
  t.newApp('shop')
  t.deploy('shop')
  const [done] = (await t.call('GET', '/apps/shop/deployments')).json.items
  const refused = await t.call('POST', `/apps/shop/deployments/${done.id}/cancel`)
  expect([refused.status, refused.json.code]).toEqual([409, 'conflict'])
})
