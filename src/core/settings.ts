/**
 * @module
 * Facts of this server that it made itself and keeps: its id.
 */
import { eq } from 'drizzle-orm'
import { type Db, inTransaction } from '../db/open.ts'
import { settings } from '../db/schema.ts'
import { newId } from '../lib/ids.ts'

/** The id of this server; everything it makes in the engine carries it. */
export function serverId(db: Db, now: number): string {
  return inTransaction(db, () => {
    const found = db.select().from(settings).where(eq(settings.key, 'server_id')).get()
    if (found) return found.value
    const value = newId('srv', now)
    db.insert(settings).values({ key: 'server_id', value }).run()
    return value
  })
}
