/**
 * @module
 * The whole router configuration from a table of hosts: the hosts name the app, one tail for all apps finds its instances.
 */
import { posix } from 'node:path'
import { MAX_ADDRESSES } from './live-name.ts'
import type { HostRoute, RouteTable } from './types.ts'

/** The name Helios gives itself towards the admin socket. */
export const ADMIN_ORIGIN = 'helios'

/** Where the router listens and looks. */
type CaddyOptions = {
  /** Addresses for visitors, such as `:80`. */
  listen: string[]
  adminSocket: string
  /** The folder with one folder per app that holds its live state. */
  upDir: string
  /** Must differ from that of the configuration loaded before. */
  generation: number
}

type Route = { group?: string; match?: object[]; handle: object[]; terminal?: true }

const FLAT_HOSTS = 64
/** A directory read may miss a file that is being renamed; three misses in a row do not happen. */
const PASSES = 3

/** The configuration in the form the admin API takes; equal inputs give equal output. */
export function caddyConfig(table: RouteTable, options: CaddyOptions): object {
  // A load delays the shutdown of the old servers only if a listen address goes away, so one always does.
  const spare = posix.join(posix.dirname(options.adminSocket), `gen${options.generation % 2}.sock`)
  return {
    admin: {
      listen: `unix/${options.adminSocket}|0600`,
      origins: [ADMIN_ORIGIN],
      config: { persist: false },
    },
    apps: {
      http: {
        shutdown_delay: '500ms',
        servers: {
          main: {
            listen: [...options.listen, `unix/${spare}`],
            automatic_https: { disable: true },
            routes: [lameDuck(), ...hostRoutes(table.hosts), tail(options.upDir), notFound()],
          },
        },
      },
    },
  }
}

/** Ask keep-alive clients to come again on a new connection before this server goes. */
function lameDuck(): Route {
  return {
    match: [{ expression: '{http.shutting_down} == true' }],
    handle: [{ handler: 'headers', response: { set: { Connection: ['close'] } } }],
  }
}

function hostRoutes(unsorted: HostRoute[]): Route[] {
  const hosts = unsorted.toSorted(byHost)
  if (hosts.length <= FLAT_HOSTS) return hosts.map((h) => setter(h, 'h'))
  const size = Math.ceil(Math.sqrt(hosts.length))
  return Array.from({ length: Math.ceil(hosts.length / size) }, (_, i) => {
    const shard = hosts.slice(i * size, (i + 1) * size)
    return {
      group: 'h',
      match: [{ host: shard.map((h) => h.host) }],
      // The same group name inside would count as already chosen and skip every setter.
      handle: [{ handler: 'subroute', routes: shard.map((h) => setter(h, 'h2')) }],
    }
  })
}

/** Exact names before wildcards, because the first match wins. */
function byHost(a: HostRoute, b: HostRoute): number {
  const wild = Number(a.host.startsWith('*')) - Number(b.host.startsWith('*'))
  if (wild !== 0) return wild
  return a.host < b.host ? -1 : Number(a.host > b.host)
}

function setter({ host, app }: HostRoute, group: string): Route {
  return { group, match: [{ host: [host] }], handle: [{ handler: 'vars', hl_app: app }] }
}

function tail(upDir: string): Route {
  const passes = Array.from({ length: PASSES }, () => pass(upDir))
  return {
    match: [{ not: [{ vars: { hl_app: [''] } }] }],
    terminal: true,
    handle: [{ handler: 'subroute', routes: [...passes, unavailable()] }],
  }
}

function pass(upDir: string): Route {
  const more = '(?:,([0-9.:]+))?'.repeat(MAX_ADDRESSES - 1)
  const pattern = `^/?r=([^;]*);w=000;n=([1-${MAX_ADDRESSES}]);a=([0-9.:]+)${more};c=$`
  const counts = Array.from({ length: MAX_ADDRESSES }, (_, i) => proxy(i + 1))
  const release = { handler: 'log_append', key: 'release', value: '{http.regexp.hl.1}' }
  const found: Route = {
    match: [{ vars_regexp: { '{http.matchers.file.relative}': { name: 'hl', pattern } } }],
    terminal: true,
    handle: [{ handler: 'subroute', routes: [{ handle: [release] }, ...counts] }],
  }
  return {
    match: [{ file: { root: `${upDir}/{http.vars.hl_app}`, try_files: ['*'] } }],
    terminal: true,
    handle: [{ handler: 'subroute', routes: [found, unavailable()] }],
  }
}

function proxy(count: number): Route {
  const upstreams = Array.from({ length: count }, (_, i) => ({ dial: `{http.regexp.hl.${i + 3}}` }))
  return {
    match: [{ vars: { '{http.regexp.hl.2}': [String(count)] } }],
    terminal: true,
    handle: [
      {
        handler: 'reverse_proxy',
        upstreams,
        stream_close_delay: '24h',
        load_balancing: {
          selection_policy: { policy: 'round_robin' },
          try_duration: '5s',
          try_interval: '20ms',
        },
      },
    ],
  }
}

function notFound(): Route {
  return page(404, 'No app here', 'No app answers at this address. Check the name, or its DNS.', {})
}

function unavailable(): Route {
  const text = 'This app has no running instance right now. Try again in a moment.'
  return page(503, 'App not running', text, { 'Retry-After': ['1'] })
}

/** A page without braces, which Caddy would take for placeholders. */
function page(status: number, title: string, text: string, headers: object): Route {
  const body = `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><body style="font-family:system-ui;max-width:32rem;margin:20vh auto;padding:0 1rem"><h1>${title}</h1><p>${text}</p></body></html>`
  return {
    handle: [
      {
        handler: 'static_response',
        status_code: status,
        headers: {
          ...headers,
          'Content-Type': ['text/html; charset=utf-8'],
          'Cache-Control': ['no-store'],
        },
        body,
      },
    ],
  }
}
