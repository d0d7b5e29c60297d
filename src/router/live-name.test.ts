import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkId, liveName, MAX_ADDRESSES, parseLiveName } from './live-name.ts'

const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/)
const octet = fc.integer({ min: 0, max: 255 })
const port = fc.integer({ min: 1, max: 65_535 })
const address = fc
  .tuple(octet, octet, octet, octet, port)
  .map(([a, b, c, d, at]) => `${a}.${b}.${c}.${d}:${at}`)
const neighbours = fc
  .tuple(octet, octet, port, fc.array(fc.tuple(octet, octet), { maxLength: MAX_ADDRESSES }))
  .map(([a, b, at, list]) => list.map(([c, d]) => `${a}.${b}.${c}.${d}:${at}`))

test('every state survives the way through a file name', () => {
  const addresses = fc.oneof(fc.array(address, { maxLength: 4 }), neighbours)
  fc.assert(
    fc.property(id, id, addresses, (app, release, list) => {
      const name = liveName({ app, release, addresses: list })
      expect(name.length).toBeLessThanOrEqual(255)
      expect(name).not.toContain('/')
      expect(parseLiveName(app, name)).toEqual({ app, release, addresses: list })
    }),
  )
})

test('any other name is nothing, never an exception', () => {
  fc.assert(
    fc.property(fc.string(), (name) => {
      const state = parseLiveName('app_1', name)
      if (state !== undefined) expect(liveName(state)).toBe(name)
    }),
  )
})

test.each([
  'asleep',
  '0;r=',
  '0;r=a;r=b',
  '1;10.0.0.256:80;r=rel_1',
  '1;10.0.0.1:65536;r=rel_1',
  '1;10.0.0.1:80;r=rel_1;w=19a',
  '2;10.0.0.1:80;r=rel_1',
  '2;10.0.0.;1;:80;r=rel_1',
  '2;10.0.;0.1,0.2;:80;r=rel_1',
  '1;;10.0.0.1:80;;r=rel_1',
  `17;10.0.0.;${Array.from({ length: 17 }, (_, i) => i).join(',')};:80;r=rel_1`,
])('%j is no live name', (name) => expect(parseLiveName('app_1', name)).toBeUndefined())

test.each([
  [[], '0;r=rel_1'],
  [['10.1.0.5:3000'], '1;10.1.0.5:3000;r=rel_1'],
  [['10.1.0.5:3000', '10.1.0.62:3000'], '2;10.1.0.;5,62;:3000;r=rel_1'],
  [['10.1.0.5:3000', '10.1.0.5:3001'], '2;10.1.0.5:300;0,1;;r=rel_1'],
  [['10.1.0.5:80', '10.1.0.5:80'], '2;10.1.0.5:80;,;;r=rel_1'],
])('%j is written as %s', (addresses, name) => {
  expect(liveName({ app: 'app_1', release: 'rel_1', addresses })).toBe(name)
  expect(parseLiveName('app_1', name)?.addresses).toEqual(addresses)
})

test('what a name cannot carry is refused with the value at fault', () => {
  const state = { app: 'app_1', release: 'rel_1', addresses: ['10.1.0.5:3000'] }
  expect(() => liveName({ ...state, release: '../x' })).toThrow('"../x"')
  expect(() => liveName({ ...state, release: 'a;b' })).toThrow('"a;b"')
  expect(() => liveName({ ...state, addresses: ['web:3000'] })).toThrow('"web:3000"')
  expect(() => liveName({ ...state, addresses: ['10.1.0.5:0'] })).toThrow('"10.1.0.5:0"')
  expect(() => liveName({ ...state, addresses: Array(17).fill('10.1.0.5:3000') })).toThrow('17 add')
  const apart = Array.from({ length: 16 }, (_, i) => `${100 + i}.100.100.100:${10_000 + i}`)
  expect(() => liveName({ ...state, addresses: apart })).toThrow('16 addresses are more')
  expect(() => checkId('app', '..')).toThrow('".."')
})
