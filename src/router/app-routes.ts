/**
 * @module
 * From an app to its instances: the tail of routes all apps share, which reads the live state at each request.
 */
import { MAX_ADDRESSES } from './live-name.ts'
import { page } from './pages.ts'
import { type Route, subroute } from './route.ts'

const INSTANCES = 'instances'

/** What the tail needs to know. */
export type AppRouteOptions = {
  /** The folder with one folder per app that holds its live state. */
  upDir: string
  /** How long an app may take to send the first byte of its answer, in milliseconds. */
  answerWithinMs: number
}

/** Where the file matcher puts the name it found, with a slash before it. */
const FOUND = '{http.matchers.file.relative}'
const ADDRESS = '[0-9.:]*'

/**
 * The tail, after the variable `hl_app` was set. Most apps have one instance and the first look finds
 * their state, so that way comes first and without a subroute: each costs an allocation per route in it.
 */
export function appRoutes(options: AppRouteOptions): Route[] {
  return [
    { match: [{ vars: { hl_app: [''] } }], terminal: true, handle: [page('unknown')] },
    { match: [live(options.upDir)], handle: [] },
    ...instances(options),
    { handle: [subroute([again(options), again(options), { handle: [page('HX14')] }])] },
  ]
}

/** The routes from a found state to its instances, to be called by name. */
export function namedRoutes(options: AppRouteOptions): Record<string, Route> {
  const routes = [...instances(options), { handle: [page('HX14')] }]
  return { [INSTANCES]: { handle: [subroute(routes)] } }
}

/**
 * A directory read may miss a file that is being renamed. With one look about one switch in a thousand
 * lost a request under load, with three in a row none did.
 */
function again(options: AppRouteOptions): Route {
  return {
    match: [live(options.upDir)],
    terminal: true,
    handle: [{ handler: 'invoke', name: INSTANCES }],
  }
}

function live(upDir: string): object {
  return { file: { root: `${upDir}/{http.vars.hl_app}`, try_files: ['*'] } }
}

function instances(options: AppRouteOptions): Route[] {
  const counts = Array.from({ length: MAX_ADDRESSES - 1 }, (_, i) => i + 2)
  return [
    when(`1;(${ADDRESS})`, proxy(['{http.regexp.1}'], options)),
    when('0', page('HX14')),
    ...counts.map((count) => {
      const middles = Array(count).fill(`(${ADDRESS})`).join(',')
      const dials = Array.from(
        { length: count },
        (_, i) => `{http.regexp.1}{http.regexp.${i + 2}}{http.regexp.${count + 2}}`,
      )
      return when(`${count};(${ADDRESS});${middles};(${ADDRESS})`, proxy(dials, options))
    }),
  ]
}

/** A route for live names of this form; names with more fields are left to others. */
function when(form: string, handler: object): Route {
  const pattern = `^/${form};r=[^;]*$`
  return {
    match: [{ vars_regexp: { [FOUND]: { pattern } } }],
    terminal: true,
    handle: [handler],
  }
}

/**
 * Instances are chosen at random: a counter would be shared by all apps of the same count, and requests
 * that alternate between two of them would always meet the same instance.
 */
function proxy(dials: string[], { answerWithinMs }: AppRouteOptions): object {
  return {
    handler: 'reverse_proxy',
    upstreams: dials.map((dial) => ({ dial })),
    // Websockets stay open over a load of another configuration.
    stream_close_delay: '24h',
    load_balancing: {
      try_duration: '5s',
      try_interval: '20ms',
      // What could not be sent is tried again; what an instance may have seen is not, as it may be the reason it fell.
      retry_match: [{ not: [{}] }],
    },
    transport: {
      protocol: 'http',
      response_header_timeout: `${answerWithinMs}ms`,
      // One read for most answers.
      read_buffer_size: 16_384,
      // Otherwise an app compresses for clients who did not ask, and Caddy undoes it.
      compression: false,
      // An app that closes an idle connection just as a request is sent on it loses that request: go first.
      // Of those with a limit gunicorn's is the shortest, with 2 s; Node's is 5 s.
      keep_alive: { max_idle_conns_per_host: 128, idle_timeout: '1500ms' },
    },
  }
}
