import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createEngineWorld, type EngineWorld } from '../../test/support/engine-world.ts'
import { appById, DESTROY_JOB, destroyApp } from '../core/apps.ts'
import { cancelDeployment, deploymentOfJob, setDeploymentState } from '../core/deployments.ts'
import { seenInstances } from '../core/instances.ts'
import { CONVERGE_JOB, requestConverge, scaleProcesses } from '../core/processes.ts'
import { liveRelease } from '../core/releases.ts'
import { DRAIN_JOB, ROLLOUT_JOB, rolloutById } from '../core/rollouts.ts'
import { addressHolders, instanceAddress } from '../core/subnets.ts'
import { until } from '../lib/async.ts'
import { HeliosError } from '../lib/errors.ts'
import { newId } from '../lib/ids.ts'
import type { Part } from '../lib/lifecycle.ts'
import { finish, hasOpenJob, type Job } from '../queue/store.ts'
import { convergeJob, destroyJob } from './converge.ts'
import { instanceLabels } from './labels.ts'
import { createReconciler } from './reconcile.ts'
import { drainJob, rolloutJob } from './rollout.ts'

let world: EngineWorld
let reconciler: Part | undefined
beforeEach(async () => {
  world = await createEngineWorld()
})
afterEach(async () => {
  await reconciler?.stop(never)
  reconciler = undefined
  await world.close()
})

const never = new AbortController().signal
const soon = <T>(probe: () => T | undefined): Promise<T> =>
  until(probe, { everyMs: 5, signal: AbortSignal.timeout(10_000) })
const reconcile = async (everyMs = 60_000): Promise<void> => {
  reconciler = createReconciler({ ...world.deps, everyMs })
  await reconciler.start(never)
}
const RUN = {
  [ROLLOUT_JOB]: rolloutJob,
  [DRAIN_JOB]: drainJob,
  [CONVERGE_JOB]: convergeJob,
  [DESTROY_JOB]: destroyJob,
}
/** Do the next job of a kind as the worker does. */
const work = async (kind: keyof typeof RUN): Promise<void> => {
  const job = world.next(kind) as Job
  const run = () => RUN[kind](world.deps, job, never)
  const changes = kind === CONVERGE_JOB || kind === DESTROY_JOB
  try {
    await (changes ? world.deps.turns.change(world.app.id, run) : run())
  } finally {
    finish(world.db, job, { state: 'done' }, Date.now())
  }
}
const scale = (web: number): void => {
  const app = appById(world.db, world.app.id) ?? world.app
  const release = liveRelease(world.db, app)
  if (release) scaleProcesses(world.db, app, { wanted: { web }, release, now: Date.now() })
}
const names = (): string[] => [...world.runtime.instances.values()].map(({ name }) => name)
const open = (kind: string, key = world.app.id): boolean =>
  hasOpenJob(world.db, { kinds: [kind], key })

describe('the reconciler', () => {
  test('does not go by a list that is older than a switch', async () => {
    world.release()
    await work(ROLLOUT_JOB)
    let lists = 0
    world.runtime.before.list = async () => {
      lists += 1
      // The second is that of all instances: while it is under way, a whole deploy happens.
      if (lists !== 2) return
      delete world.runtime.before.list
      world.release()
      await work(ROLLOUT_JOB)
      await work(DRAIN_JOB)
    }
    await reconcile()
    expect(lists).toBe(2)
    expect(world.live()).toMatchObject({ release: 'v2', addresses: [`127.99.0.3:${world.port}`] })
    expect(open(CONVERGE_JOB)).toBe(false)
  })

  test('does not go by a list that is older than a change of scale', async () => {
    world.release()
    await work(ROLLOUT_JOB)
    scale(2)
    let lists = 0
    world.runtime.before.list = async () => {
      lists += 1
      if (lists !== 2) return
      delete world.runtime.before.list
      await work(CONVERGE_JOB)
    }
    await reconcile()
    expect(world.live()?.addresses).toHaveLength(2)
  })

  test('has an instance started that ended, and leaves it out until it is healthy', async () => {
    world.release()
    await work(ROLLOUT_JOB)
    scale(2)
    await work(CONVERGE_JOB)
    await reconcile()
    const [id, instance] = [...world.runtime.instances][1] ?? []
    if (!id || !instance) throw new Error('no second instance')
    world.runtime.instances.set(id, { ...instance, state: 'exited' })
    world.runtime.emit({ type: 'die', id, labels: instance.labels })
    await soon(() => (open(CONVERGE_JOB) ? true : undefined))
    expect(world.live()?.addresses).toEqual([`127.99.0.2:${world.port}`])
    const counts: number[] = []
    world.runtime.before.start = async () => {
      counts.push(world.live()?.addresses.length ?? 0)
    }
    await work(CONVERGE_JOB)
    expect(counts).toEqual([1])
    expect(world.live()?.addresses).toHaveLength(2)
  })

  test('leaves out an instance that the engine restarted until it is healthy, over a restart of its own', async () => {
    world.release()
    await work(ROLLOUT_JOB)
    scale(2)
    await work(CONVERGE_JOB)
    const [, [id, instance] = []] = world.runtime.instances
    if (!id || !instance) throw new Error('no second instance')
    // A process that begins knows only what was written down.
    world.deps.turns.proven.clear()
    const startedAt = new Date(0).toISOString()
    world.runtime.instances.set(id, { ...instance, startedAt, restarts: 1 })
    await reconcile()
    expect(world.live()?.addresses).toEqual([`127.99.0.2:${world.port}`])
    expect(seenInstances(world.db, [world.app.id]).map(({ healthy }) => healthy)).toEqual([
      true,
      false,
    ])
    await work(CONVERGE_JOB)
    expect(world.live()?.addresses).toHaveLength(2)
  })

  test('sends nothing to an instance that never became healthy, and tries again later', async () => {
    world.release()
    await work(ROLLOUT_JOB)
    await world.deafen()
    scale(2)
    await expect(work(CONVERGE_JOB)).rejects.toThrow('nothing listens')
    expect(names()).toHaveLength(2)
    expect(world.live()?.addresses).toEqual([`127.99.0.2:${world.port}`])
    await reconcile()
    expect(world.live()?.addresses).toEqual([`127.99.0.2:${world.port}`])
    // It failed a moment ago.
    expect(open(CONVERGE_JOB)).toBe(false)
  })

  test('makes an instance anew whose network is gone', async () => {
    world.release()
    await work(ROLLOUT_JOB)
    const [[id, instance] = []] = world.runtime.instances
    if (!id || !instance) throw new Error('no instance')
    world.runtime.instances.set(id, { ...instance, state: 'exited', createdAt: 'before' })
    let starts = 0
    world.runtime.before.start = async () => {
      starts += 1
      if (starts === 1) throw new HeliosError('engine_error', 'network not found')
    }
    await reconcile()
    await work(CONVERGE_JOB)
    expect(world.runtime.instances.get(id)).toMatchObject({ state: 'running' })
    expect(world.runtime.instances.get(id)?.createdAt).not.toBe('before')
  })

  test('removes what belongs to no rollout or no app, and gives back addresses of what is gone', async () => {
    world.release()
    await work(ROLLOUT_JOB)
    const lost = async (app: string, name: string): Promise<void> => {
      const labels = instanceLabels('srv', {
        app,
        rollout: newId('rol'),
        release: 1,
        process: 'web',
        index: 1,
      })
      const spec = { name, labels, memoryBytes: 1 } as Parameters<
        EngineWorld['runtime']['createInstance']
      >[0]
      await world.runtime.startInstance(await world.runtime.createInstance(spec, never))
    }
    await lost(newId('app'), 'of no app')
    await lost(world.app.id, 'of no rollout')
    instanceAddress(world.db, world.app.teamId, `helios-${newId('rol')}-0-1`)
    instanceAddress(world.db, world.app.teamId, `helios-${newId('one', 1000)}`)
    await reconcile()
    expect(names()).not.toContain('of no app')
    await work(CONVERGE_JOB)
    expect(names()).toEqual(addressHolders(world.db))
    expect(names()).toHaveLength(1)
  })

  test('gives everything that should be under way a job again, and an end to what has none', async () => {
    world.release()
    await work(ROLLOUT_JOB)
    const first = world.appNow()?.liveRolloutId ?? ''
    world.release()
    await work(ROLLOUT_JOB)
    const drain = world.next(DRAIN_JOB) as Job
    finish(world.db, drain, { state: 'failed', error: 'engine away', retry: false }, Date.now())
    const lost = world.release()
    finish(world.db, world.next(ROLLOUT_JOB) as Job, { state: 'done' }, Date.now() - 3_600_000)
    await reconcile()
    expect(deploymentOfJob(world.db, lost.deployment.id)).toMatchObject({
      state: 'failed',
      error: { code: 'internal' },
    })
    expect(world.ended).toContain(lost.deployment.id)
    await work(DRAIN_JOB)
    expect(rolloutById(world.db, first)?.state).toBe('retired')
    destroyApp(world.db, world.actor, 'shop', Date.now())
    const destroy = world.next(DESTROY_JOB) as Job
    finish(world.db, destroy, { state: 'failed', error: 'gave up', retry: false }, Date.now())
    world.runtime.emit({ type: 'connected' })
    await soon(() => (open(DESTROY_JOB) ? true : undefined))
    await work(DESTROY_JOB)
    expect([names(), world.live(), world.appNow()]).toEqual([[], undefined, undefined])
  })

  test('looks again after the engine was away, and says meanwhile that it could not', async () => {
    world.release()
    await work(ROLLOUT_JOB)
    world.runtime.before.list = () => Promise.reject(new HeliosError('HP51', 'engine away'))
    await reconcile()
    expect(reconciler?.state?.()).toEqual({ ok: false, detail: 'engine away' })
    delete world.runtime.before.list
    world.runtime.emit({ type: 'connected' })
    await soon(() => (reconciler?.state?.().ok ? true : undefined))
    expect(seenInstances(world.db, [world.app.id])).toHaveLength(1)
  })

  test('lets go of sources whose deployment is over, and of those nothing is made from', async () => {
    const [over, waiting] = [world.ask(), world.ask('restart')]
    setDeploymentState(world.db, over.id, { state: 'failed' }, 1)
    const nobodys = newId('src', Date.now() - 2 * 3_600_000)
    const coming = newId('src', Date.now() + 60_000)
    const kept = [waiting.sourceId, over.sourceId, nobodys, coming].map((id) => ({ id: id ?? '' }))
    world.deps.sources.kept = async () => kept
    await reconcile(20)
    await soon(() => (world.settled.length >= 4 ? true : undefined))
    expect(new Set(world.settled)).toEqual(
      new Set([`${over.sourceId} false`, `${nobodys} dropped`]),
    )
    expect(world.ended).toContain(over.id)
  })
})

test('a rollout that waits for its next try can be cancelled, and what it left goes', async () => {
  const { deployment, rollout } = world.release()
  world.runtime.before.start = () => Promise.reject(new HeliosError('HP51', 'engine away'))
  const job = world.next(ROLLOUT_JOB) as Job
  await expect(rolloutJob(world.deps, job, never)).rejects.toThrow('engine away')
  finish(world.db, job, { state: 'failed', error: 'engine away', retry: true }, Date.now())
  cancelDeployment(world.db, deployment, Date.now())
  expect(deploymentOfJob(world.db, deployment.id)?.state).toBe('cancelled')
  expect(rolloutById(world.db, rollout.id)?.state).toBe('failed')
  expect(names()).toHaveLength(1)
  await work(CONVERGE_JOB)
  expect(names()).toEqual([])
  requestConverge(world.db, world.app.id, Date.now())
  await work(CONVERGE_JOB)
})
