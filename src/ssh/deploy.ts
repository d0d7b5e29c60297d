/**
 * @module
 * The deploy inside a push: ask for it, tell the pusher how it goes, and give the verdict at its end.
 */
import type { Actor } from '../core/access.ts'
import { appHost, hostUrl, type PublicAddress } from '../core/address.ts'
import { type App, appById } from '../core/apps.ts'
import { type Deployment, deploymentOfJob, requestDeployment } from '../core/deployments.ts'
import { releaseOfDeployment } from '../core/releases.ts'
import { mustBeAllowed } from '../core/roles.ts'
import type { Db } from '../db/open.ts'
import type { Push } from '../git/pack.ts'
import { readCommit } from '../git/read.ts'
import { refs } from '../git/repo.ts'
import { adoptObjects, dropSource, keepSource, settleSource } from '../git/sources.ts'
import { sleep, until } from '../lib/async.ts'
import type { Clock } from '../lib/clock.ts'
import { HeliosError, show } from '../lib/errors.ts'
import { newId } from '../lib/ids.ts'
import type { Logger } from '../lib/log.ts'
import { judgePush, mayDeploy, type Update } from './push-rules.ts'

/** A line of a deployment's log. */
export type DeployLine = { seq: number; stream: 'out' | 'err' | 'step'; text: string }

/** What taking a push needs. */
export type PushDeps = {
  db: Db
  clock: Clock
  log: Logger
  jobLogs: {
    follow(id: string, afterSeq: number, signal: AbortSignal): AsyncIterable<DeployLine>
  }
  wake(): void
  address: PublicAddress
  /** One deploying push an app at a time. */
  lock: <T>(key: string, work: () => Promise<T>) => Promise<T>
  /** Sources whose branch a pusher's git will move. */
  held: Set<string>
  stopping: AbortSignal
  /** The verdict is about to be given; a test may end the process here. */
  checkpoint?(step: 'push:told'): void
}

/** A push to one app. */
export type PushContext = { actor: Actor; app: App; repo: string; push: Push }

const ENDED: readonly Deployment['state'][] = ['succeeded', 'failed', 'cancelled', 'superseded']
const POLL_MS = 10
const LOG_TAIL_MS = 2000
const SAY_WAITING_MS = 300

/** Judge a push and do what it asks for; the pusher is told why when it is refused. */
export async function takePush(deps: PushDeps, context: PushContext): Promise<void> {
  const { push, app, actor, repo } = context
  try {
    if (mayDeploy(push.updates)) {
      await inTurn(deps, context, () => decide(deps, context))
    } else {
      for (const note of judgePush(push.updates, await refs(repo)).notes) await push.say(note)
      await push.answer(true)
    }
  } catch (error) {
    if (!(error instanceof HeliosError)) {
      await push.say(' !     Helios failed inside: the branch has not moved. Its log says why')
      throw error
    }
    deps.log.info({ app: app.name, actor: actor.name, code: error.code }, 'push refused')
    for (const line of errorLines(error)) await push.say(line)
    await push.answer(false)
  }
}

/** What is left to do once the pusher has the verdict, before the next push may begin. */
type Rest = () => Promise<void>

/** Wait for pushes to the same app that came before; their end may change what this one means. */
async function inTurn(
  deps: PushDeps,
  { app, push }: PushContext,
  work: () => Promise<Rest>,
): Promise<void> {
  const waiting = setTimeout(() => {
    void push.say('-----> Waiting for another push to this app')
  }, SAY_WAITING_MS)
  await new Promise<void>((resolve, reject) => {
    const turn = deps.lock(app.id, async () => {
      clearTimeout(waiting)
      if (push.gone.aborted) throw new HeliosError('cancelled', 'The pusher went away')
      if (deps.stopping.aborted) throw new HeliosError('cancelled', 'Helios is stopping')
      const rest = await work()
      resolve()
      await rest().catch((error: unknown) =>
        deps.log.error({ err: error, app: app.name }, 'a push was not settled'),
      )
    })
    turn.catch(reject)
  })
}

async function decide(deps: PushDeps, context: PushContext): Promise<Rest> {
  const { push, repo } = context
  // From here on what came is there whatever becomes of the push; one that is refused leaves it for the next repack.
  const adopted = push.quarantine === undefined ? undefined : adoptObjects(repo, push.quarantine)
  const [known] = await Promise.all([refs(repo), adopted])
  const { deploy, notes } = judgePush(push.updates, known)
  for (const note of notes) await push.say(note)
  if (deploy) return deployUpdate(deps, context, deploy)
  await push.answer(true)
  return async () => undefined
}

async function deployUpdate(deps: PushDeps, context: PushContext, update: Update): Promise<Rest> {
  const { push, repo, app } = context
  const id = newId('src', deps.clock())
  deps.held.add(id)
  const release = (): void => void deps.held.delete(id)
  try {
    const asked = await askForDeploy(deps, context, update, id)
    const ended = await followDeploy(deps, push, asked)
    if (!ended) {
      await push.say(
        ' !     Helios stops now. The deploy goes on when it is back: helios deployments',
      )
      await push.answer(false)
      return async () => release()
    }
    for (const line of outcomeLines(deps, app, ended)) await push.say(line)
    deps.checkpoint?.('push:told')
    await push.answer(ended.deployment.state === 'succeeded')
    return async () => {
      // Git has moved the branch by now, unless it died; an app that is live must have its branch there.
      if (ended.deployment.state === 'succeeded')
        await settleSource(repo, sourceOf(update, id)).finally(release)
      else await dropSource(repo, id).finally(release)
    }
  } catch (error) {
    release()
    throw error
  }
}

function sourceOf(update: Update, id: string) {
  return { id, ref: update.ref, rev: update.next, previousRev: previous(update) }
}

function previous({ old }: Update): string | null {
  return /^0+$/.test(old) ? null : old
}

async function askForDeploy(
  deps: PushDeps,
  { repo, app, actor }: PushContext,
  update: Update,
  sourceId: string,
): Promise<Deployment> {
  mustBeAllowed(actor, 'app.deploy')
  const kept = keepSource(repo, sourceId, update.next)
  try {
    const [commit] = await Promise.all([readCommit(repo, update.next), kept.catch(() => undefined)])
    if (commit?.oid !== update.next) {
      throw new HeliosError('invalid_ref', `${show(update.next)} is no commit`, {
        hint: 'Push a branch, as in: git push helios main',
      })
    }
    await kept
    const deployment = requestDeployment(deps.db, {
      app,
      actor,
      reason: 'push',
      description: `Deploy ${update.next.slice(0, 7)}`,
      source: {
        id: sourceId,
        kind: 'git',
        rev: update.next,
        ref: update.ref,
        ...(previous(update) === null ? {} : { previousRev: update.old }),
      },
      now: deps.clock(),
    })
    deps.wake()
    return deployment
  } catch (error) {
    await dropSource(repo, sourceId)
    throw error
  }
}

type Ended = { deployment: Deployment; heard: readonly string[] }

/** Show a deployment's log until it is over; gives its last state, or undefined when Helios stops first. */
async function followDeploy(
  deps: PushDeps,
  push: Push,
  { id }: Deployment,
): Promise<Ended | undefined> {
  const enough = new AbortController()
  const heard: string[] = []
  const told = tell(
    deps.jobLogs.follow(id, 0, AbortSignal.any([enough.signal, deps.stopping])),
    push,
    heard,
  )
  // It is told while the deployment runs, not after; that it fails is no reason to end the deploy.
  told.catch((error: unknown) => deps.log.warn({ err: error, deployment: id }, 'log not followed'))
  try {
    const ended = await until(
      () => {
        const now = deploymentOfJob(deps.db, id)
        if (!now) throw new HeliosError('cancelled', 'The app was destroyed')
        return ENDED.includes(now.state) ? now : undefined
      },
      { everyMs: POLL_MS, signal: deps.stopping },
    )
    const tail = new AbortController()
    await Promise.race([
      told.catch(() => undefined),
      sleep(LOG_TAIL_MS, tail.signal).catch(() => undefined),
    ])
    tail.abort()
    return { deployment: ended, heard }
  } catch (error) {
    if (deps.stopping.aborted) return undefined
    throw error
  } finally {
    enough.abort()
  }
}

const MARKS: Readonly<Record<DeployLine['stream'], string>> = {
  step: '----->',
  out: '      ',
  err: ' !    ',
}

/** Say the lines as they come; what went wrong is kept in `heard`, so that it is not said again at the end. */
async function tell(lines: AsyncIterable<DeployLine>, push: Push, heard: string[]): Promise<void> {
  for await (const { stream, text } of lines) {
    if (stream === 'err') heard.push(text)
    await push.say(`${MARKS[stream]} ${plain(text)}`)
  }
}

function outcomeLines(deps: PushDeps, app: App, { deployment: ended, heard }: Ended): string[] {
  if (ended.state === 'succeeded') {
    const number = releaseOfDeployment(deps.db, ended.id)?.number
    const name = appById(deps.db, app.id)?.name ?? app.name
    return [
      '',
      `-----> v${number ?? '?'} live at ${hostUrl(appHost(name, deps.address), deps.address)}`,
      '',
    ]
  }
  if (ended.state === 'superseded') return [' !     A newer deployment took the place of this one']
  if (ended.state === 'cancelled' && !ended.error) return [' !     The deployment was cancelled']
  const error = ended.error ?? { message: 'The deploy failed' }
  const known = heard.some((text) => text.endsWith(error.message))
  return known ? [' !     The branch has not moved; what was live stays live'] : errorLines(error)
}

function errorLines({ message, hint }: { message: string; hint?: string | undefined }): string[] {
  const lines = [...message.split('\n'), ...(hint === undefined ? [] : hint.split('\n'))]
  return lines.map((line) => ` !     ${plain(line)}`)
}

const MAX_LINE = 2000

/** Text that cannot steer a terminal: no colours, no control characters, one line. */
function plain(text: string): string {
  const bare = text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what has to go
    .replace(/\u001b\[[0-9;?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(\u0007|\u001b\\)?/g, '')
    .replace(/\t/g, '    ')
    .replace(/\p{Cc}/gu, '')
  return bare.length > MAX_LINE ? `${bare.slice(0, MAX_LINE)}…` : bare
}
