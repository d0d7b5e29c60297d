import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createEngineWorld, type EngineWorld } from '../../test/support/engine-world.ts'
import { deploymentOfJob } from '../core/deployments.ts'
import { endRollout, failRollout, ROLLOUT_JOB, rolloutById } from '../core/rollouts.ts'
import { HeliosError } from '../lib/errors.ts'
import { finish, type Job } from '../queue/store.ts'
import { rolloutJob } from './rollout.ts'

let world: EngineWorld
beforeEach(async () => {
  world = await createEngineWorld()
})
afterEach(() => world.close())

const never = new AbortController().signal
const stateOf = (of: { deployment: { id: string }; rollout: { id: string } }) => [
  deploymentOfJob(world.db, of.deployment.id)?.state,
  rolloutById(world.db, of.rollout.id)?.state,
]
const names = (): string[] => [...world.runtime.instances.values()].map(({ name }) => name)
const roll = async (signal = never, job = world.next(ROLLOUT_JOB)): Promise<void> => {
  try {
    await rolloutJob(world.deps, job as Job, signal)
  } finally {
    finish(world.db, job as Job, { state: 'done' }, Date.now())
  }
}

describe('a rollout', () => {
  test('is live once its instances are healthy', async () => {
    const first = world.release()
    await roll()
    expect(stateOf(first)).toEqual(['succeeded', 'live'])
    expect(world.live()).toMatchObject({ release: 'v1', addresses: [`127.99.0.2:${world.port}`] })
    expect(world.ended).toEqual([first.deployment.id])
    expect(world.settled).toEqual([expect.stringMatching(/^src_.* true$/)])
  })

  test('that is live is not undone by what fails or is cancelled after the switch', async () => {
    const first = world.release()
    const job = world.next(ROLLOUT_JOB)
    world.deps.sources.settle = () => Promise.reject(new HeliosError('internal', 'no git'))
    const cancel = new AbortController()
    world.deps.checkpoint = (step) => {
      if (step === 'rollout:promoted') cancel.abort('cancel')
    }
    await expect(roll(cancel.signal, job)).rejects.toThrow('no git')
    expect(stateOf(first)).toEqual(['succeeded', 'live'])
    expect(names()).toHaveLength(1)
    expect(world.live()?.addresses).toHaveLength(1)
  })

  test('that fails leaves what was live as it was', async () => {
    const first = world.release()
    await roll()
    await world.deafen()
    const second = world.release()
    await expect(roll()).rejects.toThrow('nothing listens')
    expect(stateOf(first)).toEqual(['succeeded', 'live'])
    expect(stateOf(second)).toEqual(['failed', 'failed'])
    expect(names()).toEqual([`helios-${first.rollout.id}-0-1`])
    expect(world.live()?.release).toBe('v1')
  })

  test('that failed is cleared away by the next try when the process ended in between', async () => {
    const first = world.release()
    const job = world.next(ROLLOUT_JOB)
    world.deps.checkpoint = (step) => {
      if (step === 'rollout:healthy') throw new HeliosError('HX10', 'a test ends it')
      if (step === 'rollout:failed') throw new Error('killed')
    }
    await expect(roll(never, job)).rejects.toThrow('killed')
    expect(stateOf(first)).toEqual(['failed', 'failed'])
    expect([names().length, world.ended, world.settled]).toEqual([1, [], []])
    world.deps.checkpoint = () => undefined
    await roll(never, job)
    expect([names(), world.ended]).toEqual([[], [first.deployment.id]])
    expect(world.settled).toEqual([expect.stringMatching(/ false$/)])
  })

  test('waits for an engine that is away, and comes back when it answers', async () => {
    const first = world.release()
    const away = new HeliosError('HP51', 'The engine did not answer')
    let asked = 0
    world.runtime.before.list = () => Promise.reject(away)
    world.runtime.before.ping = async () => {
      asked += 1
      if (asked < 2) throw away
    }
    const job = world.next(ROLLOUT_JOB)
    await expect(roll(never, job)).rejects.toBe(away)
    expect(stateOf(first)).toEqual(['queued', 'starting'])
    expect(world.said.slice(-2)).toEqual([
      'The engine does not answer: waiting for it',
      'The engine answers: going on',
    ])
    delete world.runtime.before.list
    await roll(never, job)
    expect(stateOf(first)).toEqual(['succeeded', 'live'])
  })

  test('that is cancelled while it waits for the engine ends at once', async () => {
    const first = world.release()
    const away = new HeliosError('HP51', 'The engine did not answer')
    world.runtime.before.list = () => Promise.reject(away)
    world.runtime.before.ping = () => Promise.reject(away)
    const cancel = new AbortController()
    setTimeout(() => cancel.abort('cancel'), 50)
    await expect(roll(cancel.signal)).rejects.toThrow('did not answer')
    expect(stateOf(first)).toEqual(['cancelled', 'failed'])
  })

  test('ends together with its deployment, and only while it starts', () => {
    const first = world.release()
    const fail = () => failRollout(world.db, first.rollout, { state: 'failed' }, 1)
    world.promote(first.rollout)
    expect(fail()).toBe(false)
    expect(stateOf(first)).toEqual(['succeeded', 'live'])
    endRollout(world.db, first.rollout.id, 'retired', 1)
    expect(fail()).toBe(false)
  })
})
