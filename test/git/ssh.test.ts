import { execFileSync } from 'node:child_process'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLogger } from '../../src/lib/log.ts'
import { createSshServer, type SshServer } from '../../src/ssh/server.ts'
import { allowKey, createClone, createWorld, makeKey, sshEnv, type World } from './world.ts'

let world: World
let ssh: SshServer
let key: string
beforeEach(async () => {
  world = await createWorld()
  ssh = createSshServer({
    db: world.db,
    log: silentLogger(),
    door: world.door,
    dataDir: world.dir,
    listen: { host: '127.0.0.1', port: 0 },
  })
  await ssh.start(AbortSignal.timeout(20_000))
  key = makeKey(world, 'laptop', '-t', 'ed25519')
  allowKey(world, key)
})
afterEach(async () => {
  await ssh.stop(AbortSignal.timeout(5000))
  await world.close()
})
const remote = (app: string): string => `ssh://git@127.0.0.1/${app}.git`
const clone = (branch?: string, file = key) =>
  createClone({ env: sshEnv(world, file, ssh.port()), ...(branch ? { branch } : {}) })

test('a push over SSH deploys, and a clone gets the same back', async () => {
  const mine = clone()
  mine.commit({ 'index.html': 'hello' })
  const started = performance.now()
  const pushed = await mine.run('push', remote('shop'), 'main')
  console.log('push ms', performance.now() - started)
  expect(pushed.out).toContain('remote: -----> v1 live at http://shop.localhost:8080/')
  expect(pushed.code).toBe(0)
  const second = mine.commit({ 'index.html': 'again' })
  const again = performance.now()
  expect((await mine.run('push', remote('shop'), 'main')).code).toBe(0)
  console.log('second push ms', performance.now() - again)
  const theirs = clone()
  expect((await theirs.run('pull', '-q', remote('shop'), 'main')).code).toBe(0)
  expect((await theirs.run('rev-parse', 'HEAD')).out.trim()).toBe(second)
  const scanned = execFileSync('ssh-keygen', ['-lf', `${world.dir}/known_hosts`], {
    encoding: 'utf8',
  })
  expect(scanned).toContain(ssh.fingerprint())
})
