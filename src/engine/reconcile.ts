/**
 * @module
 * Compare what runs with what is wanted: at start, on events of the engine, and every 30 seconds.
 */
import { allApps, appById } from '../core/apps.ts'
import { requestConverge } from '../core/processes.ts'
import { sleep } from '../lib/async.ts'
import { messageOf } from '../lib/errors.ts'
import type { Part } from '../lib/lifecycle.ts'
import { hasOpenJob } from '../queue/store.ts'
import type { EngineEvent, Instance } from '../runtime/types.ts'
import { CHANGING_JOBS, stepsFor } from './converge.ts'
import type { EngineDeps } from './deps.ts'
import { type Hands, refreshLive, retire } from './execute.ts'
import { LABELS } from './labels.ts'
import { observeAll, observeApp, writeDown } from './observe.ts'
import { removeLostOneOffs } from './one-off.ts'

/** What the reconciler works with. */
export type ReconcileDeps = Hands &
  Pick<EngineDeps, 'wake'> & {
    routesReady(signal: AbortSignal): Promise<void>
    everyMs?: number
  }

/** Events come in bursts; one look serves those of this time. */
const SETTLE_MS = 100

/** The reconciler as a part: it repairs what differs and touches nothing without this server's labels. */
export function createReconciler(deps: ReconcileDeps): Part {
  const stop = new AbortController()
  let failure: string | undefined = 'has not looked yet'
  let loops: Promise<unknown> = Promise.resolve()

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
    }
  }
  const events = async (): Promise<void> => {
    const soon = createDebounce(SETTLE_MS, (app) => refresh(deps, app))
    const labels = { [LABELS.server]: deps.serverId }
    for await (const event of deps.runtime.events(labels, stop.signal)) {
      await onEvent(deps, event, { look, soon })
    }
  }
  return {
    name: 'reconciler',
    start: async () => {
      await removeLostOneOffs(deps).catch((error: unknown) =>
        deps.log.warn({ err: error }, 'could not look for one-offs of before'),
      )
      await look()
      loops = Promise.allSettled([timer(), events()])
    },
    stop: async () => {
      stop.abort()
      await loops
    },
    state: () => (failure === undefined ? { ok: true } : { ok: false, detail: failure }),
  }
}

async function onEvent(
  deps: ReconcileDeps,
  event: EngineEvent,
  act: { look(): Promise<void>; soon(app: string): void },
): Promise<void> {
  if (event.type === 'connected') {
    // The engine was away: whatever happened meanwhile is not told again.
    deps.networks.forget()
    await act.look()
    return
  }
  const app = event.labels?.[LABELS.app]
  if (app && event.labels?.[LABELS.kind] === 'instance') act.soon(app)
}

/** Calls for one key within `ms` become one, of different keys side by side. */
function createDebounce(ms: number, work: (key: string) => Promise<void>): (key: string) => void {
  const waiting = new Set<string>()
  return (key) => {
    if (waiting.has(key)) return
    waiting.add(key)
    setTimeout(() => {
      waiting.delete(key)
      void work(key)
    }, ms).unref()
  }
}

/** An instance came or went: send requests only where something runs, and repair. */
async function refresh(deps: ReconcileDeps, appId: string): Promise<void> {
  try {
    await repair(deps, appId, await observeApp(deps, appId), AbortSignal.timeout(60_000))
  } catch (error) {
    deps.log.warn({ err: error, app: appId }, 'could not look at an app after an event')
  }
}

/** Look at everything once. */
async function sweep(deps: ReconcileDeps, signal: AbortSignal): Promise<void> {
  const byApp = await observeAll(deps)
  await deps.routesReady(signal)
  const apps = allApps(deps.db)
  for (const { id } of apps) {
    const found = byApp.get(id) ?? []
    writeDown(deps, id, found)
    await repair(deps, id, found, signal)
  }
  const known = new Set(apps.map(({ id }) => id))
  for (const [id, list] of byApp) {
    if (known.has(id)) continue
    deps.log.warn({ app: id, instances: list.length }, 'removing instances of an app that is gone')
    await retire(deps, list, { drainMs: 0, signal })
  }
  for (const id of await deps.router.listLive()) {
    if (!known.has(id)) await deps.router.removeLive(id)
  }
}

/** A job that changes the app looks at it itself; two hands at once would undo each other's work. */
async function repair(
  deps: ReconcileDeps,
  appId: string,
  found: readonly Instance[],
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted()
  const app = appById(deps.db, appId)
  if (app?.state !== 'active') return
  if (hasOpenJob(deps.db, { kinds: CHANGING_JOBS, key: appId })) return
  await refreshLive(deps, appId, found)
  if (stepsFor(deps, app, found).length === 0) return
  deps.log.info({ app: appId }, 'what runs is not what is wanted')
  requestConverge(deps.db, appId, deps.clock())
  deps.wake()
}
