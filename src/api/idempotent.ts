/**
 * @module
 * Do a change once for each `Idempotency-Key`, and answer alike when it comes again.
 */
import type { Context } from 'hono'
import { beginRequest, forgetRequest, type KeyedRequest, keepAnswer } from '../core/idempotency.ts'
import { inTransaction } from '../db/open.ts'
import { sha256 } from '../lib/crypto.ts'
import { HeliosError } from '../lib/errors.ts'
import type { ApiDeps, ApiEnv } from './context.ts'

/** The answer of a change; `again` when it was given before. */
type Given = { status: number; body: string; again: boolean }

/** The change: `before` may wait, `work` is one transaction. */
type Change = { before(): Promise<void>; work(): unknown }

/** Do the change, unless its key was answered already. A refusal is not kept: it changed nothing. @throws {HeliosError} idempotency_conflict */
export async function answerOnce(
  c: Context<ApiEnv>,
  asked: {
    call: { deps: ApiDeps; actor: { userId: string }; now: number }
    status: number
    digest: string
  },
  change: Change,
): Promise<Given> {
  const { deps, actor, now } = asked.call
  const { db } = deps
  const keyed = keyedRequest(c, actor.userId, asked.digest)
  const kept = keyed && beginRequest(db, keyed, now)
  if (kept) return { ...kept, again: true }
  try {
    await change.before()
    return inTransaction(db, () => {
      const given = { status: asked.status, body: JSON.stringify(change.work()) }
      if (keyed) keepAnswer(db, keyed, given)
      return { ...given, again: false }
    })
  } catch (error) {
    if (keyed) forgetRequest(db, keyed)
    throw error
  }
}

function keyedRequest(c: Context<ApiEnv>, actor: string, digest: string): KeyedRequest | undefined {
  const key = c.req.header('idempotency-key')
  if (key === undefined || c.req.method !== 'POST') return undefined
  if (!/^[\x21-\x7e]{1,200}$/.test(key)) {
    throw new HeliosError('invalid_value', 'The Idempotency-Key is no key', {
      field: 'Idempotency-Key',
      hint: 'Give 1 to 200 letters, digits and signs, as a UUID',
    })
  }
  const { pathname, search } = new URL(c.req.url)
  return { actor, key, request: sha256(`POST ${pathname}${search}\n${digest}`) }
}
