import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Actor, actorOfToken } from '../../src/core/access.ts'
import { type App, appById, createApp } from '../../src/core/apps.ts'
import { type Deployment, requestDeployment } from '../../src/core/deployments.ts'
import { createRelease } from '../../src/core/releases.ts'
import { createRollout, promoteRollout, type Rollout } from '../../src/core/rollouts.ts'
import { ensureOwner } from '../../src/core/users.ts'
import { migrate, readMigrations } from '../../src/db/migrate.ts'
import { openDatabase } from '../../src/db/open.ts'
import type { EngineDeps } from '../../src/engine/deps.ts'
import { createNetworks } from '../../src/engine/network.ts'
import { createTurns } from '../../src/engine/turns.ts'
import { silentLogger } from '../../src/lib/log.ts'
import { defaultProcess, defaultSpec } from '../../src/manifest/defaults.ts'
import { claim, type Job, requestCancel } from '../../src/queue/store.ts'
import type { LiveState } from '../../src/router/types.ts'
import type { EngineEvent, Instance, Runtime, WorkloadSpec } from '../../src/runtime/types.ts'

/** A runtime that keeps its instances in memory, with places where a test can step in. */
export type FakeRuntime = Runtime & {
  instances: Map<string, Instance>
  /** Called before an answer; may wait or throw. */
  before: Partial<Record<'list' | 'start' | 'stop' | 'create' | 'ping', () => Promise<void>>>
  emit(event: EngineEvent): void
}

function fakeRuntime(): FakeRuntime {
  let starts = 0
  // No two starts at the same time.
  const now = (): string => {
    starts += 1
    return new Date(starts * 1000).toISOString()
  }
  const instances = new Map<string, Instance>()
  const before: FakeRuntime['before'] = {}
  const events: EngineEvent[] = [{ type: 'connected' }]
  let ring = (): void => undefined
  const none = async (): Promise<never> => {
    throw new Error('not in this engine')
  }
  const found = (id: string): Instance | undefined =>
    instances.get(id) ?? [...instances.values()].find(({ name }) => name === id)
  const made = (spec: WorkloadSpec): Instance => ({
    id: `id-${spec.name}`,
    name: spec.name,
    labels: spec.labels,
    image: spec.image,
    state: 'created',
    createdAt: new Date().toISOString(),
    ...(spec.address === undefined ? {} : { address: spec.address }),
    oomKilled: false,
    restarts: 0,
    memoryBytes: spec.memoryBytes,
  })
  return {
    instances,
    before,
    emit: (event) => {
      events.push(event)
      ring()
    },
    ping: async () => {
      await before.ping?.()
      return { version: '1', buildLimits: 'cgroup' }
    },
    ensureNetwork: async () => undefined,
    removeNetwork: async () => undefined,
    createInstance: async (spec) => {
      await before.create?.()
      const instance = found(spec.name) ?? made(spec)
      instances.set(instance.id, instance)
      return instance.id
    },
    startInstance: async (id) => {
      await before.start?.()
      const instance = found(id)
      if (instance) instances.set(id, { ...instance, state: 'running', startedAt: now() })
    },
    stopInstance: async (id) => {
      await before.stop?.()
      const instance = found(id)
      if (instance) instances.set(id, { ...instance, state: 'exited' })
      return { killed: false }
    },
    removeInstance: async (id) => void instances.delete(id),
    inspectInstance: async (id) => found(id),
    listInstances: async (labels) => {
      const wanted = Object.entries(labels)
      const list = [...instances.values()].filter((each) =>
        wanted.every(([key, value]) => each.labels[key] === value),
      )
      await before.list?.()
      return list
    },
    listeningSockets: async () => [],
    memoryInUse: async () => undefined,
    logs: async function* () {},
    attach: none,
    async *events(_, signal) {
      while (!signal.aborted) {
        const event = events.shift()
        if (event) yield event
        else {
          await new Promise<void>((resolve) => {
            ring = resolve
            signal.addEventListener('abort', () => resolve(), { once: true })
          })
        }
      }
    },
    build: none,
    pullImage: none,
    inspectImage: async (ref) => ({ id: ref, ports: [], bytes: 1, user: '', command: [] }),
    tagImage: async () => undefined,
    removeImage: async () => undefined,
    listImages: async () => [],
    pruneBuildCache: async () => 0,
  }
}

/** A database, an engine in memory, and an app to do things to. */
export type EngineWorld = Awaited<ReturnType<typeof createEngineWorld>>

/** Make one; `close` it at the end. */
export async function createEngineWorld() {
  const dir = mkdtempSync(join(tmpdir(), 'helios-engine-'))
  const db = openDatabase(dir)
  migrate(db, readMigrations('drizzle'))
  const clock = Date.now
  const actor: Actor = actorOfToken(db, ensureOwner(db, clock()) ?? '', clock())
  const app = createApp(db, { scope: actor, name: 'shop', now: clock() })
  const runtime = fakeRuntime()
  const live = new Map<string, LiveState>()
  const ended: string[] = []
  const said: string[] = []
  const settled: string[] = []
  const server: Server = createServer((socket) => socket.end())
  await new Promise<void>((done) => server.listen(0, done))
  const address = server.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  const log = silentLogger()
  const given: EngineDeps = {
    db,
    clock,
    log,
    serverId: 'srv',
    runtime,
    router: {
      applyTable: async () => undefined,
      setLive: async (state) => void live.set(state.app, state),
      getLive: async (id) => live.get(id),
      removeLive: async (id) => void live.delete(id),
      listLive: async () => [...live.keys()],
      drain: async () => true,
    },
    deployLogs: {
      append: (_, { text }) => void said.push(text),
      end: (id) => void ended.push(id),
    },
    sources: {
      files: () => Promise.reject(new Error('no source')),
      tar: () => {
        throw new Error('no source')
      },
      settle: async (source, succeeded) => void settled.push(`${source.id} ${succeeded}`),
      kept: async () => [],
      drop: async (source) => void settled.push(`${source.id} dropped`),
    },
    flushLogs: async () => undefined,
    forgetFiles: async () => undefined,
    wake: () => undefined,
    checkpoint: () => undefined,
    address: { baseDomain: 'localhost', httpPort: 80, apiUrl: '', sshHost: '', sshPort: 22 },
    // Instances exist only in memory; this machine answers for their addresses.
    subnetPool: '127.99',
    dataDir: dir,
    buildEnvironment: {},
  }
  const deps = {
    ...given,
    networks: createNetworks(given),
    turns: createTurns(clock),
    routesReady: async () => undefined,
    collect: async () => undefined,
    removeImages: async () => undefined,
  }
  const spec = {
    ...defaultSpec(),
    processes: {
      web: {
        ...defaultProcess('web'),
        port,
        health: { ...defaultProcess('web').health, graceMs: 300 },
      },
    },
  }
  const ask = (reason: Deployment['reason'] = 'push'): Deployment =>
    requestDeployment(db, {
      app,
      actor,
      reason,
      description: reason,
      source: { kind: 'git', rev: 'a'.repeat(40), ref: 'refs/heads/main' },
      now: clock(),
    })
  /** A release with its rollout and the rollout's job, none of it begun. */
  const release = (): { deployment: Deployment; rollout: Rollout } => {
    const deployment = ask()
    const made = createRelease(db, {
      app,
      deploymentId: deployment.id,
      description: '',
      image: `helios/${deployment.id}`,
      spec,
      now: clock(),
    })
    // Its first half is over.
    requestCancel(db, deployment.jobId ?? '', clock())
    return {
      deployment,
      rollout: createRollout(db, { release: made, deploymentId: deployment.id, now: clock() }),
    }
  }
  return {
    db,
    app,
    actor,
    deps,
    runtime,
    port,
    /** What the router was told. */
    live: () => live.get(app.id),
    /** Deployments whose log ended, sources that were let go, lines that were said. */
    ended,
    settled,
    said,
    ask,
    release,
    promote: (rollout: Rollout) => promoteRollout(db, rollout, { now: clock(), drainMs: 0 }),
    appNow: (): App | undefined => appById(db, app.id),
    /** Take the next job of a kind, as a worker does. */
    next: (kind: string): Job | undefined =>
      claim(db, { kinds: [kind], owner: 'test', leaseMs: 60_000 }, clock()),
    /** Nobody listens any more: probes fail from here on. */
    deafen: () => new Promise<void>((done) => server.close(() => done())),
    close: () => {
      server.close()
      db.$client.close()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
