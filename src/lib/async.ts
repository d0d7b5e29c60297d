/**
 * @module
 * Waiting with deadlines: sleep, timeout, retry, mutual exclusion by key.
 */
import { setTimeout as delay } from 'node:timers/promises'

/** Wait `ms` milliseconds; rejects with the signal's reason when it aborts. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, signal ? { signal } : {})
  } catch (error) {
    throw signal?.reason ?? error
  }
}

/** Settle with `work`, or reject with the signal's reason as soon as it aborts; the work itself is not stopped. */
export function withDeadline<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    work.catch(() => undefined)
    return Promise.reject(signal.reason)
  }
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** One signal that aborts with any of those given or after `ms`. */
export function deadline(ms: number, ...signals: (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any([
    AbortSignal.timeout(Math.max(0, Math.ceil(ms))),
    ...signals.filter((signal) => signal !== undefined),
  ])
}

/** Call `probe` until it gives something else than `undefined`, or reject when the signal aborts. */
export async function until<T>(
  probe: () => Promise<T | undefined> | T | undefined,
  opts: { everyMs: number; signal: AbortSignal },
): Promise<T> {
  for (;;) {
    opts.signal.throwIfAborted()
    const value = await probe()
    if (value !== undefined) return value
    await sleep(opts.everyMs, opts.signal)
  }
}

/** Run functions of the same key one after the other, of different keys side by side. */
export function keyedMutex(): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  const tails = new Map<string, Promise<unknown>>()
  return (key, work) => {
    const result = (tails.get(key) ?? Promise.resolve()).then(work, work)
    const tail = result.catch(() => undefined)
    tails.set(key, tail)
    tail.finally(() => {
      if (tails.get(key) === tail) tails.delete(key)
    })
    return result
  }
}

/** Map with at most `limit` calls under way, in the order of the input; the first failure rejects. */
export async function mapBounded<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  const queue = items.entries()
  const lane = async (): Promise<void> => {
    for (const [index, item] of queue) results[index] = await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane))
  return results
}
