/**
 * @module
 * Every call to the engine: a deadline, and failures as errors a person can read.
 */
import { deadline } from '../../lib/async.ts'
import { HeliosError, messageOf } from '../../lib/errors.ts'

/** How long the engine may take over a call that waits for nothing. */
const CALL_MS = 60_000

/** Limits of one call. */
type CallLimits = { signal?: AbortSignal | undefined; ms?: number }

/** Make one call; `HP51` when the engine cannot be reached, `engine_error` when it refuses. */
export async function engineCall<T>(
  what: string,
  call: (signal: AbortSignal) => Promise<T>,
  limits: CallLimits = {},
): Promise<T> {
  limits.signal?.throwIfAborted()
  try {
    return await call(deadline(limits.ms ?? CALL_MS, limits.signal))
  } catch (error) {
    limits.signal?.throwIfAborted()
    throw engineFailure(what, error)
  }
}

/** The HTTP status the engine answered with; undefined when it gave no answer. */
export function engineStatus(error: unknown): number | undefined {
  const cause = error instanceof HeliosError ? error.cause : error
  if (typeof cause !== 'object' || cause === null || !('statusCode' in cause)) return undefined
  return typeof cause.statusCode === 'number' ? cause.statusCode : undefined
}

function engineFailure(what: string, error: unknown): HeliosError {
  if (error instanceof HeliosError) return error
  if (engineStatus(error) !== undefined) {
    return new HeliosError('engine_error', `The engine could not ${what}: ${messageOf(error)}`, {
      cause: error,
    })
  }
  return new HeliosError('HP51', `The engine did not answer: ${messageOf(error)}`, {
    hint: 'Check that Docker runs: systemctl status docker',
    cause: error,
  })
}
