/**
 * @module
 * Wait until addresses that no app's live state names any more have no request in flight.
 */
import { deadline, sleep } from '../lib/async.ts'
import type { CaddyClient } from './caddy-client.ts'

/** A request may have read the old state just before the switch and not yet count as in flight. */
const SETTLE_MS = 50
const FIRST_POLL_MS = 10
const LAST_POLL_MS = 200

/**
 * Wait until none of the addresses has a request in flight, at most `deadlineMs`; gives whether they drained.
 * Websockets and event streams count. A router that does not answer is asked again until the deadline.
 */
export async function drain(
  client: Pick<CaddyClient, 'upstreams'>,
  addresses: string[],
  deadlineMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  if (addresses.length === 0) return true
  const until = performance.now() + deadlineMs
  let pause = SETTLE_MS
  let next = FIRST_POLL_MS
  // Seen free twice: under load the router may be slow to count a request it has just read.
  for (let free = 0; free < 2; ) {
    await sleep(Math.max(0, Math.min(pause, until - performance.now())), signal)
    const left = until - performance.now()
    if (left <= 0) return false
    free = (await inFlight(client, addresses, deadline(left, signal))) === 0 ? free + 1 : 0
    signal.throwIfAborted()
    pause = next
    next = Math.min(next * 2, LAST_POLL_MS)
  }
  return true
}

/** Requests in flight at the addresses; not a number when the router did not say. */
async function inFlight(
  client: Pick<CaddyClient, 'upstreams'>,
  addresses: string[],
  signal: AbortSignal,
): Promise<number> {
  const all = await client.upstreams(signal).catch(() => undefined)
  if (all === undefined) return Number.NaN
  const found = all.filter(({ address }) => addresses.includes(address))
  return found.reduce((sum, { requests }) => sum + requests, 0)
}
