/**
 * @module
 * The rollout job: new instances beside the old, healthy, then the router switched, then the old ones drained.
 */
import { type App, appById } from '../core/apps.ts'
import {
  type Deployment,
  deploymentOfJob,
  setDeploymentState,
  sourceOf,
} from '../core/deployments.ts'
import { formationOf } from '../core/processes.ts'
import { type Release, releaseById } from '../core/releases.ts'
import {
  activeRollouts,
  endRollout,
  promoteRollout,
  type Rollout,
  type RolloutPayload,
  rolloutById,
} from '../core/rollouts.ts'
import type { Job } from '../queue/store.ts'
import type { Instance } from '../runtime/types.ts'
import type { EngineDeps } from './deps.ts'
import { gate, type Hands, pointRouter, raise, refreshLive, retire } from './execute.ts'
import { newestLines } from './health.ts'
import { identityOf } from './labels.ts'
import { observeApp } from './observe.ts'
import { checkTries, endDeployment, outcomeOf } from './outcome.ts'
import { planApp, slotsOf } from './plan.ts'

/** What the rollout job works with. */
export type RolloutDeps = Hands &
  Pick<EngineDeps, 'deployLogs' | 'sources' | 'wake'> & {
    /** The router knows the app's host names. */
    routesReady(signal: AbortSignal): Promise<void>
    /** Old images go when newer releases took their place. */
    collect(appId: string): Promise<void>
  }

type Work = { app: App; rollout: Rollout; release: Release; deployment: Deployment }

/** Carry out a rollout; safe to run again from its start. */
export async function rolloutJob(deps: RolloutDeps, job: Job, signal: AbortSignal): Promise<void> {
  const work = workOf(deps, job)
  if (!work) return
  if (work.rollout.state === 'live') return conclude(deps, work)
  if (work.rollout.state !== 'starting') return
  try {
    checkTries(job)
    await rollOut(deps, work, signal)
  } catch (error) {
    const outcome = outcomeOf(error, job, signal)
    if (outcome === 'again') throw error
    await undo(deps, work, { error, outcome })
    throw error
  }
}

function workOf(deps: RolloutDeps, job: Job): Work | undefined {
  const rollout = rolloutById(deps.db, (job.payload as RolloutPayload).rolloutId)
  const app = rollout && appById(deps.db, rollout.appId)
  const release = rollout && releaseById(deps.db, rollout.releaseId)
  const deployment = rollout && deploymentOfJob(deps.db, rollout.deploymentId)
  if (!rollout || !app || !release || !deployment) return undefined
  return { app, rollout, release, deployment }
}

async function rollOut(deps: RolloutDeps, work: Work, signal: AbortSignal): Promise<void> {
  const { app, rollout, release, deployment } = work
  const say = (text: string): void =>
    deps.deployLogs.append(deployment.id, { stream: 'step', text })
  const formation = formationOf(deps.db, app, release)
  const slots = slotsOf({ rollout, release }, formation)
  say(`Starting ${count(slots.length, 'instance')} of v${release.number}`)
  const plan = async () =>
    planApp({
      active: activeRollouts(deps.db, app.id),
      raise: rollout.id,
      formation,
      actual: await observeApp(deps, app.id),
    })
  const steps = await plan()
  await raise(deps, app, steps, signal)
  deps.checkpoint('rollout:started')
  await gate(deps, app, slots, signal)
  deps.checkpoint('rollout:healthy')
  await deps.routesReady(signal)
  signal.throwIfAborted()
  const actual = await observeApp(deps, app.id)
  await pointRouter(deps, app, rollout.id, actual)
  deps.checkpoint('rollout:switched')
  const drainMs = release.spec.rollout.drainMs
  promoteRollout(deps.db, rollout, { now: deps.clock(), drainMs })
  deps.checkpoint('rollout:promoted')
  // A look of the reconciler in between may have pointed it to what was live until now.
  await pointRouter(deps, app, rollout.id, actual)
  await conclude(deps, work)
  deps.checkpoint('rollout:settled')
  await observeApp(deps, app.id)
  const over = steps.filter((step) => step.do === 'retire').map((step) => step.instance)
  await retire(deps, over, { drainMs: 0, signal })
}

/** What follows a switch; done again when the process ended in the middle of it. */
async function conclude(deps: RolloutDeps, work: Work): Promise<void> {
  const { release, deployment } = work
  const text = `v${release.number} is healthy and takes the traffic now`
  deps.deployLogs.append(deployment.id, { stream: 'step', text })
  deps.deployLogs.end(deployment.id)
  deps.wake()
  await settle(deps, deployment, true)
}

async function settle(deps: RolloutDeps, deployment: Deployment, good: boolean): Promise<void> {
  const source = sourceOf(deps.db, deployment)
  if (source) await deps.sources.settle(source, deployment, good)
}

/** The old release stays as it was; the new instances go. */
async function undo(
  deps: RolloutDeps,
  work: Work,
  end: { error: unknown; outcome: 'failed' | 'cancelled' },
): Promise<void> {
  const { app, rollout, deployment } = work
  const mine = await ownInstances(deps, work).catch(() => [])
  if (end.outcome === 'failed') await tellLines(deps, deployment, mine)
  endRollout(deps.db, rollout.id, 'failed', deps.clock())
  setDeploymentState(deps.db, deployment.id, { state: end.outcome, error: end.error }, deps.clock())
  endDeployment(deps, deployment, end)
  await settle(deps, deployment, false)
  await refreshLive(deps, app.id)
  await retire(deps, mine, { drainMs: 0, signal: AbortSignal.timeout(120_000) })
  await observeApp(deps, app.id)
}

async function ownInstances(deps: RolloutDeps, work: Work): Promise<Instance[]> {
  const all = await observeApp(deps, work.app.id)
  return all.filter(({ labels }) => identityOf(labels)?.rollout === work.rollout.id)
}

/** The newest lines of the instance that is worst off, so that the reason stands in the same log. */
async function tellLines(
  deps: RolloutDeps,
  deployment: Deployment,
  mine: readonly Instance[],
): Promise<void> {
  const worst = mine.find(({ state }) => state !== 'running') ?? mine[0]
  if (!worst) return
  const who = identityOf(worst.labels)
  for (const line of await newestLines(deps, worst.id)) {
    deps.deployLogs.append(deployment.id, {
      stream: 'err',
      text: `${who?.process}.${who?.index} | ${line}`,
    })
  }
}

/** The drain job: the instances of a rollout that another one replaced end without losing a request. */
export async function drainJob(deps: RolloutDeps, job: Job, signal: AbortSignal): Promise<void> {
  const rollout = rolloutById(deps.db, (job.payload as RolloutPayload).rolloutId)
  if (rollout?.state !== 'draining') return
  deps.checkpoint('drain:begin')
  const all = await observeApp(deps, rollout.appId)
  const mine = all.filter(({ labels }) => identityOf(labels)?.rollout === rollout.id)
  const drainMs = Math.max(1, (rollout.drainUntil ?? 0) - deps.clock())
  const killed = await retire(deps, mine, { drainMs, signal })
  for (const name of killed) {
    deps.log.warn({ code: 'HR12', instance: name, app: rollout.appId }, 'killed after its grace')
  }
  endRollout(deps.db, rollout.id, 'retired', deps.clock())
  await observeApp(deps, rollout.appId)
  await deps.collect(rollout.appId)
}

function count(n: number, word: string): string {
  return `${n} ${word}${n === 1 ? '' : 's'}`
}
