/**
 * @module
 * Releases: immutable, numbered per app, at most one a deployment.
 */
import { and, desc, eq, isNull, lt, max } from 'drizzle-orm'
import { type Db, inTransaction } from '../db/open.ts'
import { builds, deployments, envVars, releases, rollouts } from '../db/schema.ts'
import { HeliosError, show } from '../lib/errors.ts'
import { newId } from '../lib/ids.ts'
import type { AppSpec } from '../manifest/types.ts'
import type { App } from './apps.ts'
import { listEnv } from './env.ts'

/** What a rollout makes live and a rollback goes back to. */
export type Release = typeof releases.$inferSelect

/** A finished build. */
export type Build = typeof builds.$inferSelect

/** What a release is made of; its env is taken from the app's config vars. */
export type NewRelease = {
  app: Pick<App, 'id'>
  deploymentId: string
  description: string
  image: string
  spec: AppSpec
  /** Config vars to go back to; they become the app's own again. */
  env?: Record<string, string>
  commit?: string | null
  now: number
}

/** Make the release of a deployment; a second call gives the first one's release. */
export function createRelease(db: Db, input: NewRelease): Release {
  return inTransaction(db, () => {
    const known = releaseOfDeployment(db, input.deploymentId)
    if (known) return known
    if (input.env) restoreEnv(db, input.app, input.env)
    const last = db
      .select({ number: max(releases.number) })
      .from(releases)
      .where(eq(releases.appId, input.app.id))
      .get()
    const row = db
      .insert(releases)
      .values({
        id: newId('rel', input.now),
        appId: input.app.id,
        number: (last?.number ?? 0) + 1,
        deploymentId: input.deploymentId,
        description: input.description,
        image: input.image,
        spec: input.spec,
        env: listEnv(db, input.app),
        commit: input.commit ?? null,
        createdAt: input.now,
      })
      .returning()
      .get()
    db.update(deployments)
      .set({ releaseId: row.id })
      .where(eq(deployments.id, input.deploymentId))
      .run()
    return row
  })
}

function restoreEnv(db: Db, app: Pick<App, 'id'>, env: Record<string, string>): void {
  db.delete(envVars).where(eq(envVars.appId, app.id)).run()
  for (const [key, value] of Object.entries(env)) {
    db.insert(envVars).values({ appId: app.id, key, value }).run()
  }
}

/** The release a deployment made, if it got that far. */
export function releaseOfDeployment(db: Db, deploymentId: string): Release | undefined {
  return db.select().from(releases).where(eq(releases.deploymentId, deploymentId)).get()
}

/** A release by its id. */
export function releaseById(db: Db, id: string): Release | undefined {
  return db.select().from(releases).where(eq(releases.id, id)).get()
}

/** The release whose instances answer now. */
export function liveRelease(db: Db, app: Pick<App, 'id' | 'liveRolloutId'>): Release | undefined {
  if (!app.liveRolloutId) return undefined
  return db
    .select({ release: releases })
    .from(rollouts)
    .innerJoin(releases, eq(releases.id, rollouts.releaseId))
    .where(eq(rollouts.id, app.liveRolloutId))
    .get()?.release
}

/** A release with how its deployment ended. */
export type ListedRelease = Release & { state: (typeof deployments.$inferSelect)['state'] }

/** Releases of an app, newest first, a page of at most 200 with numbers below `before`. */
export function listReleases(
  db: Db,
  app: Pick<App, 'id'>,
  page: { before?: number; limit?: number } = {},
): ListedRelease[] {
  const older = page.before === undefined ? undefined : lt(releases.number, page.before)
  return db
    .select({ release: releases, state: deployments.state })
    .from(releases)
    .innerJoin(deployments, eq(deployments.id, releases.deploymentId))
    .where(and(eq(releases.appId, app.id), older))
    .orderBy(desc(releases.number))
    .limit(Math.min(200, page.limit ?? 200))
    .all()
    .map(({ release, state }) => ({ ...release, state }))
}

/**
 * The release to roll back to: the one of this number, or without a number the last good one before the live one.
 * @throws {HeliosError} release_not_found, release_unavailable when it failed, is live already or its image is gone
 */
export function rollbackTarget(db: Db, app: App, number?: number): Release {
  const all = listReleases(db, app)
  const live = liveRelease(db, app)
  const good = all.filter(
    (each) => each.state === 'succeeded' && each.prunedAt === null && each.id !== live?.id,
  )
  const names = good.slice(0, 5).map((each) => `v${each.number}`)
  const hint =
    names.length === 0 ? 'There is none to go back to yet' : `Available: ${names.join(', ')}`
  if (number === undefined) {
    const before = good.find((each) => each.number < (live?.number ?? Number.POSITIVE_INFINITY))
    if (before) return before
    throw new HeliosError('release_unavailable', `${app.name} has no earlier good release`, {
      hint,
    })
  }
  const found = good.find((each) => each.number === number)
  if (found) return found
  const known = all.find((each) => each.number === number)
  if (!known) {
    throw new HeliosError('release_not_found', `${app.name} has no release ${show(`v${number}`)}`, {
      hint,
    })
  }
  throw new HeliosError('release_unavailable', `v${number} ${unavailable(known, live)}`, { hint })
}

function unavailable(release: ListedRelease, live: Release | undefined): string {
  if (release.id === live?.id) return 'is live already'
  if (release.prunedAt !== null) return 'has no image any more: only the newest are kept'
  return `did not succeed (${release.state})`
}

/** Remember a finished build, so that a retry does not build again. */
export function recordBuild(
  db: Db,
  build: Omit<Build, 'id' | 'createdAt'> & { now: number },
): Build {
  const { now, ...values } = build
  const known = buildOfDeployment(db, build.deploymentId)
  if (known) return known
  return db
    .insert(builds)
    .values({ ...values, id: newId('bld', now), createdAt: now })
    .returning()
    .get()
}

/** The finished build of a deployment. */
export function buildOfDeployment(db: Db, deploymentId: string): Build | undefined {
  return db.select().from(builds).where(eq(builds.deploymentId, deploymentId)).get()
}

/** Releases of an app that still have their image, newest first. */
export function releasesWithImage(db: Db, appId: string): Release[] {
  return db
    .select()
    .from(releases)
    .where(and(eq(releases.appId, appId), isNull(releases.prunedAt)))
    .orderBy(desc(releases.number))
    .all()
}

/** Say that a release's image is gone. */
export function markPruned(db: Db, id: string, now: number): void {
  db.update(releases).set({ prunedAt: now }).where(eq(releases.id, id)).run()
}
