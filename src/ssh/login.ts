/**
 * @module
 * Log a client in by its public key; whose it is, the main thread says.
 */
import type { AuthContext, Connection, PublicKeyAuthContext } from 'ssh2'
import { fingerprintOf, readPublicKey, type VerifyingKey } from '../lib/ssh-key.ts'
import { isProven } from './verify.ts'

/** Who logged in, and with what. */
export type Person = { name: string; fingerprint: string }

/** Let a client log in with a key that somebody has added; `done` is called once, when it did. */
export function awaitLogin(
  connection: Connection,
  opts: {
    tries: number
    whose(fingerprint: string): Promise<string | undefined>
    done(person: Person): void
  },
): void {
  let tries = 0
  let person: Person | undefined
  const refuse = (context: AuthContext): void => {
    if (context.method !== 'none') tries += 1
    if (tries >= opts.tries) connection.end()
    else context.reject(['publickey'])
  }
  connection.on('authentication', (context) => {
    const key = context.method === 'publickey' ? readOffered(context) : undefined
    if (context.method !== 'publickey' || !key) return refuse(context)
    const fingerprint = fingerprintOf(context.key.data)
    opts.whose(fingerprint).then(
      (name) => {
        if (name === undefined || !mayGoOn(context, key)) return refuse(context)
        // Without a signature the client only asks whether the key is worth one.
        if (context.signature) person = { name, fingerprint }
        context.accept()
      },
      () => refuse(context),
    )
  })
  connection.once('ready', () => {
    if (person) opts.done(person)
    else connection.end()
  })
}

function readOffered({ key }: PublicKeyAuthContext): VerifyingKey | undefined {
  if (key.data.length > 4096) return undefined
  try {
    const read = readPublicKey(key.data)
    return read.type === key.algo ? read : undefined
  } catch {
    return undefined
  }
}

function mayGoOn({ signature, blob, hashAlgo }: PublicKeyAuthContext, key: VerifyingKey): boolean {
  const hash = hashAlgo === 'sha256' || hashAlgo === 'sha512' ? hashAlgo : undefined
  if (key.type === 'ssh-rsa' && hash === undefined) return false
  if (!signature) return true
  return blob !== undefined && isProven(key, { signed: blob, signature, hash })
}
