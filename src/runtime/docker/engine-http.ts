/**
 * @module
 * Calls to the engine that carry streams: bodies of any length, and connections handed over.
 */
import { type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http'
import type { Duplex, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** POST, with a body that is streamed; gives the answer with its headers read. The caller ends it. */
export async function enginePost(
  socketPath: string,
  opts: { path: string; headers: OutgoingHttpHeaders; body?: Readable; signal: AbortSignal },
): Promise<IncomingMessage> {
  const { path, headers, body, signal } = opts
  const call = request({ socketPath, method: 'POST', path, headers, signal })
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    call.once('response', resolve)
    call.on('error', reject)
  })
  if (body === undefined) call.end()
  // The engine may answer and close before it has read everything: then its answer counts.
  else pipeline(body, call).catch((error: Error) => call.destroy(error))
  return await answer
}

/** POST for a connection of one's own; rejects with the engine's answer when it gives none. The caller ends it. */
export async function openUpgrade(
  socketPath: string,
  path: string,
  headers: OutgoingHttpHeaders,
  signal: AbortSignal,
): Promise<Duplex> {
  const call = request({
    socketPath,
    method: 'POST',
    path,
    headers: { Connection: 'Upgrade', ...headers },
    signal,
  })
  call.end()
  return await new Promise((resolve, reject) => {
    call.once('error', reject)
    call.once('response', (response) => {
      refusal(response).then(
        (text) => reject(Object.assign(new Error(text), { statusCode: response.statusCode })),
        reject,
      )
    })
    call.once('upgrade', (_, socket, head) => {
      if (head.length > 0) socket.unshift(head)
      resolve(socket)
    })
  })
}

/** The message of an answer that refuses; at most 64 KiB of it. */
export async function refusal(answer: IncomingMessage): Promise<string> {
  let text = ''
  try {
    for await (const chunk of answer) {
      text += String(chunk)
      if (text.length > 64 * 1024) break
    }
    return (JSON.parse(text) as { message?: string }).message ?? text
  } catch {
    return text
  }
}
