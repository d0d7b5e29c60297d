/**
 * @module
 * Deployments: ask for one, follow its state, cancel it. Asking and its job are one transaction.
 */
import { and, desc, eq, inArray, isNull, lt, lte, or } from 'drizzle-orm'
import { type Db, inTransaction } from '../db/open.ts'
import { deployments, jobs, rollouts, sources } from '../db/schema.ts'
import { HeliosError, messageOf, show } from '../lib/errors.ts'
import { isId, newId } from '../lib/ids.ts'
import { enqueue, requestCancel } from '../queue/store.ts'
import type { Actor } from './access.ts'
import { type App, mustBeActive } from './apps.ts'
import { requestConverge } from './processes.ts'

/** The whole journey from a source, or from a release, to live. */
export type Deployment = typeof deployments.$inferSelect

/** What a build starts from. */
export type Source = typeof sources.$inferSelect

/** What may start a deployment. */
export type NewDeployment = {
  app: App
  actor: Pick<Actor, 'userId' | 'name' | 'via' | 'credential'>
  reason: Deployment['reason']
  /** One line for people, as `Deploy 1a2b3c4`. */
  description: string
  /** An archive's id is made first, because its file is there before its row. */
  source?: Pick<Source, 'kind'> & Partial<Pick<Source, 'id' | 'rev' | 'ref' | 'previousRev'>>
  fromReleaseId?: string
  now: number
}

/** Name of the job that carries a deployment out; its payload is {@link DeployPayload}. */
export const DEPLOY_JOB = 'deploy'

/** Payload of a {@link DEPLOY_JOB}. */
export type DeployPayload = { deploymentId: string }

const EVERY = ['push', 'upload', 'image', 'rollback', 'config', 'restart'] as const
/** Which deployments that still wait are not needed once another is asked for: it brings what they would. */
const MAKES_NEEDLESS: Record<Deployment['reason'], readonly Deployment['reason'][]> = {
  push: EVERY,
  upload: EVERY,
  image: EVERY,
  rollback: EVERY,
  config: ['config', 'restart'],
  // It brings the release there is, without the config vars a waiting one would bring.
  restart: ['restart'],
}

/**
 * Ask for a deployment: its row, its source and its job. Those of the app that still wait are
 * superseded where the new one brings what they would: a restart replaces no config change, and neither replaces new code.
 * @throws {HeliosError} queue_full, conflict when the app is being destroyed
 */
export function requestDeployment(db: Db, input: NewDeployment): Deployment {
  const { app, actor, now } = input
  return inTransaction(db, () => {
    mustBeActive(db, app)
    supersedeWaiting(db, input)
    const id = newId('dep', now)
    const sourceId = input.source ? addSource(db, app, input.source, now) : null
    const job = enqueue(
      db,
      {
        kind: DEPLOY_JOB,
        key: app.id,
        payload: { deploymentId: id } satisfies DeployPayload,
        maxAttempts: 3,
      },
      now,
    )
    return db
      .insert(deployments)
      .values({
        id,
        appId: app.id,
        reason: input.reason,
        actor: `${actor.name} (${actor.via} ${actor.credential})`,
        userId: actor.userId,
        sourceId,
        fromReleaseId: input.fromReleaseId ?? null,
        description: input.description,
        state: 'queued',
        jobId: job.id,
        createdAt: now,
      })
      .returning()
      .get()
  })
}

function addSource(
  db: Db,
  app: App,
  source: NonNullable<NewDeployment['source']>,
  now: number,
): string {
  const id = source.id ?? newId('src', now)
  db.insert(sources)
    .values({
      id,
      appId: app.id,
      kind: source.kind,
      rev: source.rev ?? null,
      ref: source.ref ?? null,
      previousRev: source.previousRev ?? null,
      createdAt: now,
    })
    .run()
  return id
}

function supersedeWaiting(db: Db, by: NewDeployment): void {
  const waiting = db
    .select()
    .from(deployments)
    .where(
      and(
        eq(deployments.appId, by.app.id),
        eq(deployments.state, 'queued'),
        inArray(deployments.reason, [...MAKES_NEEDLESS[by.reason]]),
      ),
    )
    .all()
  for (const { id, jobId } of waiting) {
    if (jobId) requestCancel(db, jobId, by.now)
    db.update(deployments)
      .set({ state: 'superseded', finishedAt: by.now })
      .where(eq(deployments.id, id))
      .run()
  }
}

/** One deployment of an app. @throws {HeliosError} deployment_not_found */
export function findDeployment(db: Db, app: Pick<App, 'id' | 'name'>, id: string): Deployment {
  const row = isId('dep', id)
    ? db
        .select()
        .from(deployments)
        .where(and(eq(deployments.id, id), eq(deployments.appId, app.id)))
        .get()
    : undefined
  if (row) return row
  throw new HeliosError('deployment_not_found', `${app.name} has no deployment ${show(id)}`, {
    hint: `See its deployments: helios deployments -a ${app.name}`,
  })
}

/** A deployment by the id its job carries; undefined when its app is gone. */
export function deploymentOfJob(db: Db, id: string): Deployment | undefined {
  return db.select().from(deployments).where(eq(deployments.id, id)).get()
}

/** Deployments of an app, newest first, a page of at most 200 older than the id `before`. */
export function listDeployments(
  db: Db,
  app: Pick<App, 'id'>,
  page: { before?: string; limit?: number } = {},
): Deployment[] {
  const older = page.before === undefined ? undefined : lt(deployments.id, page.before)
  return db
    .select()
    .from(deployments)
    .where(and(eq(deployments.appId, app.id), older))
    .orderBy(desc(deployments.id))
    .limit(Math.min(200, page.limit ?? 200))
    .all()
}

/** The source of a deployment. */
export function sourceOf(db: Db, deployment: Deployment): Source | undefined {
  if (!deployment.sourceId) return undefined
  return db.select().from(sources).where(eq(sources.id, deployment.sourceId)).get()
}

/** A source by its id with the deployment that is made from it; undefined when there is none. */
export function sourceWithDeployment(
  db: Db,
  id: string,
): { source: Source; deployment: Deployment } | undefined {
  return db
    .select({ source: sources, deployment: deployments })
    .from(sources)
    .innerJoin(deployments, eq(deployments.sourceId, sources.id))
    .where(eq(sources.id, id))
    .get()
}

/** States of a deployment that is not over. */
export const OPEN_STATES = ['queued', 'building', 'deploying'] as const

/** Tell whether a deployment waits or runs. */
export function isOpen(deployment: Pick<Deployment, 'state'>): boolean {
  return (OPEN_STATES as readonly string[]).includes(deployment.state)
}

/** Deployments that are not over although no job carries them on any more, since `before`. */
export function abandonedDeployments(db: Db, before: number): Deployment[] {
  return db
    .select({ deployment: deployments })
    .from(deployments)
    .leftJoin(jobs, eq(jobs.id, deployments.jobId))
    .where(
      and(
        inArray(deployments.state, [...OPEN_STATES]),
        or(isNull(jobs.id), lte(jobs.finishedAt, before)),
      ),
    )
    .all()
    .map(({ deployment }) => deployment)
}

/** Write where a deployment is; one that ended keeps its state. Gives whether anything changed. */
export function setDeploymentState(
  db: Db,
  id: string,
  change: { state: Deployment['state']; error?: unknown },
  now: number,
): boolean {
  const ended = !isOpen(change)
  const { changes } = db
    .update(deployments)
    .set({
      state: change.state,
      ...(change.error === undefined ? {} : { error: errorOf(change.error) }),
      ...(change.state === 'building' ? { startedAt: now } : {}),
      ...(ended ? { finishedAt: now } : {}),
    })
    .where(and(eq(deployments.id, id), inArray(deployments.state, [...OPEN_STATES])))
    .run()
  return changes > 0
}

function errorOf(error: unknown): NonNullable<Deployment['error']> {
  if (!(error instanceof HeliosError)) return { code: 'internal', message: messageOf(error) }
  const { code, message, hint } = error
  return { code, message, ...(hint === undefined ? {} : { hint }) }
}

/** Ask a deployment to stop: one that waits ends at once, one that runs when its worker hears of it. @throws {HeliosError} conflict when it ended already */
export function cancelDeployment(db: Db, deployment: Deployment, now: number): Deployment {
  return inTransaction(db, () => {
    const current = deploymentOfJob(db, deployment.id) ?? deployment
    if (!isOpen(current)) {
      throw new HeliosError('conflict', `${current.id} is over: ${current.state}`, {
        hint: 'Only a deployment that waits or runs can be cancelled',
      })
    }
    const job = current.jobId ? requestCancel(db, current.jobId, now) : undefined
    // One that waits, be it for its next try, has no worker that would hear of it.
    if (job?.state !== 'running') endUnworked(db, current, now)
    return deploymentOfJob(db, deployment.id) ?? current
  })
}

function endUnworked(db: Db, { id, appId }: Deployment, now: number): void {
  setDeploymentState(db, id, { state: 'cancelled' }, now)
  const { changes } = db
    .update(rollouts)
    .set({ state: 'failed', finishedAt: now })
    .where(and(eq(rollouts.deploymentId, id), eq(rollouts.state, 'starting')))
    .run()
  // A try before may have left instances.
  if (changes > 0) requestConverge(db, appId, now)
}

/** Point a deployment to the job that carries it on, and to what it made. */
export function linkDeployment(
  db: Db,
  id: string,
  links: { jobId?: string; releaseId?: string },
): void {
  db.update(deployments).set(links).where(eq(deployments.id, id)).run()
}
