/**
 * @module
 * The deploy job: from a source, or from an earlier release, to a release and its rollout.
 */
import { type App, appById } from '../core/apps.ts'
import {
  type Deployment,
  type DeployPayload,
  deploymentOfJob,
  isOpen,
  setDeploymentState,
  sourceOf,
} from '../core/deployments.ts'
import { createRelease, liveRelease, type Release, releaseById } from '../core/releases.ts'
import { createRollout, ROLLOUT_JOB } from '../core/rollouts.ts'
import { inTransaction } from '../db/open.ts'
import { deadline, until } from '../lib/async.ts'
import { HeliosError } from '../lib/errors.ts'
import { hasOpenJob, type Job } from '../queue/store.ts'
import { type BuildDeps, buildSource } from './build.ts'
import type { EngineDeps } from './deps.ts'
import { checkTries, endDeployment, outcomeOf, settle } from './outcome.ts'

/** What the deploy job works with. */
export type DeployDeps = BuildDeps & Pick<EngineDeps, 'log' | 'wake'>

/** Carry out the first half of a deployment; safe to run again from its start. */
export async function deployJob(deps: DeployDeps, job: Job, signal: AbortSignal): Promise<void> {
  const deployment = deploymentOfJob(deps.db, (job.payload as DeployPayload).deploymentId)
  const app = deployment && appById(deps.db, deployment.appId)
  if (!deployment || !app || deployment.state === 'deploying') return
  if (!isOpen(deployment)) return settle(deps, deployment, deployment.state === 'succeeded')
  try {
    checkTries(job)
    deps.checkpoint('deploy:begin')
    setDeploymentState(deps.db, deployment.id, { state: 'building' }, deps.clock())
    const base = await baseOf(deps, app, deployment, signal)
    signal.throwIfAborted()
    deps.checkpoint('deploy:built')
    const release = begin(deps, app, deployment, base)
    deps.checkpoint('deploy:released')
    deps.log.info({ deployment: deployment.id, app: app.id, release: release.number }, 'released')
    deps.wake()
  } catch (error) {
    const outcome = await outcomeOf(deps, { error, job, deployment }, signal)
    if (outcome === 'again') throw error
    setDeploymentState(deps.db, deployment.id, { state: outcome, error }, deps.clock())
    endDeployment(deps, deployment, { error, outcome })
    await settle(deps, deployment, false)
    throw error
  }
}

/** What a release is made from. */
type Base = Pick<Release, 'image' | 'spec' | 'commit'> & {
  env?: Record<string, string>
  /** A restart rolls out the release there is. */
  again?: Release
}

async function baseOf(
  deps: DeployDeps,
  app: App,
  deployment: Deployment,
  signal: AbortSignal,
): Promise<Base> {
  const source = sourceOf(deps.db, deployment)
  if (source) {
    const again = deployment.state === 'building'
    const { image, spec } = await buildSource(deps, { app, deployment, source, again }, signal)
    return { image, spec, commit: source.kind === 'git' ? source.rev : null }
  }
  const from = await releaseToStartFrom(deps, app, deployment, signal)
  if (!from) {
    throw new HeliosError('release_unavailable', `${app.name} has no release to start from`, {
      hint: 'Deploy it first: git push helios main',
    })
  }
  if (!(await deps.runtime.inspectImage(from.image))) {
    throw new HeliosError('release_unavailable', `The image of v${from.number} is gone`, {
      hint: 'Deploy the code again: git push helios main',
    })
  }
  const { image, spec, commit } = from
  if (deployment.reason === 'restart') return { image, spec, commit, again: from }
  return { image, spec, commit, ...(deployment.reason === 'rollback' ? { env: from.env } : {}) }
}

/** How long a change of config waits for the rollout of new code before it. */
const SETTLED_MS = 30 * 60_000

/** A rollback names its release; all else goes on top of what is live once the rollouts before it are over. */
async function releaseToStartFrom(
  deps: DeployDeps,
  app: App,
  deployment: Deployment,
  signal: AbortSignal,
): Promise<Release | undefined> {
  if (deployment.reason === 'rollback') {
    return releaseById(deps.db, deployment.fromReleaseId ?? '')
  }
  const rollingOut = { kinds: [ROLLOUT_JOB], key: app.id }
  // Otherwise a change of config made while new code starts would bring the old code back.
  await until(() => (hasOpenJob(deps.db, rollingOut) ? undefined : true), {
    everyMs: 50,
    signal: deadline(SETTLED_MS, signal),
  })
  return liveRelease(deps.db, appById(deps.db, app.id) ?? app)
}

/** Release and rollout are one transaction, so that no release is without its rollout. */
function begin(deps: DeployDeps, app: App, deployment: Deployment, base: Base): Release {
  const { again, ...parts } = base
  const now = deps.clock()
  return inTransaction(deps.db, () => {
    const release =
      again ??
      createRelease(deps.db, {
        ...parts,
        app,
        deploymentId: deployment.id,
        description: deployment.description,
        now,
      })
    if (!setDeploymentState(deps.db, deployment.id, { state: 'deploying' }, now)) {
      throw new HeliosError('HX33', `${deployment.id} was cancelled`)
    }
    createRollout(deps.db, { release, deploymentId: deployment.id, now })
    return release
  })
}
