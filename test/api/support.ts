import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { type Api, createApi, type MountPages } from '../../src/api/app.ts'
import type { ApiDeps } from '../../src/api/context.ts'
import type { Role } from '../../src/core/access.ts'
import { createToken } from '../../src/core/access.ts'
import { createApp, ensureTeam } from '../../src/core/apps.ts'
import { linkDeployment, requestDeployment } from '../../src/core/deployments.ts'
import { recordInstances } from '../../src/core/instances.ts'
import { createRelease, type Release } from '../../src/core/releases.ts'
import { createRollout, promoteRollout } from '../../src/core/rollouts.ts'
import { migrate, readMigrations } from '../../src/db/migrate.ts'
import { type Db, openDatabase } from '../../src/db/open.ts'
import { newId } from '../../src/lib/ids.ts'
import { silentLogger } from '../../src/lib/log.ts'
import type { AppSpec } from '../../src/manifest/types.ts'
import { createAppLogs } from '../../src/observability/app-logs.ts'
import { createJobLogs } from '../../src/queue/job-log.ts'
import type { Attached } from '../../src/runtime/types.ts'

/** A program in memory: what is written to it comes back as stdout. */
export function echoProgram(): Attached & { signals: string[]; exit(code: number): void } {
  const stdin = new PassThrough()
  const stdout = new PassThrough()
  const stderr = new PassThrough()
  const signals: string[] = []
  let exit: (code: number) => void = () => undefined
  const exited = new Promise<number>((resolve) => {
    exit = (code) => {
      stdout.end()
      stderr.end()
      resolve(code)
    }
  })
  stdin.pipe(stdout, { end: false })
  stdin.on('end', () => exit(0))
  return {
    id: 'one',
    stdin,
    stdout,
    stderr,
    signals,
    exit: (code) => exit(code),
    resize: async (columns, rows) => void signals.push(`resize ${columns}x${rows}`),
    kill: async (signal) => {
      signals.push(signal)
      if (signal !== 'SIGINT') exit(143)
    },
    wait: () => exited,
  }
}

const SPEC: AppSpec = {
  oal: 1,
  env: {},
  rollout: { drainMs: 1 },
  build: {
    builder: 'auto',
    dockerfile: 'Dockerfile',
    args: {},
    spa: false,
    limits: { memoryBytes: 1, cpus: 1, timeoutMs: 1 },
  },
  processes: {
    web: {
      command: ['node', 'server.js'],
      port: 8080,
      instances: 2,
      memoryBytes: 2 ** 29,
      cpus: 1,
      health: { intervalMs: 1, timeoutMs: 1, graceMs: 1 },
      stop: { signal: 'SIGTERM', graceMs: 1 },
    },
  },
}

/** The routes on a real database in a folder of their own, with two teams. */
export function makeApi(over: Partial<ApiDeps> = {}, pages?: (deps: ApiDeps) => MountPages) {
  const dir = mkdtempSync(join(tmpdir(), 'helios-api-'))
  const db = openDatabase(dir)
  migrate(db, readMigrations('drizzle'))
  const called = { wake: 0, routes: 0 }
  const jobLogs = createJobLogs(join(dir, 'jobs'))
  const appLogs = createAppLogs({ dir: join(dir, 'apps') })
  const deps: ApiDeps = {
    db,
    clock: () => Date.now(),
    log: silentLogger(),
    address: {
      baseDomain: 'localhost',
      httpPort: 8080,
      apiUrl: 'http://127.0.0.1:3000',
      sshHost: '127.0.0.1',
      sshPort: 2222,
    },
    version: '0.1.0',
    sshFingerprint: () => 'SHA256:x',
    wake: () => void called.wake++,
    jobLogs,
    appLogs,
    sourcesDir: join(dir, 'sources'),
    checkArchive: async () => undefined,
    git: async ({ method, path, query, actor }) => ({
      status: 200,
      headers: { 'Content-Type': 'text/x-git' },
      body: Readable.from([`${method} ${path} ${query} ${actor.name}`]),
    }),
    runOneOff: async () => echoProgram(),
    states: () => ({ db: { ok: true } }),
    engineVersion: async () => '20.10',
    routesChanged: () => void called.routes++,
    ...over,
  }
  const api: Api = createApi(deps, pages?.(deps))
  const member = (name: string, team: string, role: Role): string => {
    const { teamId } = ensureTeam(db, team, 1)
    const userId = newId('usr')
    db.$client.prepare('INSERT INTO users VALUES (?, ?, 1)').run(userId, name)
    db.$client.prepare('INSERT INTO memberships VALUES (?, ?, ?)').run(teamId, userId, role)
    return createToken(db, { userId, name: 'laptop', now: Date.now() })
  }
  const tokens = {
    owner: member('owner', 'default', 'owner'),
    admin: member('admin', 'default', 'admin'),
    developer: member('dev', 'default', 'developer'),
    viewer: member('viewer', 'default', 'viewer'),
    other: member('eve', 'other', 'owner'),
  }
  const scope = ensureTeam(db, 'default', 1)
  return {
    dir,
    db,
    deps,
    api,
    app: api.door.app,
    tokens,
    called,
    jobLogs,
    appLogs,
    scope,
    newApp: (name: string) => createApp(db, { scope, name, now: Date.now() }),
    deploy: (name: string) => deploy(db, scope, name),
    close: () => {
      api.streams.endAll()
      appLogs.close()
      db.$client.close()
      rmSync(dir, { recursive: true, force: true })
    },
    ...callers(api, tokens),
  }
}

export type TestApi = ReturnType<typeof makeApi>

/** What a test sends. */
export type Sent = {
  as?: keyof TestApi['tokens'] | 'nobody'
  body?: unknown
  headers?: Record<string, string>
}

function callers(api: Api, tokens: Record<string, string>) {
  const send = (method: string, path: string, opts: Sent = {}): Promise<Response> => {
    const { as = 'owner', body, headers = {} } = opts
    const auth = as === 'nobody' ? {} : { Authorization: `Bearer ${tokens[as]}` }
    const type = body === undefined ? {} : { 'Content-Type': 'application/json' }
    const raw = typeof body === 'string' || body instanceof Uint8Array
    return Promise.resolve(
      api.door.app.request(
        path.startsWith('/apps') || path.startsWith('/keys') ? `/api/v1${path}` : path,
        {
          method,
          headers: { ...auth, ...type, ...headers },
          ...(body === undefined ? {} : { body: raw ? (body as string) : JSON.stringify(body) }),
        },
      ),
    )
  }
  const call = async (method: string, path: string, opts: Sent = {}) => {
    const response = await send(method, path, opts)
    const text = await response.text()
    // biome-ignore lint/suspicious/noExplicitAny: tests look into every kind of body.
    const json: any = text.startsWith('{') ? JSON.parse(text) : undefined
    return { status: response.status, json, text, headers: response.headers }
  }
  return { send, call }
}

/** Bring a release of an app live, as the engine would. */
function deploy(db: Db, scope: { teamId: string }, name: string): Release {
  const now = Date.now()
  const app = db.$client.prepare('SELECT id, name FROM apps WHERE name = ?').get(name) as {
    id: string
    name: string
  }
  const actor = { userId: 'usr_x', name: 'ada', via: 'key', credential: 'laptop' } as const
  const deployment = requestDeployment(db, {
    app: { ...app, teamId: scope.teamId, state: 'active', createdAt: 1, liveRolloutId: null },
    actor,
    reason: 'push',
    description: 'Deploy 1a2b3c4',
    now,
  })
  const release = createRelease(db, {
    app,
    deploymentId: deployment.id,
    description: 'Deploy 1a2b3c4',
    image: 'helios/x',
    spec: SPEC,
    now,
  })
  const rollout = createRollout(db, { release, deploymentId: deployment.id, now })
  promoteRollout(db, rollout, { now, drainMs: 1 })
  linkDeployment(db, deployment.id, { releaseId: release.id })
  recordInstances(
    db,
    app.id,
    [1, 2].map((index) => ({
      id: `${release.id}-${index}`,
      appId: app.id,
      rolloutId: rollout.id,
      release: release.number,
      process: 'web',
      index,
      state: 'running' as const,
      healthy: true,
      address: '10.0.0.1',
      startedAt: now,
      restarts: 0,
      exitCode: null,
      oomKilled: false,
      memoryBytes: 2 ** 29,
      seenAt: now,
    })),
  )
  return release
}
