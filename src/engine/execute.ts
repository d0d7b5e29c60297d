/**
 * @module
 * Do the steps of a plan: raise instances, point the router to them, retire others.
 */
import { type App, appById } from '../core/apps.ts'
import { releaseById } from '../core/releases.ts'
import { activeRollouts, rolloutById } from '../core/rollouts.ts'
import { instanceAddress, releaseAddress } from '../core/subnets.ts'
import { withDeadline } from '../lib/async.ts'
import { HeliosError } from '../lib/errors.ts'
import type { Instance } from '../runtime/types.ts'
import type { EngineDeps } from './deps.ts'
import { type Gate, waitHealthy } from './health.ts'
import { identityOf } from './labels.ts'
import type { createNetworks } from './network.ts'
import { isProven, observeApp, startOf } from './observe.ts'
import type { Slot, Step } from './plan.ts'
import { liveState } from './routes.ts'
import type { Turns } from './turns.ts'
import { portOf, processOf, workloadOf } from './workload.ts'

/** What steps are done with. */
export type Hands = Pick<
  EngineDeps,
  | 'db'
  | 'clock'
  | 'log'
  | 'serverId'
  | 'runtime'
  | 'router'
  | 'flushLogs'
  | 'checkpoint'
  | 'subnetPool'
> & { networks: ReturnType<typeof createNetworks>; turns: Turns }

/** Instances raised at once; the engine does little more side by side. */
const AT_ONCE = 4

/** Create and start what the steps say; none of it takes traffic before {@link gate} let it. */
export async function raise(
  hands: Hands,
  app: App,
  steps: readonly Step[],
  signal: AbortSignal,
): Promise<void> {
  const slots = steps.filter((step) => step.do !== 'retire')
  if (slots.length === 0) return
  const network = await hands.networks.ensure(app.teamId)
  await inBatches(slots, async ({ slot, ...step }) => {
    signal.throwIfAborted()
    const address = instanceAddress(hands.db, app.teamId, slot.name)
    const at = { network, address }
    hands.turns.proven.delete(slot.name)
    if (step.do === 'start') return await startAgain(hands, app, { slot, id: step.id, at }, signal)
    const id = await create(hands, slot, at, signal)
    hands.checkpoint('instance:created')
    await hands.runtime.startInstance(id)
    hands.checkpoint('instance:started')
  })
}

type Stopped = { slot: Slot; id: string; at: { network: string; address: string } }

/** What an instance was made with may be gone, as its network after a prune: then it is made anew. */
async function startAgain(
  hands: Hands,
  app: App,
  { slot, id, at }: Stopped,
  signal: AbortSignal,
): Promise<void> {
  try {
    await hands.runtime.startInstance(id)
  } catch (error) {
    if (!(error instanceof HeliosError && error.code === 'engine_error')) throw error
    hands.log.warn(
      { err: error, instance: slot.name },
      'could not start an instance, making it anew',
    )
    hands.networks.forget()
    await hands.networks.ensure(app.teamId)
    await hands.runtime.removeInstance(id)
    await hands.runtime.startInstance(await create(hands, slot, at, signal))
  }
}

function create(
  hands: Hands,
  slot: Slot,
  at: { network: string; address: string },
  signal: AbortSignal,
): Promise<string> {
  const { active, process, index } = slot
  const workload = workloadOf({
    server: hands.serverId,
    network: at.network,
    release: active.release,
    rollout: active.rollout.id,
    process,
    index,
  })
  return hands.runtime.createInstance({ ...workload, address: at.address }, signal)
}

/** Wait until these slots are healthy; from then on they may take traffic. Crashes that `before` shows are forgiven. @throws {HeliosError} what waitHealthy throws, of the first that is not */
export async function gate(
  hands: Hands,
  app: App,
  slots: readonly Slot[],
  signal: AbortSignal,
  before: readonly Instance[] = [],
): Promise<void> {
  const stop = new AbortController()
  const both = AbortSignal.any([signal, stop.signal])
  const waits = slots.map(async (slot) => {
    const restarts = before.find(({ name }) => name === slot.name)?.restarts ?? 0
    await waitHealthy(hands, { ...gateOf(hands, app, slot), restarts }, both)
    const instance = await hands.runtime.inspectInstance(slot.name)
    const startedAt = instance ? startOf(instance) : null
    if (startedAt !== null) hands.turns.proven.set(slot.name, startedAt)
  })
  try {
    await Promise.all(waits)
  } finally {
    stop.abort()
    await Promise.allSettled(waits)
  }
}

function gateOf(hands: Hands, app: App, slot: Slot): Gate {
  const spec = processOf(slot.active.release, slot.process)
  const port = portOf(slot.process, spec)
  return {
    id: slot.name,
    shown: `${slot.process}.${slot.index}`,
    address: instanceAddress(hands.db, app.teamId, slot.name),
    ...(port === undefined ? {} : { port }),
    health: spec.health,
  }
}

/** Point the router to what runs of a rollout; gives the addresses. */
export async function pointRouter(
  hands: Hands,
  app: App,
  rolloutId: string,
  actual: readonly Instance[],
): Promise<string[]> {
  const active = activeRollouts(hands.db, app.id).find(({ rollout }) => rollout.id === rolloutId)
  if (!active) throw new HeliosError('internal', `The rollout ${rolloutId} is not active`)
  const state = liveState(active, actual, {
    isProven: (instance) => isProven(hands, instance),
    addressOf: (name) => instanceAddress(hands.db, app.teamId, name),
  })
  await hands.router.setLive(state)
  return state.addresses
}

/** Point the router to the live rollout of an app, or to nothing. */
export async function refreshLive(
  hands: Hands,
  appId: string,
  actual?: readonly Instance[],
): Promise<void> {
  const app = appById(hands.db, appId)
  if (app?.state !== 'active') return
  const found = actual ?? (await observeApp(hands, appId))
  if (app.liveRolloutId) await pointRouter(hands, app, app.liveRolloutId, found)
  else await hands.router.setLive({ app: appId, release: 'none', addresses: [] })
}

/**
 * Take instances away: no new request reaches them, those in flight end (at most `drainMs`), then
 * the stop signal, the grace, and the removal. Gives the names of those that had to be killed.
 */
export async function retire(
  hands: Hands,
  list: readonly Instance[],
  opts: { drainMs: number; signal: AbortSignal },
): Promise<string[]> {
  if (list.length === 0) return []
  const addresses = list.flatMap((instance) => addressesOf(hands, instance))
  if (opts.drainMs > 0 && addresses.length > 0) {
    await hands.router.drain(addresses, opts.drainMs, opts.signal).catch((error: unknown) => {
      opts.signal.throwIfAborted()
      // A router that does not answer sends nothing either.
      hands.log.warn({ err: error }, 'could not watch the draining')
    })
  }
  hands.checkpoint('drain:drained')
  const killed: string[] = []
  await inBatches(list, async (instance) => {
    opts.signal.throwIfAborted()
    if (await takeAway(hands, instance, opts.signal)) killed.push(instance.name)
  })
  return killed
}

async function takeAway(hands: Hands, instance: Instance, signal: AbortSignal): Promise<boolean> {
  // The engine goes on with a stop that nobody waits for.
  const stopped = hands.runtime.stopInstance(instance.id, graceOf(hands, instance))
  const result = await withDeadline(stopped, signal)
  hands.checkpoint('drain:stopped')
  await hands.flushLogs(instance.id, 5000)
  await hands.runtime.removeInstance(instance.id)
  releaseAddress(hands.db, instance.name)
  hands.turns.proven.delete(instance.name)
  hands.checkpoint('drain:removed')
  return result.killed
}

function releaseSpec(hands: Hands, instance: Instance) {
  const who = identityOf(instance.labels)
  const rollout = who && rolloutById(hands.db, who.rollout)
  const release = rollout && releaseById(hands.db, rollout.releaseId)
  return who && release?.spec.processes[who.process]
}

/** Of instances whose release is not known. */
const DEFAULT_GRACE_MS = 10_000

function graceOf(hands: Hands, instance: Instance): number {
  return releaseSpec(hands, instance)?.stop.graceMs ?? DEFAULT_GRACE_MS
}

function addressesOf(hands: Hands, instance: Instance): string[] {
  const who = identityOf(instance.labels)
  const spec = releaseSpec(hands, instance)
  const port = who && spec && portOf(who.process, spec)
  return instance.address && port ? [`${instance.address}:${port}`] : []
}

/** Do work for each, a few at once; the first failure is thrown when all that began have ended. */
async function inBatches<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items]
  const failures: unknown[] = []
  const lane = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) {
      try {
        await work(item)
      } catch (error) {
        failures.push(error)
        left.length = 0
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, lane))
  if (failures.length > 0) throw failures[0]
}
