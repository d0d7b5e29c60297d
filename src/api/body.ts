/**
 * @module
 * Read the body of a request within its limits, as JSON that is safe to look into.
 */
import { deadline, withDeadline } from '../lib/async.ts'
import { HeliosError, show } from '../lib/errors.ts'

const MAX_BYTES = 1024 * 1024
const MAX_DEPTH = 32
const READ_MS = 30_000

/** Read a JSON body of at most 1 MiB; an empty one is an empty object. Gives its text too. @throws {HeliosError} bad_request, body_too_large, unsupported_media_type */
export async function readJson(
  request: Request,
  signal: AbortSignal,
): Promise<{ text: string; value: unknown }> {
  const bytes = await readBytes(request, deadline(READ_MS, signal))
  if (bytes.length === 0) return { text: '', value: {} }
  mustBeType(request, ['application/json'])
  const text = decode(bytes)
  return { text, value: parseJson(text) }
}

/** Read a text body of one of these types, at most 1 MiB. @throws {HeliosError} bad_request, body_too_large, unsupported_media_type */
export async function readText(
  request: Request,
  types: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  mustBeType(request, types)
  return decode(await readBytes(request, deadline(READ_MS, signal)))
}

/** Refuse a body of another type than these. @throws {HeliosError} unsupported_media_type */
export function mustBeType(request: Request, allowed: readonly string[]): void {
  const given = request.headers.get('content-type') ?? ''
  const type = (given.split(';')[0] ?? '').trim().toLowerCase()
  const encoding = request.headers.get('content-encoding') ?? 'identity'
  if (allowed.includes(type) && encoding === 'identity') return
  const what =
    encoding === 'identity' ? `content type ${show(given)}` : `encoding ${show(encoding)}`
  throw new HeliosError('unsupported_media_type', `The ${what} is not taken here`, {
    hint: `Send ${allowed[0]}`,
  })
}

async function readBytes(request: Request, signal: AbortSignal): Promise<Uint8Array> {
  if (Number(request.headers.get('content-length') ?? 0) > MAX_BYTES) throw tooLarge()
  if (request.body === null) return new Uint8Array()
  const reader = request.body.getReader()
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for (;;) {
      const { done, value } = await withDeadline(reader.read(), signal)
      if (done) return Buffer.concat(chunks)
      length += value.length
      if (length > MAX_BYTES) throw tooLarge()
      chunks.push(value)
    }
  } catch (error) {
    reader.cancel().catch(() => undefined)
    if (error instanceof HeliosError) throw error
    throw new HeliosError('bad_request', 'The body did not come whole', { cause: error })
  }
}

function tooLarge(): HeliosError {
  return new HeliosError('body_too_large', `The body has more than ${MAX_BYTES} bytes`)
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw malformed('it is not UTF-8', error)
  }
}

function malformed(why: string, cause?: unknown): HeliosError {
  return new HeliosError('bad_request', `The body is no JSON that is taken here: ${why}`, { cause })
}

/** Parse JSON of at most 32 levels, without keys that reach prototypes or text that is not Unicode. @throws {HeliosError} bad_request */
export function parseJson(text: string): unknown {
  // Counted before parsing: what follows may then recurse.
  if (depthOf(text) > MAX_DEPTH) throw malformed(`it is nested deeper than ${MAX_DEPTH}`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw malformed('it does not parse', error)
  }
  checkValue(value)
  return value
}

/** A plain scan: on hostile text a regular expression would take the square of its length. */
function depthOf(text: string): number {
  let depth = 0
  let deepest = 0
  let quoted = false
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '"') quoted = !quoted
    else if (quoted) at += char === '\\' ? 1 : 0
    else if (char === '[' || char === '{') deepest = Math.max(deepest, ++depth)
    else if (char === ']' || char === '}') depth--
  }
  return deepest
}

function checkValue(value: unknown): void {
  if (typeof value === 'string') checkText(value)
  if (typeof value === 'number' && !Number.isFinite(value)) throw malformed('a number is too large')
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    if (key === '__proto__') throw malformed('it has the key "__proto__"')
    checkText(key)
    checkValue(inner)
  }
}

function checkText(text: string): void {
  if (!text.isWellFormed()) throw malformed('a text has half of a surrogate pair')
}
