/**
 * @module
 * Run a command in a fresh instance, with this terminal or these pipes as its own.
 */
import type { IncomingMessage } from 'node:http'
import type { WebSocket } from 'ws'
import type { z } from 'zod'
import type { RunControl, RunStart } from '../../api/schemas/run.ts'
import { HeliosError } from '../../lib/errors.ts'
import { type AppContext, forApp } from '../app-name.ts'
import { readJson, refusal, type Target, unreachable } from '../http.ts'
import { onInterrupt } from '../interrupt.ts'
import { VERSION } from '../version.ts'

type Start = z.output<typeof RunStart>
type Control = z.output<typeof RunControl>
type Size = NonNullable<Start['tty']>

const OPENING_MS = 30_000
const MOST_WAITING = 1024 * 1024

/** Run a command; the exit code is its own. */
export const runCommand = forApp(async (context) => {
  const { api, app, args } = context
  const socket = await openSocket(api.target, app)
  const tty = process.stdin.isTTY && process.stdout.isTTY ? terminalSize() : undefined
  const ended = outcome(socket, api.target)
  tell(socket, { command: [...args], ...(tty ? { tty } : {}) })
  const letGo = tty ? lendTerminal(socket) : lendPipes(socket, context)
  try {
    return await ended
  } finally {
    letGo()
    process.stdin.pause()
    process.stdin.unref?.()
    socket.terminate()
  }
})

function terminalSize(): Size {
  const { columns, rows } = process.stdout
  const within = (number: number | undefined, otherwise: number): number =>
    Math.min(1000, Math.max(1, number || otherwise))
  return { columns: within(columns, 80), rows: within(rows, 24) }
}

async function openSocket(target: Target, app: string): Promise<WebSocket> {
  const { WebSocket } = await import('ws')
  const url = new URL(`/api/v1/apps/${encodeURIComponent(app)}/run`, target.server)
  url.protocol = url.protocol.replace('http', 'ws')
  const socket = new WebSocket(url, {
    headers: { authorization: `Bearer ${target.token}`, 'user-agent': `helios-cli/${VERSION}` },
    handshakeTimeout: OPENING_MS,
    perMessageDeflate: false,
  })
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve(socket))
    socket.once('error', (error) => reject(unreachable(target.server, error)))
    socket.once('unexpected-response', (_, answer: IncomingMessage) => {
      readJson(target, answer).then(
        () => reject(unreachable(target.server, new Error('it does not speak WebSocket'))),
        reject,
      )
    })
  })
}

function tell(socket: WebSocket, message: Start | Control): void {
  if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(message))
}

/** Prints what comes and settles with how it ended. */
function outcome(socket: WebSocket, target: Target): Promise<number> {
  return new Promise((resolve, reject) => {
    socket.on('message', (data: Buffer, binary: boolean) => {
      if (binary) return print(socket, data)
      const end = JSON.parse(data.toString())
      if (typeof end.exitCode === 'number') resolve(end.exitCode & 0xff)
      else if (end.error) reject(refusal(target, 500, end.error))
    })
    socket.on('error', (error) => reject(unreachable(target.server, error)))
    socket.on('close', () =>
      reject(
        new HeliosError('api_unreachable', 'The connection broke before the command ended', {
          hint: 'What it did until then is done; see: helios doctor',
        }),
      ),
    )
  })
}

function print(socket: WebSocket, data: Buffer): void {
  const stream = data[0] === 2 ? process.stderr : process.stdout
  if (stream.write(data.subarray(1))) return
  socket.pause()
  stream.once('drain', () => socket.resume())
}

function lendTerminal(socket: WebSocket): () => void {
  const { stdin, stdout } = process
  const onData = (data: Buffer): void => socket.send(data)
  const onResize = (): void => tell(socket, { resize: terminalSize() })
  stdin.setRawMode(true)
  stdin.on('data', onData)
  stdout.on('resize', onResize)
  return () => {
    stdin.setRawMode(false)
    stdin.off('data', onData)
    stdout.off('resize', onResize)
  }
}

function lendPipes(socket: WebSocket, { out }: AppContext): () => void {
  const { stdin } = process
  const onData = (data: Buffer): void => {
    socket.send(data, () => {
      if (socket.bufferedAmount < MOST_WAITING && stdin.isPaused()) stdin.resume()
    })
    if (socket.bufferedAmount >= MOST_WAITING) stdin.pause()
  }
  const onEnd = (): void => tell(socket, { eof: true })
  stdin.on('data', onData)
  stdin.on('end', onEnd)
  let asked = 0
  const release = onInterrupt(() => {
    asked++
    // A command that does not heed it is left at the third ctrl-C.
    if (asked >= 3) socket.terminate()
    else tell(socket, { signal: 'SIGINT' })
    if (asked === 2) out.note('Once more leaves the command')
  })
  return () => {
    release()
    stdin.off('data', onData)
    stdin.off('end', onEnd)
  }
}
