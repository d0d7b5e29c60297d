/**
 * @module
 * Apply the SQL migrations in order, one transaction each, and refuse a database that is newer.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HeliosError } from '../lib/errors.ts'
import type { Db } from './open.ts'

/** One migration file: its name sorts, its statements are SQL. */
export type Migration = { name: string; statements: string[] }

/** Read every `NNNN_name.sql` of a folder, in order. */
export function readMigrations(folder: string): Migration[] {
  return readdirSync(folder)
    .filter((name) => /^\d{4}_.*\.sql$/.test(name))
    .sort()
    .map((name) => ({
      name,
      statements: readFileSync(join(folder, name), 'utf8').split('--> statement-breakpoint'),
    }))
}

/**
 * Bring the database to the last migration; gives the names applied. A copy of the file is kept beside it first.
 * @throws {HeliosError} database_newer, HP53 when a migration leaves rows without their parent
 */
export function migrate(db: Db, migrations: readonly Migration[]): string[] {
  const sqlite = db.$client
  sqlite.exec(
    'CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at INTEGER NOT NULL)',
  )
  const applied = new Set(sqlite.prepare('SELECT name FROM migrations').pluck().all() as string[])
  const unknown = [...applied].filter((name) => !migrations.some((file) => file.name === name))
  if (unknown.length > 0) {
    throw new HeliosError(
      'database_newer',
      `The database has ${unknown.join(', ')}, which this Helios does not know`,
      {
        hint: 'Start the newer Helios that made it, or restore a backup of before',
      },
    )
  }
  const pending = migrations.filter((file) => !applied.has(file.name))
  if (pending.length > 0 && applied.size > 0) copyAside(db, [...applied].sort().at(-1) ?? '')
  // Inside a transaction this pragma does nothing, and a table rebuild would cascade to child rows.
  sqlite.pragma('foreign_keys = OFF')
  try {
    for (const file of pending) applyOne(db, file)
  } finally {
    sqlite.pragma('foreign_keys = ON')
  }
  return pending.map((file) => file.name)
}

function applyOne(db: Db, file: Migration): void {
  const sqlite = db.$client
  sqlite
    .transaction(() => {
      for (const statement of file.statements) sqlite.exec(statement)
      const orphans = sqlite.pragma('foreign_key_check') as unknown[]
      if (orphans.length > 0) {
        throw new HeliosError(
          'HP53',
          `Migration ${file.name} would leave ${orphans.length} rows without their parent`,
          {
            hint: 'Nothing was changed; keep the Helios you had and report this',
          },
        )
      }
      sqlite.prepare('INSERT INTO migrations VALUES (?, ?)').run(file.name, Date.now())
    })
    .immediate()
}

function copyAside(db: Db, last: string): void {
  const copy = `${db.$client.name}.before-${last}-${Date.now()}`
  db.$client.prepare('VACUUM INTO ?').run(copy)
}
