import { expect, test } from 'vitest'
import { caddyConfig, generationOf, isSamePlace } from './caddy-config.ts'
import type { HostRoute } from './types.ts'

const adminSocket = '/run/h/caddy/admin.sock'
const options = {
  listen: [':80', '[::1]:81'],
  adminSocket,
  upDir: '/run/h/up',
  logFile: '/run/h/caddy/caddy.log',
  answerWithinMs: 30_000,
}
const hosts = (count: number): HostRoute[] =>
  Array.from({ length: count }, (_, i) => ({ host: `h${i}.test`, app: `app_${i}` }))
const config = (list: HostRoute[], generation: 0 | 1 = 0): object =>
  caddyConfig({ hosts: list }, options, generation)
const text = (list: HostRoute[]): string => JSON.stringify(config(list))

type Route = {
  group?: string
  match?: { host?: string[]; vars?: object; vars_regexp?: Record<string, { pattern: string }> }[]
  handle: {
    routes?: Route[]
    hl_app?: string
    mappings?: { input: string; outputs: string[] }[]
    upstreams?: { dial: string }[]
  }[]
}
const routesOf = (list: HostRoute[]): Route[] =>
  JSON.parse(text(list)).apps.http.servers.main.routes

const covers = (wanted: string[], host: string): boolean =>
  wanted.some((w) => w === host || (w.startsWith('*') && host.endsWith(w.slice(1))))

/** The app the maps find for a host. */
function mapped(routes: Route[], host: string): string | undefined {
  const found = routes.find(
    ({ group, match }) => group === 'map' && covers(match?.[0]?.host ?? [host], host),
  )
  return found?.handle[0]?.mappings?.find(({ input }) => input === host)?.outputs[0]
}

/** The app the tree behind the maps finds for a host, and how many routes it looked at. */
function inTree(routes: Route[], host: string): { app: string | undefined; looked: number } {
  let looked = 0
  for (const route of routes) {
    looked += 1
    if (!covers(route.match?.[0]?.host ?? [], host)) continue
    const [inner] = route.handle
    if (inner?.routes === undefined) return { app: inner?.hl_app, looked }
    const found = inTree(inner.routes, host)
    return { ...found, looked: looked + found.looked }
  }
  return { app: undefined, looked }
}
const treeOf = (routes: Route[]): Route[] =>
  routes.find(({ match, handle }) => match?.[0]?.vars && handle[0]?.routes)?.handle[0]?.routes ?? []

test('the admin is a private socket and nothing is kept by Caddy', () => {
  expect(config([])).toMatchObject({
    admin: { listen: `unix/${adminSocket}|0600`, origins: ['helios'], config: { persist: false } },
    apps: {
      http: {
        shutdown_delay: '500ms',
        servers: {
          main: {
            listen: [':80', '[::1]:81', 'unix//run/h/caddy/gen0.sock'],
            protocols: ['h1', 'h2', 'h2c'],
            automatic_https: { disable: true },
          },
        },
      },
    },
  })
})

test('each generation takes the other spare socket and can be told from it', () => {
  expect(generationOf(config([], 0), adminSocket)).toBe(0)
  expect(generationOf(config([], 1), adminSocket)).toBe(1)
  expect(generationOf(null, adminSocket)).toBe(1)
  expect(generationOf({ apps: {} }, adminSocket)).toBe(1)
})

test('a configuration for other addresses is told from one for these', () => {
  expect(isSamePlace(config([], 0), config(hosts(9), 1))).toBe(true)
  const other = caddyConfig({ hosts: [] }, { ...options, listen: [':80', '[::1]:82'] }, 0)
  expect(isSamePlace(config([]), other)).toBe(false)
  expect(isSamePlace({}, other)).toBe(false)
})

test('neither the order of the table nor a host given twice matters', () => {
  expect(text(hosts(300).reverse())).toBe(text(hosts(300)))
  expect(text([...hosts(20), { host: 'H3.test', app: 'app_3' }])).toBe(text(hosts(20)))
})

test('exact hosts come before wildcards', () => {
  const routes = routesOf([
    { host: '*.test', app: 'app_w' },
    { host: 'a.test', app: 'app_a' },
  ])
  expect(mapped(routes, 'a.test')).toBe('app_a')
  expect(mapped(routes, '*.test')).toBeUndefined()
  expect(inTree(treeOf(routes), 'a.test').app).toBe('app_a')
  expect(inTree(treeOf(routes), 'b.test').app).toBe('app_w')
  expect(inTree(treeOf(routes), 'b.other').app).toBeUndefined()
})

test.each([1, 16, 17, 200, 201, 202, 203, 500, 5000])(
  'each of %i hosts is found by a short way',
  (count) => {
    const routes = routesOf(hosts(count))
    for (let i = 0; i < count; i += 1) {
      const { app, looked } = inTree(treeOf(routes), `h${i}.test`)
      expect([app, mapped(routes, `h${i}.test`)]).toEqual([`app_${i}`, `app_${i}`])
      expect(looked).toBeLessThan(80)
    }
  },
)

test('what is not an id never becomes part of a path', () => {
  expect(() => config([{ host: 'a.test', app: '../other' }])).toThrow('"../other"')
})

test('the tail has one look before the instances and two after, whatever the number of apps', () => {
  for (const count of [1, 500])
    expect(text(hosts(count)).split('"try_files":["*"]')).toHaveLength(4)
})

test('the routes of a live name find its addresses', () => {
  const proxies = routesOf([]).filter((r) => r.handle[0]?.upstreams !== undefined)
  const dials = (name: string): string[][] =>
    proxies.flatMap((route) => {
      const [rule] = Object.values(route.match?.[0]?.vars_regexp ?? {})
      const found = new RegExp(rule?.pattern ?? '').exec(`/${name}`)
      if (found === null) return []
      const filled = (dial: string): string =>
        dial.replace(/\{http\.regexp\.(\d+)\}/g, (_, n) => found[Number(n)] ?? '?')
      return [(route.handle[0]?.upstreams ?? []).map(({ dial }) => filled(dial))]
    })
  expect(dials('0;r=v1')).toEqual([])
  expect(dials('1;10.0.0.1:80;r=v1')).toEqual([['10.0.0.1:80']])
  expect(dials('2;10.0.0.;1,2;:80;r=v1')).toEqual([['10.0.0.1:80', '10.0.0.2:80']])
  const many = Array.from({ length: 16 }, (_, i) => `10.0.0.${i}:80`)
  const middles = many.map((_, i) => i).join(',')
  expect(dials(`16;10.0.0.;${middles};:80;r=v1`)).toEqual([many])
  expect(dials('1;10.0.0.1:80;r=v1;w=19a')).toEqual([])
})
