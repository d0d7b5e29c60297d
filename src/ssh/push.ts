/**
 * @module
 * The git door: who, which app, may they; then git itself, with a deploy in the middle of a push.
 */
import type { Readable, Writable } from 'node:stream'
import type { Actor } from '../core/access.ts'
import type { PublicAddress } from '../core/address.ts'
import { type App, createApp, findApp, forgetApp, mustBeActive } from '../core/apps.ts'
import { listDeployments } from '../core/deployments.ts'
import { listEnv } from '../core/env.ts'
import { can, mustBeAllowed } from '../core/roles.ts'
import type { Db } from '../db/open.ts'
import { type PackResult, type Push, receivePack, uploadPack } from '../git/pack.ts'
import { type Repos, tidy } from '../git/repo.ts'
import { forgetShallow } from '../git/sources.ts'
import { keyedMutex } from '../lib/async.ts'
import type { Clock } from '../lib/clock.ts'
import { HeliosError, messageOf } from '../lib/errors.ts'
import type { Logger } from '../lib/log.ts'
import { appOfPath } from './command.ts'
import { type DeployLine, takePush } from './deploy.ts'

const PUSH_AGAIN =
  'This app was last pushed from a shallow clone, and your push builds on what it left out.\nPush again: everything will be sent.\n'

/** What the git door is made of. */
export type GitDoorDeps = {
  db: Db
  clock: Clock
  log: Logger
  repos: Repos
  jobLogs: {
    follow(id: string, afterSeq: number, signal: AbortSignal): AsyncIterable<DeployLine>
  }
  /** Tell the workers that there is work. */
  wake(): void
  address: PublicAddress
  /** The verdict on a push is about to be given; a test may end the process here. */
  checkpoint?(step: 'push:told'): void
}

/** One side of a git connection. */
export type GitStreams = {
  input: Readable
  output: Writable
  /** Text for the person, outside of git's protocol. */
  complain?: (text: string) => void
  mode?: 'advertise' | 'stateless'
  /** The client's Git-Protocol, as `version=2`. */
  protocol?: string
  /** Aborts when the client is gone. */
  signal: AbortSignal
}

/** Git for people and machines, whatever it comes over. */
export type GitDoor = {
  /** Take a push. @throws {HeliosError} before git has said anything: app_not_found, missing_permission, invalid_name, ... */
  receive(actor: Actor, path: string, streams: GitStreams): Promise<PackResult>
  /** Serve a clone or fetch. @throws {HeliosError} as receive */
  upload(actor: Actor, path: string, streams: GitStreams): Promise<PackResult>
  /** Tell whether a pusher's git waits for the deployment of this source, and will move the branch. */
  hasPusher(sourceId: string): boolean
  /** Refuse what is under way; deploys that have begun go on without their pushers. */
  stop(): void
}

/** Make the git door. */
export function createGitDoor(deps: GitDoorDeps): GitDoor {
  const stopping = new AbortController()
  const held = new Set<string>()
  const lock = keyedMutex()

  const receive = async (actor: Actor, path: string, streams: GitStreams): Promise<PackResult> => {
    const { app, made } = openApp(deps, actor, appOfPath(path), streams.mode !== 'advertise')
    const repo = await (app ? deps.repos.ensure(app.id) : deps.repos.empty())
    let asked = false
    const onPush = async (push: Push): Promise<void> => {
      asked = true
      if (!app) return
      await takePush({ ...deps, lock, held, stopping: stopping.signal }, { actor, app, repo, push })
    }
    try {
      const result = await receivePack({ ...streams, repo, hooksDir: deps.repos.hooksDir, onPush })
      if (app && result.lacking && (await lock(app.id, () => forgetShallow(repo)))) {
        streams.complain?.(PUSH_AGAIN)
      }
      return result
    } finally {
      if (app && made && !asked) await unmake(deps, app)
      if (app && asked) keepSmall(deps, app, repo, stopping.signal)
    }
  }

  return {
    receive,
    upload: async (actor, path, streams) => {
      mustBeAllowed(actor, 'app.read')
      const app = findApp(deps.db, actor, appOfPath(path))
      return uploadPack({ ...streams, repo: await deps.repos.ensure(app.id) })
    },
    hasPusher: (sourceId) => held.has(sourceId),
    stop: () => stopping.abort(),
  }
}

/** The app to push to; made when it is missing, the actor may, and there is more than a look at it. */
function openApp(
  { db, clock }: GitDoorDeps,
  actor: Actor,
  name: string,
  make: boolean,
): { app: App | undefined; made: boolean } {
  mustBeAllowed(actor, 'app.deploy')
  try {
    const app = findApp(db, actor, name)
    mustBeActive(db, app)
    return { app, made: false }
  } catch (error) {
    const missing = error instanceof HeliosError && error.code === 'app_not_found'
    if (!missing || !can(actor, 'app.create')) throw error
    if (!make) return { app: undefined, made: false }
    return { app: createApp(db, { scope: actor, name, now: clock() }), made: true }
  }
}

/** A push that was cut before anything came leaves no app behind, unless somebody took it up meanwhile. */
async function unmake({ db, repos, log }: GitDoorDeps, app: App): Promise<void> {
  if (listDeployments(db, app, { limit: 1 }).length > 0) return
  if (Object.keys(listEnv(db, app)).length > 0) return
  forgetApp(db, app.id)
  await repos.remove(app.id)
  log.info({ app: app.name }, 'app of a push that never came, taken back')
}

function keepSmall({ log }: GitDoorDeps, app: App, repo: string, signal: AbortSignal): void {
  tidy(repo, signal).catch((error: unknown) =>
    log.warn({ app: app.name, reason: messageOf(error) }, 'repository not repacked'),
  )
}
