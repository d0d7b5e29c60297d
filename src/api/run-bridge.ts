/**
 * @module
 * Join a WebSocket and an attached program, at the pace of the slower one.
 */
import type { RawData, WebSocket } from 'ws'
import type { z } from 'zod'
import { deadline, withDeadline } from '../lib/async.ts'
import { HeliosError } from '../lib/errors.ts'
import type { Attached } from '../runtime/types.ts'
import { parseJson } from './body.ts'
import { refusalOf } from './errors.ts'
import { RunControl, type RunEnd, RunStart } from './schemas/run.ts'
import type { OpenStream } from './streams.ts'

type Size = { columns: number; rows: number }

/** What a session needs. */
export type BridgeOptions = {
  /** Ended when the client left, may no more, or the server stops. */
  stream: OpenStream
  stillHolds(): boolean
  start(command: string[], tty: Size | undefined, signal: AbortSignal): Promise<Attached>
  /** Told what nobody was meant to read. */
  onFailure(error: unknown): void
  recheckMs?: number
  pingMs?: number
}

const START_MS = 10_000
const RECHECK_MS = 60_000
const PING_MS = 30_000
/** What was written before the end may still be on its way to a slow client. */
const LAST_BYTES_MS = 60_000
const HANGUP_MS = 5000
const KILL_MS = 10_000

/** Carry a session to its end; gives how it ended. Never rejects. */
export async function bridge(client: WebSocket, opts: BridgeOptions): Promise<string> {
  const { stream } = opts
  client.on('close', stream.end)
  client.on('error', () => client.terminate())
  const inbox = createInbox(client)
  const stopWatch = watch(client, opts)
  let attached: Attached | undefined
  try {
    const asked = await firstMessage(inbox, stream.signal)
    attached = await opts.start(asked.command, asked.tty, stream.signal)
    stream.signal.throwIfAborted()
    const exitCode = await carry(client, inbox, attached, stream.signal)
    finish(client, { exitCode })
    return `exit ${exitCode}`
  } catch (error) {
    if (attached) await hangUp(attached)
    return explain(client, error, opts)
  } finally {
    stopWatch()
  }
}

/** Tell the client why, unless it is the client who left. */
function explain(client: WebSocket, error: unknown, opts: BridgeOptions): string {
  const left = client.readyState !== client.OPEN
  if (left) return 'client left'
  const shown = opts.stream.signal.aborted ? ended(opts) : error
  const { status, body } = refusalOf(shown, '')
  if (status >= 500) opts.onFailure(error)
  const { requestId: _, ...rest } = body
  finish(client, { error: rest })
  return body.code
}

function ended(opts: BridgeOptions): HeliosError {
  if (opts.stillHolds()) {
    return new HeliosError('cancelled', 'The server stops: the command was ended with it', {
      hint: 'Run it again in a moment',
    })
  }
  return new HeliosError('unauthenticated', 'Your right to run this ended')
}

function finish(client: WebSocket, end: z.input<typeof RunEnd>): void {
  client.resume()
  client.send(JSON.stringify(end))
  client.close(1000)
}

/** Ends the stream of a client that does not answer, or may no more. */
function watch(client: WebSocket, opts: BridgeOptions): () => void {
  const recheck = setInterval(
    () => opts.stillHolds() || opts.stream.end(),
    opts.recheckMs ?? RECHECK_MS,
  )
  let alive = true
  client.on('pong', () => {
    alive = true
  })
  const ping = setInterval(() => {
    // While input waits for the program no answer is read either.
    if (!alive && !client.isPaused) client.terminate()
    alive = false
    client.ping()
  }, opts.pingMs ?? PING_MS)
  return () => {
    clearInterval(recheck)
    clearInterval(ping)
  }
}

type Message = { data: RawData; isBinary: boolean }

/** Takes messages from the start on, and keeps those that come before somebody wants them. */
function createInbox(client: WebSocket) {
  const kept: Message[] = []
  let wanted: ((message: Message) => void) | undefined
  client.on('message', (data, isBinary) => {
    const message = { data, isBinary }
    if (wanted) return wanted(message)
    kept.push(message)
    client.pause()
  })
  return {
    first: () =>
      new Promise<Message>((resolve) => {
        wanted = (message) => {
          wanted = undefined
          client.pause()
          resolve(message)
        }
        const [early, ...rest] = kept.splice(0)
        if (early) wanted(early)
        kept.push(...rest)
      }),
    each(handler: (message: Message) => void) {
      wanted = handler
      for (const message of kept.splice(0)) handler(message)
      client.resume()
    },
  }
}

type Inbox = ReturnType<typeof createInbox>

async function firstMessage(inbox: Inbox, signal: AbortSignal): Promise<z.output<typeof RunStart>> {
  const limit = deadline(START_MS, signal)
  const { data, isBinary } = await withDeadline(inbox.first(), limit).catch((cause) => {
    throw new HeliosError('bad_request', 'No command was sent', { cause })
  })
  const asked = isBinary ? undefined : RunStart.safeParse(parseJson(textOf(data)))
  if (asked?.success) return asked.data
  throw new HeliosError('invalid_value', 'The first message is no command', {
    hint: 'Send {"command":["ls"]} as text',
  })
}

function textOf(data: RawData): string {
  return bytesOf(data).toString()
}

function bytesOf(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data)
}

async function carry(
  client: WebSocket,
  inbox: Inbox,
  attached: Attached,
  signal: AbortSignal,
): Promise<number> {
  const bad = forwardInput(client, inbox, attached)
  const output = Promise.all([
    pump(client, attached.stdout, 1),
    ...(attached.stderr ? [pump(client, attached.stderr, 2)] : []),
  ])
  const exitCode = await Promise.race([withDeadline(attached.wait(signal), signal), bad])
  await withDeadline(output, deadline(LAST_BYTES_MS, signal)).catch(() => undefined)
  signal.throwIfAborted()
  return exitCode
}

/** Hand on what the client sends; rejects when it sends what is no message. */
function forwardInput(client: WebSocket, inbox: Inbox, attached: Attached): Promise<never> {
  const { stdin } = attached
  // A program may close its input early; its exit code tells what matters.
  stdin.on('error', () => client.resume())
  stdin.on('drain', () => client.resume())
  return new Promise((_, reject) => {
    inbox.each(({ data, isBinary }) => {
      if (!isBinary) control(attached, textOf(data)).catch(reject)
      else if (stdin.writable && !stdin.write(bytesOf(data))) client.pause()
    })
  })
}

async function control(attached: Attached, text: string): Promise<void> {
  const asked = RunControl.safeParse(parseJson(text))
  if (!asked.success) throw new HeliosError('invalid_value', 'This is no message of a command')
  const message = asked.data
  if ('resize' in message) await attached.resize(message.resize.columns, message.resize.rows)
  else if ('signal' in message) await attached.kill(message.signal)
  else attached.stdin.end()
}

/** Send output as it comes; the next piece is read when the last one left. */
async function pump(
  client: WebSocket,
  output: NodeJS.ReadableStream,
  channel: 1 | 2,
): Promise<void> {
  try {
    for await (const chunk of output) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
      await send(client, Buffer.concat([Buffer.of(channel), bytes]))
    }
  } catch {
    // A stream that broke tells nothing: the exit code is asked of the engine.
  }
}

function send(client: WebSocket, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) =>
    client.send(bytes, (error) => (error ? reject(error) : resolve())),
  )
}

/** End a program nobody waits for: hang up, then kill; waiting lets the one who started it clean up. */
async function hangUp(attached: Attached): Promise<void> {
  for (const [signal, ms] of [
    ['SIGHUP', HANGUP_MS],
    ['SIGKILL', KILL_MS],
  ] as const) {
    const limit = AbortSignal.timeout(ms)
    await attached.kill(signal).catch(() => undefined)
    const gone = withDeadline(attached.wait(limit), limit).then(
      () => true,
      () => false,
    )
    if (await gone) return
  }
}
