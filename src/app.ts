/**
 * @module
 * The one file that knows every part.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { readEnv } from './config/env.ts'
import { parseSettings } from './config/settings.ts'
import { migrate, readMigrations } from './db/migrate.ts'
import { lockDataDir, openDatabase } from './db/open.ts'

/** Provision or update the database, holding the data dir; gives its file and the migrations applied. */
export function migrateDatabase(): { file: string; applied: string[] } {
  const { dataDir } = parseSettings(readEnv())
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const lock = lockDataDir(dataDir)
  const db = openDatabase(dataDir)
  try {
    const applied = migrate(db, readMigrations(join(import.meta.dirname, '..', 'drizzle')))
    return { file: db.$client.name, applied }
  } finally {
    db.$client.close()
    lock.release()
  }
}
