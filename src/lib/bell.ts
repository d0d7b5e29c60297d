/**
 * @module
 * Wake those who wait for more of something.
 */

/** Rung when there is more; a ring between a look and the wait after it is not missed. */
export type Bell = {
  ring(): void
  /** How often it rang; take it before looking, and give it to `wait`. */
  count(): number
  /** Resolves when it rang after `seen`, after `ms` at the latest, or when the signal aborts; never rejects. */
  wait(seen: number, ms: number, signal: AbortSignal): Promise<void>
}

/** Make a bell for any number of waiters. */
export function createBell(): Bell {
  const waiting = new Set<() => void>()
  let rings = 0
  return {
    ring: () => {
      rings += 1
      for (const wake of waiting) wake()
    },
    count: () => rings,
    wait: async (seen, ms, signal) => {
      if (rings !== seen || signal.aborted) return
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer)
          signal.removeEventListener('abort', wake)
          waiting.delete(wake)
          resolve()
        }
        const timer = setTimeout(wake, ms)
        signal.addEventListener('abort', wake)
        waiting.add(wake)
      })
    },
  }
}
