import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parsePublicKey } from './ssh-key.ts'

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'helios-keys-'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

function generate(name: string, ...args: string[]): string {
  const file = join(dir, name)
  execFileSync('ssh-keygen', ['-q', '-N', '', '-C', `${name} of ada`, '-f', file, ...args])
  return file
}

test.each([
  ['ed25519', 'ssh-ed25519', []],
  ['ecdsa', 'ecdsa-sha2-nistp256', ['-b', '256']],
  ['ecdsa', 'ecdsa-sha2-nistp384', ['-b', '384']],
  ['ecdsa', 'ecdsa-sha2-nistp521', ['-b', '521']],
  ['rsa', 'ssh-rsa', ['-b', '2048']],
])('a key of %s reads as %s with the fingerprint of ssh-keygen', (kind, type, more) => {
  const name = `${type}-key`
  const file = generate(name, '-t', kind, ...more)
  const line = readFileSync(`${file}.pub`, 'utf8')
  const printed = execFileSync('ssh-keygen', ['-lf', `${file}.pub`], { encoding: 'utf8' })
  const key = parsePublicKey(line)
  expect(key).toMatchObject({ type, name: `${name} of ada`, fingerprint: printed.split(' ')[1] })
  expect(line.startsWith(key.publicKey)).toBe(true)
})

const string = (data: Buffer | string): Buffer => {
  const bytes = Buffer.from(data)
  const size = Buffer.alloc(4)
  size.writeUInt32BE(bytes.length)
  return Buffer.concat([size, bytes])
}
const line = (type: string, ...fields: (Buffer | string)[]): string =>
  `${type} ${Buffer.concat([type, ...fields].map(string)).toString('base64')}`

test('keys on a security key are taken', () => {
  const point = Buffer.alloc(32, 9)
  const key = parsePublicKey(line('sk-ssh-ed25519@openssh.com', point, 'ssh:'))
  expect(key).toMatchObject({ type: 'sk-ssh-ed25519@openssh.com', name: key.type })
})

test('what is no good key is refused with a reason', () => {
  const small = readFileSync(`${generate('small', '-t', 'rsa', '-b', '1024')}.pub`, 'utf8')
  const file = generate('private', '-t', 'ed25519')
  const good = readFileSync(`${file}.pub`, 'utf8')
  const bad: [string, RegExp][] = [
    ['', /no public key/],
    ['ssh-ed25519', /no public key/],
    ['hello world', /no public key/],
    [`${good}${good}`, /no public key/],
    ['x'.repeat(20_000), /no public key/],
    [readFileSync(file, 'utf8'), /private key/],
    [small, /1024 bits/],
    [good.replace('ssh-ed25519', 'ssh-rsa'), /do not agree/],
    [line('ssh-dss', 'p'.repeat(128), 'q'), /not taken/],
    [line('ssh-ed25519', Buffer.alloc(31)), /damaged/],
    [line('ecdsa-sha2-nistp256', 'nistp256', Buffer.alloc(65, 4)), /damaged/],
    [line('ecdsa-sha2-nistp256', 'nistp384', Buffer.alloc(65, 4)), /do not agree/],
    [line('ssh-rsa', Buffer.alloc(9, 1), Buffer.alloc(256, 255)), /exponent/],
    [`ssh-ed25519 ${Buffer.alloc(40, 1).toString('base64')}`, /not taken/],
  ]
  for (const [text, why] of bad) expect(() => parsePublicKey(text), text.slice(0, 60)).toThrow(why)
})
