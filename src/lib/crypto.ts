/**
 * @module
 * Tokens and their hashes.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

function base62(length: number): string {
  let text = ''
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      // Bytes of 248 and more would favour the first letters.
      if (byte < 248 && text.length < length) text += BASE62[byte % 62]
    }
  }
  return text
}

function checksum(text: string): string {
  let left = crc32(text)
  let out = ''
  for (let i = 0; i < 6; i++, left = Math.floor(left / 62)) out = BASE62[left % 62] + out
  return out
}

/** Make a token `hel_<kind>_<8 id>_<32 random>_<6 checksum>`; shown once, stored as its hash. */
export function newToken(kind: 'pat'): string {
  const body = `hel_${kind}_${base62(8)}_${base62(32)}`
  return `${body}_${checksum(body)}`
}

/** Tell whether text has a token's form and checksum, so that a typing error costs no look-up. */
export function isToken(text: string): boolean {
  const match = /^(hel_[a-z]{3}_[0-9A-Za-z]{8}_[0-9A-Za-z]{32})_([0-9A-Za-z]{6})$/.exec(text)
  return match?.[1] !== undefined && match[2] === checksum(match[1])
}

/** SHA-256 as hex; tokens carry 190 random bits, so no slow hash is needed. */
export function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

/** Compare two texts in constant time. */
export function sameText(a: string, b: string): boolean {
  return timingSafeEqual(
    createHash('sha256').update(a).digest(),
    createHash('sha256').update(b).digest(),
  )
}

/** Make the value of a session cookie: 256 random bits. */
export function newSessionId(): string {
  return base62(43)
}
