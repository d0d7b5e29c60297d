/**
 * @module
 * From apps, domains and what runs to what the router is told. Pure.
 */
import type { App } from '../core/apps.ts'
import type { HostRoute, LiveState, RouteTable } from '../router/types.ts'
import type { Instance } from '../runtime/types.ts'
import { identityOf } from './labels.ts'
import type { ActiveRollout } from './plan.ts'
import { portOf, WEB } from './workload.ts'

/** Every host name with its app: the default ones, then the apps' own. */
export function routeTable(input: {
  apps: readonly Pick<App, 'id' | 'name' | 'state'>[]
  domains: readonly { host: string; appId: string }[]
  baseDomain: string
}): RouteTable {
  const active = input.apps.filter(({ state }) => state === 'active')
  const ids = new Set(active.map(({ id }) => id))
  const hosts: HostRoute[] = active.map(({ id, name }) => ({
    host: `${name}.${input.baseDomain}`,
    app: id,
  }))
  for (const { host, appId } of input.domains) if (ids.has(appId)) hosts.push({ host, app: appId })
  return { hosts }
}

/** What else is known of instances. */
export type KnownInstances = {
  /** It runs, and has shown that it is healthy since it was started. */
  isProven(instance: Instance): boolean
  addressOf(name: string): string | undefined
}

/**
 * Where requests for an app go: the web instances of the live rollout that are proven. While there is
 * none, all of them, since an instance keeps its address over a restart and requests may wait for it.
 */
export function liveState(
  live: ActiveRollout,
  actual: readonly Instance[],
  known: KnownInstances,
): LiveState {
  const spec = live.release.spec.processes[WEB]
  const port = spec && portOf(WEB, spec)
  const web = actual.filter((instance) => {
    const who = identityOf(instance.labels)
    return who?.rollout === live.rollout.id && who.process === WEB
  })
  const ready = web.filter(known.isProven)
  const chosen = ready.length > 0 ? ready : web
  const addresses = chosen
    .map((instance) => instance.address ?? known.addressOf(instance.name))
    .filter((address) => address !== undefined)
    .map((address) => `${address}:${port}`)
    .sort()
  return {
    app: live.release.appId,
    release: `v${live.release.number}`,
    addresses: port === undefined ? [] : addresses,
  }
}
