import { createHash } from 'node:crypto'
import { connect } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findApp, listApps } from '../../src/core/apps.ts'
import { refs } from '../../src/git/repo.ts'
import { listSources } from '../../src/git/sources.ts'
import { pktLine } from '../../src/ssh/http.ts'
import { createClone, createWorld, failure, serveHttp, soon, type World } from './world.ts'

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
  const clone = createClone(world)
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
  await soon(() => listSources(world.repos.path(app.id))).toEqual([])
})

test('a failed deploy rejects the push and says why', async () => {
  const clone = createClone(world)
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
  await soon(() => listSources(repo)).toEqual([])
})

test('a look at an app that is not there makes none; no token, no answer', async () => {
  const clone = createClone(world)
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

test('clone and fetch, with and without protocol 2, and pushes larger than a buffer', async () => {
  const clone = createClone(world)
  const big = createHash('sha512').update('x').digest('hex')
  const text = Array.from({ length: 60_000 }, (_, i) =>
    createHash('sha1').update(`${i}${big}`).digest('hex'),
  )
  clone.commit({ big: text.join('\n') })
  const pushed = await clone.run('push', remote('shop'), 'main')
  expect(pushed.out).toContain('v1 live at')
  for (const version of ['0', '1', '2']) {
    const name = `copy${version}`
    const done = await clone.run(
      '-c',
      `protocol.version=${version}`,
      'clone',
      '-q',
      remote('shop'),
      name,
    )
    expect(done).toEqual({ code: 0, out: '' })
    expect((await clone.run('-C', name, 'rev-parse', 'HEAD')).out).toBe(
      (await clone.run('rev-parse', 'HEAD')).out,
    )
  }
  // Many refs make the negotiation large enough to be compressed.
  for (let i = 0; i < 20; i++) clone.commit({ n: `${i}` })
  expect((await clone.run('push', remote('shop'), 'main')).code).toBe(0)
  expect((await clone.run('-C', 'copy2', 'pull', '-q')).code).toBe(0)
})

test.each([
  ['GET', '/shop.git/HEAD', 404],
  ['GET', '/shop.git/info/refs', 404],
  ['GET', '/shop.git/info/refs?service=git-upload-archive', 404],
  ['POST', '/shop.git/info/refs?service=git-upload-pack', 404],
  ['POST', '/shop.git/git-receive-pack', 404],
  ['GET', '/a/b/info/refs?service=git-upload-pack', 404],
  ['GET', '/shop.git/info/refs?service=git-upload-pack', 401],
])('%s %s answers %i', async (method, path, status) => {
  expect((await fetch(`${server.url}${path}`, { method })).status).toBe(status)
})

test('a push that stops half-way over HTTP leaves no app', async () => {
  const { port } = new URL(server.url)
  const head = [
    'POST /shop.git/git-receive-pack HTTP/1.1',
    'host: x',
    `authorization: Bearer ${world.token}`,
    'content-type: application/x-git-receive-pack-request',
    'content-length: 100000',
  ]
  const socket = connect(Number(port), '127.0.0.1')
  const update = `${'0'.repeat(40)} ${'1'.repeat(40)} refs/heads/main\0report-status`
  socket.write(`${head.join('\r\n')}\r\n\r\n${pktLine(update)}0000PACK`)
  await soon(() => listApps(world.db, world.actor).length).toBe(1)
  socket.destroy()
  await soon(() => listApps(world.db, world.actor)).toEqual([])
})
