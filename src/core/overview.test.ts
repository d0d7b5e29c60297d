import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { migrate, readMigrations } from '../db/migrate.ts'
import { type Db, openDatabase } from '../db/open.ts'
import { HeliosError } from '../lib/errors.ts'
import type { AppSpec } from '../manifest/types.ts'
import { type App, createApp, ensureTeam, findApp, type Scope } from './apps.ts'
import { requestDeployment, setDeploymentState } from './deployments.ts'
import { beginRequest, forgetRequest, keepAnswer } from './idempotency.ts'
import { recordInstances } from './instances.ts'
import { changeCount, countApps, listOverviews, numbered, overviewOf } from './overview.ts'
import { scaleProcesses } from './processes.ts'
import { createRelease } from './releases.ts'
import { isPermission } from './roles.ts'
import { createRollout, promoteRollout } from './rollouts.ts'
import { teamName } from './users.ts'

let dir: string
let db: Db
let scope: Scope
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'helios-overview-'))
  db = openDatabase(dir)
  migrate(db, readMigrations('drizzle'))
  scope = ensureTeam(db, 'default', 1)
})
afterEach(() => {
  db.$client.close()
  rmSync(dir, { recursive: true, force: true })
})

const actor = { userId: 'usr_x', name: 'ada', via: 'token', credential: 'laptop' } as const
const ask = (app: App, now: number) =>
  requestDeployment(db, { app, actor, reason: 'push', description: 'Deploy', now })

function live(app: App, processes: Record<string, number>, now: number) {
  const spec = {
    processes: Object.fromEntries(
      Object.entries(processes).map(([name, instances]) => [name, { instances }]),
    ),
  } as unknown as AppSpec
  const { id } = ask(app, now)
  const input = { app, deploymentId: id, description: 'x', image: 'i', spec, now }
  const release = createRelease(db, input)
  const rollout = createRollout(db, { release, deploymentId: id, now })
  promoteRollout(db, rollout, { now, drainMs: 1 })
  return { release, rollout, id }
}

const seen = (app: App, rolloutId: string, id: string, healthy: boolean) => ({
  id,
  appId: app.id,
  rolloutId,
  release: 1,
  process: 'web',
  index: 1,
  state: 'running' as const,
  healthy,
  address: null,
  startedAt: 1,
  restarts: 0,
  exitCode: null,
  oomKilled: false,
  memoryBytes: 1,
  seenAt: 1,
})

test('an overview counts what is wanted, what is healthy and what came last', () => {
  const make = (name: string) => createApp(db, { scope, name, now: 1 })
  const [fresh, shop] = [make('fresh'), make('shop')]
  createApp(db, { scope: ensureTeam(db, 'other', 1), name: 'theirs', now: 1 })
  const { rollout, release, id } = live(shop, { web: 2, worker: 1 }, 10)
  scaleProcesses(db, shop, { wanted: { worker: 3 }, release, now: 11 })
  recordInstances(db, shop.id, [
    seen(shop, rollout.id, 'a', true),
    seen(shop, rollout.id, 'b', false),
    seen(shop, 'rol_old', 'c', true),
  ])
  const [first, second] = listOverviews(db, scope)
  expect(first).toMatchObject({
    app: { id: fresh.id },
    release: null,
    wanted: 0,
    healthy: 0,
    busy: false,
    last: null,
  })
  expect(second).toMatchObject({
    release: 1,
    wanted: 5,
    healthy: 1,
    busy: false,
    last: { id, release: 1, state: 'succeeded' },
  })

  const next = ask(shop, 20)
  expect(overviewOf(db, findApp(db, scope, 'shop'))).toMatchObject({
    busy: true,
    last: { id: next.id, release: null, state: 'queued' },
  })
  setDeploymentState(
    db,
    next.id,
    { state: 'failed', error: new HeliosError('HX10', 'crashed') },
    21,
  )
  expect(overviewOf(db, shop)).toMatchObject({ busy: false, last: { error: { code: 'HX10' } } })
  expect(listOverviews(db, scope, { after: 'fresh', limit: 1 }).map((row) => row.app.name)).toEqual(
    ['shop'],
  )
  expect(overviewOf(db, { ...fresh, id: 'app_gone' })).toMatchObject({ wanted: 0, last: null })
  expect(numbered(db, [])).toEqual([])
  expect([countApps(db, scope), teamName(db, scope), teamName(db, { teamId: 'x' })]).toEqual([
    2,
    'default',
    '',
  ])
})

test('a change of anything is told', () => {
  const before = changeCount(db)
  expect(changeCount(db)).toBe(before)
  createApp(db, { scope, name: 'shop', now: 1 })
  expect(changeCount(db)).toBeGreaterThan(before)
})

test('a request with a key is done once, within a day', () => {
  const asked = { actor: 'a', key: 'k', request: 'r' }
  expect(beginRequest(db, asked, 1000)).toBeUndefined()
  expect(() => beginRequest(db, asked, 2000)).toThrow('still under way')
  expect(() => beginRequest(db, { ...asked, request: 'other' }, 2000)).toThrow('another request')
  // The process that began it died: whoever comes next does it.
  expect(beginRequest(db, asked, 62_000)).toBeUndefined()
  keepAnswer(db, asked, { status: 201, body: '{}' })
  expect(beginRequest(db, asked, 70_000)).toEqual({ status: 201, body: '{}' })
  expect(beginRequest(db, { ...asked, actor: 'b' }, 70_000)).toBeUndefined()
  const day = 24 * 60 * 60 * 1000
  expect(beginRequest(db, asked, 62_001 + day)).toBeUndefined()
  forgetRequest(db, asked)
  expect(beginRequest(db, asked, 62_002 + day)).toBeUndefined()
})

test('only what is in the table is a permission', () => {
  expect(['app.read', 'app.delete', 'toString', ''].map(isPermission)).toEqual([
    true,
    true,
    false,
    false,
  ])
})
