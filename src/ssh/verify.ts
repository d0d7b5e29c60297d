/**
 * @module
 * Whether a client holds the private key it names: signatures of all kinds, security keys included.
 */
import { createHash, verify } from 'node:crypto'
import { readStrings, type VerifyingKey } from '../lib/ssh-key.ts'

/** What a client signed: for ecdsa the signature is in DER, for `sk-` keys as it came, without its type. */
export type Proof = { signed: Buffer; signature: Buffer; hash: 'sha256' | 'sha512' | undefined }

const ECDSA_HASH: Readonly<Record<string, string>> = {
  'ecdsa-sha2-nistp256': 'sha256',
  'ecdsa-sha2-nistp384': 'sha384',
  'ecdsa-sha2-nistp521': 'sha512',
}

/** Tell whether a proof was made with a key; false for anything malformed. */
export function isProven({ type, key, application }: VerifyingKey, proof: Proof): boolean {
  const { signed, signature } = proof
  try {
    if (application) return isTouched(type, { type, key, application }, signed, signature)
    if (type === 'ssh-ed25519') return verify(null, signed, key, signature)
    // SHA-1 is over: a client that knows nothing newer gives no hash here.
    if (type === 'ssh-rsa')
      return proof.hash !== undefined && verify(proof.hash, signed, key, signature)
    const hash = ECDSA_HASH[type]
    return hash !== undefined && verify(hash, signed, key, signature)
  } catch {
    return false
  }
}

const USER_PRESENT = 1

/** A security key signs its own words: hash of the application, flags, counter, hash of the message. */
function isTouched(
  type: string,
  { key, application }: VerifyingKey & { application: Buffer },
  signed: Buffer,
  signature: Buffer,
): boolean {
  const tail = signature.subarray(-5)
  const raw = signature.subarray(0, -5)
  const present = ((tail[0] ?? 0) & USER_PRESENT) !== 0
  if (tail.length !== 5 || !present) return false
  const sha256 = (data: Buffer): Buffer => createHash('sha256').update(data).digest()
  const said = Buffer.concat([sha256(application), tail, sha256(signed)])
  if (type === 'sk-ssh-ed25519@openssh.com') return verify(null, said, key, raw)
  const [r, s, ...more] = readStrings(raw)
  if (!r || !s || more.length > 0) return false
  const pair = Buffer.concat([fixed(r), fixed(s)])
  return verify('sha256', said, { key, dsaEncoding: 'ieee-p1363' }, pair)
}

/** A number of SSH (no leading zeros, but one where it would look negative) as 32 bytes. */
function fixed(number: Buffer): Buffer {
  const bare = number[0] === 0 ? number.subarray(1) : number
  if (bare.length > 32) throw new RangeError('too long for this curve')
  return Buffer.concat([Buffer.alloc(32 - bare.length), bare])
}
