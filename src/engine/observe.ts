/**
 * @module
 * What runs of an app now, asked of the engine and written down for everyone who only wants to look.
 */
import { appById } from '../core/apps.ts'
import { recordInstances, type SeenInstance, seenInstances } from '../core/instances.ts'
import type { Instance } from '../runtime/types.ts'
import type { EngineDeps } from './deps.ts'
import { identityOf, LABELS } from './labels.ts'
import type { Turns } from './turns.ts'

type Deps = Pick<EngineDeps, 'db' | 'clock' | 'runtime' | 'serverId'> & {
  turns: Pick<Turns, 'proven'>
}

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
export async function observeAll(
  deps: Pick<Deps, 'runtime' | 'serverId'>,
): Promise<Map<string, Instance[]>> {
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

/** Tell whether an instance runs and has shown that it is healthy since it was started. */
export function isProven({ turns }: Pick<Deps, 'turns'>, instance: Instance): boolean {
  const startedAt = startOf(instance)
  return (
    instance.state === 'running' &&
    startedAt !== null &&
    turns.proven.get(instance.name) === startedAt
  )
}

/** When an instance was started last, in milliseconds; null before that. */
export function startOf({ startedAt }: Pick<Instance, 'startedAt'>): number | null {
  return startedAt === undefined ? null : Date.parse(startedAt)
}

/** Write down what was seen of an app. */
export function writeDown(
  deps: Pick<Deps, 'db' | 'clock' | 'turns'>,
  appId: string,
  found: readonly Instance[],
): void {
  // It may have gone while the engine was asked.
  if (!appById(deps.db, appId)) return
  trustRecords(deps, appId, found)
  const seenAt = deps.clock()
  const seen = found.flatMap((instance): SeenInstance[] => {
    const who = identityOf(instance.labels)
    if (!who) return []
    return [
      {
        id: instance.id,
        appId,
        rolloutId: who.rollout,
        release: who.release,
        process: who.process,
        index: who.index,
        state: instance.state,
        healthy: isProven(deps, instance),
        address: instance.address ?? null,
        startedAt: startOf(instance),
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

/** What a process before this one knew to be healthy is so, unless it was started anew. */
function trustRecords(
  deps: Pick<Deps, 'db' | 'turns'>,
  appId: string,
  found: readonly Instance[],
): void {
  const unknown = found.filter(({ name }) => !deps.turns.proven.has(name))
  if (unknown.length === 0) return
  const records = new Map(seenInstances(deps.db, [appId]).map((row) => [row.id, row]))
  for (const instance of unknown) {
    const record = records.get(instance.id)
    const startedAt = startOf(instance)
    if (record?.healthy && startedAt !== null && record.startedAt === startedAt) {
      deps.turns.proven.set(instance.name, startedAt)
    }
  }
}
