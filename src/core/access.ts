/**
 * @module
 * From a credential (API token, browser session, SSH key) to the actor who holds it.
 */
import { and, asc, eq, gt, lt, or, sql } from 'drizzle-orm'
import { type Db, prepared } from '../db/open.ts'
import { memberships, sessions, sshKeys, tokens, users } from '../db/schema.ts'
import { isToken, newSessionId, newToken, sha256 } from '../lib/crypto.ts'
import { HeliosError, show } from '../lib/errors.ts'
import { newId } from '../lib/ids.ts'

/** A member's standing in a team. */
export type Role = 'viewer' | 'developer' | 'admin' | 'owner'

/** Whoever acts, always known; `teamId` is the scope of every look-up. */
export type Actor = {
  userId: string
  name: string
  teamId: string
  role: Role
  via: 'token' | 'session' | 'key'
  /** Which token or key, for `whoami` and the log. */
  credential: string
}

/** A public key that may push. */
export type SshKey = typeof sshKeys.$inferSelect

const SESSION_MS = 12 * 60 * 60 * 1000

/** Make a token for a user; its text is given once and only its hash is kept. */
export function createToken(
  db: Db,
  input: { userId: string; name: string; now: number; expiresAt?: number },
): string {
  const token = newToken('pat')
  db.insert(tokens)
    .values({
      id: newId('tok', input.now),
      userId: input.userId,
      name: input.name,
      hash: sha256(token),
      createdAt: input.now,
      expiresAt: input.expiresAt ?? null,
    })
    .run()
  return token
}

/** The actor of a token. @throws {HeliosError} unauthenticated; an expired token is told so */
export function actorOfToken(db: Db, token: string, now: number): Actor {
  const row = isToken(token) ? tokenByHash(db).get({ hash: sha256(token) }) : undefined
  if (row === undefined) throw unauthenticated('This token is not known here')
  if (row.expiresAt !== null && row.expiresAt <= now) throw unauthenticated('This token expired')
  // A write a minute is enough to tell when it was last used.
  if ((row.lastUsedAt ?? 0) < now - 60_000) {
    db.update(tokens).set({ lastUsedAt: now }).where(eq(tokens.id, row.id)).run()
  }
  return actorOfUser(db, row.userId, { via: 'token', credential: row.name })
}

/** Begin a browser session; gives the cookie's value and when it ends. */
export function createSession(
  db: Db,
  userId: string,
  now: number,
): { id: string; expiresAt: number } {
  const id = newSessionId()
  const expiresAt = now + SESSION_MS
  db.delete(sessions).where(lt(sessions.expiresAt, now)).run()
  db.insert(sessions)
    .values({ hash: sha256(id), userId, createdAt: now, expiresAt })
    .run()
  return { id, expiresAt }
}

/** The actor of a browser session; undefined when it ended or never was. */
export function actorOfSession(db: Db, id: string, now: number): Actor | undefined {
  const row = db
    .select()
    .from(sessions)
    .where(and(eq(sessions.hash, sha256(id)), gt(sessions.expiresAt, now)))
    .get()
  return row && actorOfUser(db, row.userId, { via: 'session', credential: 'browser' })
}

/** End a browser session. */
export function endSession(db: Db, id: string): void {
  db.delete(sessions)
    .where(eq(sessions.hash, sha256(id)))
    .run()
}

/** The actor of an SSH key by its fingerprint (`SHA256:...`); undefined when nobody has added it. */
export function actorOfKey(db: Db, fingerprint: string): Actor | undefined {
  const key = db.select().from(sshKeys).where(eq(sshKeys.fingerprint, fingerprint)).get()
  return key && actorOfUser(db, key.userId, { via: 'key', credential: key.name })
}

const tokenByHash = prepared((db) =>
  db
    .select()
    .from(tokens)
    .where(eq(tokens.hash, sql.placeholder('hash')))
    .prepare(),
)

const firstMembership = prepared((db) =>
  db
    .select({ name: users.name, teamId: memberships.teamId, role: memberships.role })
    .from(users)
    .innerJoin(memberships, eq(memberships.userId, users.id))
    .where(eq(users.id, sql.placeholder('userId')))
    .orderBy(asc(memberships.teamId))
    .limit(1)
    .prepare(),
)

function actorOfUser(db: Db, userId: string, by: Pick<Actor, 'via' | 'credential'>): Actor {
  const row = firstMembership(db).get({ userId })
  if (!row) throw unauthenticated('Nobody holds this credential any more')
  return { userId, ...row, ...by }
}

function unauthenticated(message: string): HeliosError {
  return new HeliosError('unauthenticated', message, { hint: 'Sign in again: helios login' })
}

/** Add a public key to the actor's user. @throws {HeliosError} key_taken */
export function addSshKey(
  db: Db,
  actor: Pick<Actor, 'userId'>,
  key: { name: string; fingerprint: string; publicKey: string; now: number },
): SshKey {
  const known = db.select().from(sshKeys).where(eq(sshKeys.fingerprint, key.fingerprint)).get()
  if (known?.userId === actor.userId) return known
  if (known) {
    throw new HeliosError('key_taken', `The key ${key.fingerprint} belongs to somebody else`, {
      hint: 'Make a key of your own: ssh-keygen -t ed25519',
    })
  }
  return db
    .insert(sshKeys)
    .values({
      id: newId('key', key.now),
      userId: actor.userId,
      name: key.name,
      fingerprint: key.fingerprint,
      publicKey: key.publicKey,
      createdAt: key.now,
    })
    .returning()
    .get()
}

/** The actor's public keys, oldest first, at most 200. */
export function listSshKeys(db: Db, actor: Pick<Actor, 'userId'>): SshKey[] {
  return db
    .select()
    .from(sshKeys)
    .where(eq(sshKeys.userId, actor.userId))
    .orderBy(asc(sshKeys.id))
    .limit(200)
    .all()
}

/** Remove one of the actor's keys, named by id, name or fingerprint. @throws {HeliosError} key_not_found */
export function removeSshKey(db: Db, actor: Pick<Actor, 'userId'>, which: string): SshKey {
  const named = or(eq(sshKeys.id, which), eq(sshKeys.fingerprint, which), eq(sshKeys.name, which))
  const key = db
    .select()
    .from(sshKeys)
    .where(and(eq(sshKeys.userId, actor.userId), named))
    .get()
  if (!key) {
    throw new HeliosError('key_not_found', `You have no key ${show(which)}`, {
      hint: 'See your keys: helios keys',
    })
  }
  db.delete(sshKeys).where(eq(sshKeys.id, key.id)).run()
  return key
}
