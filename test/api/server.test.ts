import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { createApiServer } from '../../src/api/server.ts'
import { setDeploymentState } from '../../src/core/deployments.ts'
import { HeliosError } from '../../src/lib/errors.ts'
import { createPages } from '../../src/web/routes.tsx'
import { echoProgram, makeApi, type TestApi } from './support.ts'

let t: TestApi
let server: ReturnType<typeof createApiServer>
let base: string
let program: ReturnType<typeof echoProgram>
const begin = async (over: Parameters<typeof makeApi>[0] = {}) => {
  program = echoProgram()
  t = makeApi({ runOneOff: async () => program, ...over })
  server = createApiServer(t.deps, {
    listen: { host: '127.0.0.1', port: 0 },
    pages: createPages(t.deps),
  })
  await server.start(new AbortController().signal)
  base = `http://127.0.0.1:${server.address().port}`
}
beforeEach(() => begin())
afterEach(async () => {
  await server.stop(AbortSignal.timeout(2000))
  t.close()
})

const auth = (as: keyof TestApi['tokens'] = 'owner') => ({
  Authorization: `Bearer ${t.tokens[as]}`,
})

/** Send bytes as they are; gives everything that comes back until the connection ends. */
const raw = (text: string, ms = 3000): Promise<string> =>
  new Promise((resolve) => {
    let got = ''
    const socket = connect(server.address().port, '127.0.0.1', () => socket.write(text))
    socket.setTimeout(ms, () => socket.destroy())
    socket.on('data', (chunk) => {
      got += chunk
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(got))
  })

describe('requests that are none', () => {
  const big = 'x'.repeat(100 * 1024)
  const close = 'Connection: close\r\n'
  test.each([
    ['garbage', 'hello\r\n\r\n', '400'],
    ['HTTP/0.9', 'GET /healthz\r\n\r\n', '400'],
    ['no Host', `GET /healthz HTTP/1.1\r\n${close}\r\n`, '400'],
    ['a broken Host', `GET /healthz HTTP/1.1\r\nHost: a b\r\n${close}\r\n`, '400'],
    ['100 KiB of headers', `GET /healthz HTTP/1.1\r\nHost: x\r\nA: ${big}\r\n\r\n`, '431'],
    [
      'two lengths',
      `POST /api/v1/apps HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n`,
      '400',
    ],
    [
      'a length and chunks',
      `POST /api/v1/apps HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      '400',
    ],
    [
      'chunks that are none',
      `POST /login HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n`,
      '400',
    ],
    ['a target with backslashes', `GET /\\..\\x HTTP/1.1\r\nHost: x\r\n${close}\r\n`, '400'],
    ['an odd method', `PROPFIND /healthz HTTP/1.1\r\nHost: x\r\n${close}\r\n`, '405'],
    [
      'an offer of h2c',
      `GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n`,
      '200',
    ],
    [
      'a WebSocket elsewhere',
      `GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n`,
      '200',
    ],
  ])('%s', async (_, text, status) => {
    const answer = await raw(text)
    expect(answer.slice(0, 12)).toBe(`HTTP/1.1 ${status}`)
    if (status !== '200') expect(answer).toMatch(/\{"code":"(bad_request|method_not_allowed)"/)
  })

  test('headers that do not come are not waited for longer than 10 s', async () => {
    const begun = Date.now()
    const answer = await raw('GET /healthz HTTP/1.1\r\nHost: x\r\n', 20_000)
    expect(answer.slice(0, 12)).toBe('HTTP/1.1 408')
    expect(Date.now() - begun).toBeLessThan(14_000)
  })

  test('a body over the limit is refused before it came', async () => {
    const head = `POST /api/v1/apps HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${t.tokens.owner}\r\nContent-Type: application/json\r\n`
    expect((await raw(`${head}Content-Length: 2000000\r\n\r\n{`)).slice(0, 12)).toBe('HTTP/1.1 413')
    const chunk = `${(65536).toString(16)}\r\n${' '.repeat(65536)}\r\n`
    const answer = await raw(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(20)}`)
    expect(answer.slice(0, 12)).toBe('HTTP/1.1 413')
  })
})

/** Read events until `done` says so. */
async function readEvents(response: Response, done: (text: string) => boolean): Promise<string> {
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString()
    if (done(text)) break
  }
  return text
}

describe('streams', () => {
  const log = async (id: string, last?: string) =>
    fetch(`${base}/api/v1/apps/shop/deployments/${id}/log`, {
      headers: { ...auth(), ...(last ? { 'Last-Event-ID': last } : {}) },
    })
  const begun = async () => {
    t.newApp('shop')
    t.deploy('shop')
    return (await t.call('POST', '/apps/shop/restart')).json.id as string
  }

  test("a deployment's log goes on after the last event, and ends with the deployment", async () => {
    const id = await begun()
    for (const text of ['one', 'two\nmore', 'three']) t.jobLogs.append(id, { stream: 'out', text })
    const response = await log(id)
    expect(response.headers.get('content-type')).toContain('text/event-stream')
    const seen = await readEvents(response, (text) => text.includes('id: 2\n'))
    expect(seen).toMatch(/^event: line\nid: 1\ndata: \{"seq":1/)
    const rest = readEvents(await log(id, '2'), (text) => text.includes('event: end'))
    t.jobLogs.append(id, { stream: 'step', text: 'done' })
    setDeploymentState(t.db, id, { state: 'succeeded' }, Date.now())
    t.jobLogs.end(id)
    const text = await rest
    expect(text.match(/^id: \d+/gm)).toEqual(['id: 3', 'id: 4'])
    const end = JSON.parse(/event: end\ndata: (.*)/.exec(text)?.[1] ?? '{}')
    expect(end).toMatchObject({ id, state: 'succeeded', reason: 'restart' })
    expect(await (await log(id, '4')).text()).toMatch(/^event: end\n/)
    expect((await log(id, 'abc')).status).toBe(400)
  })

  test('a deployment that never ran ends its stream too', async () => {
    const id = await begun()
    const stream = log(id).then((response) => response.text())
    await t.call('POST', `/apps/shop/deployments/${id}/cancel`)
    expect(await stream).toContain('"state":"cancelled"')
  })

  test('lines of an app are followed, from a position too', async () => {
    const app = t.newApp('shop')
    const add = (text: string, process = 'web') =>
      t.appLogs.append(app.id, [
        {
          at: new Date().toISOString(),
          process,
          instance: `${process}.1`,
          source: 'c',
          stream: 'stdout',
          text,
        },
      ])
    for (const text of ['a', 'b']) add(text)
    add('hidden', 'worker')
    const url = `${base}/api/v1/apps/shop/logs/stream`
    const first = await fetch(`${url}?lines=1&process=web`, { headers: auth() })
    const seen = readEvents(first, (text) => text.includes('"c"'))
    setTimeout(() => add('c'), 50)
    const texts = (text: string) => [...text.matchAll(/"text":"(\w+)"/g)].map(([, found]) => found)
    expect(texts(await seen)).toEqual(['b', 'c'])
    const last = /id: (\S+)/.exec(await seen)?.[1] ?? ''
    const again = await fetch(`${url}?process=web`, {
      headers: { ...auth(), 'Last-Event-ID': last },
    })
    expect(texts(await readEvents(again, (text) => text.includes('"c"')))).toEqual(['c'])
  })

  test('they end when the server stops, which does not wait for idle connections', async () => {
    t.newApp('shop')
    const stream = await fetch(`${base}/api/v1/apps/shop/logs/stream`, { headers: auth() })
    await (await fetch(`${base}/healthz`)).text()
    const begunAt = Date.now()
    const ended = stream.text()
    await server.stop(AbortSignal.timeout(5000))
    expect(await ended).toBe('')
    expect(Date.now() - begunAt).toBeLessThan(2000)
    await expect(fetch(`${base}/healthz`)).rejects.toThrow()
  })
})

describe('one-off commands', () => {
  const dial = (path = '/api/v1/apps/shop/run', headers: Record<string, string> = auth()) => {
    const client = new WebSocket(base.replace('http', 'ws') + path, { headers })
    const frames: { text?: string; channel?: number; bytes?: string }[] = []
    client.on('message', (data: Buffer, isBinary) => {
      frames.push(
        isBinary
          ? { channel: data[0] ?? 0, bytes: data.subarray(1).toString() }
          : { text: data.toString() },
      )
    })
    const opened = new Promise<void>((resolve, reject) => {
      client.once('open', resolve)
      client.once('error', reject)
    })
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()))
    opened.catch(() => undefined)
    return { client, frames, opened, closed }
  }
  const start = (tty?: object) => JSON.stringify({ command: ['cat'], ...(tty ? { tty } : {}) })

  test('bytes go both ways, then the exit code', async () => {
    t.newApp('shop')
    const { client, frames, opened, closed } = dial()
    await opened
    client.send(start({ columns: 80, rows: 24 }))
    client.send(Buffer.from('before it runs\n'))
    client.send(JSON.stringify({ resize: { columns: 100, rows: 30 } }))
    client.send(JSON.stringify({ signal: 'SIGINT' }))
    await vi.waitFor(() => expect(program.signals).toEqual(['resize 100x30', 'SIGINT']))
    program.stderr?.on('data', () => undefined)
    client.send(JSON.stringify({ eof: true }))
    await closed
    expect(frames).toEqual([{ channel: 1, bytes: 'before it runs\n' }, { text: '{"exitCode":0}' }])
  })

  test('input waits for the program, output for the client', async () => {
    t.newApp('shop')
    const { client, opened, closed } = dial()
    let received = 0
    client.on('message', (data: Buffer, isBinary) => {
      if (isBinary) received += data.length - 1
    })
    await opened
    client.send(start())
    for (let n = 0; n < 40; n++) client.send(Buffer.alloc(512 * 1024))
    client.send(JSON.stringify({ eof: true }))
    await closed
    expect(received).toBe(40 * 512 * 1024)
  })

  test('a client that leaves: the program is hung up on', async () => {
    t.newApp('shop')
    const { client, opened } = dial()
    await opened
    client.send(start())
    client.send(Buffer.from('x'))
    await new Promise((resolve) => client.once('message', resolve))
    client.terminate()
    await vi.waitFor(() => expect(program.signals).toEqual(['SIGHUP']))
  })

  test('the server stops: the client is told', async () => {
    t.newApp('shop')
    const { client, frames, opened, closed } = dial()
    await opened
    client.send(start())
    client.send(Buffer.from('x'))
    await new Promise((resolve) => client.once('message', resolve))
    await server.stop(AbortSignal.timeout(5000))
    await closed
    expect(JSON.parse(frames.at(-1)?.text ?? '')).toMatchObject({ error: { code: 'cancelled' } })
  })

  test.each([
    ['not JSON', 'x', 'bad_request'],
    ['no command', '{"command":[]}', 'invalid_value'],
    ['bytes', Buffer.from('x'), 'invalid_value'],
  ])('a first message that is %s', async (_, message, code) => {
    t.newApp('shop')
    const { client, frames, opened, closed } = dial()
    await opened
    client.send(message)
    await closed
    expect(JSON.parse(frames[0]?.text ?? '').error.code).toBe(code)
  })

  test('a message that is none ends the command', async () => {
    t.newApp('shop')
    const { client, frames, opened, closed } = dial()
    await opened
    client.send(start())
    client.send('{"signal":"SIGSTOP"}')
    await closed
    expect(JSON.parse(frames[0]?.text ?? '').error.code).toBe('invalid_value')
    expect(program.signals).toEqual(['SIGHUP'])
  })

  test('what the engine says is told', async () => {
    await server.stop(AbortSignal.timeout(2000))
    t.close()
    const error = new HeliosError('HX14', 'Nothing of shop runs', { hint: 'Deploy it first' })
    await begin({ runOneOff: () => Promise.reject(error) })
    t.newApp('shop')
    const { client, frames, opened, closed } = dial()
    await opened
    client.send(start())
    await closed
    expect(JSON.parse(frames[0]?.text ?? '').error).toEqual({
      code: 'HX14',
      message: 'Nothing of shop runs',
      hint: 'Deploy it first',
    })
  })

  test.each([
    ['nobody', 'nobody', '/api/v1/apps/shop/run', 401],
    ['a viewer', 'viewer', '/api/v1/apps/shop/run', 403],
    ['another team', 'other', '/api/v1/apps/shop/run', 404],
    ['no such app', 'owner', '/api/v1/apps/none%2f/run', 404],
    ['a broken name', 'owner', '/api/v1/apps/%zz/run', 404],
    ['a page of another origin', 'evil', '/api/v1/apps/shop/run', 403],
  ] as const)('%s is refused', async (_, as, path, status) => {
    t.newApp('shop')
    const known = as === 'evil' || as === 'nobody' ? auth() : auth(as)
    const headers =
      as === 'nobody' ? {} : { ...known, ...(as === 'evil' ? { Origin: 'http://evil' } : {}) }
    await expect(dial(path, headers).opened).rejects.toThrow(String(status))
  })

  test('handshakes that are unsound leave nothing open', async () => {
    t.newApp('shop')
    const head = `GET /api/v1/apps/shop/run HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${t.tokens.owner}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n`
    for (let n = 0; n < 101; n++) expect(await raw(head)).toMatch(/^HTTP\/1.1 400/)
    await dial().opened
  })

  test('plain HTTP is told what to do', async () => {
    const { json } = await t.call('GET', '/apps/shop/run')
    expect(json).toMatchObject({ code: 'bad_request', hint: expect.stringContaining('helios run') })
  })
})

describe('git', () => {
  const basic = (token: string) => ({
    Authorization: `Basic ${Buffer.from(`x:${token}`).toString('base64')}`,
  })

  test.each([
    ['/git/shop.git/info/refs?service=git-upload-pack', 'viewer', 200],
    ['/shop.git/info/refs?service=git-upload-pack', 'viewer', 200],
    ['/shop.git/info/refs?service=git-receive-pack', 'viewer', 403],
    ['/shop.git/info/refs?service=git-receive-pack', 'developer', 200],
    ['/shop.git/HEAD', 'owner', 404],
    ['/a/b.git/info/refs', 'owner', 404],
  ] as const)('%s as %s: %d', async (path, as, status) => {
    const response = await fetch(base + path, { headers: basic(t.tokens[as]) })
    expect(response.status).toBe(status)
    if (status === 200) {
      expect(await response.text()).toMatch(
        /^GET \/shop\.git\/info\/refs service=git-\w+-pack \w+$/,
      )
    }
  })

  test('a pack goes through whole, and refusals are plain text', async () => {
    await server.stop(AbortSignal.timeout(2000))
    t.close()
    await begin({
      git: async ({ body, headers }) => {
        expect(Object.keys(headers)).not.toContain('authorization')
        return { status: 200, headers: { 'X-Git': '1' }, body: body as Readable }
      },
    })
    const body = Buffer.alloc(3_000_000, 'pack')
    const url = `${base}/shop.git/git-receive-pack`
    const response = await fetch(url, { method: 'POST', headers: basic(t.tokens.owner), body })
    expect(Buffer.from(await response.arrayBuffer()).equals(body)).toBe(true)
    const refused = await fetch(url, { method: 'POST', headers: basic('wrong'), body: 'x' })
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([
      401,
      'Basic realm="Helios"',
    ])
    expect(await refused.text()).toBe('This token is not known here\nSign in again: helios login\n')
    expect((await fetch(url, { method: 'POST' })).status).toBe(401)
  })

  test('an answer that breaks off is cut, not ended', async () => {
    await server.stop(AbortSignal.timeout(2000))
    t.close()
    await begin({
      git: async () => ({
        status: 200,
        headers: {},
        body: Readable.from(
          (function* () {
            yield Buffer.alloc(100_000)
            throw new Error('git went away')
          })(),
        ),
      }),
    })
    const url = `${base}/shop.git/info/refs?service=git-upload-pack`
    const response = fetch(url, { headers: basic(t.tokens.owner) }).then((each) => each.text())
    await expect(response).rejects.toThrow()
  })
})

describe('the part', () => {
  test('tells how it is, and removes what a crash left of uploads', async () => {
    expect(server.state?.()).toEqual({ ok: true })
    await server.stop(AbortSignal.timeout(2000))
    expect(server.state?.()).toMatchObject({ ok: false })
    mkdirSync(t.deps.sourcesDir, { recursive: true })
    writeFileSync(`${t.deps.sourcesDir}/src_x.tar.part`, 'half')
    server = createApiServer(t.deps, { listen: { host: '127.0.0.1', port: 0 } })
    await server.start(new AbortController().signal)
    expect(readdirSync(t.deps.sourcesDir)).toEqual([])
    const taken = createApiServer(t.deps, { listen: server.address() })
    await expect(taken.start(new AbortController().signal)).rejects.toThrow(/Listen on 127.0.0.1/)
    await taken.stop(AbortSignal.timeout(100))
  })

  test('an upload that breaks off leaves nothing', async () => {
    t.newApp('shop')
    const head = `POST /api/v1/apps/shop/deployments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${t.tokens.owner}\r\nContent-Type: application/x-tar\r\nContent-Length: 1000\r\n\r\n`
    await raw(`${head}half`, 300)
    await vi.waitFor(() => {
      const left = existsSync(t.deps.sourcesDir) ? readdirSync(t.deps.sourcesDir) : []
      expect(left).toEqual([])
    })
    expect((await t.call('GET', '/apps/shop/deployments')).json.items).toEqual([])
  })

  test('readyz tells which part is not well', async () => {
    t.deps.states = () => ({ db: { ok: true }, router: { ok: false, detail: 'Caddy is down' } })
    const ready = await fetch(`${base}/readyz`)
    expect([ready.status, await ready.json()]).toEqual([
      503,
      { ok: false, parts: { db: { ok: true }, router: { ok: false, detail: 'Caddy is down' } } },
    ])
    expect((await fetch(`${base}/healthz`)).status).toBe(200)
  })
})
