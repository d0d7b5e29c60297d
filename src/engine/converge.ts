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
import { gate, type Hands, raise, refreshLive, retire } from './execute.ts'
import { isProven, observeApp } from './observe.ts'
import { removeOneOffs } from './one-off.ts'
import { type ActiveRollout, planApp, type Slot, type Step, slotsOf } from './plan.ts'

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
  await raise(deps, app, steps, signal)
  deps.checkpoint('converge:raised')
  let failure: unknown
  try {
    const raised = await observeApp(deps, app.id)
    await gate(deps, app, unprovenSlots(deps, app, raised), signal, raised)
  } catch (error) {
    signal.throwIfAborted()
    failure = error
  }
  // While some are not well, those that were to go may be the ones that answer.
  const going = failure === undefined ? steps : steps.filter((step) => !isSurplus(step))
  await retireSome(deps, app, { steps: going, drainMs: drainOf(deps, app) }, signal)
  await refreshLive(deps, app.id)
  if (failure !== undefined) throw failure
}

function isSurplus(step: Step): boolean {
  return step.do === 'retire' && step.why === 'surplus'
}

/** The instances an app should have that are there and not known to be healthy. */
export function unprovenSlots(
  deps: Pick<Hands, 'db' | 'turns'>,
  app: App,
  actual: readonly Instance[],
): Slot[] {
  const live = liveOf(deps, app)
  if (!live) return []
  const slots = slotsOf(live, formationOf(deps.db, app, live.release))
  const unproven = actual.filter((instance) => !isProven(deps, instance))
  const names = new Set(unproven.map(({ name }) => name))
  return slots.filter(({ name }) => names.has(name))
}

function liveOf(deps: Pick<Hands, 'db'>, app: App): ActiveRollout | undefined {
  return activeRollouts(deps.db, app.id).find(({ rollout }) => rollout.id === app.liveRolloutId)
}

/** What has to be done for an app whose live rollout should have its whole formation. */
export function stepsFor(deps: Pick<Hands, 'db'>, app: App, actual: readonly Instance[]): Step[] {
  const live = liveOf(deps, app)
  return planApp({
    active: activeRollouts(deps.db, app.id),
    raise: live?.rollout.id,
    formation: live ? formationOf(deps.db, app, live.release) : {},
    actual,
  })
}

function drainOf(deps: Pick<Hands, 'db'>, app: App): number {
  return liveOf(deps, app)?.release.spec.rollout.drainMs ?? 0
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
  await refreshLive(deps, app.id, staying)
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
  deps.checkpoint('destroy:unrouted')
  for (const { rollout } of activeRollouts(deps.db, appId)) {
    endRollout(deps.db, rollout.id, 'retired', deps.clock())
  }
  await retire(deps, await observeApp(deps, appId), { drainMs: 0, signal })
  await removeOneOffs(deps, { app: appId })
  deps.checkpoint('destroy:retired')
  await deps.removeImages(appId)
  const deployments = listDeployments(deps.db, { id: appId }).map(({ id }) => id)
  await deps.forgetFiles(appId, deployments)
  forgetApp(deps.db, appId)
}

/** Kinds of job that change what runs of an app. */
export const CHANGING_JOBS = [CONVERGE_JOB, DESTROY_JOB, 'rollout'] as const
