/**
 * @module
 * Config vars of an app: set, unset, list.
 */
import { and, eq, inArray } from 'drizzle-orm'
import { type Db, inTransaction } from '../db/open.ts'
import { envVars } from '../db/schema.ts'
import { HeliosError } from '../lib/errors.ts'
import { parseEnvKey, parseEnvValue } from '../lib/names.ts'
import type { App } from './apps.ts'

const MAX_KEYS = 1000

/** The app's config vars. */
export function listEnv(db: Db, app: Pick<App, 'id'>): Record<string, string> {
  const rows = db.select().from(envVars).where(eq(envVars.appId, app.id)).orderBy(envVars.key).all()
  return Object.fromEntries(rows.map(({ key, value }) => [key, value]))
}

/** Set config vars, all or none. @throws {HeliosError} invalid_env_key, env_value_nul, env_value_too_large, too_many_env */
export function setEnv(db: Db, app: App, values: Record<string, string>): void {
  const rows = Object.entries(values).map(([key, value]) => ({
    appId: app.id,
    key: parseEnvKey(key),
    value: parseEnvValue(key, value),
  }))
  inTransaction(db, () => {
    for (const row of rows) {
      db.insert(envVars)
        .values(row)
        .onConflictDoUpdate({ target: [envVars.appId, envVars.key], set: { value: row.value } })
        .run()
    }
    const keys = Object.keys(listEnv(db, app)).length
    if (keys > MAX_KEYS) {
      throw new HeliosError(
        'too_many_env',
        `${app.name} would have ${keys} config vars; at most ${MAX_KEYS} are allowed`,
        {
          hint: 'Unset some first',
        },
      )
    }
  })
}

/** Unset config vars; keys that are not set are fine. */
export function unsetEnv(db: Db, app: App, keys: readonly string[]): void {
  db.delete(envVars)
    .where(and(eq(envVars.appId, app.id), inArray(envVars.key, [...keys])))
    .run()
}
