import { expect, test } from 'vitest'
import { type RawEnv, readEnv, SERVER_VARIABLES } from './env.ts'
import { parseSettings } from './settings.ts'

const none = Object.fromEntries(
  Object.keys(SERVER_VARIABLES).map((key) => [key, undefined]),
) as RawEnv

test('defaults are filled in and the result is frozen', () => {
  expect(Object.keys(readEnv())).toEqual(Object.keys(none))
  const settings = parseSettings(none)
  expect(settings).toMatchObject({
    dataDir: '/var/lib/helios',
    logLevel: 'info',
    http: { host: '0.0.0.0', port: 80 },
    baseDomain: 'localhost',
    caddy: undefined,
    logBudgetBytes: 100 * 1024 * 1024,
  })
  expect(Object.isFrozen(settings)).toBe(true)
})

test('values of the environment are taken', () => {
  const settings = parseSettings({
    ...none,
    apiAddress: '[::1]:0',
    httpAddress: ':8080',
    baseDomain: 'Apps.Example.com.',
    subnetPool: '172.20',
    buildsAtOnce: '4',
    logBudget: '1GiB',
    caddy: '/opt/caddy',
  })
  expect(settings).toMatchObject({
    api: { host: '::1', port: 0 },
    http: { host: '0.0.0.0', port: 8080 },
    baseDomain: 'apps.example.com',
    subnetPool: '172.20',
    buildsAtOnce: 4,
    logBudgetBytes: 2 ** 30,
    caddy: '/opt/caddy',
  })
})

test('every problem is reported at once', () => {
  const bad = () =>
    parseSettings({
      ...none,
      dataDir: 'here',
      logLevel: 'loud',
      apiAddress: '1.2.3.4:99999',
      subnetPool: '8.8',
      buildsAtOnce: '0',
      baseDomain: '1.2.3.4',
      logBudget: '5',
    })
  for (const name of [
    'HELIOS_DATA_DIR is "here"',
    'HELIOS_LOG_LEVEL is "loud"',
    'HELIOS_API_ADDRESS is "1.2.3.4:99999"',
    'HELIOS_SUBNET_POOL is "8.8"',
    'HELIOS_BUILDS_AT_ONCE is "0"',
    'HELIOS_BASE_DOMAIN is "1.2.3.4"',
    'HELIOS_LOG_BUDGET is "5"',
  ]) {
    expect(bad).toThrow(name)
  }
})
