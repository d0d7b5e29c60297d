/**
 * @module
 * An app's live state as the name of one file, because a rename is the only switch no connection notices.
 *
 * `0;r=REL`, `1;ADDRESS;r=REL` or `N;HEAD;MIDDLE,MIDDLE,...;TAIL;r=REL`, where an address is HEAD + MIDDLE + TAIL:
 * the router can join parts of a name but not decode any, and 255 bytes would hold no more than 10 whole addresses.
 * A name with more fields after the release is for routes to come; those of today leave it alone.
 */
import { HeliosError, show } from '../lib/errors.ts'
import type { LiveState } from './types.ts'

/** How many addresses one name can carry: the router's configuration has a route for each count. */
export const MAX_ADDRESSES = 16

const MAX_NAME_BYTES = 255
const OCTET = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)'
const ADDRESS = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}:([1-9]\\d{0,4})$`)
const ID = /^[A-Za-z0-9_-]{1,64}$/
const NAME = /^\d{1,2}(?:;([\d.:]*))?(?:;([\d.:,]*);([\d.:]*))?;r=([^;]+)$/

/** Refuse an id that cannot be one path segment or one field of a live name. */
export function checkId(field: 'app' | 'release', id: string): void {
  if (ID.test(id)) return
  throw new HeliosError('invalid_value', `${show(id)} is not an id the router can use`, {
    field,
    hint: 'Use 1 to 64 letters, digits, "_" or "-".',
  })
}

/** The file name that says this state. @throws {HeliosError} invalid_value naming what a name cannot carry */
export function liveName(state: LiveState): string {
  checkId('release', state.release)
  const { addresses } = state
  const wrong = addresses.find((a) => !isAddress(a))
  if (wrong !== undefined) {
    throw new HeliosError('invalid_value', `${show(wrong)} is not an address of an instance`, {
      field: 'addresses',
      hint: 'Give an IPv4 address and a port, such as 10.1.0.5:3000.',
    })
  }
  const name = [...fields(addresses), `r=${state.release}`].join(';')
  if (addresses.length <= MAX_ADDRESSES && name.length <= MAX_NAME_BYTES) return name
  throw new HeliosError(
    'invalid_value',
    `${addresses.length} addresses are more than the router can hold for one app`,
    {
      field: 'addresses',
      hint: `Run at most ${MAX_ADDRESSES} instances, on one port and in one network.`,
    },
  )
}

/** The state a file name says, or nothing if the name is not one of ours. */
export function parseLiveName(app: string, name: string): LiveState | undefined {
  const found = NAME.exec(name)
  if (found === null) return undefined
  const [, head, middles, tail, release = ''] = found
  const addresses =
    middles === undefined
      ? [head].filter((a) => a !== undefined)
      : middles.split(',').map((middle) => `${head}${middle}${tail}`)
  if (!ID.test(release) || !addresses.every(isAddress)) return undefined
  if (addresses.length > MAX_ADDRESSES) return undefined
  const state = { app, release, addresses }
  return liveName(state) === name ? state : undefined
}

function isAddress(text: string): boolean {
  const port = ADDRESS.exec(text)?.[1]
  return port !== undefined && Number(port) <= 65_535
}

function fields(addresses: string[]): string[] {
  const count = String(addresses.length)
  if (addresses.length < 2) return [count, ...addresses]
  const head = sharedStart(addresses)
  const rest = addresses.map((a) => a.slice(head.length))
  const tail = mirrored(sharedStart(rest.map(mirrored)))
  const middles = rest.map((a) => a.slice(0, a.length - tail.length))
  return [count, head, middles.join(','), tail]
}

function sharedStart(texts: string[]): string {
  const [first = '', ...others] = texts
  let length = first.length
  while (!others.every((text) => text.startsWith(first.slice(0, length)))) length -= 1
  return first.slice(0, length)
}

function mirrored(text: string): string {
  return [...text].reverse().join('')
}
