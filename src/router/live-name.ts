/**
 * @module
 * An app's live state as the name of one file, because a rename is the only switch no connection notices.
 */
import { HeliosError, show } from '../lib/errors.ts'
import type { LiveState } from './types.ts'

/** How many addresses one name can carry: the router's configuration has a route for each count. */
export const MAX_ADDRESSES = 4

const OCTET = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)'
const ADDRESS = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}:([1-9]\\d{0,4})$`)
const ID = /^[A-Za-z0-9_-]{1,64}$/
const NAME = /^r=([^;]*);w=000;n=([0-4]);a=([0-9.:,]*);c=$/

/** Refuse an id that cannot be one path segment or one field of a live name. */
export function checkId(field: 'app' | 'release', id: string): void {
  if (ID.test(id)) return
  throw new HeliosError('invalid_value', `${show(id)} is not an id the router can use`, {
    field,
    hint: 'Use 1 to 64 letters, digits, "_" or "-".',
  })
}

function isAddress(text: string): boolean {
  const port = ADDRESS.exec(text)?.[1]
  return port !== undefined && Number(port) <= 65_535
}

/** The file name that says this state. */
export function liveName(state: LiveState): string {
  checkId('release', state.release)
  const { addresses } = state
  if (addresses.length > MAX_ADDRESSES) {
    throw new HeliosError(
      'invalid_value',
      `${addresses.length} addresses are more than the router can hold for one app`,
      { field: 'addresses', hint: `Run at most ${MAX_ADDRESSES} instances.` },
    )
  }
  const wrong = addresses.find((a) => !isAddress(a))
  if (wrong !== undefined) {
    throw new HeliosError('invalid_value', `${show(wrong)} is not an address of an instance`, {
      field: 'addresses',
      hint: 'Give an IPv4 address and a port, such as 10.1.0.5:3000.',
    })
  }
  return `r=${state.release};w=000;n=${addresses.length};a=${addresses.join(',')};c=`
}

/** The state a file name says, or nothing if the name is not one of ours. */
export function parseLiveName(app: string, name: string): LiveState | undefined {
  const found = NAME.exec(name)
  if (found === null) return undefined
  const [, release = '', count, list = ''] = found
  const addresses = list === '' ? [] : list.split(',')
  const ok = ID.test(release) && addresses.length === Number(count) && addresses.every(isAddress)
  return ok ? { app, release, addresses } : undefined
}
