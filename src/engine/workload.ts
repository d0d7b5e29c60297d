/**
 * @module
 * What a process of a release becomes for the runtime: one workload an instance. Pure.
 */
import type { Release } from '../core/releases.ts'
import { HeliosError, show } from '../lib/errors.ts'
import type { ProcessSpec } from '../manifest/types.ts'
import type { WorkloadSpec } from '../runtime/types.ts'
import { instanceLabels } from './labels.ts'

/** The port of a process that names none. */
const DEFAULT_PORT = 8080

/** The process that visitors reach. */
export const WEB = 'web'

/** What one instance is made from. */
export type Placing = {
  server: string
  network: string
  release: Pick<Release, 'appId' | 'number' | 'image' | 'spec' | 'env'>
  rollout: string
  process: string
  index: number
}

/** The port a process listens on; undefined for one that takes no requests. */
export function portOf(process: string, spec: Pick<ProcessSpec, 'port'>): number | undefined {
  return spec.port ?? (process === WEB ? DEFAULT_PORT : undefined)
}

/** The name of an instance: ids and numbers only, the same at each try. */
export function instanceName(
  placing: Pick<Placing, 'release' | 'rollout' | 'process' | 'index'>,
): string {
  const names = Object.keys(placing.release.spec.processes).sort()
  return `helios-${placing.rollout}-${names.indexOf(placing.process)}-${placing.index}`
}

/** The workload of one instance. @throws {HeliosError} no_process */
export function workloadOf(placing: Placing): Omit<WorkloadSpec, 'address'> {
  const { release, process } = placing
  const spec = processOf(release, process)
  return {
    name: instanceName(placing),
    image: release.image,
    ...(spec.command === undefined ? {} : { command: spec.command }),
    env: envOf(release, process),
    labels: instanceLabels(placing.server, {
      app: release.appId,
      rollout: placing.rollout,
      release: release.number,
      process,
      index: placing.index,
    }),
    network: placing.network,
    memoryBytes: spec.memoryBytes,
    cpus: spec.cpus,
    stopSignal: spec.stop.signal,
    stopGraceMs: spec.stop.graceMs,
    restart: 'always',
  }
}

/** The environment of a process: the manifest's, then the config vars, then what Helios says. */
export function envOf(
  release: Pick<Release, 'number' | 'spec' | 'env'>,
  process: string,
): Record<string, string> {
  const port = portOf(process, release.spec.processes[process] ?? {}) ?? DEFAULT_PORT
  return {
    ...release.spec.env,
    ...release.env,
    PORT: String(port),
    HELIOS_RELEASE: `v${release.number}`,
    HELIOS_PROCESS: process,
  }
}

/** The spec of a process of a release. @throws {HeliosError} no_process */
export function processOf(release: Pick<Release, 'spec'>, process: string): ProcessSpec {
  const spec = release.spec.processes[process]
  if (spec) return spec
  throw new HeliosError('no_process', `The release has no process ${show(process)}`, {
    hint: `Its processes: ${Object.keys(release.spec.processes).join(', ')}`,
  })
}
