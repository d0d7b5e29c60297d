/**
 * @module
 * The session BuildKit calls back on during a build: it asks for the files of the context there.
 *
 * It is gRPC over HTTP/2 on the upgraded connection to the engine; sending files this way spares the
 * engine from unpacking an archive (0.1 s a build), and pulls from a registry need a session.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import {
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { Duplex } from 'node:stream'
import { type ContextFile, selectFiles } from './build-context.ts'
import { type BuildkitCodec, PACKET } from './buildkit-messages.ts'
import { openUpgrade } from './engine-http.ts'

const DIFF_COPY = '/moby.filesync.v1.FileSync/DiffCopy'
const HEALTH = '/grpc.health.v1.Health/Check'
const CREDENTIALS = '/moby.filesync.v1.Auth/Credentials'
/** `{ status: SERVING }` */
const SERVING = Buffer.from([0x08, 0x01])
const UNIMPLEMENTED = '12'
const CHUNK = 64 * 1024
/** A message to us is a request for one file: far below this. */
const MAX_MESSAGE = 1024 * 1024

/** An open session. */
export type BuildSession = { id: string; close(): void }

/** Open a session that serves these files as the context and the Dockerfile; without files it only answers for registries. */
export async function openBuildSession(
  opts: { socketPath: string; codec: BuildkitCodec; files?: ContextFile[] },
  signal: AbortSignal,
): Promise<BuildSession> {
  const id = randomUUID()
  const socket = await openUpgrade(
    opts.socketPath,
    '/session',
    {
      Upgrade: 'h2c',
      'X-Docker-Expose-Session-Uuid': id,
      'X-Docker-Expose-Session-Name': 'helios',
      // Files are compared with those of earlier sessions of the same key by time and size alone,
      // and other apps would share them: a key of its own makes each build send its files.
      'X-Docker-Expose-Session-Sharedkey': id,
      'X-Docker-Expose-Session-Grpc-Method': [HEALTH, CREDENTIALS, DIFF_COPY],
    },
    signal,
  )
  const session = performServerHandshake(socket)
  // What breaks here shows as the failure of the build.
  session.on('error', () => undefined)
  socket.on('error', () => undefined)
  session.on('stream', (stream, headers) => answer(stream, headers, opts))
  return { id, close: () => closeSession(session, socket) }
}

function closeSession(session: ServerHttp2Session, socket: Duplex): void {
  session.destroy()
  socket.destroy()
}

function answer(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders & { ':path'?: string | undefined },
  opts: { codec: BuildkitCodec; files?: ContextFile[] },
): void {
  stream.on('error', () => undefined)
  const path = headers[':path']
  if (path === HEALTH) replyOnce(stream, SERVING)
  else if (path === CREDENTIALS) replyOnce(stream, Buffer.alloc(0))
  else if (path === DIFF_COPY && opts.files !== undefined) {
    startReply(stream)
    const files = selectFiles(opts.files, namesAsked(headers))
    sendFiles(stream, files, opts.codec).then(
      () => stream.end(),
      () => stream.close(),
    )
  } else refuse(stream)
}

// The Dockerfile and the ignore file are asked for by name; the context comes whole.
function namesAsked(headers: IncomingHttpHeaders): string[] {
  const text = headers['include-patterns']
  if (typeof text !== 'string' || text === '') return []
  const names = text.split(', ')
  return headers['include-patterns-encoded'] === '1' ? names.map(decodeURIComponent) : names
}

async function sendFiles(
  stream: ServerHttp2Stream,
  files: ContextFile[],
  codec: BuildkitCodec,
): Promise<void> {
  const closing = new AbortController()
  stream.once('close', () => closing.abort())
  const { signal } = closing
  const send = async (packet: Parameters<BuildkitCodec['encodePacket']>[0]): Promise<void> => {
    signal.throwIfAborted()
    if (!stream.write(framed(codec.encodePacket(packet)))) await once(stream, 'drain', { signal })
  }
  const stats = (async () => {
    for (const { stat } of files) await send({ type: PACKET.stat, stat })
    await send({ type: PACKET.stat })
  })()
  const requests = (async () => {
    for await (const message of messagesOf(stream.iterator({ destroyOnReturn: false }))) {
      const { type, id } = codec.decodePacket(message)
      if (type === PACKET.finish || type === PACKET.error) break
      if (type !== PACKET.request) continue
      const content = files[id]?.content ?? Buffer.alloc(0)
      for (let at = 0; at < content.length; at += CHUNK) {
        await send({ type: PACKET.data, id, data: content.subarray(at, at + CHUNK) })
      }
      await send({ type: PACKET.data, id })
    }
  })()
  await Promise.all([stats, requests])
  await send({ type: PACKET.finish })
}

function startReply(stream: ServerHttp2Stream): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
}

function replyOnce(stream: ServerHttp2Stream, message: Buffer): void {
  startReply(stream)
  stream.resume()
  stream.end(framed(message))
}

function refuse(stream: ServerHttp2Stream): void {
  stream.resume()
  stream.respond(
    { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': UNIMPLEMENTED },
    { endStream: true },
  )
}

function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** Cut a gRPC stream into its messages. @throws when one is compressed or longer than 1 MiB. */
export async function* messagesOf(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of source) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    while (rest.length >= 5) {
      const length = rest.readUInt32BE(1)
      if (rest[0] !== 0 || length > MAX_MESSAGE) throw new Error('not a message of this protocol')
      if (rest.length < 5 + length) break
      yield rest.subarray(5, 5 + length)
      rest = rest.subarray(5 + length)
    }
  }
}
