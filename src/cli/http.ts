/**
 * @module
 * One HTTP exchange with a server, with deadlines, and its refusals as errors.
 */
import type { IncomingMessage, RequestOptions } from 'node:http'
import type { Readable } from 'node:stream'
import { type ErrorCode, HeliosError, messageOf, show } from '../lib/errors.ts'
import { isErrorCode } from './exit-codes.ts'
import { VERSION } from './version.ts'

/** A server and the token to show it. */
export type Target = { server: string; token: string | undefined }

/** What goes to the server; a stream is sent as it comes. */
export type Exchange = {
  method: string
  path: string
  headers?: Record<string, string>
  body?: string | Readable
  /** Most milliseconds without anything coming or going (default 30 s). */
  idleMs?: number
  signal?: AbortSignal | undefined
}

const IDLE_MS = 30_000
const MOST_BYTES = 64 * 1024 * 1024

/** Send a request and give the answer as soon as its head is there, whatever its status. @throws {HeliosError} api_unreachable */
export async function send(target: Target, exchange: Exchange): Promise<IncomingMessage> {
  const url = new URL(`/api/v1${exchange.path}`, target.server)
  const options: RequestOptions = {
    method: exchange.method.toUpperCase(),
    headers: {
      accept: 'application/json',
      'user-agent': `helios-cli/${VERSION}`,
      ...(target.token === undefined ? {} : { authorization: `Bearer ${target.token}` }),
      ...exchange.headers,
    },
    timeout: exchange.idleMs ?? IDLE_MS,
    ...(exchange.signal ? { signal: exchange.signal } : {}),
  }
  // An import of node:http reads each of its exports, and with them a second client of 60 ms.
  const { request } = process.getBuiltinModule(
    url.protocol === 'https:' ? 'node:https' : 'node:http',
  )
  const { body } = exchange
  return new Promise((resolve, reject) => {
    let answered = false
    const fail = (error: Error): void => {
      if (body instanceof Object) body.destroy()
      reject(exchange.signal?.aborted ? exchange.signal.reason : unreachable(target.server, error))
    }
    const outgoing = request(url, options, (answer) => {
      answered = true
      if (body instanceof Object) body.unpipe(outgoing)
      resolve(answer)
    })
    outgoing.on('timeout', () => {
      outgoing.destroy(new Error(`no answer within ${(exchange.idleMs ?? IDLE_MS) / 1000} s`))
    })
    outgoing.on('error', (error) => (answered ? undefined : fail(error)))
    if (body === undefined || typeof body === 'string') outgoing.end(body)
    else {
      body.on('error', (error) => {
        reject(error)
        outgoing.destroy()
      })
      body.pipe(outgoing)
    }
  })
}

async function readAll(target: Target, answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > MOST_BYTES) throw new Error(`the answer is over ${MOST_BYTES} bytes`)
      chunks.push(chunk)
    }
  } catch (error) {
    throw unreachable(target.server, error)
  }
  return Buffer.concat(chunks).toString()
}

/** Read an answer as JSON; a refusal is thrown as the error the server gave. @throws {HeliosError} */
export async function readJson(target: Target, answer: IncomingMessage): Promise<unknown> {
  const text = await readAll(target, answer)
  const status = answer.statusCode ?? 0
  const value = parse(text)
  if (status >= 200 && status < 300 && value !== undefined) return value
  const { code, message, field, hint } = asRecord(value)
  if (status >= 400 && typeof code === 'string' && typeof message === 'string') {
    throw refusal(target, status, { code, message, field, hint })
  }
  throw new HeliosError(
    'api_unreachable',
    `${target.server} answers, but not as a Helios API (status ${status}, ${answer.headers['content-type'] ?? 'no content type'})`,
    { hint: 'Check the address: helios login URL, or the variable HELIOS_SERVER' },
  )
}

const CODE_OF_STATUS: Record<number, ErrorCode> = {
  401: 'unauthenticated',
  403: 'missing_permission',
  404: 'not_found',
  409: 'conflict',
  422: 'invalid_value',
}

/** An error body of the server as an error; a code of a newer server becomes the nearest known one. */
export function refusal(
  target: Target,
  status: number,
  body: { code: string; message: string; field?: unknown; hint?: unknown },
): HeliosError {
  const nearest = CODE_OF_STATUS[status] ?? (status < 500 ? 'bad_request' : 'internal')
  const known = isErrorCode(body.code)
  const code = known ? (body.code as ErrorCode) : nearest
  return new HeliosError(code, known ? body.message : `${body.message} (${body.code})`, {
    ...(typeof body.field === 'string' ? { field: body.field } : {}),
    hint: status === 401 ? `Sign in: helios login ${target.server}` : hintOf(body.hint, code),
  })
}

function hintOf(hint: unknown, code: ErrorCode): string | undefined {
  if (typeof hint === 'string') return hint
  if (code === 'internal') return "The server's log says more"
  if (code === 'not_found') return 'Is the server older than this command line? See: helios doctor'
  return undefined
}

const REASONS: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'no such host name',
  EAI_AGAIN: 'the host name cannot be looked up now',
  ECONNRESET: 'the connection was cut',
  EPIPE: 'the connection was cut',
  EHOSTUNREACH: 'no way to that host',
  ENETUNREACH: 'no network',
  ETIMEDOUT: 'no answer',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is signed by itself',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  EPROTO: 'it does not speak TLS; try http://',
  HPE_INVALID_CONSTANT: 'it does not speak HTTP',
}

/** What to tell when a server cannot be reached. */
export function unreachable(server: string, error: unknown): HeliosError {
  if (error instanceof HeliosError) return error
  const { code } = asRecord(error)
  const why = REASONS[String(code)] ?? messageOf(error)
  return new HeliosError('api_unreachable', `Cannot reach ${server}: ${why}`, {
    hint: 'Is the server up, and is the address right? Check: helios doctor',
    cause: error,
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function asRecord(value: unknown): Record<string, unknown> & {
  code?: unknown
  message?: unknown
  field?: unknown
  hint?: unknown
} {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

/** A server's address as it is kept: scheme, host and port. @throws {HeliosError} usage */
export function parseServer(text: string): string {
  const url = URL.parse(/^[a-z]+:\/\//i.test(text) ? text : `http://${text}`)
  const sound =
    url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === ''
  if (sound) return url.origin
  throw new HeliosError('usage', `${show(text)} is no address of a server`, {
    hint: 'Write it as https://helios.example.com or http://127.0.0.1:3000',
  })
}
