import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createCaddyClient } from './caddy-client.ts'

const signal = new AbortController().signal
let dir = ''
let server: Server | undefined
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'admin-'))
})
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
  server = undefined
  rmSync(dir, { recursive: true })
})

type Reply = { status: number; body: string } | undefined

async function listen(reply: (req: IncomingMessage) => Promise<Reply>): Promise<string> {
  const socket = join(dir, 'admin.sock')
  const made = createServer((req, res) => {
    void reply(req).then((r) => {
      if (r !== undefined) res.writeHead(r.status).end(r.body)
    })
  })
  server = made
  await new Promise<void>((done) => made.listen(socket, done))
  return socket
}

test('a configuration is posted once with our origin', async () => {
  const seen: unknown[] = []
  const adminSocket = await listen(async (req) => {
    seen.push([req.method, req.url, req.headers.origin, await text(req)])
    return { status: 200, body: '' }
  })
  await createCaddyClient({ adminSocket }).load({ apps: {} }, signal)
  expect(seen).toEqual([['POST', '/load', 'http://helios', '{"apps":{}}']])
})

test('a refusal says what Caddy said', async () => {
  const adminSocket = await listen(async () => ({ status: 400, body: '{"error":"bad module"}' }))
  await expect(createCaddyClient({ adminSocket }).load({}, signal)).rejects.toThrow('bad module')
})

test('requests in flight are read, unknown forms are left out', async () => {
  const entry = { address: '10.0.0.1:80', num_requests: 3, fails: 0 }
  let body = JSON.stringify([entry, null, { address: 'x' }])
  const adminSocket = await listen(async () => ({ status: 200, body }))
  const client = createCaddyClient({ adminSocket })
  expect(await client.upstreams(signal)).toEqual([{ address: '10.0.0.1:80', requests: 3 }])
  body = 'null'
  expect(await client.upstreams(signal)).toEqual([])
})

test('no Caddy, a silent Caddy and a cancel all end the call', async () => {
  const nobody = createCaddyClient({ adminSocket: join(dir, 'none.sock') })
  await expect(nobody.upstreams(signal)).rejects.toThrow('ENOENT')
  const adminSocket = await listen(async () => undefined)
  const silent = createCaddyClient({ adminSocket, timeoutMs: 50 })
  await expect(silent.upstreams(signal)).rejects.toThrow('no answer in 50 ms')
  await expect(silent.upstreams(AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop')
})
