import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { addSshKey, removeSshKey } from '../../src/core/access.ts'
import { listApps } from '../../src/core/apps.ts'
import { parsePublicKey } from '../../src/lib/ssh-key.ts'
import type { SshServer } from '../../src/ssh/server.ts'
import { startAgent } from './agent.ts'
import {
  allowKey,
  createClone,
  createWorld,
  makeKey,
  serveSsh,
  soon,
  sshArgv,
  type World,
} from './world.ts'

let world: World
let ssh: SshServer
let key: string
beforeEach(async () => {
  world = await createWorld()
  ssh = await serveSsh(world)
  key = makeKey(world, 'laptop', '-t', 'ed25519')
  allowKey(world, key)
})
afterEach(async () => {
  await ssh.stop(AbortSignal.timeout(5000))
  await world.close()
})
const remote = (app: string): string => `ssh://git@127.0.0.1/${app}.git`
const argv = (): string[] => sshArgv(world, key, ssh.port())
const clone = () => createClone(world, { env: { GIT_SSH_COMMAND: argv().join(' ') } })
/** Log in and say all that happened; options before the usual ones count first. */
const login = (args: string[], first: string[] = []): Promise<string> => {
  const [program = '', ...flags] = argv()
  const all = [...first, ...flags, '-v', ...args]
  return new Promise((resolve) => {
    const child = execFile(program, all, { timeout: 20_000 }, (_, out, err) =>
      resolve(`${out}${err}`),
    )
    child.stdin?.end()
  })
}
const at = 'git@127.0.0.1'

test('a push over SSH deploys, and a clone gets the same back', async () => {
  const mine = clone()
  mine.commit({ 'index.html': 'hello' })
  const pushed = await mine.run('push', remote('shop'), 'main')
  expect(pushed.out).toContain('remote: -----> v1 live at http://shop.localhost:8080/')
  expect(pushed.code).toBe(0)
  const second = mine.commit({ 'index.html': 'again' })
  expect((await mine.run('push', remote('shop'), 'main')).code).toBe(0)
  const theirs = clone()
  expect((await theirs.run('pull', '-q', remote('shop'), 'main')).code).toBe(0)
  expect((await theirs.run('rev-parse', 'HEAD')).out.trim()).toBe(second)
  expect((await mine.run('push', remote('shop'), 'main')).out).toContain('Everything up-to-date')
})

test('the host key is made once, is nobody else’s, and has the fingerprint that OpenSSH shows', async () => {
  await login([at])
  const file = join(world.dir, 'ssh_host_ed25519_key')
  expect(statSync(file).mode & 0o777).toBe(0o600)
  const shown = (path: string) => execFileSync('ssh-keygen', ['-lf', path], { encoding: 'utf8' })
  expect(shown(join(world.dir, 'known_hosts'))).toContain(ssh.fingerprint())
  expect(shown(file)).toContain(ssh.fingerprint())
  const again = await serveSsh(world)
  expect(again.fingerprint()).toBe(ssh.fingerprint())
  await again.stop(AbortSignal.timeout(5000))
  writeFileSync(file, 'no key')
  await expect(serveSsh(world)).rejects.toThrow('no private key')
})

test.each([
  ['rsa', ['-b', '2048'], 'rsa-sha2-'],
  ['ecdsa', ['-b', '256'], 'ecdsa-sha2-nistp256'],
  ['ecdsa', ['-b', '521'], 'ecdsa-sha2-nistp521'],
])('a key of %s %j logs in', async (type, more, algorithm) => {
  key = makeKey(world, 'other', '-t', type, ...more)
  expect(await login([at])).toContain('Permission denied (publickey)')
  allowKey(world, key)
  const out = await login([at])
  expect(out).toContain('Hi owner! Helios speaks only git here')
  expect(out).toContain(algorithm)
})

describe.each(['sk-ssh-ed25519@openssh.com', 'sk-ecdsa-sha2-nistp256@openssh.com'])(
  '%s',
  (type) => {
    test('a security key logs in when it is touched, and only then', async () => {
      const socket = join(world.dir, 'agent')
      const agent = await startAgent(socket, type)
      const parsed = parsePublicKey(agent.publicKey)
      addSshKey(world.db, world.actor, { ...parsed, now: Date.now() })
      key = makeKey(world, 'unknown', '-t', 'ed25519')
      const agentFirst = ['-o', 'IdentitiesOnly=no', '-o', `IdentityAgent=${socket}`]
      expect(await login([at], agentFirst)).toContain('Hi owner!')
      agent.touch = false
      expect(await login([at], agentFirst)).toContain('Permission denied')
      await agent.close()
    })
  },
)

test('only git runs: everything else gets one sentence or a no', async () => {
  for (const args of [
    [at],
    ['-tt', at],
    [at, 'id'],
    [at, 'git-upload-archive', 'x'],
    [at, 'git-receive-pack x; id'],
  ]) {
    expect(await login(args)).toContain('Hi owner! Helios speaks only git here')
  }
  expect(await login(['-s', at, 'sftp'])).toContain('subsystem request failed')
  expect(await login(['-W', '127.0.0.1:1', at])).toMatch(
    /administratively prohibited|forwarding failed/,
  )
  expect(await login(['-N', '-o', 'ExitOnForwardFailure=yes', '-R', '0:127.0.0.1:1', at])).toMatch(
    /remote port forwarding failed/,
  )
  expect(await login(['-o', 'PubkeyAuthentication=no', at])).toContain(
    'Permission denied (publickey)',
  )
})

test('a removed key is refused; six tries end the connection', async () => {
  removeSshKey(world.db, world.actor, 'laptop')
  expect(await login([at])).toContain('Permission denied (publickey)')
  const files = Array.from({ length: 8 }, (_, i) => makeKey(world, `key${i}`, '-t', 'ed25519'))
  const out = await login([...files.flatMap((file) => ['-i', file]), at])
  expect(out.match(/Offering public key/g)?.length).toBe(6)
})

test('strangers are few and have little time', async () => {
  await ssh.stop(AbortSignal.timeout(5000))
  ssh = await serveSsh(world, { limits: { loginMs: 300, unauthenticatedPerAddress: 3 } })
  const sockets = Array.from({ length: 5 }, () => connect(ssh.port(), '127.0.0.1'))
  const started = Date.now()
  const ended = await Promise.all(
    sockets.map(async (socket) => {
      socket.on('error', () => undefined).resume()
      await once(socket, 'close')
      return Date.now() - started
    }),
  )
  expect(ended.filter((ms) => ms < 250)).toHaveLength(2)
  expect(await login([at])).toContain('Hi owner!')
})

test('a push that is cut leaves no app and no objects', async () => {
  const [program = '', ...flags] = argv()
  const child = spawn(program, [...flags, 'git@127.0.0.1', "git-receive-pack '/shop.git'"])
  await once(child.stdout, 'data')
  const [app] = listApps(world.db, world.actor)
  const command = `${'0'.repeat(40)} ${'1'.repeat(40)} refs/heads/main\0report-status side-band-64k`
  const length = (command.length + 4).toString(16).padStart(4, '0')
  child.stdin.write(`${length}${command}0000`)
  // The head of a pack with three objects, and the beginning of the first.
  child.stdin.write(
    Buffer.concat([Buffer.from('PACK\0\0\0\x02\0\0\0\x03'), Buffer.alloc(100, 0x95)]),
  )
  await soon(() =>
    execFileSync('find', [world.repos.path(app?.id ?? ''), '-name', 'tmp_objdir*'], {
      encoding: 'utf8',
    }),
  ).toContain('tmp_objdir')
  child.kill('SIGKILL')
  await soon(() => listApps(world.db, world.actor)).toEqual([])
  await soon(() =>
    execFileSync('ls', [join(world.dir, 'repos')], { encoding: 'utf8' }),
  ).not.toContain(app?.id)
})

test('a thread that hangs is ended and begun again on the same port', async () => {
  await ssh.stop(AbortSignal.timeout(5000))
  const program = join(world.dir, 'hangs.mjs')
  const once = join(world.dir, 'hung')
  writeFileSync(
    program,
    `import { existsSync, writeFileSync } from 'node:fs'
    import { parentPort, workerData } from 'node:worker_threads'
    const again = existsSync(${JSON.stringify(once)})
    writeFileSync(${JSON.stringify(once)}, String(workerData.port))
    parentPort.on('message', (message) => parentPort.postMessage({ kind: 'pong' }))
    parentPort.postMessage({ kind: 'listening', port: 4242 })
    if (!again) setTimeout(() => { for (;;); }, 50)`,
  )
  ssh = await serveSsh(world, { program: new URL(`file://${program}`), limits: { hungMs: 400 } })
  expect(ssh.state?.()).toEqual({ ok: true })
  await soon(() => ssh.state?.().ok).toBe(false)
  await soon(() => ssh.state?.().ok).toBe(true)
  expect(execFileSync('cat', [once], { encoding: 'utf8' })).toBe('4242')
})

test('a thread that answers lives, however long Helios itself did not run', async () => {
  await ssh.stop(AbortSignal.timeout(5000))
  ssh = await serveSsh(world, { limits: { hungMs: 300 } })
  const states: (boolean | undefined)[] = []
  for (let turn = 0; turn < 8; turn++) {
    const until = Date.now() + 400
    while (Date.now() < until);
    await delay(10)
    states.push(ssh.state?.().ok)
  }
  expect(states).toEqual(states.map(() => true))
})
