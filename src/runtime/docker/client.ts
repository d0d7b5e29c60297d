/**
 * @module
 * The Docker Engine as a runtime.
 */
import { Agent } from 'node:http'
import { inspect } from 'node:util'
import Docker from 'dockerode'
import { withDeadline } from '../../lib/async.ts'
import type { Logger } from '../../lib/log.ts'
import type { ImageInfo, Runtime } from '../types.ts'
import { attachContainer } from './attach.ts'
import { type BuildDeps, buildImage } from './build.ts'
import { type BuildLimits, createBuildLimits } from './build-limits.ts'
import { createBuildkitCodec } from './buildkit-messages.ts'
import { memoryOfProcess } from './cgroup.ts'
import {
  createContainer,
  inspectContainer,
  listContainers,
  removeContainer,
  startContainer,
  stopContainer,
} from './containers.ts'
import { engineCall } from './engine-call.ts'
import { containerEvents } from './events.ts'
import {
  inspectImage,
  listImages,
  pruneBuildCache,
  pullImage,
  removeImage,
  tagImage,
} from './images.ts'
import { listeningIn } from './listening.ts'
import { containerLogs } from './logs.ts'
import { ensureNetwork, removeNetwork } from './networks.ts'

/** Where the engine is. */
export type DockerRuntimeOptions = {
  /** Path of the engine's unix socket. */
  socketPath: string
  log: Logger
  /** The engine's `cgroup-parent`, when it was given one. */
  cgroupParent?: string
  /** Where cgroups are mounted (default `/sys/fs/cgroup`). */
  cgroupRoot?: string
}

/** Make the runtime of one engine; nothing is called before the first use. */
export function createDockerRuntime(opts: DockerRuntimeOptions): Runtime {
  const { socketPath, log } = opts
  // An empty host keeps DOCKER_HOST of the environment from winning over the socket.
  const connection = { socketPath, host: '', agent: quietAgent() }
  const docker = new Docker(connection)
  const builder = createBuilder(docker, opts)
  return {
    ping: async (signal) => {
      await engineCall('answer', (limit) => withDeadline<unknown>(docker.ping(), limit), {
        signal,
        ms: PING_MS,
      })
      return await builder.facts()
    },
    ensureNetwork: (network) => ensureNetwork(docker, network),
    removeNetwork: (name) => removeNetwork(docker, name),
    createInstance: (spec, signal) => createContainer(docker, spec, signal),
    startInstance: (id) => startContainer(docker, id),
    stopInstance: (id, graceMs) => stopContainer(docker, id, graceMs),
    removeInstance: (id) => removeContainer(docker, id),
    inspectInstance: (id) => inspectContainer(docker, id),
    listInstances: (labels) => listContainers(docker, labels),
    listeningSockets: async ({ pid }) => (pid === undefined ? [] : await listeningIn(pid)),
    memoryInUse: async ({ pid }) => (pid === undefined ? undefined : await memoryOfProcess(pid)),
    logs: (id, how, signal) => containerLogs(docker, id, how, signal),
    attach: (spec, size, signal) => attachContainer({ docker, socketPath }, spec, size, signal),
    events: (labels, signal) => containerEvents(docker, labels, log, signal),
    build: builder.build,
    pullImage: (ref, onLine, signal) => pullImage(docker, ref, onLine, signal),
    inspectImage: (ref) => inspectImage(docker, ref),
    tagImage: (source, tag) => tagImage(docker, source, tag),
    removeImage: (ref) => removeImage(docker, ref),
    listImages: (labels) => listImages(docker, labels),
    pruneBuildCache: (keepBytes) => pruneBuildCache(socketPath, keepBytes),
  }
}

const PING_MS = 10_000

type Facts = { version: string; limits: BuildLimits | undefined }
type Info = { ServerVersion: string; CgroupDriver: string; CgroupVersion?: string }

function createBuilder(
  docker: Docker,
  opts: DockerRuntimeOptions,
): {
  facts(): Promise<{ version: string; buildLimits: 'cgroup' | 'classic' }>
  build: Runtime['build']
} {
  const { socketPath, log } = opts
  const codec = createBuildkitCodec()
  let known: Promise<Facts> | undefined

  // Asked once: the engine starts several programs to answer.
  const facts = (): Promise<Facts> => {
    known ??= readFacts(docker, opts)
    known.catch(() => {
      known = undefined
    })
    return known
  }
  const onUncapped = (): void => {
    log.warn('BuildKit ran a step outside of its limits; builds go to the classic builder from now')
    known = facts().then((before) => ({ ...before, limits: undefined }))
  }
  return {
    facts: async () => {
      const { version, limits } = await facts()
      return { version, buildLimits: limits === undefined ? 'classic' : 'cgroup' }
    },
    build: async (request, onLine, signal) => {
      const { limits } = await facts()
      const deps: BuildDeps = { socketPath, codec, log, limits, onUncapped }
      const id = await buildImage(deps, request, onLine, signal)
      return await builtImage(docker, id)
    },
  }
}

async function builtImage(docker: Docker, id: string): Promise<ImageInfo> {
  const info = await inspectImage(docker, id)
  if (info === undefined) throw new Error(`the engine built ${id} and does not have it`)
  return info
}

async function readFacts(docker: Docker, opts: DockerRuntimeOptions): Promise<Facts> {
  const info = await engineCall<Info>('tell about itself', (limit) =>
    withDeadline(docker.info(), limit),
  )
  const limits = createBuildLimits({
    engine: { driver: info.CgroupDriver, version: info.CgroupVersion ?? '1' },
    parent: opts.cgroupParent,
    root: opts.cgroupRoot ?? '/sys/fs/cgroup',
    log: opts.log,
  })
  if ('hold' in limits) return { version: info.ServerVersion, limits }
  opts.log.warn(
    { why: limits.why },
    'BuildKit cannot be capped here; builds use the classic builder',
  )
  return { version: info.ServerVersion, limits: undefined }
}

// The modem formats all options of every call for a debug line nobody reads; with the sockets of an
// agent in them that costs more than keeping connections open saves.
function quietAgent(): Agent {
  const agent = new Agent({ keepAlive: true, maxFreeSockets: 16 })
  return Object.assign(agent, { [inspect.custom]: () => 'agent' })
}
