/**
 * @module
 * Commands that run in-process on the server: serve, token, db:migrate.
 */
import { migrateDatabase, ownerToken, serve } from '../../app.ts'
import type { Run } from '../command.ts'

const LINGER_MS = 300

/** Run the server until it is stopped. */
export const runServer: Run = async () => {
  const code = await serve()
  // A call that is under way, as the stop of an instance, goes on without this process.
  setTimeout(() => process.exit(), LINGER_MS).unref()
  return code
}

/** Make one more token of the owner; the token alone goes to stdout. */
export const makeToken: Run = async ({ out }) => {
  const { token } = await ownerToken()
  out.result({ token }, token)
  out.note('Keep it safe: it is not shown again. Sign in with it: helios login')
  return 0
}

/** Make or update the database of the data dir. */
export const dbMigrate: Run = async ({ out }) => {
  const { file, applied } = migrateDatabase()
  const text =
    applied.length === 0 ? `${file} is up to date` : `${file}: applied ${applied.join(', ')}`
  out.result({ file, applied }, text)
  return 0
}
