/**
 * @module
 * Networks of teams: a subnet each, and an address in it for each instance.
 */
import { eq } from 'drizzle-orm'
import { type Db, inTransaction } from '../db/open.ts'
import { addresses, subnets } from '../db/schema.ts'
import { HeliosError } from '../lib/errors.ts'

/** A subnet has 1,024 addresses: /22. Place 0 is its name, 1 its gateway, the last its broadcast. */
const LAST_PLACE = 1022
const SUBNETS = 64

/**
 * The team's subnet, a /22 of the pool `a.b` (meaning a.b.0.0/16); made on the first call.
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
    const rows = db.select({ subnet: subnets.subnet }).from(subnets).all()
    const taken = new Set([...rows.map(({ subnet }) => subnet), ...input.avoid])
    for (let n = 0; n < SUBNETS; n++) {
      const subnet = `${input.pool}.${n * 4}.0/22`
      if (taken.has(subnet)) continue
      db.insert(subnets).values({ teamId: input.teamId, subnet, createdAt: input.now }).run()
      return subnet
    }
    throw new HeliosError('over_quota', `Every subnet of ${input.pool}.0.0/16 is taken`, {
      hint: 'Give Helios another pool with HELIOS_SUBNET_POOL, as in 10.89',
    })
  })
}

/** Give a team's subnet back, when something else turned out to have it. */
export function releaseSubnet(db: Db, teamId: string): void {
  inTransaction(db, () => {
    db.delete(addresses).where(eq(addresses.teamId, teamId)).run()
    db.delete(subnets).where(eq(subnets.teamId, teamId)).run()
  })
}

/**
 * The address of an instance in its team's network; the same at each call.
 * Places go round, so that an address which was given back is not soon somebody else's.
 * @throws {HeliosError} over_quota when every address is taken
 */
export function instanceAddress(db: Db, teamId: string, name: string): string {
  return inTransaction(db, () => {
    const net = db.select().from(subnets).where(eq(subnets.teamId, teamId)).get()
    if (!net) throw new HeliosError('internal', `The team ${teamId} has no subnet`)
    const own = db.select().from(addresses).where(eq(addresses.name, name)).get()
    if (own) return addressAt(net.subnet, own.place)
    const rows = db.select().from(addresses).where(eq(addresses.teamId, teamId)).all()
    const place = nextPlace(net.lastPlace, new Set(rows.map((row) => row.place)))
    db.insert(addresses).values({ teamId, name, place }).run()
    db.update(subnets).set({ lastPlace: place }).where(eq(subnets.teamId, teamId)).run()
    return addressAt(net.subnet, place)
  })
}

function nextPlace(last: number, taken: ReadonlySet<number>): number {
  for (let step = 1; step < LAST_PLACE; step++) {
    const place = ((last - 2 + step) % (LAST_PLACE - 1)) + 2
    if (!taken.has(place)) return place
  }
  throw new HeliosError('over_quota', `All ${LAST_PLACE - 1} addresses of the team are taken`, {
    hint: 'Scale something down first: helios ps:scale',
  })
}

function addressAt(subnet: string, place: number): string {
  const [first = 0, second = 0, third = 0] = subnet.split(/[./]/).map(Number)
  return `${first}.${second}.${third + Math.floor(place / 256)}.${place % 256}`
}

/** Give the address of an instance back. */
export function releaseAddress(db: Db, name: string): void {
  db.delete(addresses).where(eq(addresses.name, name)).run()
}

/** Names of all instances that hold an address. */
export function addressHolders(db: Db): string[] {
  return db
    .select({ name: addresses.name })
    .from(addresses)
    .all()
    .map((row) => row.name)
}
