import { Writable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { HeliosError } from '../lib/errors.ts'
import { createLogger, silentLogger } from '../lib/log.ts'
import { answer, createDoor } from './door.ts'

const fine = () => answer(200, '{}')

describe('every route says who may use it', () => {
  test.each(['', 'app.reed', 'owner', 'constructor'])('%j is no permission', (access) => {
    const door = createDoor(silentLogger())
    expect(() => door.mount('GET', '/x', access, fine)).toThrow('GET /x names no permission')
  })

  test.each(['get', 'all', 'post'] as const)('one that came in by the side with %s', (method) => {
    const door = createDoor(silentLogger())
    door.mount('GET', '/x', 'app.read', fine)
    door.app[method]('/y', fine)
    expect(() => door.seal()).toThrow(/\/y names no permission/)
  })

  test('another method on a path that is known', () => {
    const door = createDoor(silentLogger())
    door.mount('GET', '/x', 'app.read', fine)
    door.app.post('/x', fine)
    expect(() => door.seal()).toThrow('POST /x names no permission')
  })
})

describe('requests', () => {
  const make = () => {
    const lines: string[] = []
    const stream = new Writable({
      write: (chunk, _, done) => {
        lines.push(String(chunk))
        done()
      },
    })
    const door = createDoor(createLogger({ level: 'info', stream }))
    door.mount('GET', '/fine', 'public', fine)
    door.mount('POST', '/fails', 'public', () => {
      throw new Error('a secret place')
    })
    door.mount('GET', '/refuses', 'public', () => {
      throw new HeliosError('unauthenticated', 'Who are you?')
    })
    door.seal()
    return { app: door.app, lines }
  }

  test.each([
    ['GET', '/fine', 200, undefined],
    ['HEAD', '/fine', 200, undefined],
    ['PUT', '/fine', 405, 'method_not_allowed'],
    ['OPTIONS', '/fine', 405, 'method_not_allowed'],
    ['GET', '/fine/', 404, 'not_found'],
    ['GET', '/../etc/passwd', 404, 'not_found'],
    ['GET', '/%2e%2e/%00', 404, 'not_found'],
    ['POST', '/fails', 500, 'internal'],
    ['GET', '/refuses', 401, 'unauthenticated'],
  ])('%s %s: %d', async (method, path, status, code) => {
    const { app, lines } = make()
    const response = await app.request(path, { method })
    expect(response.status).toBe(status)
    const requestId = response.headers.get('x-request-id')
    expect(requestId).toMatch(/^req_[0-9a-f]{16}$/)
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    if (code) expect(await response.json()).toMatchObject({ code, requestId })
    const logged = lines.map((line) => JSON.parse(line))
    expect(logged.at(-1)).toMatchObject({ msg: 'request', requestId, method, status })
    expect(logged.length).toBe(status === 500 ? 2 : 1)
    if (status === 405) expect(response.headers.get('allow')).toBe('GET')
    if (status === 401) expect(response.headers.get('www-authenticate')).toBe('Bearer')
  })
})
