import { createServer, request } from 'node:http'
import { createServer as createTcpServer, type Server } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { backend, get, type Stage, stage, wsLoad } from './stage.ts'

const APPS = ['good', 'closes', 'hangs', 'refuses', 'half', 'empty', 'never']
let on: Stage
const servers: Server[] = []
let hits = 0

async function listen(server: Server): Promise<string> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  servers.push(server)
  const address = server.address()
  return `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
}

const good = createServer((req, res) => {
  if (req.url !== '/stream') return void res.end(JSON.stringify(req.headers))
  res.writeHead(200, { 'Content-Type': 'text/event-stream' })
  const timer = setInterval(() => res.write('data: tick\n\n'), 100)
  setTimeout(() => {
    clearInterval(timer)
    res.end('data: end\n\n')
  }, 2000)
})
const closes = createTcpServer((socket) => {
  socket
    .on('error', () => undefined)
    .on('data', () => {
      hits += 1
      socket.destroy()
    })
})
const hangs = createTcpServer((socket) => void socket.on('error', () => undefined))

beforeAll(async () => {
  on = await stage({ answerWithinMs: 800 })
  await on.router.start(on.signal)
  await on.router.applyTable({ hosts: APPS.map((a) => ({ host: `${a}.test`, app: a })) }, on.signal)
  const at = await listen(good)
  const nobody = '127.0.0.1:1'
  for (const [app, addresses] of Object.entries({
    good: [at],
    closes: [await listen(closes)],
    hangs: [await listen(hangs)],
    refuses: [nobody],
    half: [nobody, at],
    empty: [],
  })) {
    await on.router.setLive({ app, release: 'v1', addresses })
  }
})

afterAll(async () => {
  await on.close()
  good.closeAllConnections()
  for (const server of servers) server.close()
})

test.each([
  ['unknown.test', 404, 'No app here', ''],
  ['never.test', 503, 'App not running', 'HX14'],
  ['empty.test', 503, 'App not running', 'HX14'],
  ['hangs.test', 504, 'App did not answer in time', 'HX12'],
  ['closes.test', 502, 'App closed the connection', 'HX13'],
  ['refuses.test', 502, 'App refused the connection', 'HX21'],
])('%s gets our page: %i %s', async (host, status, title, code) => {
  const answer = await get(on.port, host)
  expect(answer.status).toBe(status)
  expect(answer.body).toContain(`<h1>${title}</h1>`)
  expect(/HX\d\d/.exec(answer.body)?.[0] ?? '').toBe(code)
  expect(answer.headers['content-type']).toContain('text/html')
  expect(answer.headers['cache-control']).toBe('no-store')
})

test('what an instance may have seen is not sent again, what it cannot have seen is', async () => {
  hits = 0
  expect((await get(on.port, 'closes.test')).status).toBe(502)
  expect(hits).toBe(1)
  const asked = Array.from({ length: 20 }, () => get(on.port, 'half.test'))
  expect(new Set((await Promise.all(asked)).map(({ status }) => status))).toEqual(new Set([200]))
})

test('the time limit is for the first byte only', async () => {
  const answer = await new Promise<string>((done, fail) => {
    const asked = {
      host: '127.0.0.1',
      port: on.port,
      path: '/stream',
      headers: { host: 'good.test' },
    }
    request(asked, (res) => void text(res).then(done, fail))
      .on('error', fail)
      .end()
  })
  expect(answer).toContain('data: end')
  const echoes = await backend('echo')
  await on.router.setLive({ app: 'good', release: 'v2', addresses: [echoes.address] })
  const load = await wsLoad(on.port, 'good.test', 1)
  await sleep(1500)
  await load.stop()
  expect(load.failed).toEqual([])
  await echoes.kill()
})

test('requests carry where they came from', async () => {
  const address = good.address()
  const at = typeof address === 'object' ? address?.port : 0
  await on.router.setLive({ app: 'good', release: 'v3', addresses: [`127.0.0.1:${at}`] })
  expect(JSON.parse((await get(on.port, 'good.test')).body)).toMatchObject({
    host: 'good.test',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-host': 'good.test',
    'x-forwarded-proto': 'http',
  })
})
