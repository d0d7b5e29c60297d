/**
 * @module
 * What runs of an app now, asked of the engine and written down for everyone who only wants to look.
 */
import { appById } from '../core/apps.ts'
import { recordInstances, type SeenInstance } from '../core/instances.ts'
import { activeRollouts } from '../core/rollouts.ts'
import type { Instance } from '../runtime/types.ts'
import type { EngineDeps } from './deps.ts'
import { identityOf, LABELS } from './labels.ts'

type Deps = Pick<EngineDeps, 'db' | 'clock' | 'runtime' | 'serverId'>

/** Every instance of an app, in any state; also written down. */
export async function observeApp(deps: Deps, appId: string): Promise<Instance[]> {
  const found = await listApp(deps, appId)
  writeDown(deps, appId, found)
  return found
}

/** Every instance of an app, in any state. */
export function listApp(
  deps: Pick<Deps, 'runtime' | 'serverId'>,
  appId: string,
): Promise<Instance[]> {
  return deps.runtime.listInstances({
    [LABELS.server]: deps.serverId,
    [LABELS.kind]: 'instance',
    [LABELS.app]: appId,
  })
}

/** Every instance of this server, by app. */
export async function observeAll(deps: Deps): Promise<Map<string, Instance[]>> {
  const found = await deps.runtime.listInstances({
    [LABELS.server]: deps.serverId,
    [LABELS.kind]: 'instance',
  })
  const byApp = new Map<string, Instance[]>()
  for (const instance of found) {
    const app = identityOf(instance.labels)?.app ?? ''
    byApp.set(app, [...(byApp.get(app) ?? []), instance])
  }
  return byApp
}

/** Write down what was seen of an app. */
export function writeDown(
  deps: Pick<Deps, 'db' | 'clock'>,
  appId: string,
  found: readonly Instance[],
): void {
  // It may have gone while the engine was asked.
  if (!appById(deps.db, appId)) return
  const proven = new Set(
    activeRollouts(deps.db, appId)
      .filter(({ rollout }) => rollout.state !== 'starting')
      .map(({ rollout }) => rollout.id),
  )
  const seenAt = deps.clock()
  const seen = found.flatMap((instance): SeenInstance[] => {
    const who = identityOf(instance.labels)
    if (!who) return []
    const running = instance.state === 'running'
    return [
      {
        id: instance.id,
        appId,
        rolloutId: who.rollout,
        release: who.release,
        process: who.process,
        index: who.index,
        state: instance.state,
        healthy: running && proven.has(who.rollout),
        address: instance.address ?? null,
        startedAt: instance.startedAt ? Date.parse(instance.startedAt) : null,
        restarts: instance.restarts,
        exitCode: instance.exitCode ?? null,
        oomKilled: instance.oomKilled,
        memoryBytes: instance.memoryBytes,
        seenAt,
      },
    ]
  })
  recordInstances(deps.db, appId, seen)
}
