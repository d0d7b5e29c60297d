import { describe, expect, test } from 'vitest'
import { defaultProcess, defaultSpec } from '../manifest/defaults.ts'
import type { Instance } from '../runtime/types.ts'
import { identityOf, instanceLabels } from './labels.ts'
import { type ActiveRollout, planApp, slotsOf } from './plan.ts'
import { liveState, routeTable } from './routes.ts'
import { envOf, portOf, processOf, workloadOf } from './workload.ts'

const release = (number: number, processes = ['web']) => ({
  appId: 'app_1',
  number,
  image: `helios/${number}`,
  env: { A: 'cli', PORT: '1' },
  spec: {
    ...defaultSpec(),
    env: { A: 'file', B: 'file' },
    processes: Object.fromEntries(processes.map((name) => [name, defaultProcess(name)])),
  },
})
const active = (
  id: string,
  state: ActiveRollout['rollout']['state'],
  more: Partial<{ number: number; processes: string[] }> = {},
): ActiveRollout => ({
  rollout: { id, state },
  release: release(more.number ?? 1, more.processes),
})
const instance = (
  of: ActiveRollout,
  process: string,
  index: number,
  more: Partial<Instance> = {},
) =>
  ({
    id: `${of.rollout.id}/${process}.${index}`,
    name: slotsOf(of, { [process]: index }).at(-1)?.name ?? '',
    labels: instanceLabels('srv_1', {
      app: 'app_1',
      rollout: of.rollout.id,
      release: of.release.number,
      process,
      index,
    }),
    image: 'sha256:1',
    state: 'running',
    createdAt: '',
    oomKilled: false,
    restarts: 0,
    memoryBytes: 1,
    ...more,
  }) satisfies Instance

const shown = (steps: ReturnType<typeof planApp>): string[] =>
  steps.map((step) =>
    step.do === 'retire'
      ? `retire ${step.instance.id} ${step.why}`
      : `${step.do} ${step.slot.active.rollout.id}/${step.slot.process}.${step.slot.index}`,
  )

describe('a plan', () => {
  const live = active('rol_live', 'live', { processes: ['worker', 'web'] })
  const next = active('rol_next', 'starting', { number: 2 })
  const old = active('rol_old', 'draining', { number: 3 })
  const formation = { web: 2, worker: 1 }
  const plan = (raise: string | undefined, actual: Instance[], all = [live, next, old]) =>
    shown(planApp({ active: all, raise, formation, actual }))

  test('makes what is missing, in the order of the processes', () => {
    expect(plan('rol_live', [])).toEqual([
      'create rol_live/web.1',
      'create rol_live/web.2',
      'create rol_live/worker.1',
    ])
  })

  test('starts what is there and does not run, and leaves a restart to the engine', () => {
    const actual = [
      instance(live, 'web', 1, { state: 'exited' }),
      instance(live, 'web', 2, { state: 'restarting' }),
      instance(live, 'worker', 1, { state: 'created' }),
    ]
    expect(plan('rol_live', actual)).toEqual(['start rol_live/web.1', 'start rol_live/worker.1'])
  })

  test('retires the surplus of the raised rollout, and leaves other active ones alone', () => {
    const actual = [
      instance(live, 'web', 1),
      instance(live, 'web', 2),
      instance(live, 'web', 3),
      instance(live, 'worker', 1),
      instance(next, 'web', 1),
      instance(old, 'web', 1, { state: 'exited' }),
    ]
    expect(plan('rol_live', actual)).toEqual(['retire rol_live/web.3 surplus'])
  })

  test('removes what belongs to no active rollout', () => {
    const gone = active('rol_gone', 'retired')
    const foreign = { ...instance(gone, 'web', 1), labels: {} }
    expect(plan(undefined, [instance(gone, 'web', 1), foreign, instance(live, 'web', 1)])).toEqual([
      'retire rol_gone/web.1 over',
      'retire rol_gone/web.1 over',
    ])
  })

  test('has no steps when all is as wanted', () => {
    const actual = [instance(next, 'web', 1), instance(next, 'web', 2)]
    expect(plan('rol_next', actual)).toEqual([])
  })
})

describe('routes', () => {
  test('every active app has its default host, then its own', () => {
    const apps = [
      { id: 'app_1', name: 'shop', state: 'active' as const },
      { id: 'app_2', name: 'gone', state: 'destroying' as const },
    ]
    const domains = [
      { host: 'shop.example.com', appId: 'app_1' },
      { host: 'gone.example.com', appId: 'app_2' },
    ]
    expect(routeTable({ apps, domains, baseDomain: 'localhost' }).hosts).toEqual([
      { host: 'shop.localhost', app: 'app_1' },
      { host: 'shop.example.com', app: 'app_1' },
    ])
  })

  const live = active('rol_live', 'live')
  const at = (address: string) => ({ address })
  const addresses = (actual: Instance[], of = live) =>
    liveState(of, actual, {
      isProven: ({ state, name }) => state === 'running' && !name.endsWith('-9'),
      addressOf: () => '10.0.0.9',
    }).addresses

  test('requests go to running web instances of the live rollout only', () => {
    const other = active('rol_other', 'starting')
    const worker = active('rol_live', 'live', { processes: ['web', 'worker'] })
    expect(
      addresses([
        instance(live, 'web', 1, at('10.0.0.3')),
        instance(live, 'web', 2, at('10.0.0.2')),
        instance(live, 'web', 3, { state: 'restarting' }),
        instance(live, 'web', 9, at('10.0.0.8')),
        instance(other, 'web', 1, at('10.0.0.4')),
        instance(worker, 'worker', 1, at('10.0.0.5')),
      ]),
    ).toEqual(['10.0.0.2:8080', '10.0.0.3:8080'])
  })

  test('while none runs, they wait for the address of one that will again', () => {
    expect(addresses([instance(live, 'web', 1, { state: 'restarting' })])).toEqual([
      '10.0.0.9:8080',
    ])
    expect(addresses([])).toEqual([])
    expect(addresses([], active('rol_live', 'live', { processes: ['worker'] }))).toEqual([])
  })
})

describe('a workload', () => {
  const of = active('rol_live', 'live', { number: 7, processes: ['web', 'worker'] })
  const placing = { server: 'srv_1', network: 'n', release: of.release, rollout: 'rol_live' }

  test('has a name of ids, the labels and the config, and what Helios says wins', () => {
    const made = workloadOf({ ...placing, process: 'worker', index: 2 })
    expect(made).toMatchObject({
      name: 'helios-rol_live-1-2',
      image: 'helios/7',
      env: { A: 'cli', B: 'file', PORT: '8080', HELIOS_RELEASE: 'v7', HELIOS_PROCESS: 'worker' },
      restart: 'always',
      stopSignal: 'SIGTERM',
    })
    expect(identityOf(made.labels)).toEqual({
      app: 'app_1',
      rollout: 'rol_live',
      release: 7,
      process: 'worker',
      index: 2,
    })
    expect(made).not.toHaveProperty('command')
  })

  test('takes the command and the port of its process', () => {
    const web = of.release.spec.processes['web']
    const spec = {
      ...of.release.spec,
      processes: { web: { ...(web ?? defaultProcess('web')), command: ['a', 'b'], port: 3000 } },
    }
    const release7 = { ...of.release, spec }
    expect(workloadOf({ ...placing, release: release7, process: 'web', index: 1 }).command).toEqual(
      ['a', 'b'],
    )
    expect(envOf(release7, 'web')['PORT']).toBe('3000')
    expect(portOf('worker', {})).toBeUndefined()
    expect(() => processOf(release7, 'worker')).toThrow('no process "worker"')
  })

  test('labels of something else are no identity', () => {
    expect(identityOf({})).toBeUndefined()
    const run = { ...workloadOf({ ...placing, process: 'web', index: 1 }).labels }
    expect(identityOf({ ...run, 'helios.kind': 'run' })).toBeUndefined()
  })
})
