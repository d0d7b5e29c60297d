import { expect, test } from 'vitest'
import { caddyConfig } from './caddy-config.ts'
import type { HostRoute } from './types.ts'

const options = {
  listen: [':80'],
  adminSocket: '/run/h/caddy/admin.sock',
  upDir: '/run/h/up',
  generation: 0,
}
const hosts = (count: number): HostRoute[] =>
  Array.from({ length: count }, (_, i) => ({ host: `h${i}.test`, app: `app_${i}` }))
const text = (list: HostRoute[], generation = 0): string =>
  JSON.stringify(caddyConfig({ hosts: list }, { ...options, generation }))

type Route = { group?: string; match?: { host?: string[] }[]; handle: { routes?: Route[] }[] }
const routesOf = (list: HostRoute[]): Route[] =>
  JSON.parse(text(list)).apps.http.servers.main.routes
const grouped = (routes: Route[]): Route[] => routes.filter((r) => r.group !== undefined)

test('the admin is a private socket and nothing is kept by Caddy', () => {
  expect(caddyConfig({ hosts: [] }, options)).toMatchObject({
    admin: {
      listen: 'unix//run/h/caddy/admin.sock|0600',
      origins: ['helios'],
      config: { persist: false },
    },
    apps: {
      http: {
        shutdown_delay: '500ms',
        servers: {
          main: {
            listen: [':80', 'unix//run/h/caddy/gen0.sock'],
            automatic_https: { disable: true },
          },
        },
      },
    },
  })
})

test('each generation takes the other spare socket', () => {
  expect(text([], 1)).toContain('gen1.sock')
  expect(text([], 2)).toContain('gen0.sock')
})

test('the order of the table does not matter', () => {
  expect(text(hosts(100).reverse())).toBe(text(hosts(100)))
})

test('exact hosts come before wildcards', () => {
  const found = grouped(
    routesOf([
      { host: '*.test', app: 'app_1' },
      { host: 'a.test', app: 'app_2' },
    ]),
  )
  expect(found.map((r) => r.match?.[0]?.host)).toEqual([['a.test'], ['*.test']])
})

test('up to 64 hosts are flat, more are shards with another group inside', () => {
  expect(grouped(routesOf(hosts(64)))).toHaveLength(64)
  const shards = grouped(routesOf(hosts(65)))
  expect(shards.length).toBeLessThan(10)
  const inner = shards.flatMap((s) => s.handle[0]?.routes ?? [])
  expect(new Set(shards.map((s) => s.group))).toEqual(new Set(['h']))
  expect(new Set(inner.map((s) => s.group))).toEqual(new Set(['h2']))
  expect(inner.flatMap((r) => r.match?.[0]?.host ?? [])).toHaveLength(65)
  expect(shards.flatMap((r) => r.match?.[0]?.host ?? [])).toHaveLength(65)
})

test('three passes look for the live state, whatever the number of apps', () => {
  expect(text(hosts(1)).split('"try_files":["*"]')).toHaveLength(4)
  expect(text(hosts(500)).split('"try_files":["*"]')).toHaveLength(4)
})
