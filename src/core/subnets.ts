/**
 * @module
 * Subnets of team networks: handed out once each, never two the same.
 */
import { eq } from 'drizzle-orm'
import { type Db, inTransaction } from '../db/open.ts'
import { subnets } from '../db/schema.ts'
import { HeliosError } from '../lib/errors.ts'

/**
 * The team's subnet, a /24 of the pool `a.b` (meaning a.b.0.0/16); made on the first call.
 * `avoid` are subnets that something else on this machine has.
 * @throws {HeliosError} over_quota when the pool is used up
 */
export function teamSubnet(
  db: Db,
  input: { teamId: string; pool: string; avoid: readonly string[]; now: number },
): string {
  return inTransaction(db, () => {
    const own = db.select().from(subnets).where(eq(subnets.teamId, input.teamId)).get()
    if (own) return own.subnet
    const taken = new Set([
      ...db
        .select()
        .from(subnets)
        .all()
        .map((row) => row.subnet),
      ...input.avoid,
    ])
    for (let third = 0; third < 256; third++) {
      const subnet = `${input.pool}.${third}.0/24`
      if (taken.has(subnet)) continue
      db.insert(subnets).values({ teamId: input.teamId, subnet, createdAt: input.now }).run()
      return subnet
    }
    throw new HeliosError('over_quota', `Every subnet of ${input.pool}.0.0/16 is taken`, {
      hint: 'Give Helios another pool with HELIOS_SUBNET_POOL, as in 10.88',
    })
  })
}

/** Give a team's subnet back, when something else turned out to have it. */
export function releaseSubnet(db: Db, teamId: string): void {
  db.delete(subnets).where(eq(subnets.teamId, teamId)).run()
}
