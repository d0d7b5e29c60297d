/**
 * @module
 * The network of a team: made once, with a subnet that nothing else on this machine has.
 */
import { releaseSubnet, teamSubnet } from '../core/subnets.ts'
import { HeliosError, messageOf } from '../lib/errors.ts'
import type { EngineDeps } from './deps.ts'
import { LABELS } from './labels.ts'

type Deps = Pick<EngineDeps, 'db' | 'clock' | 'runtime' | 'serverId' | 'subnetPool'>

const MOST_TRIES = 64

/** Networks of teams, made when first asked for; `forget` looks again after the engine was away. */
export function createNetworks(deps: Deps): {
  ensure(teamId: string): Promise<string>
  forget(): void
} {
  const made = new Map<string, Promise<string>>()
  return {
    ensure: (teamId) => {
      const known = made.get(teamId)
      if (known !== undefined) return known
      const making = make(deps, teamId)
      made.set(teamId, making)
      making.catch(() => made.delete(teamId))
      return making
    },
    forget: () => made.clear(),
  }
}

async function make(deps: Deps, teamId: string): Promise<string> {
  const name = `helios-${teamId}`
  const avoid: string[] = []
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const subnet = teamSubnet(deps.db, {
      teamId,
      pool: deps.subnetPool,
      avoid,
      now: deps.clock(),
    })
    try {
      await deps.runtime.ensureNetwork({ name, subnet, labels: { [LABELS.server]: deps.serverId } })
      return name
    } catch (error) {
      // Only a subnet in use elsewhere (of another server, a VPN) is mended by another one.
      if (!/overlap/i.test(messageOf(error))) throw error
      avoid.push(subnet)
      releaseSubnet(deps.db, teamId)
    }
  }
  throw new HeliosError('engine_error', `No subnet of ${deps.subnetPool}.0.0/16 is free`, {
    hint: 'Give Helios another pool with HELIOS_SUBNET_POOL, as in 10.89',
  })
}
