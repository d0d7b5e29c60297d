/**
 * @module
 * Users and their membership of teams.
 */
import { eq } from 'drizzle-orm'
import { type Db, inTransaction } from '../db/open.ts'
import { memberships, teams, users } from '../db/schema.ts'
import { newId } from '../lib/ids.ts'
import { createToken } from './access.ts'
import { ensureTeam, type Scope } from './apps.ts'

/**
 * Make the first user, owner of the team `default`, with a token.
 * Gives the token's text the first time and undefined ever after.
 */
export function ensureOwner(db: Db, now: number): string | undefined {
  return inTransaction(db, () => {
    if (db.select({ id: users.id }).from(users).limit(1).get()) return undefined
    const { teamId } = ensureTeam(db, 'default', now)
    const userId = newId('usr', now)
    db.insert(users).values({ id: userId, name: 'owner', createdAt: now }).run()
    db.insert(memberships).values({ teamId, userId, role: 'owner' }).run()
    return createToken(db, { userId, name: 'first token', now })
  })
}

/** Make another token for the owner, for one who holds the data dir and lost the first. */
export function newOwnerToken(db: Db, now: number): string | undefined {
  const owner = db
    .select({ userId: memberships.userId })
    .from(memberships)
    .where(eq(memberships.role, 'owner'))
    .get()
  return owner && createToken(db, { userId: owner.userId, name: 'made on the server', now })
}

/** The name of a team. */
export function teamName(db: Db, scope: Scope): string {
  const row = db.select({ name: teams.name }).from(teams).where(eq(teams.id, scope.teamId)).get()
  return row?.name ?? ''
}
