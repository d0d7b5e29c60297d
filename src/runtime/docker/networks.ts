/**
 * @module
 * Networks of apps: bridges with a subnet of their own.
 */
import type Docker from 'dockerode'
import { HeliosError } from '../../lib/errors.ts'
import { engineCall, engineStatus } from './engine-call.ts'

/** Make the network unless it is there; one of that name with another subnet is an error. */
export async function ensureNetwork(
  docker: Docker,
  network: { name: string; subnet: string; labels: Record<string, string> },
): Promise<void> {
  if (await present(docker, network)) return
  try {
    await engineCall(`create the network ${network.name}`, (abortSignal) =>
      docker.createNetwork({
        Name: network.name,
        Driver: 'bridge',
        CheckDuplicate: true,
        Labels: { ...network.labels },
        IPAM: { Driver: 'default', Config: [{ Subnet: network.subnet }] },
        abortSignal,
      }),
    )
  } catch (error) {
    // Somebody else made it between the look and the create.
    if (engineStatus(error) !== 409 || !(await present(docker, network))) throw error
  }
}

/** Remove a network; one that is gone is fine. */
export async function removeNetwork(docker: Docker, name: string): Promise<void> {
  try {
    await engineCall(`remove the network ${name}`, (abortSignal) =>
      docker.getNetwork(name).remove({ abortSignal }),
    )
  } catch (error) {
    if (engineStatus(error) !== 404) throw error
  }
}

async function present(
  docker: Docker,
  network: { name: string; subnet: string },
): Promise<boolean> {
  // A list, not an inspect: the engine takes the start of an id for a name.
  const found = await engineCall('list networks', (abortSignal) =>
    docker.listNetworks({ filters: { name: [network.name] }, abortSignal }),
  )
  const same = found.find((each) => each.Name === network.name)
  if (same === undefined) return false
  const subnets = (same.IPAM?.Config ?? []).map(({ Subnet }) => Subnet)
  if (subnets.includes(network.subnet)) return true
  throw new HeliosError(
    'engine_error',
    `The network ${network.name} has the subnet ${subnets.join(', ')}, not ${network.subnet}.`,
    { hint: `Remove it when nothing uses it: docker network rm ${network.name}` },
  )
}
