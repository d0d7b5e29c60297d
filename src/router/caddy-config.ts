/**
 * @module
 * The whole router configuration from a table of hosts: the hosts name the app, one tail for all apps finds its instances.
 */
import { posix } from 'node:path'
import { appRoutes, namedRoutes } from './app-routes.ts'
import { hostRoutes } from './host-routes.ts'
import { errorRoutes } from './pages.ts'
import type { Route } from './route.ts'
import type { RouteTable } from './types.ts'

/** The name Helios gives itself towards the admin socket. */
export const ADMIN_ORIGIN = 'helios'

/** Where the router listens, looks and writes. */
export type CaddyOptions = {
  /** Addresses for visitors, such as `:80`. */
  listen: readonly string[]
  adminSocket: string
  /** The folder with one folder per app that holds its live state. */
  upDir: string
  /** Caddy's own log, which it rotates at 10 MB. */
  logFile: string
  /** How long an app may take to send the first byte of its answer, in milliseconds. */
  answerWithinMs: number
}

/** The configuration in the form the admin API takes; `generation` must differ from that loaded before. */
export function caddyConfig(table: RouteTable, options: CaddyOptions, generation: 0 | 1): object {
  return {
    admin: {
      listen: `unix/${options.adminSocket}|0600`,
      origins: [ADMIN_ORIGIN],
      config: { persist: false },
    },
    logging: { logs: { default: errorLog(options.logFile) } },
    apps: {
      http: {
        shutdown_delay: '500ms',
        servers: {
          main: {
            // A load delays the shutdown of the old servers only if a listen address goes away, so one always does.
            listen: [...options.listen, `unix/${spareSocket(options.adminSocket, generation)}`],
            protocols: ['h1', 'h2', 'h2c'],
            automatic_https: { disable: true },
            routes: [lameDuck(), ...hostRoutes(table.hosts), ...appRoutes(options)],
            named_routes: namedRoutes(options),
            errors: { routes: errorRoutes() },
          },
        },
      },
    },
  }
}

/** Which generation a configuration is of; 1 for one that is not ours, so that the next is 0. */
export function generationOf(config: unknown, adminSocket: string): 0 | 1 {
  return JSON.stringify(config ?? null).includes(spareSocket(adminSocket, 0)) ? 0 : 1
}

/** Whether two configurations listen at the same addresses and are asked at the same socket. */
export function isSamePlace(one: object, other: object): boolean {
  const places = [one, other].map((config) => {
    const listening = JSON.stringify(config).match(/"listen":(?:"[^"]*"|\[(?:"[^"]*",?)*\])/g) ?? []
    return listening.join().replace(/gen[01]\.sock/, '')
  })
  return places[0] === places[1]
}

function spareSocket(adminSocket: string, generation: 0 | 1): string {
  return posix.join(posix.dirname(adminSocket), `gen${generation}.sock`)
}

/** Failed requests are logged by the server; the proxy would put together a line for each good one, too. */
function errorLog(filename: string): object {
  return {
    level: 'WARN',
    exclude: ['http.handlers.reverse_proxy'],
    writer: { output: 'file', filename, roll_size_mb: 10, roll_keep: 2, roll_gzip: false },
  }
}

/** Ask keep-alive clients to come again on a new connection before this server goes. */
function lameDuck(): Route {
  return {
    match: [{ vars: { '{http.shutting_down}': ['true'] } }],
    handle: [{ handler: 'headers', response: { set: { Connection: ['close'] } } }],
  }
}
