/**
 * @module
 * Put the parts together: what is outside, the engine between, the doors in front.
 */
import { createReadStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createApiServer } from './api/server.ts'
import { readSource } from './builders/context.ts'
import { VERSION } from './cli/version.ts'
import type { Settings } from './config/settings.ts'
import type { PublicAddress } from './core/address.ts'
import { ensureOwner } from './core/users.ts'
import type { Db } from './db/open.ts'
import { createCollector } from './engine/collector.ts'
import type { EngineDeps } from './engine/deps.ts'
import { createEngine, type Engine } from './engine/engine.ts'
import { LABELS } from './engine/labels.ts'
import { createSources } from './engine/sources.ts'
import { createRepos } from './git/repo.ts'
import { type Clock, systemClock } from './lib/clock.ts'
import { HeliosError, messageOf, show } from './lib/errors.ts'
import type { Part, Running } from './lib/lifecycle.ts'
import type { Logger } from './lib/log.ts'
import { createAppLogs } from './observability/app-logs.ts'
import { createJobLogs } from './queue/job-log.ts'
import { forgetEndedJobs, requeueLost } from './queue/store.ts'
import { createRouter } from './router/router.ts'
import { createDockerRuntime } from './runtime/docker/client.ts'
import { createGitHttp } from './ssh/http.ts'
import { createGitDoor, type GitDoor } from './ssh/push.ts'
import { createSshServer } from './ssh/server.ts'
import { createPages } from './web/routes.tsx'

/** What everything is made with. */
export type Base = {
  settings: Settings
  log: Logger
  clock: Clock
  db: Db
  /** Id of this server. */
  id: string
  address: PublicAddress
  closeDatabase(): void
  /** Aborts when the server is told to stop. */
  stopping: AbortSignal
  states(): ReturnType<Running['states']>
}

const KEPT_JOBS_MS = 7 * 24 * 60 * 60 * 1000

/** Make every part, in the order they start. */
export function assemble(base: Base): Part[] {
  const paths = pathsOf(base.settings.dataDir)
  for (const dir of [paths.archives, paths.router, paths.ssh]) {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
  }
  const outside = createOutside(base, paths)
  // The git door wakes the engine, and the engine asks the door whether a pusher waits.
  let wake = (): void => undefined
  const checkpoint = checkpointOf(base.settings)
  const door = createGitDoor({ ...base, ...outside, checkpoint, wake: () => wake() })
  const engine = createEngine(engineDeps(base, outside, { paths, door, checkpoint }), {
    buildsAtOnce: base.settings.buildsAtOnce,
  })
  const routesChanged = (): void => {
    engine.routesReady(base.stopping).catch((error: unknown) => {
      if (base.stopping.aborted) return
      base.log.warn({ err: error }, 'the router did not take the host names')
    })
  }
  wake = () => {
    engine.wake()
    // The host name of a new app is loaded while its build runs, not after it.
    routesChanged()
  }
  const { buildWorker, oalWorker, reconciler } = engine.parts
  const doors = createDoors(base, outside, { paths, door, engine, routesChanged })
  const git: Part = { name: 'git', start: outside.repos.prepare, stop: async () => door.stop() }
  const inside = [git, enginePart(outside.runtime, base.log), outside.collector]
  return [
    databasePart(base, paths),
    outside.router,
    ...inside,
    buildWorker,
    oalWorker,
    reconciler,
    ...doors,
  ]
}

/** Ends the process at the step that is named for a test, as a power cut would. */
function checkpointOf({ faultAt }: Settings): EngineDeps['checkpoint'] {
  return (step) => {
    if (faultAt === step) process.kill(process.pid, 'SIGKILL')
  }
}

type Paths = ReturnType<typeof pathsOf>

/** Folders and files of the data dir. */
function pathsOf(dataDir: string) {
  return {
    archives: join(dataDir, 'archives'),
    deployLogs: join(dataDir, 'deployments'),
    appLogs: join(dataDir, 'logs'),
    router: join(dataDir, 'router'),
    ssh: join(dataDir, 'ssh'),
    firstToken: join(dataDir, 'first-token'),
    serverId: join(dataDir, 'server-id'),
  }
}

type Outside = ReturnType<typeof createOutside>

/** What is not the database: the engine, the router, repositories and logs. */
function createOutside({ settings, log, id }: Base, paths: Paths) {
  const runtime = createDockerRuntime({ socketPath: settings.dockerSocket, log })
  const appLogs = createAppLogs({ dir: paths.appLogs, budgetBytes: settings.logBudgetBytes })
  return {
    runtime,
    router: createRouter({
      dir: paths.router,
      listen: [`${settings.http.host}:${settings.http.port}`],
      caddy: settings.caddy ?? 'caddy',
      log,
    }),
    repos: createRepos(settings.dataDir),
    jobLogs: createJobLogs(paths.deployLogs),
    appLogs,
    collector: createCollector({ runtime, appLogs, labels: { [LABELS.server]: id }, log }),
  }
}

function engineDeps(
  base: Base,
  outside: Outside,
  given: { paths: Paths; door: GitDoor; checkpoint: EngineDeps['checkpoint'] },
): Omit<EngineDeps, 'wake'> {
  const { settings } = base
  const { repos, jobLogs, appLogs, collector } = outside
  return {
    ...base,
    ...outside,
    serverId: base.id,
    deployLogs: jobLogs,
    sources: createSources({
      repos,
      archiveDir: given.paths.archives,
      hasPusher: given.door.hasPusher,
    }),
    flushLogs: collector.flush,
    forgetFiles: async (appId, deployments) => {
      await repos.remove(appId)
      appLogs.removeApp(appId)
      for (const each of deployments) jobLogs.remove(each)
    },
    checkpoint: given.checkpoint,
    subnetPool: settings.subnetPool,
    dataDir: settings.dataDir,
    buildEnvironment: readBuildEnvironment(settings),
  }
}

function createDoors(
  base: Base,
  outside: Outside,
  given: { paths: Paths; door: GitDoor; engine: Engine; routesChanged(): void },
): Part[] {
  const { settings, log } = base
  const { paths, door, engine, routesChanged } = given
  const ssh = createSshServer({ ...base, door, dataDir: paths.ssh, listen: settings.ssh })
  const gitHttp = createGitHttp(door, log)
  const deps = {
    ...base,
    ...outside,
    version: VERSION,
    sshFingerprint: ssh.fingerprint,
    wake: engine.wake,
    sourcesDir: paths.archives,
    checkArchive: async (file: string, signal: AbortSignal) => {
      await readSource(createReadStream(file), signal)
    },
    git: (request: Parameters<Parameters<typeof createApiServer>[0]['git']>[0]) =>
      gitHttp({
        ...request,
        query: new URLSearchParams(request.query),
        headers: new Headers(request.headers),
      }),
    runOneOff: engine.runOneOff,
    engineVersion: async (signal: AbortSignal) => (await outside.runtime.ping(signal)).version,
    routesChanged,
  }
  return [ssh, createApiServer(deps, { listen: settings.api, pages: createPages(deps) })]
}

function databasePart({ db, id, closeDatabase }: Base, paths: Paths): Part {
  return {
    name: 'db',
    start: async () => {
      const now = systemClock()
      // Whoever held these jobs is gone: this process holds the data dir now.
      requeueLost(db, { all: true }, now)
      forgetEndedJobs(db, now - KEPT_JOBS_MS)
      writeFileSync(paths.serverId, `${id}\n`, { mode: 0o600 })
      const token = ensureOwner(db, now)
      if (token !== undefined) writeFileSync(paths.firstToken, `${token}\n`, { mode: 0o600 })
    },
    stop: async () => closeDatabase(),
  }
}

/** An engine that is away is no reason not to start: apps serve, and deploys wait for it. */
function enginePart(runtime: Outside['runtime'], log: Logger): Part {
  return {
    name: 'engine',
    start: async (signal) => {
      await runtime.ping(signal).then(
        (facts) => log.info(facts, 'the engine answers'),
        (error: unknown) => log.warn({ err: error }, 'the engine does not answer'),
      )
    },
    stop: async () => undefined,
  }
}

/** Files that build steps need to reach a private mirror. @throws {HeliosError} config_invalid */
function readBuildEnvironment(settings: Settings): { caFile?: string; npmrc?: string } {
  const read = (variable: string, file: string | undefined): string | undefined => {
    if (file === undefined) return undefined
    try {
      return readFileSync(file, 'utf8')
    } catch (cause) {
      throw new HeliosError('config_invalid', `${variable} is ${show(file)}: ${messageOf(cause)}`, {
        hint: 'Name a file that Helios can read',
        cause,
      })
    }
  }
  const caFile = read('HELIOS_BUILD_CA_FILE', settings.buildCaFile)
  const npmrc = read('HELIOS_BUILD_NPMRC', settings.buildNpmrc)
  return { ...(caFile === undefined ? {} : { caFile }), ...(npmrc === undefined ? {} : { npmrc }) }
}
