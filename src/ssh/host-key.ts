/**
 * @module
 * The key that names this server: made once, kept in the data dir, written as OpenSSH writes it.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { HeliosError } from '../lib/errors.ts'
import { fingerprintOf, readStrings } from '../lib/ssh-key.ts'

/** The private key's text and the fingerprint that people compare. */
export type HostKey = { privateKey: string; fingerprint: string }

const HEAD = '-----BEGIN OPENSSH PRIVATE KEY-----'
const TAIL = '-----END OPENSSH PRIVATE KEY-----'
const MAGIC = 'openssh-key-v1\0'

/** Read the host key from a file, or make it (readable by its owner only). @throws {HeliosError} config_invalid when the file is no key */
export async function ensureHostKey(file: string): Promise<HostKey> {
  const there = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  const privateKey = there ?? (await writeNew(file))
  const fingerprint = fingerprintOfPrivate(privateKey)
  if (fingerprint !== undefined) return { privateKey, fingerprint }
  throw new HeliosError('config_invalid', `${file} is no private key of OpenSSH`, {
    hint: 'Put it back from a backup, or remove it: a new one is made, and clients will ask about it',
  })
}

async function writeNew(file: string): Promise<string> {
  const text = newPrivateKey()
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const written = `${file}.${randomBytes(6).toString('hex')}`
  const handle = await open(written, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(written, file)
  return text
}

function string(data: string | Uint8Array): Buffer {
  const bytes = Buffer.from(data)
  const size = Buffer.alloc(4)
  size.writeUInt32BE(bytes.length)
  return Buffer.concat([size, bytes])
}

function newPrivateKey(): string {
  const jwk = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
  const point = Buffer.from(jwk.x ?? '', 'base64url')
  const seed = Buffer.from(jwk.d ?? '', 'base64url')
  const blob = Buffer.concat([string('ssh-ed25519'), string(point)])
  // The same random number twice tells a reader that it decrypted the rest rightly.
  const check = randomBytes(4)
  const secret = [check, check, blob, string(Buffer.concat([seed, point])), string('helios')]
  const size = secret.reduce((sum, part) => sum + part.length, 0)
  const padding = Buffer.from(Array.from({ length: (8 - (size % 8)) % 8 }, (_, i) => i + 1))
  const one = Buffer.from([0, 0, 0, 1])
  const body = Buffer.concat([
    Buffer.from(MAGIC),
    ...['none', 'none', ''].map(string),
    one,
    string(blob),
    string(Buffer.concat([...secret, padding])),
  ])
  const lines = body.toString('base64').match(/.{1,70}/g) ?? []
  return [HEAD, ...lines, TAIL, ''].join('\n')
}

function fingerprintOfPrivate(text: string): string | undefined {
  const base64 = text.split(HEAD)[1]?.split(TAIL)[0]
  const body = Buffer.from(base64 ?? '', 'base64')
  if (body.toString('latin1', 0, MAGIC.length) !== MAGIC) return undefined
  const [cipher, , , ...rest] = readStrings(
    // The count of keys is a bare number among strings: leave it out.
    withoutCount(body.subarray(MAGIC.length)),
  )
  const blob = rest[0]
  return cipher?.toString() === 'none' && blob ? fingerprintOf(blob) : undefined
}

function withoutCount(fields: Buffer): Buffer {
  let at = 0
  for (let i = 0; i < 3 && at + 4 <= fields.length; i++) at += 4 + fields.readUInt32BE(at)
  return Buffer.concat([fields.subarray(0, at), fields.subarray(at + 4)])
}
