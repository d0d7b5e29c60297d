/**
 * @module
 * Open the state database: one process, every acknowledged commit on disk.
 */
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { type BetterSQLite3Database, drizzle } from 'drizzle-orm/better-sqlite3'
import { HeliosError } from '../lib/errors.ts'

/** The typed handle that core and queue work with. */
export type Db = BetterSQLite3Database & { $client: Database.Database }

/** Open `helios.db` in the data dir; the caller closes `$client`. FULL, because NORMAL loses acknowledged commits at a power cut. */
export function openDatabase(dataDir: string): Db {
  const client = new Database(join(dataDir, 'helios.db'))
  client.pragma('busy_timeout = 5000')
  client.pragma('journal_mode = WAL')
  client.pragma('synchronous = FULL')
  client.pragma('foreign_keys = ON')
  return drizzle({ client })
}

/**
 * A query that every request asks, made once a database: drizzle takes longer to put one together than
 * SQLite to answer it.
 */
export function prepared<Query>(make: (db: Db) => Query): (db: Db) => Query {
  const made = new WeakMap<Db, Query>()
  return (db) => {
    const known = made.get(db)
    if (known !== undefined) return known
    const query = make(db)
    made.set(db, query)
    return query
  }
}

/** Run `work` in one immediate transaction; a throw rolls everything back. */
export function inTransaction<T>(db: Db, work: () => T): T {
  return db.$client.transaction(work).immediate()
}

/** Take the data dir for this process; the kernel gives it back whatever ends the process. @throws {HeliosError} data_dir_locked */
export function lockDataDir(dataDir: string): { release(): void } {
  const client = new Database(join(dataDir, 'lock'), { timeout: 0 })
  try {
    client.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    client.close()
    throw new HeliosError('data_dir_locked', `${dataDir} is in use by another Helios`, {
      hint: 'Stop the other one, or give this one a data dir of its own with HELIOS_DATA_DIR',
      cause: error,
    })
  }
  return { release: () => void client.close() }
}
