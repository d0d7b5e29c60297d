import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HeliosError } from '../lib/errors.ts'
import { parseJson, readJson } from './body.ts'
import { refusalOf } from './errors.ts'

type BodyInit = ConstructorParameters<typeof Response>[0]

const deep = (n: number) => '['.repeat(n) + ']'.repeat(n)
const ask = (body: BodyInit, headers: Record<string, string> = {}) =>
  readJson(
    new Request('http://x/', {
      method: 'POST',
      body,
      headers: { 'Content-Type': 'application/json', ...headers },
      ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
    } as RequestInit),
    new AbortController().signal,
  )
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'taken',
    (error: unknown) => (error instanceof HeliosError ? error.code : 'thrown'),
  )

describe('bodies', () => {
  test.each<[string, BodyInit, string]>([
    ['an object', '{"a":[1,{"b":"é"}]}', 'taken'],
    ['nothing', '', 'taken'],
    ['32 levels', deep(32), 'taken'],
    ['33 levels', deep(33), 'bad_request'],
    ['10,000 levels', deep(10_000), 'bad_request'],
    ['brackets in text', JSON.stringify(`${'['.repeat(99)}\\"`), 'taken'],
    ['a BOM', '\ufeff{}', 'taken'],
    ['NaN', '{"a":NaN}', 'bad_request'],
    ['1e999', '{"a":1e999}', 'bad_request'],
    ['__proto__', '{"a":{"__proto__":{}}}', 'bad_request'],
    ['__proto__ in disguise', '{"\\u005f_proto__":1}', 'bad_request'],
    ['half a surrogate pair', '{"a":"\\ud800"}', 'bad_request'],
    ['half a pair as key', '{"\\udc00":1}', 'bad_request'],
    ['no UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'bad_request'],
    ['cut off', '{"a":', 'bad_request'],
    ['an open quote with a million escapes', `"${'\\"'.repeat(500_000)}`, 'bad_request'],
    ['more than 1 MiB', ' '.repeat(1024 * 1024 + 1), 'body_too_large'],
    ['just 1 MiB', `"${'x'.repeat(1024 * 1024 - 2)}"`, 'taken'],
  ])('%s', async (_, body, outcome) => {
    expect(await codeOf(ask(body))).toBe(outcome)
  })

  test.each<[Record<string, string>, string]>([
    [{ 'Content-Type': 'application/json; charset=utf-8' }, 'taken'],
    [{ 'Content-Type': 'text/plain' }, 'unsupported_media_type'],
    [{ 'Content-Type': '' }, 'unsupported_media_type'],
    [{ 'Content-Encoding': 'gzip' }, 'unsupported_media_type'],
  ])('with %o', async (headers, outcome) => {
    expect(await codeOf(ask('{}', headers))).toBe(outcome)
  })

  test('a body that breaks off is said to have', async () => {
    const broken = new ReadableStream({ start: (controller) => controller.error(new Error('x')) })
    expect(await codeOf(ask(broken))).toBe('bad_request')
  })

  test('whatever is JSON and within the limits is given as it is', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 20 }), (text) => {
        fc.pre(!text.includes('__proto__') && JSON.stringify(JSON.parse(text)).isWellFormed())
        expect(parseJson(text)).toEqual(JSON.parse(text))
      }),
      { numRuns: 200 },
    )
  })
})

test.each([
  ['what nobody meant to be read', new Error('secret'), 500, 'internal'],
  ['what is none', 'text', 500, 'internal'],
  ['a program that failed', new HeliosError('internal', '/secret/path'), 500, 'internal'],
  [
    'a full disk',
    new Error('x', { cause: Object.assign(new Error('y'), { code: 'SQLITE_FULL' }) }),
    507,
    'HP50',
  ],
  ['a refusal', new HeliosError('app_not_found', 'No app called "x"'), 404, 'app_not_found'],
])('%s becomes a status and a body', (_, error, status, code) => {
  const refusal = refusalOf(error, 'req_1')
  expect(refusal).toMatchObject({ status, body: { code, requestId: 'req_1' } })
  expect(JSON.stringify(refusal)).not.toContain('secret')
})
