/**
 * @module
 * The engine assembled: its workers, its reconciler, and what the doors may ask of it.
 */
import { allApps, DESTROY_JOB } from '../core/apps.ts'
import { DEPLOY_JOB } from '../core/deployments.ts'
import { allDomains } from '../core/domains.ts'
import { CONVERGE_JOB } from '../core/processes.ts'
import { DRAIN_JOB, ROLLOUT_JOB } from '../core/rollouts.ts'
import type { Part } from '../lib/lifecycle.ts'
import { createWorker, type Handler } from '../queue/worker.ts'
import type { Attached } from '../runtime/types.ts'
import { collectImages, createCacheCut, removeImages } from './cleanup.ts'
import { type ConvergeDeps, convergeJob, destroyJob } from './converge.ts'
import { deployJob } from './deploy.ts'
import type { EngineDeps } from './deps.ts'
import { createNetworks } from './network.ts'
import { type OneOff, runOneOff } from './one-off.ts'
import { createReconciler } from './reconcile.ts'
import { drainJob, type RolloutDeps, rolloutJob } from './rollout.ts'
import { routeTable } from './routes.ts'
import { createTurns } from './turns.ts'

/** The engine as the process and the doors use it. */
export type Engine = {
  parts: { buildWorker: Part; oalWorker: Part; reconciler: Part }
  /** Look for jobs now. */
  wake(): void
  /** Tell the router every host name there is now. */
  routesReady(signal: AbortSignal): Promise<void>
  runOneOff(input: OneOff, signal: AbortSignal): Promise<Attached>
}

/** Rollouts and the like side by side. Most of them are drains that wait, and no rollout should wait for those. */
const ROLLOUTS_AT_ONCE = 64
const POLL_MS = 500

/** Assemble the engine; nothing runs before its parts start. */
export function createEngine(
  given: Omit<EngineDeps, 'wake'>,
  opts: { buildsAtOnce: number },
): Engine {
  const wake = (): void => {
    buildWorker.wake()
    oalWorker.wake()
  }
  const networks = createNetworks(given)
  const cutCache = createCacheCut(given)
  const turns = createTurns(given.clock)
  const routesReady = (signal: AbortSignal): Promise<void> =>
    given.router.applyTable(
      routeTable({
        apps: allApps(given.db),
        domains: allDomains(given.db),
        baseDomain: given.address.baseDomain,
      }),
      signal,
    )
  const deps: EngineDeps & RolloutDeps & ConvergeDeps = {
    ...given,
    wake,
    networks,
    turns,
    routesReady,
    collect: async (appId) => {
      await collectImages(given, appId)
      await cutCache()
    },
    removeImages: (appId) => removeImages(given, appId),
  }
  const worker = (name: string, concurrency: number, handlers: Record<string, Handler>) =>
    createWorker({ ...given, name, concurrency, handlers, pollMs: POLL_MS })
  const buildWorker = worker('build-worker', opts.buildsAtOnce, {
    [DEPLOY_JOB]: (job, signal) => deployJob(deps, job, signal),
  })
  const oalWorker = worker('oal-worker', ROLLOUTS_AT_ONCE, {
    [ROLLOUT_JOB]: (job, signal) => rolloutJob(deps, job, signal),
    [DRAIN_JOB]: (job, signal) => drainJob(deps, job, signal),
    [CONVERGE_JOB]: (job, signal) => turns.change(job.key, () => convergeJob(deps, job, signal)),
    [DESTROY_JOB]: (job, signal) => turns.change(job.key, () => destroyJob(deps, job, signal)),
  })
  return {
    parts: { buildWorker, oalWorker, reconciler: createReconciler(deps) },
    wake,
    routesReady,
    runOneOff: (input, signal) => runOneOff(deps, input, signal),
  }
}
