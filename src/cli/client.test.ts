import fc from 'fast-check'
import { expect, test } from 'vitest'
import { appOfUrl } from './app-name.ts'
import { lay } from './client.ts'
import { parseServer } from './http.ts'
import { gather } from './pages.ts'
import { readEvents } from './sse.ts'

test.each([
  ['get /apps', undefined, '/apps'],
  [
    'get /apps',
    { query: { limit: 5, cursor: 'a&b', more: undefined } },
    '/apps?limit=5&cursor=a%26b',
  ],
  ['get /apps/:app', { params: { app: 'a/../b?x#y' } }, '/apps/a%2F..%2Fb%3Fx%23y'],
  ['delete /keys/:key', { params: { key: 'SHA256:a+b/c=' } }, '/keys/SHA256%3Aa%2Bb%2Fc%3D'],
  [
    'get /apps/:app/deployments/:deployment',
    { params: { app: 'a', deployment: 'é' } },
    '/apps/a/deployments/%C3%A9',
  ],
])('%s with %j is at %s', (route, input, path) => {
  expect(lay(route, input).path).toBe(path)
})

test.each(['', '.', '..', undefined])('%j names nothing', (app) => {
  expect(() => lay('get /apps/:app', { params: { app } })).toThrow('names no app')
})

test.each([
  ['ssh://git@host:2222/shop.git', 'shop'],
  ['git@host:shop.git', 'shop'],
  ['https://host/git/shop.git/', 'shop'],
  ['http://host:3000/shop', 'shop'],
  ['/', undefined],
])('%s is of the app %s', (url, app) => {
  expect(appOfUrl(url)).toBe(app)
})

test('addresses of servers', () => {
  expect(
    ['HTTPS://Helios.example.com/x?y', 'localhost:3000', 'http://[::1]:80'].map(parseServer),
  ).toEqual(['https://helios.example.com', 'http://localhost:3000', 'http://[::1]'])
  for (const text of ['', 'ftp://x', 'http://u:p@x', 'http://', 'javascript:x//', 'http://a b']) {
    expect(() => parseServer(text)).toThrow('is no address of a server')
  }
})

async function* pieces(bytes: Buffer, cuts: number[]): AsyncGenerator<Buffer> {
  let from = 0
  for (const cut of [
    ...cuts.map((at) => at % (bytes.length + 1)).sort((a, b) => a - b),
    bytes.length,
  ]) {
    yield bytes.subarray(from, cut)
    from = cut
  }
}
const eventsOf = async (text: string, cuts: number[] = []) => {
  const found = []
  for await (const event of readEvents(pieces(Buffer.from(text), cuts))) found.push(event)
  return found
}

test('events come out whole, wherever the stream is cut', async () => {
  const text =
    ': beat\n\nevent: line\nid: 1\ndata: {"a":"é日"}\n\ndata:two\ndata: lines\r\n\r\nid\ndata\n\nevent: end\ndata: x: y\n\ndata: never ended'
  const whole = await eventsOf(text)
  expect(whole).toEqual([
    { id: '1', event: 'line', data: '{"a":"é日"}' },
    { id: '1', event: 'message', data: 'two\nlines' },
    { id: '', event: 'message', data: '' },
    { id: '', event: 'end', data: 'x: y' },
  ])
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(500), { maxLength: 20 }), async (cuts) => {
      expect(await eventsOf(text, cuts)).toEqual(whole)
    }),
  )
})

test('pages are gathered up to the most that is wanted', async () => {
  const asked: unknown[] = []
  const page = async (query: { limit: number; cursor?: string }) => {
    asked.push(query)
    const from = Number(query.cursor ?? 0)
    const items = Array.from({ length: Math.min(query.limit, 450 - from) }, (_, at) => from + at)
    const next = from + items.length
    return { items, next: next < 450 ? String(next) : null }
  }
  expect(await gather(20, page)).toMatchObject({ more: true, items: { length: 20 } })
  expect(await gather(1000, page)).toMatchObject({ more: false, items: { length: 450 } })
  expect(asked).toEqual([
    { limit: 20 },
    { limit: 200 },
    { limit: 200, cursor: '200' },
    { limit: 200, cursor: '400' },
  ])
  expect(await gather(10, async () => ({ items: [], next: 'x' }))).toEqual({
    items: [],
    more: false,
  })
})
