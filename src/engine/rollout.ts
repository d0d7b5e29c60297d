/**
 * @module
 * The rollout job: new instances beside the old, healthy, then the router switched, then the old ones drained.
 */
import { type App, appById, mustBeActive } from '../core/apps.ts'
import { type Deployment, deploymentOfJob } from '../core/deployments.ts'
import { formationOf } from '../core/processes.ts'
import { type Release, releaseById } from '../core/releases.ts'
import {
  activeRollouts,
  endRollout,
  failRollout,
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
import { checkTries, endDeployment, outcomeOf, settle } from './outcome.ts'
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
  const { rollout, deployment } = work
  if (rollout.state === 'failed') return clearAway(deps, work)
  if (rollout.state === 'starting') {
    try {
      checkTries(job)
      await bringUp(deps, work, signal)
    } catch (error) {
      // What is live stays so, whatever fails after the switch.
      if (rolloutById(deps.db, rollout.id)?.state === 'live') throw error
      const outcome = await outcomeOf(deps, { error, job, deployment }, signal)
      if (outcome === 'again') throw error
      await undo(deps, work, { error, outcome })
      throw error
    }
  }
  await conclude(deps, work)
}

function workOf(deps: RolloutDeps, job: Job): Work | undefined {
  const rollout = rolloutById(deps.db, (job.payload as RolloutPayload).rolloutId)
  const app = rollout && appById(deps.db, rollout.appId)
  const release = rollout && releaseById(deps.db, rollout.releaseId)
  const deployment = rollout && deploymentOfJob(deps.db, rollout.deploymentId)
  if (!rollout || !app || !release || !deployment) return undefined
  return { app, rollout, release, deployment }
}

async function bringUp(deps: RolloutDeps, work: Work, signal: AbortSignal): Promise<void> {
  const { app, rollout, release, deployment } = work
  mustBeActive(deps.db, app)
  const formation = formationOf(deps.db, app, release)
  const slots = slotsOf({ rollout, release }, formation)
  const text = `Starting ${count(slots.length, 'instance')} of v${release.number}`
  deps.deployLogs.append(deployment.id, { stream: 'step', text })
  const actual = await observeApp(deps, app.id)
  const active = activeRollouts(deps.db, app.id)
  await raise(deps, app, planApp({ active, raise: rollout.id, formation, actual }), signal)
  deps.checkpoint('rollout:started')
  await gate(deps, app, slots, signal)
  deps.checkpoint('rollout:healthy')
  await deps.routesReady(signal)
  const healthy = await observeApp(deps, app.id)
  signal.throwIfAborted()
  await pointRouter(deps, app, rollout.id, healthy)
  deps.checkpoint('rollout:switched')
  const drainMs = release.spec.rollout.drainMs
  promoteRollout(deps.db, rollout, { now: deps.clock(), drainMs })
  deps.checkpoint('rollout:promoted')
  // A look of the reconciler in between may have pointed it to what was live until now.
  await pointRouter(deps, app, rollout.id, healthy)
}

/** What follows a switch; done again when the process ended in the middle of it. */
async function conclude(deps: RolloutDeps, work: Work): Promise<void> {
  const { app, release, deployment } = work
  const text = `v${release.number} is healthy and takes the traffic now`
  deps.deployLogs.append(deployment.id, { stream: 'step', text })
  deps.wake()
  await settle(deps, deployment, true)
  deps.checkpoint('rollout:settled')
  // Instances that came or went meanwhile were left to this job.
  await refreshLive(deps, app.id)
}

/** The old release stays as it was; the new instances go. */
async function undo(
  deps: RolloutDeps,
  work: Work,
  end: { error: unknown; outcome: 'failed' | 'cancelled' },
): Promise<void> {
  const { rollout, deployment } = work
  if (end.outcome === 'failed') await tellLines(deps, work).catch(() => undefined)
  const { error, outcome: state } = end
  if (!failRollout(deps.db, rollout, { state, error }, deps.clock())) return
  deps.checkpoint('rollout:failed')
  endDeployment(deps, deployment, end)
  await clearAway(deps, work)
}

/** What follows a failure; done again when the process ended in the middle of it. */
async function clearAway(deps: RolloutDeps, work: Work): Promise<void> {
  await settle(deps, work.deployment, false)
  await refreshLive(deps, work.app.id)
  const mine = await ownInstances(deps, work)
  await retire(deps, mine, { drainMs: 0, signal: AbortSignal.timeout(120_000) })
  await observeApp(deps, work.app.id)
}

async function ownInstances(deps: RolloutDeps, work: Work): Promise<Instance[]> {
  const all = await observeApp(deps, work.app.id)
  return all.filter(({ labels }) => identityOf(labels)?.rollout === work.rollout.id)
}

/** The newest lines of the instance that is worst off, so that the reason stands in the same log. */
async function tellLines(deps: RolloutDeps, work: Work): Promise<void> {
  const mine = await ownInstances(deps, work)
  const worst = mine.find(({ state }) => state !== 'running') ?? mine[0]
  if (!worst) return
  const who = identityOf(worst.labels)
  for (const line of await newestLines(deps, worst.id)) {
    deps.deployLogs.append(work.deployment.id, {
      stream: 'out',
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
  // Whatever happened since the switch, no new request may come while the old ones end.
  await refreshLive(deps, rollout.appId, all)
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
