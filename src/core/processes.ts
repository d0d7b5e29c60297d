/**
 * @module
 * The wanted formation of an app: how many instances of each process.
 */
import { eq } from 'drizzle-orm'
import { type Db, inTransaction } from '../db/open.ts'
import { formations } from '../db/schema.ts'
import { HeliosError, show } from '../lib/errors.ts'
import { enqueue } from '../queue/store.ts'
import { type App, mustBeActive } from './apps.ts'
import type { Release } from './releases.ts'

/** How many instances of each process. */
export type Formation = Record<string, number>

/** Name of the job that makes what runs of an app equal to what is wanted. */
export const CONVERGE_JOB = 'converge'

/** Payload of a {@link CONVERGE_JOB}. */
export type ConvergePayload = { appId: string }

/** The router's live state holds this many addresses an app. */
const MAX_INSTANCES = 16

/** What the release asks for, with what was asked for by hand on top. */
export function formationOf(
  db: Db,
  app: Pick<App, 'id'>,
  release: Pick<Release, 'spec'>,
): Formation {
  const asked = Object.fromEntries(
    db
      .select()
      .from(formations)
      .where(eq(formations.appId, app.id))
      .all()
      .map((row) => [row.process, row.instances]),
  )
  return Object.fromEntries(
    Object.entries(release.spec.processes).map(([name, spec]) => [
      name,
      asked[name] ?? spec.instances,
    ]),
  )
}

/**
 * Ask for a number of instances of processes, all or none, with the job that makes it so.
 * @throws {HeliosError} no_process, invalid_value, over_quota
 */
export function scaleProcesses(
  db: Db,
  app: App,
  input: { wanted: Formation; release: Pick<Release, 'spec'>; now: number },
): Formation {
  const known = Object.keys(input.release.spec.processes)
  for (const [process, instances] of Object.entries(input.wanted)) {
    checkCount(process, instances, known)
  }
  return inTransaction(db, () => {
    mustBeActive(db, app)
    for (const [process, instances] of Object.entries(input.wanted)) {
      db.insert(formations)
        .values({ appId: app.id, process, instances })
        .onConflictDoUpdate({
          target: [formations.appId, formations.process],
          set: { instances },
        })
        .run()
    }
    requestConverge(db, app.id, input.now)
    return formationOf(db, app, input.release)
  })
}

function checkCount(process: string, instances: number, known: readonly string[]): void {
  if (!known.includes(process)) {
    throw new HeliosError('no_process', `There is no process ${show(process)}`, {
      field: 'process',
      hint: `Its processes: ${known.join(', ')}`,
    })
  }
  if (!Number.isInteger(instances) || instances < 0) {
    throw new HeliosError('invalid_value', `${show(instances)} is no number of instances`, {
      field: process,
      hint: `Give a whole number from 0 to ${MAX_INSTANCES}`,
    })
  }
  if (instances > MAX_INSTANCES) {
    throw new HeliosError(
      'over_quota',
      `${instances} instances of ${process} are more than the ${MAX_INSTANCES} one server runs`,
      { field: process, hint: 'Give the process more memory or CPUs instead' },
    )
  }
}

/** Ask for the job that makes what runs of an app equal to what is wanted. */
export function requestConverge(db: Db, appId: string, now: number): void {
  enqueue(
    db,
    {
      kind: CONVERGE_JOB,
      key: appId,
      payload: { appId } satisfies ConvergePayload,
      maxAttempts: 5,
    },
    now,
  )
}
