/**
 * @module
 * Apps: create, find, list, destroy, always in the scope of a team.
 */
import { and, asc, eq, gt, inArray, sql } from 'drizzle-orm'
import { type Db, inTransaction, prepared } from '../db/open.ts'
import { apps, deployments, teams } from '../db/schema.ts'
import { HeliosError, show } from '../lib/errors.ts'
import { newId } from '../lib/ids.ts'
import { parseAppName } from '../lib/names.ts'
import { enqueue, requestCancel } from '../queue/store.ts'

/** The thing deployed. */
export type App = typeof apps.$inferSelect

/** Whose apps a look-up may see. */
export type Scope = { teamId: string }

/** Make sure a team of this name exists; gives its scope. */
export function ensureTeam(db: Db, name: string, now: number): Scope {
  return inTransaction(db, () => {
    const found = db.select({ teamId: teams.id }).from(teams).where(eq(teams.name, name)).get()
    if (found) return found
    const teamId = newId('team', now)
    db.insert(teams).values({ id: teamId, name, createdAt: now }).run()
    return { teamId }
  })
}

/** Create an app. @throws {HeliosError} invalid_name, name_reserved, name_taken */
export function createApp(db: Db, input: { scope: Scope; name: string; now: number }): App {
  const name = parseAppName(input.name)
  return inTransaction(db, () => {
    // Names are unique on the server; the answer tells nothing of who has it.
    if (db.select({ id: apps.id }).from(apps).where(eq(apps.name, name)).get()) {
      throw new HeliosError('name_taken', `An app called ${show(name)} exists already`, {
        field: 'name',
        hint: 'Choose another name',
      })
    }
    const row = {
      id: newId('app', input.now),
      teamId: input.scope.teamId,
      name,
      createdAt: input.now,
    }
    return db.insert(apps).values(row).returning().get()
  })
}

const appByName = prepared((db) =>
  db
    .select()
    .from(apps)
    .where(and(eq(apps.teamId, sql.placeholder('teamId')), eq(apps.name, sql.placeholder('name'))))
    .prepare(),
)

/** Find an app by name; foreign and missing look the same. @throws {HeliosError} app_not_found */
export function findApp(db: Db, scope: Scope, name: string): App {
  const app = appByName(db).get({ teamId: scope.teamId, name })
  if (app) return app
  throw new HeliosError('app_not_found', `No app called ${show(name)}`, {
    hint: 'Check the name, or create the app first',
  })
}

const MAX_PAGE = 200

/** List apps by name, a page at a time: at most `limit` (200) after the name `after`. */
export function listApps(
  db: Db,
  scope: Scope,
  page: { after?: string; limit?: number } = {},
): App[] {
  return db
    .select()
    .from(apps)
    .where(and(eq(apps.teamId, scope.teamId), gt(apps.name, page.after ?? '')))
    .orderBy(asc(apps.name))
    .limit(Math.min(MAX_PAGE, page.limit ?? MAX_PAGE))
    .all()
}

/** Name of the job that takes away everything of an app, its rows last. */
export const DESTROY_JOB = 'destroy'

/** Payload of a {@link DESTROY_JOB}. */
export type DestroyPayload = { appId: string }

const byId = prepared((db) =>
  db
    .select()
    .from(apps)
    .where(eq(apps.id, sql.placeholder('id')))
    .prepare(),
)

/** An app by its id, whatever its team; for what the server itself does. */
export function appById(db: Db, id: string): App | undefined {
  return byId(db).get({ id })
}

/** Every app of the server, by id, for what the server itself does. */
export function allApps(db: Db): App[] {
  return db.select().from(apps).orderBy(asc(apps.id)).all()
}

/** Refuse to touch an app that is going away. @throws {HeliosError} app_not_found, conflict */
export function mustBeActive(db: Db, app: Pick<App, 'id' | 'name'>): void {
  const state = appById(db, app.id)?.state
  if (state === 'active') return
  throw new HeliosError('conflict', `${app.name} is being destroyed`, {
    hint: 'Wait for its end, or use another name',
  })
}

/** Ask for the end of an app: what waits or runs of it is cancelled, then a job takes everything away. @throws {HeliosError} app_not_found */
export function destroyApp(db: Db, scope: Scope, name: string, now: number): App {
  return inTransaction(db, () => {
    const app = findApp(db, scope, name)
    const open = db
      .select()
      .from(deployments)
      .where(
        and(
          eq(deployments.appId, app.id),
          inArray(deployments.state, ['queued', 'building', 'deploying']),
        ),
      )
      .all()
    for (const { jobId } of open) if (jobId) requestCancel(db, jobId, now)
    if (app.state === 'destroying') return app
    requestDestroy(db, app.id, now)
    return db.update(apps).set({ state: 'destroying' }).where(eq(apps.id, app.id)).returning().get()
  })
}

/** Ask for the job that takes everything of an app away. */
export function requestDestroy(db: Db, appId: string, now: number): void {
  enqueue(
    db,
    {
      kind: DESTROY_JOB,
      key: appId,
      payload: { appId } satisfies DestroyPayload,
      maxAttempts: 10,
    },
    now,
  )
}

/** Remove an app's row, and with it all rows that hang on it. */
export function forgetApp(db: Db, id: string): void {
  db.delete(apps).where(eq(apps.id, id)).run()
}
