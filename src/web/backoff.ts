/**
 * @module
 * Slow down who tries tokens: after a few misses each further try has to wait longer.
 */
import type { Clock } from '../lib/clock.ts'

/** Counts misses by address. */
export type Backoff = {
  /** Milliseconds until this address may try again; 0 when it may now. */
  waitOf(address: string): number
  miss(address: string): void
  forget(address: string): void
}

type Misses = { count: number; until: number; seen: number }

const FREE_MISSES = 5
const MAX_WAIT_MS = 60_000
const FORGET_MS = 15 * 60_000
const MAX_ADDRESSES = 10_000

/** Make a counter that forgets an address after 15 quiet minutes. */
export function createBackoff(clock: Clock): Backoff {
  const known = new Map<string, Misses>()
  const find = (address: string): Misses | undefined => {
    const misses = known.get(network(address))
    return misses && misses.seen > clock() - FORGET_MS ? misses : undefined
  }
  return {
    waitOf: (address) => Math.max(0, (find(address)?.until ?? 0) - clock()),
    miss(address) {
      const now = clock()
      const count = (find(address)?.count ?? 0) + 1
      const wait = count < FREE_MISSES ? 0 : 1000 * 2 ** Math.min(10, count - FREE_MISSES)
      known.delete(network(address))
      known.set(network(address), { count, until: now + Math.min(MAX_WAIT_MS, wait), seen: now })
      // The one that missed longest ago goes first: a map keeps the order of its entries.
      const [oldest] = known.keys()
      if (known.size > MAX_ADDRESSES && oldest !== undefined) known.delete(oldest)
    },
    forget: (address) => void known.delete(network(address)),
  }
}

/** Whoever has one address of IPv6 has the 2^64 around it. */
function network(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address
  return address.split(':').slice(0, 4).join(':')
}
