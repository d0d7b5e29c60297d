import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcp, type Server } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createApiServer } from '../../src/api/server.ts'
import { setDeploymentState } from '../../src/core/deployments.ts'
import { HeliosError } from '../../src/lib/errors.ts'
import { run } from '../../src/lib/exec.ts'
import { makeApi, type TestApi } from '../api/support.ts'
import { buildCli, type Cli, newCli } from '../support/cli.ts'

let at: TestApi
let url: string
let stop: () => Promise<void>
let cli: Cli
let built: Awaited<ReturnType<typeof buildCli>>
let visitors: Server
const clis: Cli[] = []

async function serveOn(port: number): Promise<void> {
  const server = createApiServer(at.deps, { listen: { host: '127.0.0.1', port } })
  await server.start(AbortSignal.timeout(10_000))
  url = `http://127.0.0.1:${server.address().port}`
  stop = () => server.stop(AbortSignal.timeout(10_000))
}
const restartServer = async (): Promise<void> => {
  await stop()
  await serveOn(Number(new URL(url).port))
}

beforeAll(async () => {
  built = await buildCli()
  // Where the router and git over SSH would listen.
  visitors = createTcp((socket) => socket.end())
  await new Promise<void>((done) => visitors.listen(0, '127.0.0.1', done))
  const { port } = visitors.address() as AddressInfo
  at = makeApi({
    runOneOff: async (input) => program(input),
    address: {
      baseDomain: 'localhost',
      httpPort: port,
      apiUrl: 'http://127.0.0.1:3000',
      sshHost: '127.0.0.1',
      sshPort: port,
    },
  })
  await serveOn(0)
  for (const name of ['shop', 'blog']) at.newApp(name)
  at.deploy('shop')
})
afterAll(async () => {
  await stop()
  at.close()
  visitors.close()
  built.remove()
  for (const one of clis) one.remove()
})
const fresh = (env: Record<string, string> = {}): Cli => {
  const made = newCli(built.file, env)
  clis.push(made)
  return made
}
const signedIn = (as: keyof TestApi['tokens'] = 'owner'): Cli =>
  fresh({ HELIOS_SERVER: url, HELIOS_TOKEN: at.tokens[as] })
beforeEach(() => {
  cli = signedIn()
})

/** What the engine would do with the newest deployment of an app. */
function conclude(app: string, lines: string[], error?: HeliosError): string {
  const row = at.db.$client
    .prepare(
      'SELECT d.id FROM deployments d JOIN apps a ON a.id = d.app_id WHERE a.name = ? ORDER BY d.id DESC',
    )
    .get(app) as { id: string }
  for (const text of lines) at.jobLogs.append(row.id, { stream: 'out', text })
  setDeploymentState(
    at.db,
    row.id,
    error ? { state: 'failed', error } : { state: 'succeeded' },
    Date.now(),
  )
  at.jobLogs.end(row.id)
  return row.id
}

describe('signing in', () => {
  test('takes the token from standard input or a file, keeps it for its owner alone', async () => {
    const me = fresh()
    const first = await me.feed(`${at.tokens.owner}\n`, 'login', url)
    expect(first).toMatchObject({
      code: 0,
      out: `Signed in to ${url} as owner (owner of default)\n`,
    })
    const file = join(me.home, '.config/helios/login.json')
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ server: url, token: at.tokens.owner })
    expect([statSync(file).mode & 0o777, statSync(join(file, '..')).mode & 0o777]).toEqual([
      0o600, 0o700,
    ])
    expect((await me.run('whoami')).out).toContain('owner, owner of default')
    writeFileSync(join(me.home, 'token'), at.tokens.viewer)
    chmodSync(file, 0o644)
    expect((await me.run('login', '--token-file', join(me.home, 'token'))).out).toContain(
      'as viewer',
    )
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(await me.json('logout')).toEqual({ code: 0, value: { signedOut: true } })
    expect(existsSync(file)).toBe(false)
    expect(await me.json('whoami')).toMatchObject({ code: 3, value: { code: 'unauthenticated' } })
  })

  test('asks at a terminal without showing the token; ctrl-C keeps all as it was', async () => {
    const me = fresh({ XDG_CONFIG_HOME: '' })
    const asked = me.start(['login', url], { tty: true })
    await asked.shows(`Token for ${url}: `)
    asked.type(`x\x7f${at.tokens.owner}\r`)
    const { code, out } = await asked.ended
    expect([code, out.includes(at.tokens.owner)]).toEqual([0, false])
    expect(out).toContain('Signed in')
    const left = me.start(['login', url], { tty: true })
    await left.shows('Token')
    left.type('abc\x03')
    expect(await left.ended).toMatchObject({
      code: 130,
      out: expect.stringContaining('Nothing was changed'),
    })
    expect((await me.run('whoami')).code).toBe(0)
  })

  test('a refused token is not kept, and never among the arguments', async () => {
    const me = fresh()
    expect(await me.feed('wrong', 'login', url)).toMatchObject({ code: 3 })
    expect(existsSync(join(me.home, '.config'))).toBe(false)
    expect((await me.feed('', 'login', url)).err).toContain('No token was given')
    expect((await me.run('login', url, at.tokens.owner)).code).toBe(2)
    expect((await me.run('login', 'ftp://x')).err).toContain('is no address of a server')
  })

  test('the saved token goes to no other server', async () => {
    const seen: (string | undefined)[] = []
    const other = createServer((request, answer) => {
      seen.push(request.headers.authorization)
      answer.end('{}')
    })
    await new Promise<void>((done) => other.listen(0, '127.0.0.1', done))
    const me = fresh()
    await me.feed(at.tokens.owner, 'login', url)
    const elsewhere = `http://127.0.0.1:${(other.address() as AddressInfo).port}`
    const going = me.start(['apps'], { env: { HELIOS_SERVER: elsewhere } })
    expect(await going.ended).toMatchObject({
      code: 3,
      err: expect.stringContaining('not signed in'),
    })
    expect(seen).toEqual([])
    other.close()
  })
})

describe('errors are one line, a hint and an exit code', () => {
  test.each([
    [['statsu'], 2, 'Did you mean: helios status?'],
    [['apps', '--jsno'], 2, 'has no option "--jsno"'],
    [['status', 'shpo'], 4, 'Did you mean shop?'],
    [['status', 'zzzzzzzz'], 4, 'Your apps: helios apps'],
    [['status'], 2, 'helios git:remote -a APP'],
    [['apps:create', 'shop'], 5, '"shop"'],
    [['apps:create', 'No Way'], 2, 'is no app name'],
    [['rollback', 'v99', '-a', 'shop'], 4, 'v99'],
    [['rollback', 'blog', '-a', 'shop'], 2, 'write it as v12'],
    [['ps:scale', 'web', '-a', 'shop'], 2, 'web=2 worker=1'],
    [['ps:scale', 'web=99999', '-a', 'shop'], 1, '99999 instances'],
    [['config:set', 'NOVALUE', '-a', 'shop'], 2, 'KEY=VALUE'],
    [['config:set', '1A=x', '-a', 'shop'], 2, 'is no config key'],
    [['config:get', 'toString', '-a', 'shop'], 4, 'no config var'],
    [['domains:add', 'http://x', '-a', 'shop'], 2, 'host name'],
    [['domains:remove', 'a.example.com', '-a', 'shop'], 4, 'a.example.com'],
    [['deployments:log', 'dep_x', '-a', 'shop'], 4, 'dep_x'],
    [['deployments:cancel', '-a', 'blog'], 4, 'is under way'],
    [['deploy', 'missing', '-a', 'shop'], 2, 'is no folder'],
    [['deploy', '.', '--image', 'a:1', '-a', 'shop'], 2, 'not both'],
    [['keys:remove', '..'], 2, 'names no key'],
    [['logs', 'shop', '-n', 'many'], 2, 'whole number'],
    [['logs', 'shop', '--since', 'soon'], 2, '10m'],
    [['completion', 'csh'], 2, 'bash, zsh, fish'],
    [['apps:destroy', 'shop', '--confirm', 'blog'], 2, 'but the app is shop'],
    [['apps:destroy', 'shop'], 2, '--confirm shop'],
  ])('helios %j', async (args, code, text) => {
    const ended = await cli.run(...args)
    expect({ code: ended.code, err: ended.err, out: ended.out }).toEqual({
      code,
      err: expect.stringContaining(text),
      out: '',
    })
    expect(ended.err).not.toContain('\x1b')
  })

  test('who may not is told so', async () => {
    expect(await signedIn('viewer').json('apps:create', 'x')).toMatchObject({
      code: 3,
      value: { code: 'missing_permission' },
    })
    expect((await signedIn('other').run('status', 'shop')).code).toBe(4)
    expect((await fresh({ HELIOS_SERVER: url, HELIOS_TOKEN: 'gone' }).run('apps')).err).toContain(
      `Sign in: helios login ${url}`,
    )
  })

  test('no network, a wrong address, a newer server', async () => {
    const at404 = createServer((request, answer) => {
      const body = { code: 'quantum_lock', message: 'New trouble', hint: 'Update' }
      if (request.url?.endsWith('/whoami')) answer.writeHead(409).end(JSON.stringify(body))
      else if (request.url?.includes('/apps')) answer.writeHead(302, { location: 'http://x' }).end()
      else answer.writeHead(404, { 'content-type': 'text/html' }).end('<h1>nginx')
    })
    await new Promise<void>((done) => at404.listen(0, '127.0.0.1', done))
    const cuts = createTcp((socket) => socket.destroy())
    await new Promise<void>((done) => cuts.listen(0, '127.0.0.1', done))
    const go = (to: string, ...args: string[]) =>
      fresh({ HELIOS_SERVER: to, HELIOS_TOKEN: 't' }).json(...args)
    const here = (server: { address(): unknown }) =>
      `127.0.0.1:${(server.address() as AddressInfo).port}`
    const unreachable = (message: string) => ({
      code: 6,
      value: {
        code: 'api_unreachable',
        message: expect.stringContaining(message),
        hint: expect.any(String),
      },
    })
    expect(await go('http://127.0.0.1:1', 'apps')).toMatchObject(
      unreachable('nothing listens there'),
    )
    expect(await go('http://no.such.host.invalid', 'apps')).toMatchObject(unreachable('host name'))
    expect(await go(here(at404), 'keys')).toMatchObject(
      unreachable('not as a Helios API (status 404, text/html)'),
    )
    expect(await go(here(at404), 'apps')).toMatchObject(unreachable('status 302'))
    expect(await go(`https://${here(at404)}`, 'apps')).toMatchObject({ code: 6 })
    expect(await go(here(cuts), 'apps')).toMatchObject(unreachable('the connection was cut'))
    expect(await go(here(at404), 'whoami')).toEqual({
      code: 5,
      value: { code: 'conflict', message: 'New trouble (quantum_lock)', hint: 'Update' },
    })
    at404.close()
    cuts.close()
  })
})

describe('apps', () => {
  test('are listed, shown and opened', async () => {
    const { out } = await cli.run('apps')
    expect(out.split('\n')[0]).toMatch(/^NAME +STATE +RELEASE +INSTANCES +LAST DEPLOY +URL$/)
    expect(out).toMatch(/^shop +\S+ +v1 +2\/2 .*http:\/\/shop\.localhost:\d+\/$/m)
    expect(await cli.json('apps')).toMatchObject({
      value: { items: [{ name: 'blog' }, { name: 'shop', release: 1 }], more: false },
    })
    expect((await cli.run('apps:info', 'shop')).out).toMatch(
      /ssh:\/\/git@127\.0\.0\.1:\d+\/shop\.git/,
    )
    expect((await cli.run('open', 'shop')).out).toMatch(/^http:\/\/shop\.localhost:\d+\/\n$/)
    expect((await signedIn('other').run('apps')).err).toContain(
      'Create one: helios apps:create NAME',
    )
  })

  test('status has release, instances, last error and newest lines', async () => {
    const app = at.db.$client.prepare('SELECT id FROM apps WHERE name = ?').get('shop') as {
      id: string
    }
    at.appLogs.append(app.id, [line('web.1', 'hello \x1b[2J\x1b[31mred')])
    const { out } = await cli.run('status', 'shop')
    for (const text of [
      'shop',
      'v1, Deploy 1a2b3c4',
      'web 2 of 2',
      'INSTANCE',
      'web.2',
      'Newest lines',
      'web.1: hello red',
    ]) {
      expect(out).toContain(text)
    }
    expect(out).not.toContain('\x1b')
    expect(await cli.json('status', 'shop')).toMatchObject({
      value: { app: { name: 'shop' }, log: [{}] },
    })
    expect((await cli.run('status', 'blog')).err).toContain('Next: helios deploy -a blog')
  })

  test('colours on a terminal, unless told otherwise, and tables that fit', async () => {
    const shown = async (env: Record<string, string>, ...more: string[]) =>
      (await cli.start(['apps', ...more], { tty: true, env }).ended).out
    expect(await shown({})).toContain('\x1b[2m')
    expect(await shown({ NO_COLOR: '1' })).not.toContain('\x1b')
    expect(await shown({}, '--no-color')).not.toContain('\x1b')
    const lines = (await shown({}, '--no-color')).split('\r\n')
    expect(Math.max(...lines.map((one) => one.length))).toBeLessThanOrEqual(100)
  })

  test('create adds the git remote of a repository, and the remote names the app', async () => {
    const git = (...args: string[]) => run(['git', ...args], { cwd: cli.folder, env: cli.env })
    expect((await cli.run('apps:create', 'plain')).err).toContain('helios deploy -a plain')
    await git('init', '-q', '-b', 'trunk')
    const made = await cli.run('apps:create', 'fromgit')
    expect(made.err).toContain('git push helios trunk')
    const remote = async (name = 'helios') =>
      (await git('remote', 'get-url', name)).stdout.toString().trim()
    expect(await remote()).toMatch(/^ssh:.*\/fromgit\.git$/)
    expect((await cli.run('apps:info')).out).toContain('fromgit\n')
    expect((await cli.run('git:remote', '-a', 'shop')).out).toMatch(/before: ssh:.*fromgit\.git/)
    expect(await remote()).toMatch(/^ssh:.*\/shop\.git$/)
    await cli.run('git:remote', '-a', 'blog', '--remote', 'stage')
    expect(await remote('stage')).toContain('/blog.git')
    expect((await cli.run('git:remote', '-a', 'blog', '--remote=-x')).code).toBe(2)
    mkdirSync(join(cli.folder, 'deep/er'), { recursive: true })
    const deep = cli.start(['apps:info'], { cwd: join(cli.folder, 'deep/er') })
    expect((await deep.ended).out).toContain('shop\n')
    expect((await cli.run('apps:create', 'another', '--no-remote')).code).toBe(0)
  })

  test('destroy wants the name typed', async () => {
    at.newApp('doomed')
    const wrong = cli.start(['apps:destroy', 'doomed'], { tty: true })
    await wrong.shows('Type its name')
    wrong.type('domed\r')
    expect(await wrong.ended).toMatchObject({
      code: 2,
      out: expect.stringContaining('is as it was'),
    })
    const right = cli.start(['apps:destroy', 'doomed'], { tty: true })
    await right.shows('Type its name')
    right.type('doomed\r')
    expect(await right.ended).toMatchObject({ code: 0 })
    expect((await cli.run('apps:destroy', 'gone', '--confirm', 'gone')).code).toBe(4)
    at.newApp('doomed2')
    expect((await cli.run('-a', 'doomed2', 'apps:destroy', '--confirm', 'doomed2')).code).toBe(0)
  })
})

const line = (instance: string, text: string) => ({
  at: '2026-11-24T06:00:00.123456789Z',
  process: instance.split('.')[0] ?? '',
  instance,
  stream: 'stdout' as const,
  text,
  source: 'c1',
})

describe('logs', () => {
  test('are followed over a broken connection, nothing lost, nothing twice', async () => {
    const app = at.newApp('chatty')
    const say = (from: number, to: number) =>
      at.appLogs.append(
        app.id,
        Array.from({ length: to - from }, (_, n) => line('web.1', `line ${from + n}.`)),
      )
    say(0, 5)
    expect((await cli.run('logs', 'chatty', '-n', '2')).out).toBe(
      '2026-11-24T06:00:00.123Z web.1: line 3.\n2026-11-24T06:00:00.123Z web.1: line 4.\n',
    )
    expect((await cli.run('logs', 'chatty', '--process', 'worker')).err).toContain('No lines')
    const going = cli.start(['logs', 'chatty', '-f', '-n', '2', '--json'])
    await going.shows('line 4.')
    for (let at5 = 5; at5 < 30; at5 += 5) {
      say(at5, at5 + 5)
      await going.shows(`line ${at5 + 4}.`)
      await restartServer()
    }
    say(30, 32)
    await going.shows('line 31.')
    going.signal('SIGINT')
    const { out } = await going.ended
    const texts = out
      .trim()
      .split('\n')
      .map((one) => JSON.parse(one).text)
    expect(texts).toEqual(Array.from({ length: 29 }, (_, n) => `line ${n + 3}.`))
  })

  test('end when nobody reads them', async () => {
    const app = at.newApp('piped')
    const say = () =>
      at.appLogs.append(
        app.id,
        Array.from({ length: 100 }, () => line('web.1', 'x'.repeat(1000))),
      )
    say()
    const once = await cli.shell('helios logs piped -n 100 | head -1').ended
    expect([once.out.length, once.err]).toEqual([1033, ''])
    const going = cli.shell('helios logs piped -f -n 1 | head -1; echo "code $PIPESTATUS"')
    await going.shows('web.1:')
    say()
    expect(await going.ended).toMatchObject({ out: expect.stringContaining('code 0'), err: '' })
  })

  test('since goes on into what comes', async () => {
    const app = at.newApp('since')
    const now = new Date()
    const at1 = (ms: number, text: string) => ({
      ...line('web.1', text),
      at: new Date(now.getTime() - ms).toISOString(),
    })
    at.appLogs.append(app.id, [at1(7_200_000, 'old'), at1(60_000, 'new')])
    const going = cli.start(['logs', 'since', '-f', '--since', '1h'])
    await going.shows('new')
    at.appLogs.append(app.id, [at1(0, 'newest')])
    await going.shows('newest')
    going.signal('SIGINT')
    expect((await going.ended).out).not.toContain('old')
  })
})

describe('config', () => {
  test('values are kept byte for byte', async () => {
    at.newApp('conf')
    const values = {
      A: '',
      B: '=x=',
      C: ' two  words ',
      D: '-',
      E: 'línea\nzwei\t',
      F: '$HOME `id` "q" \'s\'',
      G: '--json',
    }
    const set = await cli.run(
      'config:set',
      '-a',
      'conf',
      ...Object.entries(values).map(([key, value]) => `${key}=${value}`),
    )
    expect(set).toMatchObject({ code: 0, out: 'Set A, B, C, D, E, F, G on conf\n' })
    expect(await cli.json('config', '-a', 'conf')).toEqual({ code: 0, value: { env: values } })
    expect((await cli.run('config', '-a', 'conf')).out).toContain('E: "línea\\nzwei\\t"\n')
    expect((await cli.run('config:get', 'C', '-a', 'conf')).out).toBe(' two  words \n')
    const key = '-----BEGIN\r\nabc\n\n\ufeffé'
    await cli.feed(key, 'config:set', 'PEM', '-', '-a', 'conf')
    writeFileSync(join(cli.folder, 'pem'), key)
    await cli.run('config:set', 'FILE', '--from-file', 'pem', '-a', 'conf')
    expect(await cli.json('config', '-a', 'conf')).toMatchObject({
      value: { env: { PEM: key, FILE: key } },
    })
    writeFileSync(join(cli.folder, 'bin'), Buffer.from([0xff, 0xfe]))
    expect(await cli.json('config:set', 'BIN', '--from-file', 'bin', '-a', 'conf')).toMatchObject({
      code: 2,
      value: { code: 'invalid_value' },
    })
    expect((await cli.run('config:set', 'X=1', '--from-file', 'pem', '-a', 'conf')).code).toBe(2)
    expect((await cli.run('config:set', 'GOOD=1', 'BAD KEY=2', '-a', 'conf')).code).toBe(2)
    expect((await cli.run('config:unset', 'A', 'B', 'NEVER', '-a', 'conf')).code).toBe(0)
    const { value } = await cli.json<{ env: object }>('config', '-a', 'conf')
    expect(Object.keys(value.env)).toEqual(['C', 'D', 'E', 'F', 'FILE', 'G', 'PEM'])
  })

  test('a change of a live app is followed', async () => {
    const going = cli.start(['config:set', 'A=1', '-a', 'shop'])
    await going.shows('Set A on shop')
    conclude('shop', ['-----> restarting'])
    expect(await going.ended).toMatchObject({
      code: 0,
      out: expect.stringMatching(/restarting\n(.*\n)*shop: .* http:\/\/shop\.localhost:\d+\/\n$/),
    })
    const quick = await cli.run('config:set', 'A=2', '-d', '-a', 'shop')
    expect(quick.out).toMatch(/^Set A on shop\nDeployment dep_\w+ is queued\n$/)
    conclude('shop', [])
  })
})

describe('deploying', () => {
  const lay = (files: Record<string, string>): void => {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(cli.folder, path, '..'), { recursive: true })
      writeFileSync(join(cli.folder, path), text)
    }
  }
  const uploaded = async (): Promise<string> => {
    const row = at.db.$client
      .prepare("SELECT id FROM sources WHERE kind = 'archive' ORDER BY id DESC")
      .get() as { id: string }
    return (await run(['tar', '-tzf', join(at.deps.sourcesDir, `${row.id}.tar`)])).stdout.toString()
  }

  test('a folder is sent, its log shown, and its URL told', async () => {
    at.newApp('folder')
    lay({
      'a.js': '1',
      '.gitignore': 'secret\n',
      secret: '1',
      '.git/HEAD': 'x',
      'site/b.html': '1',
    })
    symlinkSync('a.js', join(cli.folder, 'link'))
    const going = cli.start(['deploy', '-a', 'folder', '--description', 'First try'])
    await going.shows('Sending')
    await deploymentOf('folder')
    conclude('folder', ['-----> building', '\x1b[32mdone\x1b[0m\x1b[2J'])
    const { code, out, err } = await going.ended
    expect([code, out]).toEqual([
      0,
      expect.stringMatching(/^-----> building\ndone\nfolder: done at http:\/\/folder\.localhost:/),
    ])
    expect(err).toContain('(4 files')
    expect(await uploaded()).toBe('.gitignore\na.js\nlink\nsite/b.html\n')
    const { value } = await cli.json<{ items: object[] }>('deployments', '-a', 'folder')
    expect(value.items).toMatchObject([
      { description: 'First try', state: 'succeeded', reason: 'upload' },
    ])
    const sub = await cli.run('deploy', 'site', '-a', 'folder', '--detach', '--json')
    expect(JSON.parse(sub.out)).toMatchObject({ state: 'queued' })
    expect(await uploaded()).toBe('b.html\n')
    conclude('folder', [])
  })

  test('a failed one ends with 7 and says why; its log can be read again', async () => {
    at.newApp('fails')
    const going = cli.start(['deploy', '--image', 'nginx:1.29', '-a', 'fails'])
    await deploymentOf('fails')
    const id = conclude(
      'fails',
      ['pulling'],
      new HeliosError('HX40', 'Health check failed', { hint: 'Look at /health' }),
    )
    expect(await going.ended).toMatchObject({
      code: 7,
      out: 'pulling\n',
      err: 'helios: The deployment failed: Health check failed (HX40)\n  Look at /health\n',
    })
    const again = await cli.run('deployments:log', id, '-a', 'fails', '--json')
    expect(again.code).toBe(7)
    expect(
      again.out
        .trim()
        .split('\n')
        .map((one) => JSON.parse(one)),
    ).toMatchObject([
      { type: 'line', seq: 1, text: 'pulling' },
      { type: 'end', deployment: { id, state: 'failed', error: { code: 'HX40' } } },
    ])
    expect(JSON.parse(again.err)).toMatchObject({ code: 'HX40', hint: 'Look at /health' })
    expect((await cli.run('deployments:log', '-a', 'fails')).code).toBe(7)
    expect((await cli.run('status', 'fails')).out).toContain('Last error HX40')
  })

  test('ctrl-C detaches, and says how to go on; the log survives a restart of the server', async () => {
    at.newApp('slow')
    const going = cli.start(['deploy', '--image', 'nginx:1.29', '-a', 'slow'])
    const id = await deploymentOf('slow')
    at.jobLogs.append(id, { stream: 'out', text: 'step one' })
    await going.shows('step one')
    going.signal('SIGINT')
    const left = await going.ended
    expect(left.code).toBe(130)
    expect(left.err).toContain(`helios deployments:log ${id} -a slow`)
    const back = cli.start(['deployments:log', id, '-a', 'slow'])
    await back.shows('step one')
    await restartServer()
    conclude('slow', ['step two'])
    expect(await back.ended).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^step one\nstep two\n/),
    })
  })

  test('ctrl-C while sending deploys nothing', async () => {
    at.newApp('large')
    writeFileSync(join(cli.folder, 'large'), Buffer.alloc(300 * 1024 * 1024))
    const going = cli.start(['deploy', '-a', 'large'], { tty: true })
    await going.shows('Sending 1')
    going.type('\x03')
    expect(await going.ended).toMatchObject({
      code: 130,
      out: expect.stringContaining('nothing was deployed'),
    })
    expect(await cli.json('deployments', '-a', 'large')).toMatchObject({ value: { items: [] } })
  })

  test('cancel, rollback, restart', async () => {
    at.newApp('turn')
    at.deploy('turn')
    const going = cli.start(['ps:restart', '-a', 'turn'])
    await deploymentOf('turn', 'restart')
    expect((await cli.run('deployments:cancel', '-a', 'turn')).out).toMatch(
      /^Stopping dep_\w+ \(cancelled\)\n$/,
    )
    expect(await going.ended).toMatchObject({
      code: 7,
      err: expect.stringContaining('was cancelled'),
    })
    expect((await cli.run('releases', '-a', 'turn')).out).toMatch(/^v1 +live /m)
    const back = await cli.json('rollback', 'v1', '-d', '-a', 'turn')
    expect([0, 5]).toContain(back.code)
  })

  async function deploymentOf(app: string, reason?: string): Promise<string> {
    for (;;) {
      const row = at.db.$client
        .prepare(
          'SELECT d.id, d.reason FROM deployments d JOIN apps a ON a.id = d.app_id WHERE a.name = ? ORDER BY d.id DESC',
        )
        .get(app) as { id: string; reason: string } | undefined
      if (row && (reason ?? row.reason) === row.reason) return row.id
      await new Promise((done) => setTimeout(done, 20))
    }
  }
})

describe('processes, domains, keys', () => {
  test('ps shows, ps:scale asks', async () => {
    const { out } = await cli.run('ps', '-a', 'shop')
    expect(out).toContain('web: 2 of 2 healthy, 512 MiB each (node server.js)')
    expect(out).toMatch(/^web\.1 +healthy +v1/m)
    expect(await cli.run('ps:scale', 'web=3', '-a', 'shop')).toMatchObject({
      code: 0,
      out: 'shop will run web=3\n',
    })
    expect((await cli.run('ps', '-a', 'shop')).out).toContain('2 of 3 healthy')
    expect((await cli.run('ps', '-a', 'blog')).err).toContain('Next: helios deploy')
  })

  test('domains are added and removed', async () => {
    expect((await cli.run('domains:add', 'www.example.com', '-a', 'blog')).err).toContain(
      'in your DNS',
    )
    expect((await cli.run('domains', '-a', 'blog')).out).toMatch(
      /^blog\.localhost .* by default\nwww\.example\.com /m,
    )
    expect((await cli.run('domains:add', 'www.example.com', '-a', 'shop')).code).toBe(5)
    expect((await cli.run('domains:remove', 'www.example.com', '-a', 'blog')).code).toBe(0)
  })

  test('the usual public key is found, the private half never sent', async () => {
    expect((await cli.run('keys:add')).err).toContain('ssh-keygen -t ed25519')
    mkdirSync(join(cli.home, '.ssh'))
    const file = join(cli.home, '.ssh/id_ed25519')
    await run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'ada@laptop', '-f', file])
    expect((await cli.run('keys:add')).out).toMatch(
      /^Added ada@laptop \(SHA256:.*id_ed25519\.pub\n$/,
    )
    expect((await cli.run('keys:add', file)).err).toContain('it was not sent')
    expect((await cli.run('keys')).out).toContain('ada@laptop')
    expect((await cli.run('keys:remove', 'ada@laptop')).code).toBe(0)
    const given = await cli.feed(readFileSync(`${file}.pub`), 'keys:add', '-', '--name', 'piped')
    expect(given.out).toContain('Added piped')
    expect((await cli.run('keys:remove', 'piped')).code).toBe(0)
  })
})

/** Real programs in the place of a fresh instance. */
function program({
  command,
  tty,
}: Parameters<TestApi['deps']['runOneOff']>[0]): Awaited<ReturnType<TestApi['deps']['runOneOff']>> {
  const [first = '', ...args] = command
  const child = spawn(first, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  const sizes: string[] = tty ? [`${tty.columns}x${tty.rows}`] : []
  if (sizes[0]) child.stderr.push(`size ${sizes[0]}\n`)
  const exited = new Promise<number>((done) =>
    child.once('close', (code, signal) => done(code ?? 128 + (signal === 'SIGINT' ? 2 : 15))),
  )
  return {
    id: 'one',
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    resize: async () => undefined,
    kill: async (signal) => void child.kill(signal as NodeJS.Signals),
    wait: () => exited,
  }
}

describe('run', () => {
  test('passes on input, both outputs and the exit code', async () => {
    const ended = await cli.feed(
      'typed',
      'run',
      '-a',
      'shop',
      '--',
      'bash',
      '-c',
      'cat; echo "to stderr" >&2; exit 42',
    )
    expect(ended).toEqual({ code: 42, out: 'typed', err: 'to stderr\n' })
  })

  test('megabytes go both ways as they are', async () => {
    const big = Buffer.from(Array.from({ length: 3_000_000 }, (_, at4) => 32 + (at4 % 90)))
    const { code, out } = await cli.feed(big, 'run', '-a', 'shop', '--', 'cat')
    expect([code, createHash('sha1').update(out).digest('hex')]).toEqual([
      0,
      createHash('sha1').update(big).digest('hex'),
    ])
  })

  test('does not wait for input that never comes', async () => {
    const going = cli.start(['run', '-a', 'shop', '--', 'sh', '-c', 'exit 3'])
    expect((await going.ended).code).toBe(3)
  })

  test('without a terminal ctrl-C reaches the command', async () => {
    const going = cli.start(['run', '-a', 'shop', '--', 'sleep', '60'])
    await new Promise((done) => setTimeout(done, 3000))
    going.signal('SIGINT')
    expect((await going.ended).code).toBe(130)
  })

  test('a terminal is lent: keys go as they are, the size is told', async () => {
    const going = cli.start(['run', '-a', 'shop', '--', 'cat'], { tty: true })
    await going.shows('size 100x30')
    going.type('abc\x03')
    await going.shows('abc\x03')
    going.type('\x04')
    going.signal('SIGTERM')
    await going.ended
  })

  test('refusals are those of the API', async () => {
    expect(await signedIn('viewer').json('run', '-a', 'shop', '--', 'ls')).toMatchObject({
      code: 3,
      value: { code: 'missing_permission' },
    })
    expect((await cli.run('run', '-a', 'shpo', '--', 'ls')).err).toContain('Did you mean shop?')
    expect((await cli.run('run', '-a', 'shop')).code).toBe(2)
  })
})

describe('doctor', () => {
  test('looks at this machine and the server, and says what to do', async () => {
    const { code, out } = await cli.run('doctor')
    expect([code, out]).toEqual([0, expect.stringContaining(`${url}, as owner (owner of default)`)])
    for (const name of ['git', 'engine', 'db', 'queue', 'ssh', 'http']) {
      expect(out).toMatch(new RegExp(`^ok +${name} `, 'm'))
    }
    expect(out).toMatch(/^note keys .*\n +To push with git: helios keys:add$/m)
    visitors.close()
    const closed = await cli.run('doctor', '--json')
    expect(closed.code).toBe(1)
    expect(JSON.parse(closed.out)).toMatchObject({ ok: false })
    expect(closed.out).toContain('"name":"ssh","state":"bad"')
  })

  test('without a server says where to look', async () => {
    const lost = fresh({ HELIOS_SERVER: 'http://127.0.0.1:1', HELIOS_TOKEN: 'x' })
    const { code, out } = await lost.run('doctor')
    expect([code, out]).toEqual([1, expect.stringContaining('helios serve')])
  })
})
