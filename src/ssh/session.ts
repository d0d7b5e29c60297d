/**
 * @module
 * One session of a logged-in client: git's two commands, or one sentence for everything else.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type { ServerChannel, Session } from 'ssh2'
import { parseCommand } from './command.ts'
import type { Guarded } from './guard.ts'
import type { Farewell, FromThread } from './messages.ts'
import { createPortStream, type PortStream } from './port-stream.ts'

/** What a session needs of its connection. */
export type SessionContext = {
  person: { name: string; fingerprint: string }
  guarded: Guarded
  post(message: FromThread, transfer: MessagePort[]): void
  /** The session is over. */
  over(): void
}

/** Serve a session. */
export function serveSession(session: Session, context: SessionContext): void {
  let protocol: string | undefined
  session.on('env', (accept, _, { key, val }) => {
    if (key === 'GIT_PROTOCOL' && /^version=[0-2](:[a-z0-9=:-]{0,100})?$/.test(val)) protocol = val
    accept?.()
  })
  // Granted so that the sentence comes out clean; nothing is ever run in it.
  session.on('pty', (accept) => accept?.())
  session.on('shell', (accept) => refuse(accept(), context))
  session.on('exec', (accept, _, { command }) => {
    const channel = accept()
    const asked = command.length > 4096 ? undefined : parseCommand(command)
    if (!asked) return refuse(channel, context)
    const { port1, port2 } = new MessageChannel()
    join(channel, createPortStream<Farewell>(port1), context)
    const { fingerprint } = context.person
    const more = protocol === undefined ? {} : { protocol }
    context.post({ kind: 'run', fingerprint, ...asked, ...more, port: port2 }, [port2])
  })
  session.on('close', context.over)
}

function refuse(channel: ServerChannel, { person }: SessionContext): void {
  channel.stderr.write(
    `Hi ${person.name}! Helios speaks only git here, there is no shell. To deploy: git push helios main\r\n`,
  )
  finish(channel, 1)
}

function finish(channel: ServerChannel, code: number): void {
  channel.exit(code)
  channel.end()
  // What a client still sends has nowhere to go, and the close waits for it to be read.
  channel.resume()
}

function join(
  channel: ServerChannel,
  { stream, note }: PortStream<Farewell>,
  context: SessionContext,
): void {
  channel.pipe(stream)
  channel.on('close', () => stream.destroy())
  stream.on('error', () => undefined)
  pour(stream, channel, context.guarded).then(
    () => {
      const { code = 1, said = '' } = note() ?? {}
      if (said !== '') channel.stderr.write(said.slice(0, 4096))
      finish(channel, code)
    },
    () => {
      stream.destroy()
      finish(channel, note()?.code ?? 1)
    },
  )
}

/** Write no more than the client and the network take: the library itself would keep all of it in memory. */
async function pour(
  from: AsyncIterable<Buffer>,
  channel: ServerChannel,
  guarded: Guarded,
): Promise<void> {
  for await (const chunk of from) {
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + (await guarded.room(channel)))
      channel.write(part)
      at += part.length
    }
  }
}
