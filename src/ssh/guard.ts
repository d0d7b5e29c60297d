/**
 * @module
 * Guards around ssh2 against clients that are logged in and hostile: no packet size of zero, no data
 * beyond the window, no unbounded output. They reach into the library, whose version is pinned.
 */
import type { Socket } from 'node:net'
import type { Connection, ServerChannel } from 'ssh2'

type Handler = (protocol: unknown, ...args: unknown[]) => void
type Window = { window: number }
type InnerChannel = { incoming?: Window; outgoing?: Window; _channel?: InnerChannel }
/** What the guards touch inside ssh2 1.17. */
type Inside = {
  _protocol: { _handlers: Record<string, Handler>; _queue?: unknown[] }
  _chanMgr: { get(id: unknown): InnerChannel | undefined }
  _sock: Socket
}

/** A connection with its guards. */
export type Guarded = {
  /** Bytes that may be written to a channel now; waits until there are some. @throws when the connection is over */
  room(channel: ServerChannel): Promise<number>
}

const MIN_PACKET = 1024
const MAX_WINDOW = 2 ** 32 - 1
/** Output that waits for the network beyond this many bytes waits in git instead. */
const MAX_UNSENT = 512 * 1024
const MAX_QUEUED = 64

/** Put the guards around a connection, before anything of it was handled. */
export function guard(connection: Connection): Guarded {
  const inside = connection as unknown as Inside
  const { _sock: socket, _protocol: protocol, _chanMgr: channels } = inside
  const handlers = protocol._handlers
  const waiting = new Set<() => void>()
  const wake = (): void => {
    for (const go of waiting) go()
    waiting.clear()
  }
  const before = (name: string, holds: (...args: unknown[]) => boolean): void => {
    const handle = handlers[name]
    if (!handle) throw new Error(`ssh2 has no handler ${name}: its version changed`)
    handlers[name] = (from, ...args) => {
      if (holds(...args)) handle(from, ...args)
      else socket.destroy()
    }
  }
  const channelOf = (id: unknown): InnerChannel | undefined => {
    const found = channels.get(id)
    return found?._channel ?? found
  }
  before('CHANNEL_OPEN', (info) => (info as { packetSize: number }).packetSize >= MIN_PACKET)
  before('CHANNEL_DATA', (id, data) => {
    const window = channelOf(id)?.incoming?.window
    return window === undefined || (data as Buffer).length <= window
  })
  before('CHANNEL_WINDOW_ADJUST', (id, amount) => {
    const outgoing = channelOf(id)?.outgoing
    setImmediate(wake)
    return outgoing === undefined || outgoing.window + Number(amount) <= MAX_WINDOW
  })
  socket.on('drain', wake).on('close', wake)
  connection.on('rekey', wake)
  return {
    room: async (channel) => {
      for (;;) {
        if (socket.destroyed || !channel.writable) throw new Error('The connection is over')
        const busy =
          socket.writableLength > MAX_UNSENT || (protocol._queue?.length ?? 0) > MAX_QUEUED
        const { window } = (channel as unknown as { outgoing: Window }).outgoing
        if (!busy && window > 0) return Math.min(window, MAX_UNSENT)
        await new Promise<void>((resolve) => waiting.add(resolve))
      }
    },
  }
}
