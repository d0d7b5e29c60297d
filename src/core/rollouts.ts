/**
 * @module
 * Rollouts and their states: starting, live, draining, retired, failed.
 */
import { and, eq, inArray, ne, sql } from 'drizzle-orm'
import { type Db, inTransaction, prepared } from '../db/open.ts'
import { apps, deployments, releases, rollouts } from '../db/schema.ts'
import { newId } from '../lib/ids.ts'
import { enqueue } from '../queue/store.ts'
import type { App } from './apps.ts'
import { linkDeployment, setDeploymentState } from './deployments.ts'
import type { Release } from './releases.ts'

/** One try to make a release the live one. */
export type Rollout = typeof rollouts.$inferSelect

/** Names of the jobs that make running state equal to what is wanted. */
export const ROLLOUT_JOB = 'rollout'
export const DRAIN_JOB = 'drain'

/** Payload of a {@link ROLLOUT_JOB} and a {@link DRAIN_JOB}. */
export type RolloutPayload = { rolloutId: string }

/** Begin the rollout of a release for a deployment, with its job; a second call gives the first one's. */
export function createRollout(
  db: Db,
  input: { release: Release; deploymentId: string; now: number },
): Rollout {
  const { release, deploymentId, now } = input
  return inTransaction(db, () => {
    const known = rolloutOfDeployment(db, deploymentId)
    if (known) return known
    const row = db
      .insert(rollouts)
      .values({
        id: newId('rol', now),
        appId: release.appId,
        releaseId: release.id,
        deploymentId,
        state: 'starting',
        createdAt: now,
      })
      .returning()
      .get()
    const job = enqueue(
      db,
      {
        kind: ROLLOUT_JOB,
        key: release.appId,
        payload: { rolloutId: row.id } satisfies RolloutPayload,
        priority: 10,
        maxAttempts: 3,
      },
      now,
    )
    linkDeployment(db, deploymentId, { jobId: job.id, releaseId: release.id })
    return row
  })
}

/** A rollout by its id. */
export function rolloutById(db: Db, id: string): Rollout | undefined {
  return db.select().from(rollouts).where(eq(rollouts.id, id)).get()
}

const activeOf = prepared((db) =>
  db
    .select({ rollout: rollouts, release: releases })
    .from(rollouts)
    .innerJoin(releases, eq(releases.id, rollouts.releaseId))
    .where(
      and(
        eq(rollouts.appId, sql.placeholder('appId')),
        inArray(rollouts.state, ['starting', 'live', 'draining']),
      ),
    )
    .prepare(),
)

/** Rollouts of an app that may have instances, with their releases. */
export function activeRollouts(db: Db, appId: string): { rollout: Rollout; release: Release }[] {
  return activeOf(db).all({ appId })
}

/**
 * Make a rollout the live one: the app points to it, its deployment succeeded, and the one before
 * drains until `drainUntil`, with a job that ends it. One transaction; safe to call again.
 */
export function promoteRollout(
  db: Db,
  rollout: Rollout,
  times: { now: number; drainMs: number },
): void {
  const { now, drainMs } = times
  inTransaction(db, () => {
    const before = db
      .select()
      .from(rollouts)
      .where(
        and(
          eq(rollouts.appId, rollout.appId),
          eq(rollouts.state, 'live'),
          ne(rollouts.id, rollout.id),
        ),
      )
      .all()
    for (const old of before) {
      db.update(rollouts)
        .set({ state: 'draining', drainUntil: now + drainMs })
        .where(eq(rollouts.id, old.id))
        .run()
      requestDrain(db, old.id, now)
    }
    db.update(rollouts).set({ state: 'live', liveAt: now }).where(eq(rollouts.id, rollout.id)).run()
    db.update(apps).set({ liveRolloutId: rollout.id }).where(eq(apps.id, rollout.appId)).run()
    db.update(deployments)
      .set({ state: 'succeeded', finishedAt: now })
      .where(eq(deployments.id, rollout.deploymentId))
      .run()
  })
}

/** Ask for the job that ends the instances of a rollout that another one replaced. */
export function requestDrain(db: Db, rolloutId: string, now: number): void {
  enqueue(
    db,
    {
      kind: DRAIN_JOB,
      key: rolloutId,
      payload: { rolloutId } satisfies RolloutPayload,
      priority: 5,
      maxAttempts: 5,
    },
    now,
  )
}

/** Ids of all rollouts that another one replaced and that are not gone yet. */
export function drainingRollouts(db: Db): string[] {
  return db
    .select({ id: rollouts.id })
    .from(rollouts)
    .where(eq(rollouts.state, 'draining'))
    .all()
    .map(({ id }) => id)
}

/** A rollout that did not succeed and its deployment end together; one that is live stays so. Gives whether it ended now. */
export function failRollout(
  db: Db,
  rollout: Pick<Rollout, 'id' | 'deploymentId'>,
  end: { state: 'failed' | 'cancelled'; error?: unknown },
  now: number,
): boolean {
  return inTransaction(db, () => {
    const { changes } = db
      .update(rollouts)
      .set({ state: 'failed', finishedAt: now })
      .where(and(eq(rollouts.id, rollout.id), eq(rollouts.state, 'starting')))
      .run()
    if (changes > 0) setDeploymentState(db, rollout.deploymentId, end, now)
    return changes > 0
  })
}

/** The rollout of a deployment, if it got that far. */
export function rolloutOfDeployment(db: Db, deploymentId: string): Rollout | undefined {
  return db.select().from(rollouts).where(eq(rollouts.deploymentId, deploymentId)).get()
}

/** End a rollout that failed, or that drained. */
export function endRollout(db: Db, id: string, state: 'failed' | 'retired', now: number): void {
  db.update(rollouts).set({ state, finishedAt: now }).where(eq(rollouts.id, id)).run()
}

/** Every app with the rollout whose instances should answer for it. */
export function liveRollouts(db: Db): { app: App; rollout: Rollout; release: Release }[] {
  return db
    .select({ app: apps, rollout: rollouts, release: releases })
    .from(apps)
    .innerJoin(rollouts, eq(rollouts.id, apps.liveRolloutId))
    .innerJoin(releases, eq(releases.id, rollouts.releaseId))
    .all()
}
