/**
 * @module
 * Instances as containers: create, start, stop, remove, look at.
 */
import type Docker from 'dockerode'
import type { ContainerInspectInfo } from 'dockerode'
import { mapBounded } from '../../lib/async.ts'
import type { Instance, WorkloadSpec } from '../types.ts'
import { engineCall, engineStatus } from './engine-call.ts'
import { createBody, stopSeconds } from './spec.ts'

/** What a stop may take beyond the grace. */
const STOP_SLACK_MS = 30_000
const INSPECTS_AT_ONCE = 16

/** Create without starting; the container that already has the name is given back instead, if it has the same labels. */
export async function createContainer(
  docker: Docker,
  spec: WorkloadSpec,
  signal: AbortSignal,
): Promise<string> {
  const body = createBody(spec)
  try {
    const made = await engineCall(
      `create the instance ${spec.name}`,
      (abortSignal) => docker.createContainer({ ...body, abortSignal }),
      { signal },
    )
    return made.id
  } catch (error) {
    if (engineStatus(error) !== 409) throw error
    const existing = await inspectContainer(docker, spec.name)
    // Labels say whose a container is; a name alone says nothing.
    const labels = Object.entries(spec.labels)
    if (existing && labels.every(([key, value]) => existing.labels[key] === value)) {
      return existing.id
    }
    throw error
  }
}

/** Start a container; one that runs already is fine. */
export async function startContainer(docker: Docker, id: string): Promise<void> {
  await unless([304], () =>
    engineCall(`start the instance ${id}`, (abortSignal) =>
      docker.getContainer(id).start({ abortSignal }),
    ),
  )
}

/** Send the stop signal, wait the grace, kill; gives whether it came to the kill. */
export async function stopContainer(
  docker: Docker,
  id: string,
  graceMs: number,
): Promise<{ killed: boolean }> {
  const t = stopSeconds(graceMs)
  const began = performance.now()
  const stopped = await unless([304, 404], () =>
    engineCall(
      `stop the instance ${id}`,
      (abortSignal) => docker.getContainer(id).stop({ t, abortSignal }),
      { ms: t * 1000 + STOP_SLACK_MS },
    ),
  )
  if (!stopped || performance.now() - began < t * 1000) return { killed: false }
  const after = await inspectContainer(docker, id)
  return { killed: after?.exitCode === 137 && !after.oomKilled }
}

/** Remove a container in any state together with its anonymous volumes; one that is gone is fine. */
export async function removeContainer(docker: Docker, id: string): Promise<void> {
  // 409 with an existing container means that its removal is under way already.
  await unless([404, 409], () =>
    engineCall(`remove the instance ${id}`, (abortSignal) =>
      docker.getContainer(id).remove({ force: true, v: true, abortSignal }),
    ),
  )
}

/** One container by id or name; undefined when there is none. */
export async function inspectContainer(docker: Docker, id: string): Promise<Instance | undefined> {
  try {
    const info = await engineCall(`inspect the instance ${id}`, (abortSignal) =>
      docker.getContainer(id).inspect({ abortSignal }),
    )
    return instanceOf(info)
  } catch (error) {
    if (engineStatus(error) === 404) return undefined
    throw error
  }
}

/** Every container, in any state, that carries all these labels. */
export async function listContainers(
  docker: Docker,
  labels: Record<string, string>,
): Promise<Instance[]> {
  const label = Object.entries(labels).map(([key, value]) => `${key}=${value}`)
  const found = await engineCall('list instances', (abortSignal) =>
    docker.listContainers({ all: true, filters: { label }, abortSignal }),
  )
  const instances = await mapBounded(found, INSPECTS_AT_ONCE, ({ Id }) =>
    inspectContainer(docker, Id),
  )
  // One that went away in between is no instance any more.
  return instances.filter((instance) => instance !== undefined)
}

/** Translate what the engine says about a container. */
function instanceOf(info: ContainerInspectInfo): Instance {
  const { State } = info
  const state = stateOf(State)
  const running = state === 'running'
  const address = running
    ? Object.values(info.NetworkSettings.Networks).find((n) => n.IPAddress !== '')?.IPAddress
    : undefined
  const ended = state === 'exited' || state === 'restarting'
  return {
    id: info.Id,
    name: info.Name.replace(/^\//, ''),
    labels: info.Config.Labels ?? {},
    image: info.Image,
    state,
    ...(address === undefined ? {} : { address }),
    ...(running && State.Pid > 0 ? { pid: State.Pid } : {}),
    createdAt: info.Created,
    ...timeOf('startedAt', State.StartedAt),
    ...timeOf('finishedAt', State.FinishedAt),
    ...(ended ? { exitCode: State.ExitCode } : {}),
    oomKilled: State.OOMKilled,
    restarts: info.RestartCount,
    memoryBytes: info.HostConfig.Memory ?? 0,
  }
}

function stateOf(state: ContainerInspectInfo['State']): Instance['state'] {
  if (state.Restarting) return 'restarting'
  if (state.Running) return 'running'
  return state.Status === 'created' ? 'created' : 'exited'
}

// The engine writes the year 1 for "never".
function timeOf<K extends 'startedAt' | 'finishedAt'>(key: K, at: string): { [P in K]?: string } {
  return at === '' || at.startsWith('0001-') ? {} : ({ [key]: at } as { [P in K]?: string })
}

async function unless(statuses: number[], call: () => Promise<unknown>): Promise<boolean> {
  try {
    await call()
    return true
  } catch (error) {
    if (statuses.includes(engineStatus(error) ?? 0)) return false
    throw error
  }
}
