/**
 * @module
 * What a process that ended, or a deployment that never ran, left to be done: found and done once more.
 */
import { allApps, requestDestroy } from '../core/apps.ts'
import {
  abandonedDeployments,
  isOpen,
  setDeploymentState,
  sourceWithDeployment,
} from '../core/deployments.ts'
import {
  DRAIN_JOB,
  drainingRollouts,
  failRollout,
  requestDrain,
  rolloutById,
  rolloutOfDeployment,
} from '../core/rollouts.ts'
import { addressHolders, releaseAddress } from '../core/subnets.ts'
import { HeliosError } from '../lib/errors.ts'
import { isId, madeAt } from '../lib/ids.ts'
import { hasOpenJob } from '../queue/store.ts'
import { CHANGING_JOBS } from './converge.ts'
import type { EngineDeps } from './deps.ts'
import { endDeployment, settle } from './outcome.ts'

/** What leftovers are found and done with. */
export type LeftoverDeps = Pick<
  EngineDeps,
  'db' | 'clock' | 'log' | 'deployLogs' | 'sources' | 'wake'
>

/** A source without a row belongs to an upload or a push under way; those are over by then. */
const UNASKED_MS = 60 * 60_000
/** Whoever ended a job writes what follows from it at once. */
const ABANDONED_MS = 60_000

/**
 * Let go of the sources of deployments that are over. With the time of the `boot`, all those from before
 * it are looked at, also in the repositories: whoever made them is gone.
 */
export async function settleSources(deps: LeftoverDeps, boot?: number): Promise<void> {
  const apps = boot === undefined ? [] : allApps(deps.db).map(({ id }) => id)
  const unasked = boot ?? deps.clock() - UNASKED_MS
  for (const kept of await deps.sources.kept(apps)) {
    const found = sourceWithDeployment(deps.db, kept.id)
    if (found && isOpen(found.deployment)) continue
    if (found) await settle(deps, found.deployment, found.deployment.state === 'succeeded')
    else if (madeAt(kept.id) < unasked) await deps.sources.drop(kept)
  }
}

/** Give each thing that should be under way a job again, and an end to what has none. */
export function takeUp(deps: LeftoverDeps): void {
  const { db } = deps
  const now = deps.clock()
  for (const id of drainingRollouts(db)) {
    if (!hasOpenJob(db, { kinds: [DRAIN_JOB], key: id })) requestDrain(db, id, now)
  }
  for (const { id, state } of allApps(db)) {
    const open = hasOpenJob(db, { kinds: CHANGING_JOBS, key: id })
    if (state === 'destroying' && !open) requestDestroy(db, id, now)
  }
  for (const deployment of abandonedDeployments(db, now - ABANDONED_MS)) {
    const error = new HeliosError('internal', 'The deploy was given up: its job is gone', {
      hint: 'See the log of the server for why, and deploy again',
    })
    const end = { state: 'failed', error } as const
    const rollout = rolloutOfDeployment(db, deployment.id)
    if (rollout) failRollout(db, rollout, end, now)
    setDeploymentState(db, deployment.id, end, now)
    endDeployment(deps, deployment, { error, outcome: 'failed' })
  }
  deps.wake()
}

/** Give back the addresses of instances that are gone for good; `alive` are the names of those that are there. */
export function releaseAddresses(deps: Pick<LeftoverDeps, 'db'>, alive: ReadonlySet<string>): void {
  for (const name of addressHolders(deps.db)) {
    const id = name.split('-')[1] ?? ''
    if (alive.has(name) || !isId('rol', id)) continue
    const state = rolloutById(deps.db, id)?.state
    if (state === undefined || state === 'retired' || state === 'failed') {
      releaseAddress(deps.db, name)
    }
  }
}
