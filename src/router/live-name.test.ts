import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkId, liveName, parseLiveName } from './live-name.ts'

const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/)
const octet = fc.integer({ min: 0, max: 255 })
const address = fc
  .tuple(octet, octet, octet, octet, fc.integer({ min: 1, max: 65_535 }))
  .map(([a, b, c, d, port]) => `${a}.${b}.${c}.${d}:${port}`)

test('every state survives the way through a file name', () => {
  fc.assert(
    fc.property(id, id, fc.array(address, { maxLength: 4 }), (app, release, addresses) => {
      const name = liveName({ app, release, addresses })
      expect(name.length).toBeLessThan(255)
      expect(name).not.toContain('/')
      expect(parseLiveName(app, name)).toEqual({ app, release, addresses })
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
  for (const name of [
    'asleep',
    'r=rel_1;w=000;n=2;a=10.0.0.1:80;c=',
    'r=rel_1;w=000;n=1;a=10.0.0.256:80;c=',
    'r=rel_1;w=000;n=1;a=10.0.0.1:65536;c=',
    'r=;w=000;n=0;a=;c=',
  ]) {
    expect(parseLiveName('app_1', name)).toBeUndefined()
  }
})

test('a name is written the same way always', () => {
  const state = { app: 'app_1', release: 'rel_1', addresses: ['10.1.0.5:3000', '10.1.0.6:3000'] }
  expect(liveName(state)).toBe('r=rel_1;w=000;n=2;a=10.1.0.5:3000,10.1.0.6:3000;c=')
  expect(liveName({ ...state, addresses: [] })).toBe('r=rel_1;w=000;n=0;a=;c=')
})

test('what a name cannot carry is refused with the value at fault', () => {
  const state = { app: 'app_1', release: 'rel_1', addresses: ['10.1.0.5:3000'] }
  expect(() => liveName({ ...state, release: '../x' })).toThrow('"../x"')
  expect(() => liveName({ ...state, release: 'a;b' })).toThrow('"a;b"')
  expect(() => liveName({ ...state, addresses: ['web:3000'] })).toThrow('"web:3000"')
  expect(() => liveName({ ...state, addresses: ['10.1.0.5:0'] })).toThrow('"10.1.0.5:0"')
  expect(() => liveName({ ...state, addresses: Array(5).fill('10.1.0.5:3000') })).toThrow('5 add')
  expect(() => checkId('app', '..')).toThrow('".."')
})
