/**
 * @module
 * How a job that failed ends: again later, cancelled, or failed for good and told so.
 */
import { type Deployment, sourceOf } from '../core/deployments.ts'
import { deadline, until } from '../lib/async.ts'
import { HeliosError, messageOf } from '../lib/errors.ts'
import type { Job } from '../queue/store.ts'
import type { EngineDeps } from './deps.ts'

/** `again`: nothing is to be written, the job comes back. */
export type Outcome = 'again' | 'cancelled' | 'failed'

/** How long a deploy waits for an engine that is away. */
const ENGINE_MS = 60_000

/** What the failure of a job means for its deployment; an engine that is away is waited for first, at most 60 s. */
export async function outcomeOf(
  deps: Pick<EngineDeps, 'runtime' | 'deployLogs'>,
  failure: { error: unknown; job: Job; deployment: Pick<Deployment, 'id'> },
  signal: AbortSignal,
): Promise<Outcome> {
  const { error, job, deployment } = failure
  if (signal.aborted) return stopped(signal)
  if (!(error instanceof HeliosError) || job.attempts >= job.maxAttempts) return 'failed'
  if (error.code === 'HP52') return 'again'
  if (error.code !== 'HP51') return 'failed'
  const say = (text: string): void =>
    deps.deployLogs.append(deployment.id, { stream: 'step', text })
  say('The engine does not answer: waiting for it')
  const back = await engineIsBack(deps, signal)
  if (signal.aborted) return stopped(signal)
  if (!back) return 'failed'
  say('The engine answers: going on')
  return 'again'
}

function stopped(signal: AbortSignal): Outcome {
  return signal.reason === 'cancel' ? 'cancelled' : 'again'
}

async function engineIsBack(
  { runtime }: Pick<EngineDeps, 'runtime'>,
  signal: AbortSignal,
): Promise<boolean> {
  const limit = deadline(ENGINE_MS, signal)
  const ask = (): Promise<true | undefined> =>
    runtime.ping(limit).then(
      () => true,
      () => undefined,
    )
  return await until(ask, { everyMs: 500, signal: limit }).catch(() => false)
}

/** Say in the deployment's log how it ended, and end the log. */
export function endDeployment(
  deps: Pick<EngineDeps, 'deployLogs' | 'log'>,
  deployment: Deployment,
  end: { error: unknown; outcome: 'failed' | 'cancelled' },
): void {
  const say = (text: string): void => deps.deployLogs.append(deployment.id, { stream: 'err', text })
  if (end.outcome === 'cancelled') say('HX33: Cancelled; what was live stays live')
  else if (end.error instanceof HeliosError) {
    say(`${end.error.code}: ${end.error.message}`)
    if (end.error.hint) say(end.error.hint)
  } else {
    say(`internal: ${messageOf(end.error)}`)
    deps.log.error({ err: end.error, deployment: deployment.id }, 'a deployment met a bug')
  }
  deps.deployLogs.end(deployment.id)
}

/** A deployment is over: no more lines come, and its source is let go. Safe to do again. */
export async function settle(
  deps: Pick<EngineDeps, 'db' | 'deployLogs' | 'sources'>,
  deployment: Deployment,
  succeeded: boolean,
): Promise<void> {
  deps.deployLogs.end(deployment.id)
  const source = sourceOf(deps.db, deployment)
  if (source) await deps.sources.settle(source, succeeded)
}

/** Refuse a job that ended this process time and again. @throws {HeliosError} internal */
export function checkTries(job: Job): void {
  if (job.attempts <= job.maxAttempts) return
  throw new HeliosError('internal', `Given up after ${job.attempts - 1} tries`, {
    hint: 'See the log of the server for why it stopped each time',
  })
}
