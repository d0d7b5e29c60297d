/**
 * @module
 * Compare what runs with what is wanted: at start, on events of the engine, and every 30 seconds.
 */
import { type App, allApps, appById } from '../core/apps.ts'
import { CONVERGE_JOB, requestConverge } from '../core/processes.ts'
import { activeRollouts } from '../core/rollouts.ts'
import { sleep, withDeadline } from '../lib/async.ts'
import { messageOf } from '../lib/errors.ts'
import type { Part } from '../lib/lifecycle.ts'
import { hasOpenJob } from '../queue/store.ts'
import type { EngineEvent, Instance } from '../runtime/types.ts'
import { stepsFor, unprovenSlots } from './converge.ts'
import type { EngineDeps } from './deps.ts'
import { type Hands, refreshLive, retire } from './execute.ts'
import { identityOf, LABELS } from './labels.ts'
import { releaseAddresses, settleSources, takeUp } from './leftovers.ts'
import { listApp, observeAll, writeDown } from './observe.ts'
import { removeOneOffs } from './one-off.ts'

/** What the reconciler works with. */
export type ReconcileDeps = Hands &
  Pick<EngineDeps, 'wake' | 'deployLogs' | 'sources'> & {
    routesReady(signal: AbortSignal): Promise<void>
    everyMs?: number
  }

/** Events come in bursts; one look serves those of this time. */
const SETTLE_MS = 100
/** A start does not wait longer for the first look: an engine or a router that hangs is no reason not to serve. */
const FIRST_LOOK_MS = 5000
/** What could not be brought about is not tried again before. */
const AGAIN_MS = 10_000
const LOOK_MS = 60_000

/** The reconciler as a part: it repairs what differs and touches nothing without this server's labels. */
export function createReconciler(deps: ReconcileDeps): Part {
  const stop = new AbortController()
  let failure: string | undefined = 'has not looked yet'
  const running = new Set<Promise<void>>()
  const track = (work: Promise<void>): Promise<void> => {
    const ended = work.finally(() => running.delete(ended))
    ended.catch(() => undefined)
    running.add(ended)
    return ended
  }
  const quietly = (what: string, work: Promise<void>): Promise<void> =>
    track(
      work.catch((error: unknown) => {
        if (!stop.signal.aborted) deps.log.warn({ err: error }, `could not ${what}`)
      }),
    )

  const look = async (): Promise<void> => {
    try {
      await sweep(deps, stop.signal)
      failure = undefined
    } catch (error) {
      if (stop.signal.aborted) return
      failure = messageOf(error)
      deps.log.warn({ err: error }, 'could not compare what runs with what is wanted')
    }
  }
  const timer = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await sleep(deps.everyMs ?? 30_000, stop.signal)
      await look()
      await quietly('let go of sources', settleSources(deps))
    }
  }
  const soon = createDebounce(async (app) => {
    if (stop.signal.aborted) return
    const limit = AbortSignal.any([stop.signal, AbortSignal.timeout(LOOK_MS)])
    await quietly('look at an app after an event', lookAt(deps, app, limit))
  })
  const events = async (): Promise<void> => {
    const labels = { [LABELS.server]: deps.serverId }
    for await (const event of deps.runtime.events(labels, stop.signal)) {
      if (event.type === 'connected') {
        // The engine was away: whatever happened meanwhile is not told again.
        deps.networks.forget()
        void track(look())
        continue
      }
      const app = appOfEvent(deps, event)
      if (app) soon(app, SETTLE_MS)
    }
  }
  return {
    name: 'reconciler',
    start: async () => {
      const boot = deps.clock()
      void quietly('remove one-offs of before', removeOneOffs(deps, { before: boot }))
      void quietly('let go of sources of before', settleSources(deps, boot))
      const first = track(look())
      await withDeadline(first, AbortSignal.timeout(FIRST_LOOK_MS)).catch(() => undefined)
      void track(timer())
      void track(events())
    },
    stop: async () => {
      stop.abort()
      await Promise.allSettled(running)
    },
    state: () => (failure === undefined ? { ok: true } : { ok: false, detail: failure }),
  }
}

/** The app whose instance an event is about, unless a job looks after that instance anyway. */
function appOfEvent(deps: ReconcileDeps, event: EngineEvent): string | undefined {
  const who = identityOf(event.labels ?? {})
  const app = who && appById(deps.db, who.app)
  if (!who || app?.state !== 'active') return undefined
  if (who.rollout === app.liveRolloutId) return app.id
  const active = activeRollouts(deps.db, app.id)
  return active.some(({ rollout }) => rollout.id === who.rollout) ? undefined : app.id
}

/** Work for a key a while after it was asked for; while one is due, further calls for it are that one. */
function createDebounce(work: (key: string) => Promise<void>): (key: string, ms: number) => void {
  const waiting = new Set<string>()
  return (key, ms) => {
    if (waiting.has(key)) return
    waiting.add(key)
    setTimeout(() => {
      waiting.delete(key)
      void work(key)
    }, ms).unref()
  }
}

/** Look at everything once. What cannot be done for one app is no reason to leave out the others. */
async function sweep(deps: ReconcileDeps, signal: AbortSignal): Promise<void> {
  const failures: unknown[] = []
  const attempt = async (work: () => Promise<unknown>): Promise<void> => {
    signal.throwIfAborted()
    await work().catch((error: unknown) => failures.push(error))
  }
  takeUp(deps)
  const routes = attempt(() => deps.routesReady(signal))
  const marks = new Map(allApps(deps.db).map((app) => [app.id, markOf(deps, app)]))
  const byApp = await observeAll(deps)
  for (const [id, mark] of marks) {
    const found = byApp.get(id) ?? []
    await attempt(() => lookAt(deps, id, signal, { mark, found }))
  }
  await routes
  const known = new Set(allApps(deps.db).map(({ id }) => id))
  for (const [id, list] of byApp) {
    if (known.has(id)) continue
    deps.log.warn({ app: id, instances: list.length }, 'removing instances of an app that is gone')
    await attempt(() => retire(deps, list, { drainMs: 0, signal }))
  }
  releaseAddresses(deps, new Set([...byApp.values()].flat().map(({ name }) => name)))
  for (const id of await deps.router.listLive()) {
    if (!known.has(id)) await deps.router.removeLive(id)
  }
  if (failures.length > 0) throw failures[0]
}

/** What was seen of an app, and its mark from before that. */
type Seen = { mark: string; found: readonly Instance[] }

/** How often a look is repeated because something changed meanwhile; whoever changes it looks too. */
const LOOKS = 3

/** Look at one app, point the router to what runs, and have repaired what differs. `seen` serves unless it is old. */
async function lookAt(
  deps: ReconcileDeps,
  appId: string,
  signal: AbortSignal,
  seen?: Seen,
): Promise<void> {
  await deps.turns.look(appId, async () => {
    if (seen && (await act(deps, appId, seen))) return
    for (let looks = 0; looks < LOOKS; looks++) {
      signal.throwIfAborted()
      const app = appById(deps.db, appId)
      if (app?.state !== 'active') return
      const mark = markOf(deps, app)
      if (await act(deps, appId, { mark, found: await listApp(deps, appId) })) return
    }
  })
}

/** Something that differs once what was seen of an app need not hold any more. */
function markOf(deps: ReconcileDeps, app: Pick<App, 'id' | 'liveRolloutId'>): string {
  return `${deps.turns.mark(app.id)} ${app.liveRolloutId}`
}

/** Act on what was seen; gives false when it is old. */
async function act(deps: ReconcileDeps, appId: string, { mark, found }: Seen): Promise<boolean> {
  const app = appById(deps.db, appId)
  // A job that changes the app looks at it itself; two hands at once would undo each other's work.
  if (app?.state !== 'active' || deps.turns.busy(appId)) return true
  if (markOf(deps, app) !== mark) return false
  deps.turns.saw(appId)
  writeDown(deps, appId, found)
  // Nothing was ever live, and nothing runs: the router says so by itself.
  if (app.liveRolloutId === null && found.length === 0) return true
  await refreshLive(deps, appId, found)
  const sound =
    stepsFor(deps, app, found).length === 0 && unprovenSlots(deps, app, found).length === 0
  if (!sound) repair(deps, appId)
  return true
}

function repair(deps: ReconcileDeps, appId: string): void {
  if (hasOpenJob(deps.db, { kinds: [CONVERGE_JOB], key: appId })) return
  if (deps.clock() - (deps.turns.failedAt(appId) ?? 0) < AGAIN_MS) return
  deps.log.info({ app: appId }, 'what runs is not what is wanted')
  requestConverge(deps.db, appId, deps.clock())
  deps.wake()
}
