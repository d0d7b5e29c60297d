/**
 * @module
 * How a job that failed ends: again later, cancelled, or failed for good and told so.
 */
import type { Deployment } from '../core/deployments.ts'
import { HeliosError, messageOf } from '../lib/errors.ts'
import type { Job } from '../queue/store.ts'
import type { EngineDeps } from './deps.ts'

/** `again`: nothing is to be written, the job comes back. */
export type Outcome = 'again' | 'cancelled' | 'failed'

/** What the failure of a job means for its deployment. */
export function outcomeOf(error: unknown, job: Job, signal: AbortSignal): Outcome {
  if (signal.aborted && signal.reason === 'cancel') return 'cancelled'
  if (signal.aborted) return 'again'
  const passing = error instanceof HeliosError && (error.code === 'HP51' || error.code === 'HP52')
  return passing && job.attempts < job.maxAttempts ? 'again' : 'failed'
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

/** Refuse a job that ended this process time and again. @throws {HeliosError} internal */
export function checkTries(job: Job): void {
  if (job.attempts <= job.maxAttempts) return
  throw new HeliosError('internal', `Given up after ${job.attempts - 1} tries`, {
    hint: 'See the log of the server for why it stopped each time',
  })
}
