import { createServer as createHttp } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { Instance, LogLine, Runtime } from '../runtime/types.ts'
import { type Gate, newestLines, waitHealthy } from './health.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

async function listen(server: Server): Promise<number> {
  servers.push(server)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return (server.address() as AddressInfo).port
}

const running: Instance = {
  id: 'c1',
  name: 'n',
  labels: {},
  image: 'i',
  state: 'running',
  createdAt: '',
  oomKilled: false,
  restarts: 0,
  memoryBytes: 512 * 1024 * 1024,
}

type Look = Pick<Runtime, 'inspectInstance' | 'listeningSockets' | 'logs'>
const runtime = (
  instance: Instance | undefined,
  more: { sockets?: string[]; lines?: string[] } = {},
): Look => ({
  inspectInstance: async () => instance,
  listeningSockets: async () => more.sockets ?? [],
  logs: async function* (): AsyncGenerator<LogLine> {
    for (const text of more.lines ?? []) yield { at: '', stream: 'stdout', text }
  },
})

const gate = (port: number | undefined, path?: string): Gate => ({
  id: 'c1',
  shown: 'web.1',
  address: '127.0.0.1',
  ...(port === undefined ? {} : { port }),
  health: { ...(path ? { path } : {}), intervalMs: 100, timeoutMs: 200, graceMs: 700 },
})
const wait = (look: Look, what: Gate, signal = new AbortController().signal) =>
  waitHealthy({ runtime: look }, what, signal)

test('a port that takes connections, or a path that answers well, is healthy', async () => {
  await wait(runtime(running), gate(await listen(createServer())))
  const app = createHttp((req, res) => {
    res.statusCode = req.url === '/ok' ? 302 : 404
    res.end()
  })
  const port = await listen(app)
  await wait(runtime(running), gate(port, '/ok'))
  await expect(wait(runtime(running), gate(port, '/healthz'))).rejects.toMatchObject({
    code: 'HX40',
    message: 'web.1: health path /healthz answered 404 within 1 s',
  })
})

test('nothing on $PORT is explained by what listens', async () => {
  const port = await listen(createServer())
  servers.splice(0)[0]?.close()
  const told = async (sockets: string[]) =>
    wait(runtime(running, { sockets }), gate(port)).catch((error: Error) => error.message)
  expect(await told(['127.0.0.1:3000'])).toBe(
    `web.1: nothing listens on $PORT (=${port}) within 1 s; listening: 127.0.0.1:3000`,
  )
  expect(await told([])).toContain('listening: nothing')
  expect(await told([`127.0.0.1:${port}`])).toBe(
    `web.1 listens on its own loopback only (listening: 127.0.0.1:${port})`,
  )
})

test('an instance that takes requests and says nothing', async () => {
  const port = await listen(createServer(() => undefined))
  const look = runtime(running, { sockets: [`0.0.0.0:${port}`] })
  await expect(wait(look, gate(port, '/'))).rejects.toMatchObject({
    code: 'HX40',
    message: `web.1 does not answer on port ${port} within 1 s`,
  })
})

test.each([
  [{ ...running, state: 'restarting' as const, exitCode: 3 }, 'HX10', 'web.1 crashed with exit 3'],
  [{ ...running, restarts: 1 }, 'HX10', 'web.1 ended at its start'],
  [{ ...running, state: 'exited' as const, exitCode: 1, oomKilled: true }, 'HR15', '512 MiB'],
  [undefined, 'HX10', 'was removed'],
])('an instance that ends while it starts: %j', async (instance, code, message) => {
  const failure = await wait(runtime(instance), gate(1)).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code, message: expect.stringContaining(message) })
})

test('an instance that was restarted before may take its time again', async () => {
  const crashed = runtime({ ...running, restarts: 2 })
  const late = await listen(createServer((socket) => socket.end()))
  await expect(wait(crashed, { ...gate(1), restarts: 2 })).rejects.toMatchObject({ code: 'HX20' })
  await wait(crashed, { ...gate(late), restarts: 2 })
  await expect(wait(crashed, { ...gate(1), restarts: 1 })).rejects.toMatchObject({ code: 'HX10' })
})

test('a process without a port must stay up', async () => {
  await expect(
    wait(runtime({ ...running, state: 'exited', exitCode: 0 }), gate(undefined)),
  ).rejects.toMatchObject({ code: 'HX10' })
})

test('whoever gives up gets the own reason', async () => {
  const given = new AbortController()
  const waiting = wait(runtime(running), gate(1), given.signal)
  given.abort('cancel')
  await expect(waiting).rejects.toBe('cancel')
})

test('the newest lines, or none when they are gone', async () => {
  expect(await newestLines({ runtime: runtime(running, { lines: ['a', 'b'] }) }, 'c1')).toEqual([
    'a',
    'b',
  ])
  const gone: Look = {
    ...runtime(running),
    logs: () => {
      throw new Error('gone')
    },
  }
  expect(await newestLines({ runtime: gone }, 'c1')).toEqual([])
})
