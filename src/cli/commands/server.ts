/**
 * @module
 * Commands that run in-process on the server: db:migrate.
 */
import { migrateDatabase } from '../../app.ts'

/** Make or update the database of the data dir. */
export function dbMigrate(): { text: string; data: unknown } {
  const { file, applied } = migrateDatabase()
  const text =
    applied.length === 0 ? `${file} is up to date` : `${file}: applied ${applied.join(', ')}`
  return { text, data: { file, applied } }
}
