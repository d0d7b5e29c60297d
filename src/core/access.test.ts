import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { migrate, readMigrations } from '../db/migrate.ts'
import { type Db, openDatabase } from '../db/open.ts'
import {
  type Actor,
  actorOfKey,
  actorOfSession,
  actorOfToken,
  addSshKey,
  createSession,
  createToken,
  endSession,
  listSshKeys,
  removeSshKey,
} from './access.ts'
import { appHost, gitUrl, hostUrl } from './address.ts'
import { type App, createApp } from './apps.ts'
import { addDomain, allDomains, listDomains, removeDomain } from './domains.ts'
import { can, mustBeAllowed } from './roles.ts'
import { ensureOwner, newOwnerToken } from './users.ts'

let dir: string
let db: Db
let actor: Actor
let token: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'helios-access-'))
  db = openDatabase(dir)
  migrate(db, readMigrations('drizzle'))
  token = ensureOwner(db, 1) ?? ''
  actor = actorOfToken(db, token, 1)
})
afterEach(() => {
  db.$client.close()
  rmSync(dir, { recursive: true, force: true })
})

test('the owner is made once, with a token that works', () => {
  expect(actor).toMatchObject({ name: 'owner', role: 'owner', via: 'token' })
  expect(ensureOwner(db, 2)).toBeUndefined()
  expect(actorOfToken(db, newOwnerToken(db, 2) ?? '', 2).userId).toBe(actor.userId)
})

test.each([
  ['nonsense', 'not known'],
  ['', 'not known'],
])('the token %j is refused', (text, message) => {
  expect(() => actorOfToken(db, text, 1)).toThrow(message)
})

test('a token expires', () => {
  const short = createToken(db, { userId: actor.userId, name: 'ci', now: 1, expiresAt: 10 })
  expect(actorOfToken(db, short, 9).credential).toBe('ci')
  expect(() => actorOfToken(db, short, 10)).toThrow('expired')
})

test('a session lasts until it ends', () => {
  const session = createSession(db, actor.userId, 1)
  expect(actorOfSession(db, session.id, 2)).toMatchObject({ userId: actor.userId, via: 'session' })
  expect(actorOfSession(db, session.id, session.expiresAt)).toBeUndefined()
  expect(actorOfSession(db, 'other', 2)).toBeUndefined()
  endSession(db, session.id)
  expect(actorOfSession(db, session.id, 2)).toBeUndefined()
})

test('keys: added, found, listed, removed, and nobody takes another one’s', () => {
  const key = { name: 'laptop', fingerprint: 'SHA256:abc', publicKey: 'ssh-ed25519 AAAA', now: 1 }
  const added = addSshKey(db, actor, key)
  expect(addSshKey(db, actor, key)).toEqual(added)
  expect(actorOfKey(db, 'SHA256:abc')).toMatchObject({ via: 'key', credential: 'laptop' })
  expect(actorOfKey(db, 'SHA256:zzz')).toBeUndefined()
  expect(() => addSshKey(db, { userId: 'usr_other' }, key)).toThrow('belongs to somebody else')
  expect(listSshKeys(db, actor)).toEqual([added])
  expect(() => removeSshKey(db, { userId: 'usr_other' }, added.id)).toThrow('no key')
  expect(removeSshKey(db, actor, 'laptop')).toEqual(added)
  expect(listSshKeys(db, actor)).toEqual([])
})

test('roles hold what they hold', () => {
  expect(can(actor, 'app.delete')).toBe(true)
  const viewer: Actor = { ...actor, role: 'viewer' }
  expect(can(viewer, 'app.read')).toBe(true)
  expect(() => mustBeAllowed(viewer, 'app.deploy')).toThrow('may not do this: app.deploy')
  mustBeAllowed({ ...actor, role: 'developer' }, 'app.deploy')
})

test('domains: one owner each, normalised, not the server’s own', () => {
  const make = (name: string): App => createApp(db, { scope: actor, name, now: 1 })
  const [shop, other] = [make('shop'), make('other')]
  const add = (app: App, host: string) =>
    addDomain(db, app, { host, baseDomain: 'apps.test', now: 1 })
  expect(add(shop, 'EXAMPLE.com.').host).toBe('example.com')
  expect(add(shop, 'example.com').host).toBe('example.com')
  expect(add(shop, 'bücher.example').host).toBe('xn--bcher-kva.example')
  expect(() => add(other, 'example.com')).toThrow('belongs to another app')
  expect(() => add(other, 'x.apps.test')).toThrow('belongs to the server')
  expect(allDomains(db)).toHaveLength(2)
  expect(removeDomain(db, shop, 'bücher.example').appId).toBe(shop.id)
  expect(() => removeDomain(db, other, 'example.com')).toThrow('no domain')
  for (let n = 0; n < 99; n++) add(shop, `h${n}.example.com`)
  expect(() => add(shop, 'last.example.com')).toThrow('has 100 domains')
  expect(listDomains(db, shop)).toHaveLength(100)
})

test('addresses of an app', () => {
  const at = { baseDomain: 'localhost', httpPort: 8080, apiUrl: '', sshHost: 'h', sshPort: 22 }
  expect(hostUrl(appHost('shop', at), at)).toBe('http://shop.localhost:8080/')
  expect(hostUrl('a.test', { httpPort: 80 })).toBe('http://a.test/')
  expect(gitUrl('shop', at)).toBe('ssh://git@h:22/shop.git')
})
