/**
 * @module
 * Jobs beside deployments: bring an app to its wanted formation, and take an app away.
 */
import { type App, appById, DESTROY_JOB, type DestroyPayload, forgetApp } from '../core/apps.ts'
import { DEPLOY_JOB, listDeployments } from '../core/deployments.ts'
import { CONVERGE_JOB, type ConvergePayload, formationOf } from '../core/processes.ts'
import { activeRollouts, endRollout } from '../core/rollouts.ts'
import { until } from '../lib/async.ts'
import { hasOpenJob, type Job } from '../queue/store.ts'
import type { Instance } from '../runtime/types.ts'
import type { EngineDeps } from './deps.ts'
import { gate, type Hands, pointRouter, raise, refreshLive, retire } from './execute.ts'
import { observeApp } from './observe.ts'
import { planApp, type Step } from './plan.ts'

/** What these jobs work with. */
export type ConvergeDeps = Hands &
  Pick<EngineDeps, 'forgetFiles'> & {
    routesReady(signal: AbortSignal): Promise<void>
    /** Remove every image of an app. */
    removeImages(appId: string): Promise<void>
  }

/** The converge job: make what runs of an app equal to what is wanted, new instances first. */
export async function convergeJob(
  deps: ConvergeDeps,
  job: Job,
  signal: AbortSignal,
): Promise<void> {
  const app = appById(deps.db, (job.payload as ConvergePayload).appId)
  if (app?.state !== 'active') return
  const actual = await observeApp(deps, app.id)
  const steps = stepsFor(deps, app, actual)
  const up = steps.filter((step) => step.do !== 'retire')
  await raise(deps, app, steps, signal)
  await gate(
    deps,
    app,
    up.map((step) => step.slot),
    signal,
  )
  await retireSome(deps, app, { steps, drainMs: drainOf(deps, app) }, signal)
  await observeApp(deps, app.id)
}

/** What has to be done for an app whose live rollout should have its whole formation. */
export function stepsFor(deps: Pick<Hands, 'db'>, app: App, actual: readonly Instance[]): Step[] {
  const active = activeRollouts(deps.db, app.id)
  const live = active.find(({ rollout }) => rollout.id === app.liveRolloutId)
  return planApp({
    active,
    raise: live?.rollout.id,
    formation: live ? formationOf(deps.db, app, live.release) : {},
    actual,
  })
}

function drainOf(deps: Pick<Hands, 'db'>, app: App): number {
  const live = activeRollouts(deps.db, app.id).find(
    ({ rollout }) => rollout.id === app.liveRolloutId,
  )
  return live?.release.spec.rollout.drainMs ?? 0
}

/** Traffic leaves the surplus before it is drained; what belongs to no rollout has none. */
async function retireSome(
  deps: ConvergeDeps,
  app: App,
  what: { steps: readonly Step[]; drainMs: number },
  signal: AbortSignal,
): Promise<void> {
  const down = what.steps.filter((step) => step.do === 'retire')
  const surplus = down.filter(({ why }) => why === 'surplus').map(({ instance }) => instance)
  const over = down.filter(({ why }) => why === 'over').map(({ instance }) => instance)
  const names = new Set([...surplus, ...over].map(({ name }) => name))
  const staying = (await observeApp(deps, app.id)).filter(({ name }) => !names.has(name))
  if (app.liveRolloutId) await pointRouter(deps, app, app.liveRolloutId, staying)
  else await refreshLive(deps, app.id, staying)
  await retire(deps, surplus, { drainMs: what.drainMs, signal })
  await retire(deps, over, { drainMs: 0, signal })
}

/** How long a deployment that was told to stop may take. */
const STOP_MS = 60_000

/** The destroy job: routes, instances, images, files and rows of an app go, in this order. */
export async function destroyJob(deps: ConvergeDeps, job: Job, signal: AbortSignal): Promise<void> {
  const { appId } = job.payload as DestroyPayload
  const app = appById(deps.db, appId)
  if (!app) return
  await until(() => (hasOpenJob(deps.db, { kinds: [DEPLOY_JOB], key: appId }) ? undefined : true), {
    everyMs: 100,
    signal: AbortSignal.any([signal, AbortSignal.timeout(STOP_MS)]),
  })
  await deps.routesReady(signal)
  await deps.router.removeLive(appId)
  for (const { rollout } of activeRollouts(deps.db, appId)) {
    endRollout(deps.db, rollout.id, 'retired', deps.clock())
  }
  await retire(deps, await observeApp(deps, appId), { drainMs: 0, signal })
  await deps.removeImages(appId)
  const deployments = listDeployments(deps.db, { id: appId }).map(({ id }) => id)
  await deps.forgetFiles(appId, deployments)
  forgetApp(deps.db, appId)
}

/** Kinds of job that change what runs of an app. */
export const CHANGING_JOBS = [CONVERGE_JOB, DESTROY_JOB, 'rollout'] as const
