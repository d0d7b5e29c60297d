/**
 * @module
 * What has to be done so that what runs of an app is what is wanted. Pure: the same input gives the same steps.
 */
import type { Formation } from '../core/processes.ts'
import type { Release } from '../core/releases.ts'
import type { Rollout } from '../core/rollouts.ts'
import type { Instance } from '../runtime/types.ts'
import { identityOf } from './labels.ts'
import { instanceName } from './workload.ts'

/** A rollout that may have instances. */
export type ActiveRollout = {
  rollout: Pick<Rollout, 'id' | 'state'>
  release: Pick<Release, 'number' | 'spec' | 'appId' | 'image' | 'env'>
}

/** One instance that should be there. */
export type Slot = { active: ActiveRollout; process: string; index: number; name: string }

/** One thing to do. */
export type Step =
  | { do: 'create'; slot: Slot }
  | { do: 'start'; slot: Slot; id: string }
  | { do: 'retire'; instance: Instance; why: 'surplus' | 'over' }

/** The instances a rollout should have. */
export function slotsOf(active: ActiveRollout, formation: Formation): Slot[] {
  const { rollout, release } = active
  return Object.keys(release.spec.processes)
    .sort()
    .flatMap((process) =>
      Array.from({ length: formation[process] ?? 0 }, (_, i) => {
        const index = i + 1
        const name = instanceName({ release, rollout: rollout.id, process, index })
        return { active, process, index, name }
      }),
    )
}

/**
 * Steps for one app: instances of the rollout to raise are made and started, those beyond the formation
 * retired; the other active rollouts are left alone; what belongs to none of them is removed.
 */
export function planApp(input: {
  active: readonly ActiveRollout[]
  /** Id of the rollout that is to have its whole formation. */
  raise: string | undefined
  formation: Formation
  actual: readonly Instance[]
}): Step[] {
  const raised = input.active.find(({ rollout }) => rollout.id === input.raise)
  const slots = raised ? slotsOf(raised, input.formation) : []
  const byName = new Map(input.actual.map((instance) => [instance.name, instance]))
  const wanted = new Set(slots.map(({ name }) => name))
  const known = new Set(input.active.map(({ rollout }) => rollout.id))
  const up = slots.flatMap((slot) => raise(slot, byName.get(slot.name)))
  const down = input.actual.flatMap((instance): Step[] => {
    const rollout = identityOf(instance.labels)?.rollout ?? ''
    if (!known.has(rollout)) return [{ do: 'retire', instance, why: 'over' }]
    if (rollout !== input.raise || wanted.has(instance.name)) return []
    return [{ do: 'retire', instance, why: 'surplus' }]
  })
  return [...up, ...down]
}

function raise(slot: Slot, instance: Instance | undefined): Step[] {
  if (instance === undefined) return [{ do: 'create', slot }]
  // `restarting` is the engine's own back-off at work.
  if (instance.state === 'running' || instance.state === 'restarting') return []
  return [{ do: 'start', slot, id: instance.id }]
}
