/**
 * @module
 * From anything thrown to an HTTP status and a body; the only such mapping.
 */
import type { z } from 'zod'
import { ERROR_STATUS, HeliosError } from '../lib/errors.ts'
import type { ErrorBody } from './schemas/shapes.ts'

/** What a client is told of a failure. */
export type Refusal = { status: number; body: z.output<typeof ErrorBody> }

/** The status and body of a failure; of what nobody meant to be read only the request's id goes out. */
export function refusalOf(error: unknown, requestId: string): Refusal {
  const known = knownError(error)
  const { code, message, field, hint } = known
  return {
    status: ERROR_STATUS[code],
    body: {
      code,
      message,
      ...(field === undefined ? {} : { field }),
      ...(hint === undefined ? {} : { hint }),
      requestId,
    },
  }
}

function knownError(error: unknown): HeliosError {
  const code = systemCode(error)
  if (code === 'SQLITE_FULL' || code === 'ENOSPC') {
    return new HeliosError('HP50', 'The disk of the server is full: nothing was changed', {
      hint: 'Free some space on the server and try again',
    })
  }
  if (error instanceof HeliosError && error.code !== 'internal') return error
  return new HeliosError('internal', 'Something went wrong on the server', {
    hint: 'The log of the server tells more under this request id',
  })
}

/** The code of the first cause that has one: drivers wrap what the system said. */
function systemCode(error: unknown): string | undefined {
  let at = error
  for (let depth = 0; depth < 5 && at instanceof Error; depth++, at = at.cause) {
    if (at instanceof HeliosError) continue
    if ('code' in at && typeof at.code === 'string') return at.code
  }
  return undefined
}
