import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createApp, ensureTeam, findApp, forgetApp } from '../../src/core/apps.ts'
import { listDeployments, setDeploymentState } from '../../src/core/deployments.ts'
import { findAbsent, listFiles } from '../../src/git/read.ts'
import { createRepos, refs } from '../../src/git/repo.ts'
import { listSources, settleSource } from '../../src/git/sources.ts'
import type { SshServer } from '../../src/ssh/server.ts'
import {
  allowKey,
  type Clone,
  createClone,
  createWorld,
  failure,
  makeKey,
  serveSsh,
  soon,
  sshArgv,
  type World,
} from './world.ts'

let world: World
let ssh: SshServer
let mine: Clone
const remote = 'ssh://git@127.0.0.1/shop.git'
const clone = (branch = 'main'): Clone => {
  const command = sshArgv(world, join(world.dir, 'laptop'), ssh.port()).join(' ')
  return createClone(world, { branch, env: { GIT_SSH_COMMAND: command } })
}
beforeEach(async () => {
  world = await createWorld()
  ssh = await serveSsh(world)
  allowKey(world, makeKey(world, 'laptop', '-t', 'ed25519'))
  mine = clone()
})
afterEach(async () => {
  await ssh.stop(AbortSignal.timeout(5000))
  await world.close()
})
const shop = () => findApp(world.db, world.actor, 'shop')
const repo = (): string => world.repos.path(shop().id)
const branches = async () =>
  Object.fromEntries(
    (await refs(repo())).map(({ ref, oid }) => [ref.replace('refs/heads/', ''), oid]),
  )
const deployments = () => listDeployments(world.db, shop()).map(({ state }) => state)

/** A deploy that goes on until it is let go. */
function hold(): { go(): void } {
  let go = (): void => undefined
  const gate = new Promise<void>((resolve) => {
    go = resolve
  })
  world.deploy = () => gate
  return { go: () => go() }
}

test('lines come while the deploy runs', async () => {
  const gate = hold()
  mine.commit({ a: '1' })
  const push = mine.start('push', remote, 'main')
  await push.heard('remote: -----> Building')
  gate.go()
  expect((await push.done).code).toBe(0)
})

test('a failed deploy leaves the branch and the next push free', async () => {
  const first = mine.commit({ a: '1' })
  await mine.run('push', remote, 'main')
  const second = mine.commit({ a: '2' })
  world.deploy = async () => {
    throw failure('it does not start', 'Look at its logs')
  }
  const refused = await mine.run('push', remote, 'main')
  expect(refused.out).toContain('remote:  !     it does not start')
  expect(refused.out).toContain('pre-receive hook declined')
  expect(await branches()).toEqual({ main: first })
  world.deploy = async () => undefined
  expect((await mine.run('push', remote, 'main')).code).toBe(0)
  expect(await branches()).toEqual({ main: second })
  expect(deployments()).toEqual(['succeeded', 'failed', 'succeeded'])
})

test('other branches and tags are stored and not deployed', async () => {
  const commit = mine.commit({ a: '1' })
  const { out } = await mine.run('push', remote, 'main:next')
  expect(out).toContain('remote: next: stored, not deployed: deploys come from main')
  expect(await branches()).toEqual({ next: commit })
  await mine.run('tag', 'v1')
  expect((await mine.run('push', '--all', '--follow-tags', remote)).code).toBe(0)
  expect((await mine.run('push', '--tags', remote)).out).toContain('v1: stored, not deployed')
  expect((await mine.run('push', remote, ':next')).code).toBe(0)
  expect(deployments()).toEqual(['succeeded'])
})

test('master deploys where there is no main, and a clone checks it out', async () => {
  const old = clone('master')
  old.commit({ a: '1' })
  expect((await old.run('push', remote, 'master')).out).toContain('v1 live at')
  expect((await old.run('push', remote, 'master:main')).out).toContain('deploys come from master')
  await soon(() => old.run('clone', '-q', remote, 'copy').then(({ code }) => code)).toBe(0)
  expect(existsSync(join(old.dir, 'copy', 'a'))).toBe(true)
})

test('the deploy branch cannot be deleted; refs outside of branches and tags are refused', async () => {
  const commit = mine.commit({ a: '1' })
  await mine.run('push', remote, 'main')
  const { code, out } = await mine.run('push', remote, ':main')
  expect(code).not.toBe(0)
  expect(out).toContain('main is what deploys come from: it cannot be deleted')
  expect((await mine.run('push', remote, 'main:refs/notes/x')).out).toContain(
    'no branch and no tag',
  )
  expect((await mine.run('push', remote, 'main:refs/helios/x')).out).toContain('hidden ref')
  await mine.run('tag', '-a', 'v1', '-m', 'first')
  expect((await mine.run('push', '--force', remote, 'v1:refs/heads/main')).out).toMatch(
    /is no commit|cannot be pushed|rejected/,
  )
  expect(await branches()).toEqual({ main: commit })
  expect(await listSources(repo())).toEqual([])
})

test('of two pushes at once the second waits, then is told to fetch', async () => {
  mine.commit({ a: '1' })
  await mine.run('push', remote, 'main')
  const theirs = clone()
  await theirs.run('pull', '-q', remote, 'main')
  const gate = hold()
  const won = mine.commit({ a: '2' })
  theirs.commit({ b: '3' })
  const first = mine.start('push', remote, 'main')
  await first.heard('Building')
  const second = theirs.start('push', remote, 'main')
  await second.heard('remote: -----> Waiting for another push to this app')
  gate.go()
  expect((await first.done).code).toBe(0)
  const lost = await second.done
  expect(lost.code).not.toBe(0)
  expect(lost.out).toContain('Somebody else pushed main meanwhile')
  expect(await branches()).toEqual({ main: won })
  expect(deployments()).toEqual(['succeeded', 'succeeded'])
})

test('a shallow clone can push, and so can one that rewrote its history', async () => {
  for (const text of ['1', '2', '3']) mine.commit({ a: text })
  execFileSync('git', ['clone', '-q', '--depth', '1', `file://${mine.dir}`, 'shallow'], {
    cwd: mine.dir,
    stdio: 'pipe',
  })
  const { code, out } = await mine.run('-C', 'shallow', 'push', remote, 'main')
  expect(out).toContain('v1 live at')
  expect(code).toBe(0)
  await mine.run('commit', '-q', '--amend', '-m', 'other')
  const plain = await mine.run('push', remote, 'main')
  expect(plain.out).toMatch(/fetch first|non-fast-forward/)
  const lacking = await mine.run('push', '--force', remote, 'main')
  expect(lacking.out).toContain('Push again: everything will be sent')
  expect((await mine.run('push', remote, 'main')).out).toContain('v2 live at')
  const base = mine.commit({ a: '4' })
  await mine.run('push', remote, 'main')
  await mine.run('reset', '-q', '--hard', 'HEAD~1')
  mine.commit({ a: '5' })
  expect((await mine.run('push', remote, 'main')).out).toContain('non-fast-forward')
  expect((await mine.run('push', `--force-with-lease=main:${base}`, remote, 'main')).out).toContain(
    'v4 live at',
  )
})

test('submodules and LFS pointers are found', async () => {
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'a'.repeat(64)}\nsize 12345\n`
  mine.commit({
    '.gitattributes': '*.png filter=lfs diff=lfs merge=lfs -text\n',
    'img/logo.png': pointer,
    'img/real.png': 'x'.repeat(200),
    '.gitmodules': '[submodule "lib"]\n\tpath = lib\n\turl = https://example.com/lib.git\n',
  })
  await mine.run('update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},lib`)
  await mine.run('commit', '-q', '-m', 'with a submodule')
  const { out } = await mine.run('push', remote, 'main')
  expect(out).toContain('v1 live at')
  expect(await findAbsent(repo(), (await mine.run('rev-parse', 'HEAD')).out.trim())).toEqual({
    submodules: ['lib'],
    lfs: ['img/logo.png'],
  })
})

test('a pusher who is killed does not stop the deploy, and the branch moves', async () => {
  const gate = hold()
  const commit = mine.commit({ a: '1' })
  const push = mine.start('push', remote, 'main')
  await push.heard('Building')
  push.kill()
  await push.done
  gate.go()
  await soon(deployments).toEqual(['succeeded'])
  await soon(branches).toEqual({ main: commit })
  await soon(() => listSources(repo())).toEqual([])
})

test('a pusher who goes while waiting deploys nothing', async () => {
  const gate = hold()
  const commit = mine.commit({ a: '1' })
  const first = mine.start('push', remote, 'main')
  await first.heard('Building')
  const theirs = clone()
  theirs.commit({ b: '1' })
  const second = theirs.start('push', remote, 'main')
  await second.heard('Waiting for another push')
  second.kill()
  await second.done
  gate.go()
  await first.done
  await soon(() => readdirSync(join(repo(), 'objects')).filter((n) => n.startsWith('tmp'))).toEqual(
    [],
  )
  expect(await branches()).toEqual({ main: commit })
  expect(deployments()).toEqual(['succeeded'])
})

test('when Helios stops, the pusher is told, and the source stays for the deploy', async () => {
  const gate = hold()
  mine.commit({ a: '1' })
  const push = mine.start('push', remote, 'main')
  await push.heard('Building')
  await ssh.stop(AbortSignal.timeout(5000))
  const { code, out } = await push.done
  expect(out).toContain('Helios stops now. The deploy goes on when it is back')
  expect(code).not.toBe(0)
  expect(await branches()).toEqual({})
  expect(await listSources(repo())).toHaveLength(1)
  gate.go()
})

test('who may not push is told so by git, and sees no other team’s apps', async () => {
  mine.commit({ a: '1' })
  await mine.run('push', remote, 'main')
  const other = ensureTeam(world.db, 'other', Date.now())
  const theirs = createApp(world.db, { scope: other, name: 'theirs', now: Date.now() })
  const foreign = remote.replace('shop', theirs.name)
  expect((await mine.run('fetch', foreign)).out).toContain(
    'fatal: remote error: No app called "theirs"',
  )
  expect((await mine.run('push', foreign, 'main')).out).toContain(
    'remote error: An app called "theirs" exists',
  )
  world.db.$client.exec("UPDATE memberships SET role = 'viewer'")
  expect((await mine.run('fetch', remote, 'main')).code).toBe(0)
  const refused = await mine.run('push', remote, 'main')
  expect(refused.out).toContain('remote error: owner may not do this: app.deploy')
  expect((await mine.run('fetch', remote.replace('shop', 'a/b'))).out).toContain(
    'no path of an app',
  )
})

test('a deployment that is cancelled or destroyed ends the push', async () => {
  const gate = hold()
  mine.commit({ a: '1' })
  const push = mine.start('push', remote, 'main')
  await push.heard('Building')
  const [deployment] = listDeployments(world.db, shop())
  if (!deployment) throw new Error('no deployment')
  setDeploymentState(world.db, deployment.id, { state: 'cancelled' }, Date.now())
  expect((await push.done).out).toContain('The deployment was cancelled')
  const again = mine.start('push', remote, 'main')
  await soon(() => listDeployments(world.db, shop()).length).toBe(2)
  forgetApp(world.db, shop().id)
  expect((await again.done).out).toContain('The app was destroyed')
  gate.go()
})

test('killing Helios in the middle rejects the push, leaves no rest, and keeps the source', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'helios-killed-'))
  const script = join(import.meta.dirname, 'serve.ts')
  const server = fork(script, [dir], { stdio: 'pipe' })
  const [{ port, key }] = (await once(server, 'message')) as [{ port: number; key: string }]
  const theirs = createClone(world, {
    env: { GIT_SSH_COMMAND: sshArgv(world, key, port).join(' ') },
  })
  theirs.commit({ a: '1' })
  const push = theirs.start('push', remote, 'main')
  await push.heard('Building')
  server.kill('SIGKILL')
  expect((await push.done).code).not.toBe(0)
  const [name = ''] = readdirSync(join(dir, 'repos')).filter((each) => each.startsWith('app_'))
  const left = join(dir, 'repos', name)
  await createRepos(dir).prepare()
  expect(readdirSync(join(left, 'objects')).filter((n) => n.startsWith('tmp'))).toEqual([])
  expect(await refs(left)).toEqual([])
  const [source] = await listSources(left)
  expect(await listFiles(left, source?.tree ?? '')).toMatchObject([{ path: 'a' }])
  const rev = (await theirs.run('rev-parse', 'HEAD')).out.trim()
  const kept = { id: source?.id ?? '', ref: 'refs/heads/main', rev, previousRev: null }
  expect(await settleSource(left, kept)).toBe(true)
  rmSync(dir, { recursive: true, force: true })
})
