/**
 * @module
 * Sortable typed ids: a prefix that says what it is, the time, and 80 random bits.
 */
import { randomBytes } from 'node:crypto'

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'

/** What an id can be of, as its prefix. */
export type IdKind =
  | 'app'
  | 'bld'
  | 'dep'
  | 'dom'
  | 'evt'
  | 'job'
  | 'key'
  | 'one'
  | 'rel'
  | 'rol'
  | 'src'
  | 'srv'
  | 'team'
  | 'tok'
  | 'usr'

/** Make an id like `app_01k3m9x2v7h6q4t8s0a1b2c3d4`; ids of one kind sort by the time they were made. */
export function newId(kind: IdKind, now: number = Date.now()): string {
  let time = ''
  for (let left = now, i = 0; i < 10; i++, left = Math.floor(left / 32)) {
    time = ALPHABET[left % 32] + time
  }
  return `${kind}_${time}${randomText(16)}`
}

/** When an id was made, in milliseconds; not a number for text that is no id. */
export function madeAt(id: string): number {
  const time = id.slice(id.indexOf('_') + 1).slice(0, 10)
  return [...time].reduce((sum, digit) => {
    const value = ALPHABET.indexOf(digit)
    return value < 0 ? Number.NaN : sum * 32 + value
  }, 0)
}

/** Random text of `length` characters, 5 bits each, safe in names of files, images and containers. */
function randomText(length: number): string {
  return Array.from(randomBytes(length), (byte) => ALPHABET[byte % 32]).join('')
}

/** Tell whether text has the form of an id of this kind; other text must never reach a look-up or a path. */
export function isId(kind: IdKind, text: string): boolean {
  return text.startsWith(`${kind}_`) && /^[a-z]+_[0-9a-hjkmnp-tv-z]{26}$/.test(text)
}
