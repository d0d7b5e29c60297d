import { execFile, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { expect } from 'vitest'
import { type Actor, actorOfToken, addSshKey } from '../../src/core/access.ts'
import type { PublicAddress } from '../../src/core/address.ts'
import { type App, appById } from '../../src/core/apps.ts'
import {
  DEPLOY_JOB,
  type Deployment,
  type DeployPayload,
  deploymentOfJob,
  type Source,
  setDeploymentState,
  sourceOf,
} from '../../src/core/deployments.ts'
import { createRelease } from '../../src/core/releases.ts'
import { ensureOwner } from '../../src/core/users.ts'
import { migrate, readMigrations } from '../../src/db/migrate.ts'
import { type Db, openDatabase } from '../../src/db/open.ts'
import { listFiles, readFiles } from '../../src/git/read.ts'
import { createRepos, type Repos } from '../../src/git/repo.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { HeliosError } from '../../src/lib/errors.ts'
import { silentLogger } from '../../src/lib/log.ts'
import { parsePublicKey } from '../../src/lib/ssh-key.ts'
import { createJobLogs, type JobLogs } from '../../src/queue/job-log.ts'
import { createWorker } from '../../src/queue/worker.ts'
import { createGitHttp } from '../../src/ssh/http.ts'
import { createGitDoor, type GitDoor } from '../../src/ssh/push.ts'
import { createSshServer, type SshServer, type SshServerOptions } from '../../src/ssh/server.ts'

/** What a deploy does in these tests: it may write lines, wait, and throw. */
export type FakeDeploy = (context: {
  files: Map<string, string>
  say(text: string, stream?: 'out' | 'step'): void
  signal: AbortSignal
}) => Promise<void>

/** A server's database, repositories and a worker that stands in for the engine. */
export type World = {
  dir: string
  db: Db
  repos: Repos
  door: GitDoor
  jobLogs: JobLogs
  token: string
  address: PublicAddress
  actor: Actor
  /** Replaced by a test to say how deploys go. */
  deploy: FakeDeploy
  deployed: Map<string, string>[]
  close(): Promise<void>
}

export async function createWorld(
  dir = mkdtempSync(join(tmpdir(), 'helios-git-')),
): Promise<World> {
  const db = openDatabase(dir)
  migrate(db, readMigrations('drizzle'))
  const token = ensureOwner(db, Date.now()) ?? ''
  const repos = createRepos(dir)
  await repos.prepare()
  const jobLogs = createJobLogs(join(dir, 'logs'))
  const address: PublicAddress = {
    baseDomain: 'localhost',
    httpPort: 8080,
    apiUrl: 'http://127.0.0.1:1',
    sshHost: '127.0.0.1',
    sshPort: 2222,
  }
  const log = silentLogger()
  const build = async (app: App, deployment: Deployment, source: Source, signal: AbortSignal) => {
    const { id } = deployment
    const files = await readAll(repos.path(app.id), source.rev ?? '')
    world.deployed.push(files)
    const say = (text: string, stream: 'out' | 'step' = 'out'): void =>
      jobLogs.append(id, { stream, text })
    say('Building', 'step')
    const stop = new Promise<void>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
    await Promise.race([world.deploy({ files, say, signal }), stop])
    const { description } = deployment
    const made = { app, deploymentId: id, description, image: 'helios/x', spec: {} as never }
    createRelease(db, { ...made, commit: source.rev, now: Date.now() })
  }
  const work = async (id: string, signal: AbortSignal): Promise<void> => {
    const deployment = deploymentOfJob(db, id)
    const source = deployment && sourceOf(db, deployment)
    const app = deployment && appById(db, deployment.appId)
    if (!source || !app) return
    setDeploymentState(db, id, { state: 'building' }, Date.now())
    try {
      await build(app, deployment, source, signal)
      jobLogs.end(id)
      setDeploymentState(db, id, { state: 'succeeded' }, Date.now())
    } catch (error) {
      if (signal.reason === 'shutdown') throw error
      jobLogs.end(id)
      setDeploymentState(db, id, { state: 'failed', error }, Date.now())
    }
  }
  const worker = createWorker({
    db,
    log,
    clock: systemClock,
    name: 'stand-in',
    concurrency: 4,
    handlers: {
      [DEPLOY_JOB]: (job, signal) => work((job.payload as DeployPayload).deploymentId, signal),
    },
  })
  const door = createGitDoor({
    db,
    clock: systemClock,
    log,
    repos,
    jobLogs,
    wake: () => worker.wake(),
    address,
  })
  await worker.start(AbortSignal.timeout(1000))
  const world: World = {
    dir,
    db,
    repos,
    door,
    jobLogs,
    token,
    address,
    actor: actorOfToken(db, token, Date.now()),
    deploy: async () => undefined,
    deployed: [],
    close: async () => {
      door.stop()
      await worker.stop(AbortSignal.timeout(5000))
      db.$client.close()
      rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
    },
  }
  return world
}

async function readAll(repo: string, rev: string): Promise<Map<string, string>> {
  const paths = (await listFiles(repo, rev)).map(({ path }) => path)
  const read = await readFiles(repo, rev, paths)
  return new Map([...read].map(([path, text]) => [path, text.toString()]))
}

/** Expect something that comes in a while, also on a busy machine. */
export const soon = <T>(probe: () => T) => expect.poll(probe, { timeout: 30_000 })

/** A failure as the engine reports one. */
export const failure = (message: string, hint: string): HeliosError =>
  new HeliosError('HX30', message, { hint })

/** Serve git over HTTP as the API does, with a token as the password or as bearer; gives its URL. */
export async function serveHttp(world: World): Promise<{ url: string; close(): Promise<void> }> {
  const http = createGitHttp(world.door, silentLogger())
  const server = createServer((req, res) => {
    const gone = new AbortController()
    res.once('close', () => gone.abort())
    const url = new URL(req.url ?? '/', 'http://x')
    const given = req.headers.authorization ?? ''
    const token = given.startsWith('Basic ')
      ? Buffer.from(given.slice(6), 'base64').toString().split(':')[1]
      : given.slice(7)
    const actorOf = (): Actor | undefined => {
      try {
        return actorOfToken(world.db, token ?? '', Date.now())
      } catch {
        return undefined
      }
    }
    void http({
      method: req.method ?? 'GET',
      path: url.pathname,
      query: url.searchParams,
      headers: new Headers(req.headers as Record<string, string>),
      body: Readable.from(req),
      actor: actorOf(),
      signal: gone.signal,
    }).then(({ status, headers, body }) => {
      res.writeHead(status, headers)
      body.on('error', () => res.destroy()).pipe(res)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}

/** How a git command ended. */
export type GitResult = { code: number; out: string }

const { PATH = '' } = process.env
const ENV = {
  PATH,
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  GIT_AUTHOR_NAME: 'ada',
  GIT_AUTHOR_EMAIL: 'ada@example.com',
  GIT_COMMITTER_NAME: 'ada',
  GIT_COMMITTER_EMAIL: 'ada@example.com',
}

/** A working copy on a branch, with commands of stock git run in it. */
export type Clone = {
  dir: string
  run(...args: string[]): Promise<GitResult>
  /** Start one without waiting for it. */
  start(...args: string[]): {
    done: Promise<GitResult>
    kill(): void
    heard(text: string): Promise<void>
  }
  commit(files: Record<string, string>, message?: string): string
}

export function createClone(
  { dir: under }: Pick<World, 'dir'>,
  opts: { branch?: string; env?: Record<string, string> } = {},
): Clone {
  const dir = mkdtempSync(join(under, 'clone-'))
  const env = { ...ENV, ...opts.env }
  const sync = (...args: string[]): string =>
    execFileSync('git', args, { cwd: dir, env, encoding: 'utf8', stdio: 'pipe' }).trim()
  sync('init', '-q', '-b', opts.branch ?? 'main')
  return {
    dir,
    run: (...args) =>
      new Promise((resolve) => {
        execFile('git', args, { cwd: dir, env, timeout: 60_000 }, (error, stdout, stderr) =>
          resolve({ code: error ? Number(error.code ?? 255) : 0, out: `${stdout}${stderr}` }),
        )
      }),
    start: (...args) => {
      const child = spawn('git', args, {
        cwd: dir,
        env,
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      let out = ''
      const wanted: { text: string; resolve(): void }[] = []
      const take = (chunk: Buffer): void => {
        out += chunk
        for (const { text, resolve } of wanted) if (out.includes(text)) resolve()
      }
      child.stdout.on('data', take)
      child.stderr.on('data', take)
      return {
        done: new Promise((resolve) =>
          child.once('close', (code) => resolve({ code: code ?? 255, out })),
        ),
        kill: () => void process.kill(-(child.pid ?? 0), 'SIGKILL'),
        heard: (text) =>
          new Promise((resolve) => {
            wanted.push({ text, resolve })
            take(Buffer.alloc(0))
          }),
      }
    },
    commit: (files, message = 'work') => {
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(join(dir, path)), { recursive: true })
        writeFileSync(join(dir, path), text)
      }
      sync('add', '-A')
      sync('commit', '-q', '--allow-empty', '-m', message)
      return sync('rev-parse', 'HEAD')
    },
  }
}

/** The command line of an ssh that logs in with a key at a port, up to the host. */
export function sshArgv(world: World, file: string, port: number): string[] {
  const known = `UserKnownHostsFile=${join(world.dir, 'known_hosts')}`
  const options = ['IdentitiesOnly=yes', 'StrictHostKeyChecking=accept-new', known]
  return ['ssh', '-F', 'none', '-p', `${port}`, '-i', file, ...options.flatMap((o) => ['-o', o])]
}

/** Make a key with ssh-keygen; gives its file. */
export function makeKey(world: World, name: string, ...args: string[]): string {
  const file = join(world.dir, name)
  execFileSync('ssh-keygen', ['-q', '-N', '', '-C', name, '-f', file, ...args])
  return file
}

/** Let a user log in with a key of {@link makeKey}. */
export function allowKey(world: World, file: string, userId = world.actor.userId): void {
  const key = parsePublicKey(readFileSync(`${file}.pub`, 'utf8'))
  addSshKey(world.db, { userId }, { ...key, now: Date.now() })
}

/** An SSH server for a world, on a free port. */
export async function serveSsh(
  world: World,
  more: Partial<SshServerOptions> = {},
): Promise<SshServer> {
  const ssh = createSshServer({
    db: world.db,
    log: silentLogger(),
    door: world.door,
    dataDir: world.dir,
    listen: { host: '127.0.0.1', port: 0 },
    ...more,
  })
  await ssh.start(AbortSignal.timeout(20_000))
  return ssh
}
