/**
 * @module
 * Instances as last seen: what the engine observed, for everyone who only wants to look.
 */
import { and, asc, eq, inArray, notInArray, sql } from 'drizzle-orm'
import { type Db, inTransaction, prepared } from '../db/open.ts'
import { instances } from '../db/schema.ts'

/** One running container of a process, as last seen. */
export type SeenInstance = typeof instances.$inferSelect

const anySeen = prepared((db) =>
  db
    .select({ id: instances.id })
    .from(instances)
    .where(eq(instances.appId, sql.placeholder('appId')))
    .limit(1)
    .prepare(),
)

/** Write what was seen of an app; instances that were not seen are forgotten. */
export function recordInstances(db: Db, appId: string, seen: readonly SeenInstance[]): void {
  // Most apps of a server are as they were a moment ago, and a commit waits for the disk.
  if (seen.length === 0 && !anySeen(db).get({ appId })) return
  inTransaction(db, () => {
    const ids = seen.map((each) => each.id)
    db.delete(instances)
      .where(and(eq(instances.appId, appId), notInArray(instances.id, ids)))
      .run()
    for (const row of seen) {
      db.insert(instances).values(row).onConflictDoUpdate({ target: instances.id, set: row }).run()
    }
  })
}

/** Instances of these apps as last seen, by process and number. */
export function seenInstances(db: Db, appIds: readonly string[]): SeenInstance[] {
  return db
    .select()
    .from(instances)
    .where(inArray(instances.appId, [...appIds]))
    .orderBy(asc(instances.appId), asc(instances.process), asc(instances.index))
    .all()
}
