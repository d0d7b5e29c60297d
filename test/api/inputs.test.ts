import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openApiDocument } from '../../src/api/openapi.ts'
import type { Endpoint } from '../../src/api/schemas/endpoint.ts'
import { ENDPOINTS } from '../../src/api/schemas/index.ts'
import { createPages } from '../../src/web/routes.tsx'
import { makeApi, type Sent, type TestApi } from './support.ts'

let t: TestApi
beforeAll(() => {
  t = makeApi({}, createPages)
  for (const name of ['shop', 'fuzz']) t.newApp(name)
  for (let n = 0; n < 2; n++) t.deploy('shop')
})
afterAll(() => t.close())

type Case = [what: string, method: string, path: string, sent: Sent, status: number, code: string]
const post = (path: string, body: unknown) => ['POST', path, { body }] as const
const name = (value: unknown) => post('/apps', { name: value })
const env = (key: string, value = 'x') =>
  ['PATCH', '/apps/shop/env', { body: { set: { [key]: value } } }] as const
const host = (value: unknown) => post('/apps/shop/domains', { host: value })
const scale = (web: unknown) =>
  ['PATCH', '/apps/shop/processes', { body: { formation: { web } } }] as const
const get = (path: string, sent: Sent = {}) => ['GET', path, sent] as const
const bearer = (text: string): Sent => ({ as: 'nobody', headers: { Authorization: text } })
const many = Object.fromEntries(Array.from({ length: 1001 }, (_, n) => [`K${n}`, 'x']))

const CASES: Case[] = [
  ...[
    '',
    'a'.repeat(64),
    'App',
    '-a',
    'a--b',
    'a-',
    'a_b',
    'a;id',
    'a/../b',
    'ａpp',
    'аpp',
    '1a',
  ].map((value): Case => [`app name ${value}`, ...name(value), 422, 'invalid_name']),
  ...['www', 'api', 'helios', 'admin'].map(
    (value): Case => [`app name ${value}`, ...name(value), 422, 'name_reserved'],
  ),
  ['a name of the own team', ...name('shop'), 409, 'name_taken'],
  [
    'a name of another team',
    'POST',
    '/apps',
    { body: { name: 'shop' }, as: 'other' },
    409,
    'name_taken',
  ],
  ['a name that is no text', ...name(7), 422, 'invalid_value'],
  ['no name', ...post('/apps', {}), 422, 'invalid_value'],
  ['a field too much', ...post('/apps', { name: 'x', admin: true }), 422, 'invalid_value'],
  ['a list', ...post('/apps', []), 422, 'invalid_value'],
  ...['1A', 'A B', 'A=B', 'PATH\0', 'HELIOS_X', ''].map(
    (key): Case => [`config key ${JSON.stringify(key)}`, ...env(key), 422, 'invalid_env_key'],
  ),
  ['LD_PRELOAD', ...env('LD_PRELOAD'), 200, ''],
  ['a value with NUL', ...env('A', 'x\0y'), 422, 'env_value_nul'],
  ['a value of 200 KiB', ...env('A', 'x'.repeat(200 * 1024)), 422, 'env_value_too_large'],
  ['1,001 config vars', 'PATCH', '/apps/shop/env', { body: { set: many } }, 422, 'too_many_env'],
  [
    'a value that is no text',
    'PATCH',
    '/apps/shop/env',
    { body: { set: { A: 1 } } },
    422,
    'invalid_value',
  ],
  ...[
    'http://x',
    'x',
    '*.com',
    'a..b',
    'a'.repeat(60).concat('.').repeat(4).concat('abcdefghijk'),
    '127.0.0.1',
    'a_b.com',
    '',
  ].map((value): Case => [`domain ${value}`, ...host(value), 422, 'invalid_domain']),
  ['a name of the server', ...host('x.localhost'), 422, 'domain_reserved'],
  ...[
    ['../1', 404],
    ['1e9', 404],
    ["' OR 1=1 --", 404],
    ['dep_01k3m9x2v7h6q4t8s0a1b2c3d4', 404],
    ['a'.repeat(1000), 404],
  ].map(
    ([id, status]): Case => [
      `deployment ${String(id).slice(0, 20)}`,
      ...get(`/apps/shop/deployments/${encodeURIComponent(id as string)}`),
      status as number,
      String(id).length > 200 ? 'not_found' : 'deployment_not_found',
    ],
  ),
  ['an app that is a path', ...get('/apps/..%2f..%2fetc'), 404, 'app_not_found'],
  ['an app with a broken escape', ...get('/apps/%zz'), 404, 'app_not_found'],
  ['an app of another team', ...get('/apps/shop', { as: 'other' }), 404, 'app_not_found'],
  ['an app that is not', ...get('/apps/none'), 404, 'app_not_found'],
  ['no token', ...get('/apps', { as: 'nobody' }), 401, 'unauthenticated'],
  ['a malformed token', ...get('/apps', bearer('Bearer hel_pat_x')), 401, 'unauthenticated'],
  ['another scheme', ...get('/apps', bearer('Digest x')), 401, 'unauthenticated'],
  [
    'no permission',
    'POST',
    '/apps',
    { body: { name: 'x' }, as: 'viewer' },
    403,
    'missing_permission',
  ],
  [
    'a release that is live',
    ...post('/apps/shop/rollback', { release: 2 }),
    409,
    'release_unavailable',
  ],
  [
    'a release that is not',
    ...post('/apps/shop/rollback', { release: 99 }),
    404,
    'release_not_found',
  ],
  ['release 0', ...post('/apps/shop/rollback', { release: 0 }), 422, 'invalid_value'],
  ['nothing to go back to', ...post('/apps/fuzz/rollback', {}), 409, 'release_unavailable'],
  ['0 instances', ...scale(0), 202, ''],
  ['-1 instances', ...scale(-1), 422, 'invalid_value'],
  ['1.5 instances', ...scale(1.5), 422, 'invalid_value'],
  ['10,000 instances', ...scale(10_000), 422, 'over_quota'],
  ['1e300 instances', ...scale(1e300), 422, 'invalid_value'],
  [
    'instances of nothing',
    'PATCH',
    '/apps/shop/processes',
    { body: { formation: { job: 1 } } },
    422,
    'no_process',
  ],
  ['no confirmation', 'DELETE', '/apps/shop', {}, 422, 'invalid_value'],
  ['a key that is none', ...post('/keys', { key: 'ssh-rsa x' }), 422, 'invalid_key'],
  ['lines -1', ...get('/apps/shop/logs?lines=-1'), 422, 'invalid_value'],
  ['since yesterday', ...get('/apps/shop/logs?since=yesterday'), 422, 'invalid_value'],
  [
    'text for JSON',
    'POST',
    '/apps',
    { body: '{}', headers: { 'Content-Type': 'text/plain' } },
    415,
    'unsupported_media_type',
  ],
  ['broken JSON', ...post('/apps', '{'), 400, 'bad_request'],
  ['PUT', 'PUT', '/apps/shop', {}, 405, 'method_not_allowed'],
  ['no such route', ...get('/apps/shop/nothing'), 404, 'not_found'],
]

describe('bad inputs', () => {
  test.each(CASES)('%s', async (_, method, path, sent, status, code) => {
    const answer = await t.call(method, path, sent)
    expect([answer.status, answer.json?.code ?? '']).toEqual([status, code])
    if (status < 400) return
    expect(answer.json.message.length).toBeLessThan(400)
    expect(answer.json.requestId).toMatch(/^req_/)
    expect(answer.json.message).not.toMatch(/\p{Cc}/u)
    expect(answer.text).not.toMatch(/SQLITE|node_modules|\.ts:/)
  })

  test('what is not there and what others have look the same', async () => {
    const bodies = await Promise.all(
      ['shop', 'nope'].map(async (app) => {
        const { status, json } = await t.call('GET', `/apps/${app}`, { as: 'other' })
        return JSON.stringify([status, { ...json, requestId: '' }]).replaceAll(app, 'APP')
      }),
    )
    expect(bodies[0]).toBe(bodies[1])
  })

  test('an expired token is told so', async () => {
    t.db.$client
      .prepare(
        "UPDATE tokens SET expires_at = 1 WHERE user_id = (SELECT id FROM users WHERE name = 'admin')",
      )
      .run()
    const { json } = await t.call('GET', '/apps', { as: 'admin' })
    expect(json.message).toBe('This token expired')
  })

  test('values come back byte for byte, names in their one form', async () => {
    const value = '$(id) "q" \'s\' \n # $\u007bX} é 🚀 \\'
    await t.call('PATCH', '/apps/fuzz/env', { body: { set: { A: value } } })
    expect((await t.call('GET', '/apps/fuzz/env')).json.env.A).toBe(value)
    for (const [given, kept] of [
      ['EXAMPLE.com.', 'example.com'],
      ['bücher.example', 'xn--bcher-kva.example'],
    ]) {
      expect(
        (await t.call('POST', '/apps/fuzz/domains', { body: { host: given } })).json.host,
      ).toBe(kept)
    }
    const taken = await t.call('POST', '/apps/shop/domains', { body: { host: 'example.com' } })
    expect([taken.status, taken.json.code]).toEqual([409, 'domain_taken'])
  })
})

describe('nothing makes the server fail', () => {
  const word = fc.oneof(
    fc.constantFrom(
      'shop',
      'fuzz',
      'none',
      '..',
      '%00',
      '',
      ' ',
      'dep_x',
      '__proto__',
      '-1',
      '1e999',
      '\ud800',
      '�',
      "'",
    ),
    fc.string({ maxLength: 300, unit: 'binary' }),
  )
  const value = fc.oneof(
    { weight: 3, arbitrary: word },
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.jsonValue({ maxDepth: 3 }),
    fc.dictionary(word, fc.oneof(word, fc.integer({ min: -2, max: 3 })), { maxKeys: 4 }),
    fc.array(word, { maxLength: 4 }),
  )
  const routes = Object.entries<Endpoint>(ENDPOINTS).filter(
    ([name, { gives }]) => gives !== 'sse' && name !== 'destroyApp',
  )

  const request = fc.constantFrom(...routes).chain(([, endpoint]) => {
    const fields = Object.keys(endpoint.body?.shape ?? {})
    const queries = Object.keys(endpoint.query?.shape ?? {})
    return fc.record({
      endpoint: fc.constant(endpoint),
      words: fc.array(word, { minLength: 2, maxLength: 2 }),
      body: fc.oneof(
        {
          weight: 4,
          arbitrary: fc.record(Object.fromEntries(fields.map((each) => [each, value])), {
            requiredKeys: [],
          }),
        },
        value,
      ),
      raw: fc.option(fc.string({ maxLength: 50 }), { freq: 10 }),
      query: fc.record(Object.fromEntries(queries.map((each) => [each, word])), {
        requiredKeys: [],
      }),
      key: fc.option(fc.constantFrom('k1', 'k2'), { freq: 4 }),
      type: fc.constantFrom(
        'application/json',
        'application/json',
        'application/x-tar',
        'text/plain',
      ),
    })
  })

  test('any request to any route', async () => {
    const seen = new Set<number>()
    await fc.assert(
      fc.asyncProperty(request, async ({ endpoint, words, body, raw, query, key, type }) => {
        let at = 0
        const path = endpoint.path.replace(/:\w+/g, () =>
          encodeURIComponent((words[at++] ?? '').toWellFormed()),
        )
        const given = Object.entries(query).map(([name, text]) => [
          name,
          String(text).toWellFormed(),
        ])
        const search = new URLSearchParams(given as [string, string][]).toString()
        const bodied = endpoint.method !== 'get'
        const { status, json } = await t.call(
          endpoint.method.toUpperCase(),
          `/api/v1${path}?${search}`,
          {
            ...(bodied ? { body: raw ?? JSON.stringify(body) ?? '' } : {}),
            headers: {
              ...(bodied ? { 'Content-Type': type } : {}),
              ...(key ? { 'Idempotency-Key': key } : {}),
            },
          },
        )
        seen.add(status)
        expect(status).toBeLessThan(500)
        if (status >= 400)
          expect(json).toMatchObject({ code: expect.any(String), message: expect.any(String) })
      }),
      { numRuns: 800, seed: 7 },
    )
    // The net is wide enough to hit the mark at times, and everything around it.
    expect([...seen].sort()).toEqual(expect.arrayContaining([200, 404, 415, 422]))
  }, 60_000)

  test('any path and method', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(word, { maxLength: 5 }),
        fc.constantFrom('GET', 'POST', 'DELETE', 'PUT', 'HEAD'),
        async (words, method) => {
          const path = `/${words.map((each) => encodeURIComponent(each.toWellFormed())).join('/')}`
          const response = await t.app.request(`http://localhost${path}`, { method })
          expect(response.status).toBeLessThan(500)
        },
      ),
      { numRuns: 300 },
    )
  })
})

describe('the OpenAPI document', () => {
  // biome-ignore lint/suspicious/noExplicitAny: a document of any shape is looked through.
  const read = async (): Promise<any> => {
    const { json, status } = await t.call('GET', '/api/v1/openapi.json', { as: 'nobody' })
    expect(status).toBe(200)
    return json
  }

  test('is sound, and tells of every route', async () => {
    const document = await read()
    expect(document).toMatchObject({
      openapi: '3.1.0',
      info: { title: 'Helios', version: '0.1.0' },
      servers: [{ url: 'http://127.0.0.1:3000/api/v1' }],
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
    })
    const operations = Object.entries<Record<string, { operationId: string }>>(
      document.paths,
    ).flatMap(([path, item]) =>
      Object.entries(item).map(
        ([method, operation]) => ({ path, method, ...operation }) as unknown as Operation,
      ),
    )
    expect(operations.map((each) => each.operationId).sort()).toEqual(
      [...Object.keys(ENDPOINTS), 'run'].sort(),
    )
    for (const each of operations) {
      const inPath = [...each.path.matchAll(/\{(\w+)\}/g)].map(([, found]) => found)
      const declared = each.parameters.filter((one) => one.in === 'path').map((one) => one.name)
      expect(declared).toEqual(inPath)
      expect(each.parameters.every((one) => one.in !== 'path' || one.required)).toBe(true)
      expect(Object.keys(each.responses)).toContain('default')
      expect(each['x-permission']).toMatch(/^\w+\.\w+$/)
    }
  })

  type Operation = {
    path: string
    operationId: string
    'x-permission': string
    parameters: { name: string; in: string; required: boolean }[]
    responses: Record<string, unknown>
  }

  test('refers only to what it has, and uses all of it', async () => {
    const document = await read()
    const text = JSON.stringify(document)
    const refs = new Set([...text.matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path = '']) => path))
    for (const ref of refs) {
      const found = ref
        .split('/')
        .reduce<Record<string, unknown> | undefined>(
          (at, part) => at?.[part] as Record<string, unknown> | undefined,
          document,
        )
      expect([ref, typeof found]).toEqual([ref, 'object'])
    }
    for (const id of Object.keys(document.components.schemas)) {
      expect(refs).toContain(`components/schemas/${id}`)
    }
    expect(text).not.toContain('$defs')
  })

  test('its examples are taken by the schemas that check requests', () => {
    const document = openApiDocument({ version: '1', url: 'http://x/', api: '/api/v1' })
    const { paths } = document as { paths: Record<string, Record<string, Bodied>> }
    expect(JSON.stringify(paths)).toContain('"example"')
    for (const [id, endpoint] of Object.entries<Endpoint>(ENDPOINTS)) {
      const path = endpoint.path.replace(/:(\w+)/g, '{$1}')
      const item = paths[path]
      const example = item?.[endpoint.method]?.requestBody?.content['application/json']?.example
      if (example !== undefined)
        expect([id, endpoint.body?.safeParse(example).success]).toEqual([id, true])
    }
  })

  type Bodied = { requestBody?: { content: Record<string, { example?: unknown }> } }
})
