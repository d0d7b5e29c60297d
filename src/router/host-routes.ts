/**
 * @module
 * From host names to apps: a tree of routes that sets the variable `hl_app`, quick also for thousands of hosts.
 */
import { checkId } from './live-name.ts'
import { type Route, subroute } from './route.ts'
import type { HostRoute } from './types.ts'

/** A subroute is put together anew for each request, so it should be short. */
const MAX_FLAT = 16
/** Caddy searches a list of more than 100 hosts by halves, a shorter one from end to end. */
const SEARCHED = 101

/** Routes that say which app a request is for; the order of the table does not matter. */
export function hostRoutes(hosts: HostRoute[]): Route[] {
  const sorted = hosts
    .map(({ host, app }) => ({ host: host.toLowerCase(), app }))
    .toSorted((a, b) => compare(a.host, b.host) || compare(a.app, b.app))
    .filter((route, i, all) => route.host !== all[i - 1]?.host)
  const wild = sorted.filter(({ host }) => host.startsWith('*'))
  const exact = sorted.filter(({ host }) => !host.startsWith('*'))
  // Exact names first, because the first match wins.
  return [...tree(exact, 1), ...tree(wild, 1)]
}

function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

function tree(hosts: HostRoute[], depth: number): Route[] {
  // The same group name further in would count as already chosen and skip every route.
  const group = `h${depth}`
  if (hosts.length <= MAX_FLAT) {
    return hosts.map(({ host, app }) => {
      checkId('app', app)
      return { group, match: [{ host: [host] }], handle: [{ handler: 'vars', hl_app: app }] }
    })
  }
  return shards(hosts).map((shard) => ({
    group,
    match: [{ host: shard.map(({ host }) => host) }],
    handle: [subroute(tree(shard, depth + 1))],
  }))
}

function shards(hosts: HostRoute[]): HostRoute[][] {
  const wide = hosts.length > 2 * SEARCHED
  const count = wide ? Math.floor(hosts.length / SEARCHED) : Math.ceil(Math.sqrt(hosts.length))
  const size = Math.ceil(hosts.length / count)
  return Array.from({ length: Math.ceil(hosts.length / size) }, (_, i) =>
    hosts.slice(i * size, (i + 1) * size),
  )
}
