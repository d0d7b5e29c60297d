/**
 * @module
 * Find the few hosts that make a whole configuration be refused, by halving.
 */
import { HeliosError } from '../lib/errors.ts'
import type { HostRoute } from './types.ts'

/** Each look costs a Caddy of its own for a fifth of a second. */
const MAX_LOOKS = 200

/** The hosts that are refused also alone, each with the reason. @throws {HeliosError} router_error when they are too many to be found */
export async function offenders(
  hosts: HostRoute[],
  judge: (hosts: HostRoute[]) => Promise<string | undefined>,
): Promise<(HostRoute & { reason: string })[]> {
  const found: (HostRoute & { reason: string })[] = []
  const left = [hosts]
  for (let looks = 0; ; looks += 1) {
    const part = left.pop()
    if (part === undefined) return found
    if (looks === MAX_LOOKS) {
      throw new HeliosError('router_error', `More than ${found.length} hosts are refused by Caddy`)
    }
    const reason = await judge(part)
    if (reason === undefined) continue
    const [only, second] = part
    if (only !== undefined && second === undefined) found.push({ ...only, reason })
    const half = part.length >> 1
    if (half > 0) left.push(part.slice(half), part.slice(0, half))
  }
}
