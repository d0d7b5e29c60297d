import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { migrate, readMigrations } from '../db/migrate.ts'
import { type Db, openDatabase } from '../db/open.ts'
import {
  createApp,
  destroyApp,
  ensureTeam,
  findApp,
  forgetApp,
  listApps,
  type Scope,
} from './apps.ts'
import { listEnv, setEnv, unsetEnv } from './env.ts'

let dir: string
let db: Db
let scope: Scope
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'helios-core-'))
  db = openDatabase(dir)
  migrate(db, readMigrations('drizzle'))
  scope = ensureTeam(db, 'default', 1)
})
afterEach(() => {
  db.$client.close()
  rmSync(dir, { recursive: true, force: true })
})
const app = (name: string) => createApp(db, { scope, name, now: 1 })

test('a team is made once', () => {
  expect(ensureTeam(db, 'default', 2)).toEqual(scope)
})

test('apps are found and listed within their team only', () => {
  const other = ensureTeam(db, 'other', 1)
  for (const name of ['b', 'a', 'c']) app(name)
  expect(listApps(db, scope, { after: 'a', limit: 1 }).map(({ name }) => name)).toEqual(['b'])
  expect(listApps(db, other)).toEqual([])
  expect(() => findApp(db, other, 'a')).toThrow('No app called "a"')
  expect(() => destroyApp(db, other, 'a', 2)).toThrow('No app called "a"')
  expect(findApp(db, scope, 'a').name).toBe('a')
})

test('a name is taken for every team, and free again once destroyed', () => {
  setEnv(db, app('shop'), { A: '1' })
  expect(() => createApp(db, { scope: ensureTeam(db, 'other', 1), name: 'shop', now: 1 })).toThrow(
    'exists already',
  )
  expect(destroyApp(db, scope, 'shop', 2).state).toBe('destroying')
  forgetApp(db, findApp(db, scope, 'shop').id)
  expect(listEnv(db, app('shop'))).toEqual({})
})

test('config vars are kept byte for byte, all or none', () => {
  const shop = app('shop')
  const values = { A: '$(id) "q" \n #', B: '', C: 'é' }
  setEnv(db, shop, values)
  expect(listEnv(db, shop)).toEqual(values)
  expect(() => setEnv(db, shop, { A: 'new', '1A': 'x' })).toThrow('no config key')
  expect(listEnv(db, shop)).toEqual(values)
  unsetEnv(db, shop, ['A', 'NONE'])
  expect(Object.keys(listEnv(db, shop))).toEqual(['B', 'C'])
})

test('at most 1,000 config vars', () => {
  const many = Object.fromEntries(Array.from({ length: 1001 }, (_, n) => [`K${n}`, 'x']))
  const shop = app('shop')
  expect(() => setEnv(db, shop, many)).toThrow('at most 1000')
  expect(listEnv(db, shop)).toEqual({})
})
