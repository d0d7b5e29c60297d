import { afterEach, beforeEach, expect, test } from 'vitest'
import { createEngineWorld, type EngineWorld } from '../../test/support/engine-world.ts'
import { addressHolders, instanceAddress } from '../core/subnets.ts'
import { HeliosError } from '../lib/errors.ts'
import type { Attached, WorkloadSpec } from '../runtime/types.ts'
import { removeOneOffs, runOneOff } from './one-off.ts'

let world: EngineWorld
let specs: WorkloadSpec[]
beforeEach(async () => {
  world = await createEngineWorld()
  specs = []
  world.runtime.attach = async (spec, _, signal) => {
    specs.push(spec)
    const id = await world.runtime.createInstance(spec, signal)
    return { id, wait: async () => 7 } as unknown as Attached
  }
})
afterEach(() => world.close())

const never = new AbortController().signal
const start = () => {
  const app = world.appNow()
  if (!app) throw new Error('no app')
  return runOneOff(world.deps, { app, command: ['ls'] }, never)
}
/** Make the app's first release live, whose instance is not there at the moment. */
const live = (): string => {
  const { rollout } = world.release()
  world.promote(rollout)
  return `helios-${rollout.id}-0-1`
}

test('needs a release', async () => {
  await expect(start()).rejects.toMatchObject({ code: 'HX14' })
})

test('has an address that no instance has, as long as it runs', async () => {
  const instance = live()
  await world.deps.networks.ensure(world.app.teamId)
  const taken = instanceAddress(world.db, world.app.teamId, instance)
  const attached = await start()
  expect(specs[0]).toMatchObject({ command: ['ls'], restart: 'never' })
  expect(specs[0]?.address).toMatch(/^127\.99\.0\.\d+$/)
  expect(specs[0]?.address).not.toBe(taken)
  expect(await attached.wait(never)).toBe(7)
  expect(world.runtime.instances.size).toBe(0)
  expect(addressHolders(world.db)).toEqual([instance])
})

test('gives its address back when it cannot start', async () => {
  live()
  world.runtime.attach = () => Promise.reject(new HeliosError('engine_error', 'no'))
  await expect(start()).rejects.toThrow('no')
  expect(addressHolders(world.db)).toEqual([])
})

test('goes with its app, or with the start of a server, unless it is younger', async () => {
  live()
  const before = Date.now() - 1
  await start()
  await removeOneOffs(world.deps, { before })
  expect(world.runtime.instances.size).toBe(1)
  await removeOneOffs(world.deps, { app: 'app_other' })
  expect(world.runtime.instances.size).toBe(1)
  await removeOneOffs(world.deps, { app: world.app.id })
  expect(world.runtime.instances.size).toBe(0)
  await start()
  await removeOneOffs(world.deps, { before: Date.now() + 1 })
  expect([world.runtime.instances.size, addressHolders(world.db)]).toEqual([0, []])
})
