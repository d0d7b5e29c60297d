/**
 * @module
 * The one place that says what an instance may do: a workload becomes the body of a create call.
 */
import type { ContainerCreateOptions } from 'dockerode'
import { HeliosError, show } from '../../lib/errors.ts'
import type { WorkloadSpec } from '../types.ts'

const CAPABILITIES = [
  'CHOWN',
  'SETUID',
  'SETGID',
  'DAC_OVERRIDE',
  'FOWNER',
  'NET_BIND_SERVICE',
  'KILL',
]

/** The engine refuses less than this. */
const MIN_MEMORY = 6 * 1024 * 1024

/** Words the engine reads as a mode, not as the name of a network. */
const NETWORK_MODES = new Set(['host', 'none', 'bridge', 'default', 'nat', 'ingress'])

/** Make the create body of a workload; no input can add a right, a mount, a port or a device. */
export function createBody(spec: WorkloadSpec): ContainerCreateOptions & { name: string } {
  checkName('name', spec.name)
  checkName('network', spec.network)
  checkLimits(spec)
  return {
    name: spec.name,
    Image: spec.image,
    ...(spec.command === undefined ? {} : { Cmd: [...spec.command] }),
    Env: Object.entries(spec.env)
      .map(([key, value]) => `${key}=${value}`)
      .sort(),
    Labels: { ...spec.labels },
    Tty: spec.tty === true,
    OpenStdin: spec.stdin === true,
    StdinOnce: spec.stdin === true,
    StopSignal: spec.stopSignal,
    StopTimeout: stopSeconds(spec.stopGraceMs),
    HostConfig: hostConfig(spec),
    // The engine gives a restarted container a new address unless it has one of its own.
    ...(spec.address === undefined
      ? {}
      : {
          NetworkingConfig: {
            EndpointsConfig: { [spec.network]: { IPAMConfig: { IPv4Address: spec.address } } },
          },
        }),
  }
}

/** Whole seconds of a grace, never shorter than asked. */
export function stopSeconds(graceMs: number): number {
  return Math.max(0, Math.ceil(graceMs / 1000))
}

function hostConfig(spec: WorkloadSpec): NonNullable<ContainerCreateOptions['HostConfig']> {
  return {
    CapDrop: ['ALL'],
    CapAdd: [...CAPABILITIES],
    SecurityOpt: ['no-new-privileges:true'],
    Init: true,
    PidsLimit: 512,
    Memory: spec.memoryBytes,
    MemorySwap: spec.memoryBytes,
    NanoCpus: Math.round(spec.cpus * 1e9),
    Ulimits: [
      { Name: 'core', Soft: 0, Hard: 0 },
      // Lowering works everywhere; an engine that runs unprivileged cannot raise its own limit.
      { Name: 'nofile', Soft: 16_384, Hard: 16_384 },
    ],
    LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } },
    RestartPolicy: { Name: spec.restart === 'always' ? 'unless-stopped' : 'no' },
    NetworkMode: spec.network,
  }
}

function checkName(field: 'name' | 'network', name: string): void {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/.test(name) && !NETWORK_MODES.has(name)) return
  throw new HeliosError('invalid_value', `${show(name)} cannot be the ${field} of an instance.`, {
    field,
    hint: 'Use 1 to 128 letters, digits, dots, dashes and underscores.',
  })
}

// The engine reads 0 as "no limit", so a limit that is missing must not get that far.
function checkLimits(spec: WorkloadSpec): void {
  if (!Number.isSafeInteger(spec.memoryBytes) || spec.memoryBytes < MIN_MEMORY) {
    throw new HeliosError(
      'invalid_size',
      `${show(spec.memoryBytes)} bytes of memory is no limit.`,
      {
        field: 'memoryBytes',
        hint: `Give a whole number of at least ${MIN_MEMORY} bytes.`,
      },
    )
  }
  if (!(spec.cpus >= 0.01 && spec.cpus <= 1024)) {
    throw new HeliosError('invalid_value', `${show(spec.cpus)} CPUs is no limit.`, {
      field: 'cpus',
      hint: 'Give a number from 0.01 to 1024.',
    })
  }
  if (!(spec.stopGraceMs >= 0 && spec.stopGraceMs <= 3_600_000)) {
    throw new HeliosError('invalid_value', `${show(spec.stopGraceMs)} ms is no grace to stop in.`, {
      field: 'stopGraceMs',
      hint: 'Give a number from 0 to 3600000.',
    })
  }
}
