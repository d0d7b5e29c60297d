/**
 * @module
 * Requests that come again with the same key: done once, answered alike.
 */
import { and, eq, lt } from 'drizzle-orm'
import { type Db, inTransaction } from '../db/open.ts'
import { idempotency } from '../db/schema.ts'
import { HeliosError, show } from '../lib/errors.ts'

/** Who sent which request under which key; `request` is a hash of all that makes it this request. */
export type KeyedRequest = { actor: string; key: string; request: string }

/** An answer that was given before. */
export type KeptAnswer = { status: number; body: string }

const KEEP_MS = 24 * 60 * 60 * 1000
/** A request this old whose answer never came died with its process. */
const LOST_MS = 60 * 1000

/**
 * Begin a request with a key: gives the answer kept from the first time, or undefined when the
 * work is the caller's to do, ended with {@link keepAnswer} or {@link forgetRequest}.
 * @throws {HeliosError} idempotency_conflict for another request under the same key, or while the first runs
 */
export function beginRequest(db: Db, asked: KeyedRequest, now: number): KeptAnswer | undefined {
  return inTransaction(db, () => {
    db.delete(idempotency)
      .where(lt(idempotency.createdAt, now - KEEP_MS))
      .run()
    const known = db.select().from(idempotency).where(named(asked)).get()
    if (known && known.request !== asked.request) {
      throw new HeliosError(
        'idempotency_conflict',
        `The key ${show(asked.key)} was used for another request`,
        { field: 'Idempotency-Key', hint: 'Use a new key for each new request' },
      )
    }
    if (known?.status != null) return { status: known.status, body: known.body ?? '' }
    if (known && known.createdAt > now - LOST_MS) {
      throw new HeliosError(
        'idempotency_conflict',
        `The request with the key ${show(asked.key)} is still under way`,
        { field: 'Idempotency-Key', hint: 'Send it again in a moment' },
      )
    }
    db.insert(idempotency)
      .values({ ...asked, createdAt: now })
      .onConflictDoUpdate({
        target: [idempotency.actor, idempotency.key],
        set: { createdAt: now },
      })
      .run()
    return undefined
  })
}

/** Keep the answer of a request for 24 hours. */
export function keepAnswer(db: Db, asked: KeyedRequest, answer: KeptAnswer): void {
  db.update(idempotency).set(answer).where(named(asked)).run()
}

/** Let go of a request that changed nothing, so that it may be tried again. */
export function forgetRequest(db: Db, asked: KeyedRequest): void {
  db.delete(idempotency).where(named(asked)).run()
}

function named(asked: KeyedRequest) {
  return and(eq(idempotency.actor, asked.actor), eq(idempotency.key, asked.key))
}
