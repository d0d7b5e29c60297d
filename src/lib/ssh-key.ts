/**
 * @module
 * Public keys of SSH: read a line of a `.pub` file, name it by its fingerprint, make a key that verifies.
 */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { HeliosError, show } from './errors.ts'

/** A public key as it is stored; `publicKey` is `type base64`, `name` its comment or its type. */
export type PublicKey = { type: string; fingerprint: string; publicKey: string; name: string }

/** A key that verifies; `application` is there for keys on a security key (`sk-`). */
export type VerifyingKey = { type: string; key: KeyObject; application?: Buffer }

const MAX_LINE = 16 * 1024
const MIN_RSA_BITS = 2048
const MAX_RSA_BITS = 16_384
const CURVES: Readonly<Record<string, { crv: string; bytes: number }>> = {
  nistp256: { crv: 'P-256', bytes: 32 },
  nistp384: { crv: 'P-384', bytes: 48 },
  nistp521: { crv: 'P-521', bytes: 66 },
}

/** Parse a line of a `.pub` file or of `ssh-add -L`. @throws {HeliosError} invalid_key */
export function parsePublicKey(text: string): PublicKey {
  const line = text.trim()
  if (/PRIVATE KEY/.test(line)) {
    throw invalid(
      'This is a private key, which nobody but you should ever see',
      'Give the .pub file beside it',
    )
  }
  const [type = '', base64 = '', ...comment] = line.length > MAX_LINE ? [] : line.split(/[ \t]+/)
  if (/[\r\n]/.test(line) || !/^[A-Za-z0-9+/]{40,}={0,2}$/.test(base64)) {
    throw invalid(`${show(line)} is no public key of SSH`)
  }
  const blob = Buffer.from(base64, 'base64')
  const read = readPublicKey(blob)
  if (read.type !== type)
    throw invalid(`${show(type)} and the key itself, ${show(read.type)}, do not agree`)
  return {
    type,
    fingerprint: fingerprintOf(blob),
    publicKey: `${type} ${blob.toString('base64')}`,
    name: nameOf(comment.join(' ')) || type,
  }
}

function nameOf(comment: string): string {
  return comment
    .replace(/\p{Cc}/gu, '')
    .trim()
    .slice(0, 100)
}

/** The fingerprint of a key in wire form, as OpenSSH prints it: `SHA256:...`. */
export function fingerprintOf(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`
}

function invalid(
  message: string,
  hint = 'It looks like: ssh-ed25519 AAAAC3Nz... you@laptop',
): HeliosError {
  return new HeliosError('invalid_key', message, { field: 'key', hint })
}

/** Read a key in wire form: ed25519, ecdsa, RSA of 2048 bits and more, and the two `sk-` kinds. @throws {HeliosError} invalid_key */
export function readPublicKey(blob: Buffer): VerifyingKey {
  const fields = readStrings(blob)
  const type = fields[0]?.toString('latin1') ?? ''
  const [, first = Buffer.alloc(0), second = Buffer.alloc(0), third] = fields
  try {
    if (type === 'ssh-ed25519' && fields.length === 2) return { type, key: ed25519(first) }
    if (type === 'sk-ssh-ed25519@openssh.com' && fields.length === 3) {
      return { type, key: ed25519(first), application: second }
    }
    if (/^ecdsa-sha2-nistp(256|384|521)$/.test(type) && fields.length === 3) {
      return { type, key: ecdsa(type.slice('ecdsa-sha2-'.length), first, second) }
    }
    if (type === 'sk-ecdsa-sha2-nistp256@openssh.com' && third && fields.length === 4) {
      return { type, key: ecdsa('nistp256', first, second), application: third }
    }
    if (type === 'ssh-rsa' && fields.length === 3) return { type, key: rsa(first, second) }
  } catch (error) {
    if (error instanceof HeliosError) throw error
    throw invalid(`The key of type ${show(type)} is damaged`)
  }
  throw invalid(
    `Keys of type ${show(type)} are not taken: use ed25519, ecdsa, RSA, or one on a security key`,
    'Make one: ssh-keygen -t ed25519',
  )
}

/** The length-prefixed strings that a buffer is made of, all of it; none when it is not made so. */
export function readStrings(data: Buffer): Buffer[] {
  const found: Buffer[] = []
  for (let at = 0; at < data.length; ) {
    if (at + 4 > data.length) return []
    const end = at + 4 + data.readUInt32BE(at)
    if (end > data.length) return []
    found.push(data.subarray(at + 4, end))
    at = end
  }
  return found
}

function ed25519(point: Buffer): KeyObject {
  return createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: point.toString('base64url') },
    format: 'jwk',
  })
}

function ecdsa(name: string, curve: Buffer, point: Buffer): KeyObject {
  const { crv, bytes } = CURVES[name] ?? { crv: '', bytes: 0 }
  // 4 says that both coordinates follow, uncompressed.
  if (curve.toString('latin1') !== name || point[0] !== 4 || point.length !== 1 + 2 * bytes) {
    throw invalid('The key is damaged: its curve and its point do not agree')
  }
  const x = point.subarray(1, 1 + bytes).toString('base64url')
  const y = point.subarray(1 + bytes).toString('base64url')
  return createPublicKey({ key: { kty: 'EC', crv, x, y }, format: 'jwk' })
}

function rsa(exponent: Buffer, modulus: Buffer): KeyObject {
  const n = modulus[0] === 0 ? modulus.subarray(1) : modulus
  const bits = n.length * 8 - Math.clz32(n[0] ?? 0) + 24
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS) {
    throw invalid(
      `An RSA key of ${bits} bits; at least ${MIN_RSA_BITS} are needed`,
      'Make a better one: ssh-keygen -t ed25519',
    )
  }
  if (exponent.length > 8) throw invalid('The exponent of this RSA key is too large')
  return createPublicKey({
    key: { kty: 'RSA', n: n.toString('base64url'), e: exponent.toString('base64url') },
    format: 'jwk',
  })
}
