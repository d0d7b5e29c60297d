import { afterEach, beforeEach, expect, test } from 'vitest'
import { findApp, listApps } from '../../src/core/apps.ts'
import { refs } from '../../src/git/repo.ts'
import { listSources } from '../../src/git/sources.ts'
import { createClone, createWorld, failure, serveHttp, type World } from './world.ts'

let world: World
let server: Awaited<ReturnType<typeof serveHttp>>
beforeEach(async () => {
  world = await createWorld()
  server = await serveHttp(world)
})
afterEach(async () => {
  await server.close()
  await world.close()
})
const remote = (app: string): string =>
  server.url.replace('http://', `http://helios:${world.token}@`).concat(`/${app}.git`)

test('a push creates the app, shows its deploy, and the branch is there', async () => {
  const clone = createClone()
  const commit = clone.commit({ 'index.html': 'hello', 'a b/é.txt': 'x' })
  world.deploy = async ({ say }) => say('\u001b[31mcompiling\u001b[0m\ttwo')
  const pushed = await clone.run('push', remote('shop'), 'main')
  expect(pushed.out).toContain('remote: -----> Building')
  expect(pushed.out).toContain('remote:        compiling    two')
  expect(pushed.out).toContain('remote: -----> v1 live at http://shop.localhost:8080/')
  expect(pushed.code).toBe(0)
  const app = findApp(world.db, world.actor, 'shop')
  expect(await refs(world.repos.path(app.id))).toEqual([{ ref: 'refs/heads/main', oid: commit }])
  expect(world.deployed).toEqual([
    new Map([
      ['index.html', 'hello'],
      ['a b/é.txt', 'x'],
    ]),
  ])
  await expect.poll(() => listSources(world.repos.path(app.id))).toEqual([])
})

test('a failed deploy rejects the push and says why', async () => {
  const clone = createClone()
  clone.commit({ a: '1' })
  world.deploy = async () => {
    throw failure('npm ci ended with 1\nlast line', 'Look at package.json')
  }
  const { code, out } = await clone.run('push', remote('shop'), 'main')
  expect(out).toContain('remote:  !     npm ci ended with 1')
  expect(out).toContain('remote:  !     last line')
  expect(out).toContain('remote:  !     Look at package.json')
  expect(out).toContain('[remote rejected] main -> main (pre-receive hook declined)')
  expect(code).not.toBe(0)
  const repo = world.repos.path(findApp(world.db, world.actor, 'shop').id)
  expect(await refs(repo)).toEqual([])
  await expect.poll(() => listSources(repo)).toEqual([])
})

test('a look at an app that is not there makes none; no token, no answer', async () => {
  const clone = createClone()
  clone.commit({ a: '1' })
  const fetched = await clone.run('ls-remote', remote('shop'))
  expect(fetched.out).toContain('remote error: No app called "shop"')
  await clone.run('push', '--dry-run', remote('shop'), 'main')
  expect(listApps(world.db, world.actor)).toEqual([])
  const { out } = await clone.run('push', `${server.url}/shop.git`, 'main')
  expect(out).toMatch(/could not read Username|Authentication failed/)
  const bad = await clone.run('push', remote('no_name'), 'main')
  expect(bad.out).toContain('is no app name')
})
