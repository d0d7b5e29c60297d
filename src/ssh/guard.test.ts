import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ssh2, { type Client, type ClientChannel, type ServerChannel } from 'ssh2'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Guarded, guard } from './guard.ts'
import { ensureHostKey } from './host-key.ts'

/** What a hostile client reaches for in its own library. */
type Inside = {
  _sock: Socket
  _protocol: {
    session(id: number, window: number, packet: number): void
    channelData(id: number, data: Buffer): void
    channelWindowAdjust(id: number, amount: number): void
  }
}

let dir: string
let server: InstanceType<typeof ssh2.Server>
let client: Client
let channel: ServerChannel
let guarded: Guarded
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'helios-guard-'))
  const { privateKey } = await ensureHostKey(join(dir, 'key'))
  server = new ssh2.Server({ hostKeys: [privateKey] }, (connection) => {
    guarded = guard(connection)
    connection.on('error', () => undefined)
    connection.on('authentication', (context) => context.accept())
    connection.on('session', (accept) => {
      accept().on('exec', (take) => {
        channel = take()
      })
    })
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  client = new ssh2.Client()
  client.on('error', () => undefined)
  const { port } = server.address() as AddressInfo
  client.connect({ host: '127.0.0.1', port, username: 'x', password: 'x' })
  await once(client, 'ready')
})
afterEach(async () => {
  client.end()
  await new Promise<void>((resolve) => void server.close(() => resolve()))
  rmSync(dir, { recursive: true, force: true })
})
const inside = (): Inside => client as unknown as Inside
const exec = (): Promise<ClientChannel> =>
  new Promise((resolve, reject) => {
    client.exec('x', (error, opened) => (error ? reject(error) : resolve(opened)))
  })
const closed = (): Promise<unknown> => once(client, 'close', { signal: AbortSignal.timeout(5000) })
const idOf = (opened: ClientChannel): number =>
  (opened as unknown as { outgoing: { id: number } }).outgoing.id

test('a packet size of zero ends the connection', async () => {
  const protocol = inside()._protocol
  const open = protocol.session.bind(protocol)
  protocol.session = (id, window) => open(id, window, 0)
  const end = closed()
  exec().catch(() => undefined)
  await end
})

test('data beyond the window ends the connection', async () => {
  const id = idOf(await exec())
  const end = closed()
  // The window is 2 MiB, and nobody reads.
  for (let i = 0; i < 100; i++) inside()._protocol.channelData(id, Buffer.alloc(32_000))
  await end
})

test('a window beyond 4 GiB ends the connection', async () => {
  const id = idOf(await exec())
  const end = closed()
  inside()._protocol.channelWindowAdjust(id, 2 ** 32 - 1)
  await end
})

test('output waits for a client that does not read, whatever window it gives', async () => {
  const id = idOf(await exec())
  inside()._protocol.channelWindowAdjust(id, 2 ** 31)
  await expect
    .poll(() => (channel as unknown as { outgoing: { window: number } }).outgoing.window)
    .toBeGreaterThan(2 ** 31)
  inside()._sock.pause()
  let written = 0
  const pouring = (async () => {
    for (;;) {
      const room = await guarded.room(channel)
      channel.write(Buffer.alloc(Math.min(room, 100_000)))
      written += 100_000
    }
  })()
  await new Promise((resolve) => setTimeout(resolve, 500))
  const held = written
  expect(held).toBeLessThan(20_000_000)
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(written).toBe(held)
  client.destroy()
  await expect(pouring).rejects.toThrow('over')
})

test('another version of the library is noticed', () => {
  const { publicKey } = generateKeyPairSync('ed25519')
  const connection = { _protocol: { _handlers: {} }, _chanMgr: {}, _sock: publicKey }
  expect(() => guard(connection as never)).toThrow('its version changed')
})
