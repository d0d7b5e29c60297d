/**
 * @module
 * From host names to apps: routes that set the variable `hl_app`, quick also for thousands of hosts.
 */
import { checkId } from './live-name.ts'
import { type Route, subroute } from './route.ts'
import type { HostRoute } from './types.ts'

/** A map is searched from end to end, so it should not be long. */
const MAX_MAP = 200
/** A subroute is put together anew for each request, so it should be short. */
const MAX_FLAT = 16
/** Caddy searches a list of more than 100 hosts by halves, a shorter one from end to end. */
const SEARCHED = 101
/** No host name and no id contains this, which Caddy would take for a map that refers to itself. */
const MAPPED = '{helios!app}'

/** Routes that say which app a request is for; the order of the table does not matter. */
export function hostRoutes(hosts: HostRoute[]): Route[] {
  const sorted = hosts
    .map(({ host, app }) => ({ host: host.toLowerCase(), app }))
    .toSorted((a, b) => compare(a.host, b.host) || compare(a.app, b.app))
    .filter((route, i, all) => route.host !== all[i - 1]?.host)
  for (const { app } of sorted) checkId('app', app)
  const wild = sorted.filter(({ host }) => host.startsWith('*'))
  const exact = sorted.filter(({ host }) => !host.startsWith('*'))
  if (sorted.length === 0) return []
  // A map knows no wildcards and no other spelling. Exact names first, because the first match wins.
  const others = [...tree(exact, 1), ...tree(wild, 1)]
  return [...maps(exact), { match: [{ vars: { hl_app: [''] } }], handle: [subroute(others)] }]
}

function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

/** The way of almost all requests: measured at 500 hosts, it costs a tenth of the tree below. */
function maps(hosts: HostRoute[]): Route[] {
  const parts = split(hosts, Math.ceil(hosts.length / MAX_MAP))
  return parts.map((part) => ({
    group: 'map',
    ...(parts.length > 1 ? { match: [{ host: part.map(({ host }) => host) }] } : {}),
    handle: [
      {
        handler: 'map',
        source: '{http.request.host}',
        destinations: [MAPPED],
        defaults: [''],
        mappings: part.map(({ host, app }) => ({ input: host, outputs: [app] })),
      },
      { handler: 'vars', hl_app: MAPPED },
    ],
  }))
}

function tree(hosts: HostRoute[], depth: number): Route[] {
  // The same group name further in would count as already chosen and skip every route.
  const group = `tree${depth}`
  if (hosts.length <= MAX_FLAT) {
    return hosts.map(({ host, app }) => ({
      group,
      match: [{ host: [host] }],
      handle: [{ handler: 'vars', hl_app: app }],
    }))
  }
  const wide = hosts.length > 2 * SEARCHED
  const count = wide ? Math.floor(hosts.length / SEARCHED) : Math.ceil(Math.sqrt(hosts.length))
  return split(hosts, count).map((part) => ({
    group,
    match: [{ host: part.map(({ host }) => host) }],
    handle: [subroute(tree(part, depth + 1))],
  }))
}

/** At most `count` parts of about the same size. */
function split(hosts: HostRoute[], count: number): HostRoute[][] {
  const size = Math.ceil(hosts.length / count)
  return Array.from({ length: Math.ceil(hosts.length / size) || 0 }, (_, i) =>
    hosts.slice(i * size, (i + 1) * size),
  )
}
