/**
 * @module
 * Apps at a glance: release, formation and last deployment of many apps in a few queries.
 */
import { and, asc, count, eq, gt, inArray, sql } from 'drizzle-orm'
import { type Db, prepared } from '../db/open.ts'
import { apps, deployments, releases, rollouts } from '../db/schema.ts'
import type { App, Scope } from './apps.ts'
import { type Deployment, OPEN_STATES } from './deployments.ts'

/** A deployment with the number of the release it made. */
export type NumberedDeployment = Deployment & { release: number | null }

/** An app with what one wants to know of it first. */
export type AppOverview = {
  app: App
  /** Number of the live release; null before the first. */
  release: number | null
  /** Instances wanted of all processes, and healthy ones of the live rollout. */
  wanted: number
  healthy: number
  /** A deployment waits or runs. */
  busy: boolean
  last: NumberedDeployment | null
}

const MAX_PAGE = 200

/** Overviews by name, a page at a time: at most `limit` (200) after the name `after`. */
export function listOverviews(
  db: Db,
  scope: Scope,
  page: { after?: string; limit?: number } = {},
): AppOverview[] {
  const rows = figuresOfPage(db).all({
    teamId: scope.teamId,
    after: page.after ?? '',
    limit: Math.min(MAX_PAGE, page.limit ?? MAX_PAGE),
  })
  return withDeployments(db, rows)
}

/** The overview of one app. */
export function overviewOf(db: Db, app: App): AppOverview {
  const rows = figuresOfOne(db).all({ id: app.id })
  const none = { app, release: null, wanted: 0, healthy: 0, busy: false, last: null }
  return withDeployments(db, rows)[0] ?? none
}

/** How many apps a team has. */
export function countApps(db: Db, scope: Scope): number {
  return db.select({ n: count() }).from(apps).where(eq(apps.teamId, scope.teamId)).get()?.n ?? 0
}

/** Deployments with the numbers of their releases. */
export function numbered(db: Db, rows: readonly Deployment[]): NumberedDeployment[] {
  const ids = rows.flatMap((row) => row.releaseId ?? [])
  const found = ids.length === 0 ? [] : releaseNumbers(db, ids)
  const numbers = new Map(found.map(({ id, number }) => [id, number]))
  return rows.map((row) => ({ ...row, release: numbers.get(row.releaseId ?? '') ?? null }))
}

function releaseNumbers(db: Db, ids: string[]): { id: string; number: number }[] {
  return db
    .select({ id: releases.id, number: releases.number })
    .from(releases)
    .where(inArray(releases.id, ids))
    .all()
}

function figures(db: Db) {
  // SQLite counts the formation itself: reading every AppSpec into memory costs more than the page.
  const wanted = sql<number>`(
    SELECT coalesce(sum(coalesce(f.instances, json_extract(p.value, '$.instances'))), 0)
    FROM json_each(${releases.spec}, '$.processes') p
    LEFT JOIN formations f ON f.app_id = ${apps.id} AND f.process = p.key)`
  const healthy = sql<number>`(
    SELECT count(*) FROM instances i
    WHERE i.app_id = ${apps.id} AND i.rollout_id = ${apps.liveRolloutId} AND i.healthy = 1)`
  return db
    .select({ app: apps, release: releases.number, wanted, healthy })
    .from(apps)
    .leftJoin(rollouts, eq(rollouts.id, apps.liveRolloutId))
    .leftJoin(releases, eq(releases.id, rollouts.releaseId))
    .$dynamic()
}

const figuresOfOne = prepared((db) =>
  figures(db)
    .where(eq(apps.id, sql.placeholder('id')))
    .prepare(),
)

const figuresOfPage = prepared((db) =>
  figures(db)
    .where(and(eq(apps.teamId, sql.placeholder('teamId')), gt(apps.name, sql.placeholder('after'))))
    .orderBy(asc(apps.name))
    .limit(sql.placeholder('limit'))
    .prepare(),
)

type Figures = Omit<AppOverview, 'busy' | 'last'>

const appsWithOpen = prepared((db) =>
  db
    .selectDistinct({ appId: deployments.appId })
    .from(deployments)
    .where(inArray(deployments.state, [...OPEN_STATES]))
    .prepare(),
)

const newestDeployments = prepared((db) => {
  // One step down the index an app; grouping would walk the whole history.
  const newest = sql`(SELECT max(d.id) FROM deployments d WHERE d.app_id = ${apps.id})`
  return db
    .select({ last: deployments, release: releases.number })
    .from(apps)
    .innerJoin(deployments, eq(deployments.id, newest))
    .leftJoin(releases, eq(releases.id, deployments.releaseId))
    .where(sql`${apps.id} IN (SELECT value FROM json_each(${sql.placeholder('ids')}))`)
    .prepare()
})

function withDeployments(db: Db, rows: readonly Figures[]): AppOverview[] {
  const ids = rows.map((row) => row.app.id)
  if (ids.length === 0) return []
  const busy = new Set(
    appsWithOpen(db)
      .all()
      .map((row) => row.appId),
  )
  const found = newestDeployments(db).all({ ids: JSON.stringify(ids) })
  const last = new Map(found.map((row) => [row.last.appId, { ...row.last, release: row.release }]))
  return rows.map((row) => ({
    ...row,
    busy: busy.has(row.app.id),
    last: last.get(row.app.id) ?? null,
  }))
}

/** A number that differs once this process changed anything in the database. */
export function changeCount(db: Db): number {
  return db.get<{ n: number }>(sql`SELECT total_changes() AS n`).n
}
