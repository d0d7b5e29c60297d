/**
 * @module
 * Git's smart HTTP over the same door as SSH, as plain values: a request in, a response out.
 */
import { PassThrough, Readable, Transform } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { Actor } from '../core/access.ts'
import { HeliosError } from '../lib/errors.ts'
import type { Logger } from '../lib/log.ts'
import type { GitService } from './command.ts'
import type { GitDoor } from './push.ts'

/** A request of git; `path` is what follows the place where git is served, as `/shop.git/info/refs`. */
export type GitHttpRequest = {
  method: string
  path: string
  query: URLSearchParams
  headers: Headers
  body: Readable
  /** Who asks; undefined when the request carries no good token. */
  actor: Actor | undefined
  /** Aborts when the client is gone. */
  signal: AbortSignal
}

/** What to answer; the body must be read to its end or destroyed. */
export type GitHttpResponse = { status: number; headers: Record<string, string>; body: Readable }

type Route = { app: string; service: GitService; advertise: boolean }

const MAX_NEGOTIATION_BYTES = 32 * 1024 * 1024

/** Make the function that answers git's requests. */
export function createGitHttp(
  door: Pick<GitDoor, 'receive' | 'upload'>,
  log: Logger,
): (request: GitHttpRequest) => Promise<GitHttpResponse> {
  return async (request) => {
    const route = routeOf(request)
    if (!route) return plainText(404, 'Git is served at /APP.git')
    const { actor } = request
    if (!actor) {
      return plainText(401, 'Give a token as the password: helios git:remote --http', {
        'www-authenticate': 'Basic realm="Helios", charset="UTF-8"',
      })
    }
    try {
      return await serve(door, request, actor, route)
    } catch (error) {
      if (error instanceof HeliosError) return refusal(route, error)
      log.error({ err: error, path: request.path }, 'git over HTTP failed')
      return plainText(500, 'Helios failed inside; its log says why')
    }
  }
}

function routeOf({ method, path, query, headers }: GitHttpRequest): Route | undefined {
  const [, app, action] =
    /^\/([^/]+)\/(info\/refs|git-receive-pack|git-upload-pack)$/.exec(path) ?? []
  if (app === undefined || action === undefined) return undefined
  const service = action === 'info/refs' ? query.get('service') : action
  if (service !== 'git-receive-pack' && service !== 'git-upload-pack') return undefined
  if (action === 'info/refs')
    return method === 'GET' ? { app, service, advertise: true } : undefined
  const typed = headers.get('content-type') === `application/x-${service}-request`
  return method === 'POST' && typed ? { app, service, advertise: false } : undefined
}

async function serve(
  door: Pick<GitDoor, 'receive' | 'upload'>,
  request: GitHttpRequest,
  actor: Actor,
  { app, service, advertise }: Route,
): Promise<GitHttpResponse> {
  const output = new PassThrough({ highWaterMark: 256 * 1024 })
  const protocol = protocolOf(request.headers.get('git-protocol'))
  const run = service === 'git-receive-pack' ? door.receive : door.upload
  const done = run(actor, app, {
    input: advertise ? Readable.from([]) : bodyOf(request, service),
    output,
    mode: advertise ? 'advertise' : 'stateless',
    signal: request.signal,
    ...(protocol === undefined ? {} : { protocol }),
  })
  done.then(
    () => output.end(),
    (error: Error) => output.destroy(error),
  )
  // Until git has said something, an error still has a status of its own.
  const begun = new Promise<void>((resolve) => output.once('readable', resolve))
  output.once('error', () => undefined)
  await Promise.race([begun, done])
  if (advertise && !(service === 'git-upload-pack' && protocol?.startsWith('version=2'))) {
    output.unshift(Buffer.from(`${pktLine(`# service=${service}\n`)}0000`))
  }
  return { status: 200, headers: headersOf(service, advertise), body: output }
}

function protocolOf(header: string | null): string | undefined {
  return header !== null && /^version=[0-2](:[a-z0-9=:-]{0,100})?$/.test(header)
    ? header
    : undefined
}

function bodyOf({ headers, body }: GitHttpRequest, service: GitService): Readable {
  const encoded = /^(x-)?gzip$/.test(headers.get('content-encoding') ?? '')
  const plain = encoded ? chain(body, createGunzip()) : body
  // What comes with a push git itself limits.
  return service === 'git-receive-pack' ? plain : chain(plain, atMost(MAX_NEGOTIATION_BYTES))
}

function chain(from: Readable, to: Transform): Readable {
  from
    .once('error', (error) => to.destroy(error))
    .once('close', () => {
      if (!from.readableEnded) to.destroy(new Error('The request was cut'))
    })
  return from.pipe(to)
}

function atMost(limit: number): Transform {
  let bytes = 0
  return new Transform({
    transform(chunk: Buffer, _, done) {
      bytes += chunk.length
      if (bytes > limit) done(new HeliosError('body_too_large', `More than ${limit} bytes`))
      else done(null, chunk)
    },
  })
}

/** A line of git's protocol: its length in four hex digits, then its bytes. */
export function pktLine(text: string): string {
  return `${(Buffer.byteLength(text) + 4).toString(16).padStart(4, '0')}${text}`
}

/** What git shows as `remote error`. */
export function errorLine(error: Pick<HeliosError, 'message' | 'hint'>): string {
  return pktLine(`ERR ${textOf(error)}`)
}

function textOf({ message, hint }: Pick<HeliosError, 'message' | 'hint'>): string {
  return [message, hint]
    .filter((part) => part !== undefined)
    .join('\n')
    .slice(0, 2000)
}

/** An error in the place where git reads it; of a bare status it would show nothing but the number. */
function refusal({ service, advertise }: Route, error: HeliosError): GitHttpResponse {
  const inBand = service === 'git-receive-pack' && !advertise
  return {
    status: 200,
    headers: headersOf(service, advertise),
    body: Readable.from([inBand ? pktLine(`\u0003${textOf(error)}\n`) : errorLine(error)]),
  }
}

function headersOf(service: GitService, advertise: boolean): Record<string, string> {
  return {
    'content-type': `application/x-${service}-${advertise ? 'advertisement' : 'result'}`,
    'cache-control': 'no-cache, max-age=0, must-revalidate',
  }
}

function plainText(
  status: number,
  text: string,
  headers: Record<string, string> = {},
): GitHttpResponse {
  return {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8', ...headers },
    body: Readable.from([`${text}\n`]),
  }
}
