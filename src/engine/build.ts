/**
 * @module
 * From a source to an image: read the manifest, choose the builder, build, remember what came out.
 */
import { randomBytes } from 'node:crypto'
import { statfs } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { buildContext, CONTEXT_DOCKERFILE } from '../builders/context.ts'
import { detect } from '../builders/detect.ts'
import { BUILDERS } from '../builders/index.ts'
import type { BuildPlan, SourceFiles } from '../builders/types.ts'
import type { App } from '../core/apps.ts'
import type { Deployment, Source } from '../core/deployments.ts'
import { type Build, buildOfDeployment, recordBuild } from '../core/releases.ts'
import { deadline } from '../lib/async.ts'
import { HeliosError } from '../lib/errors.ts'
import { printSize } from '../lib/size.ts'
import { defaultProcess } from '../manifest/defaults.ts'
import { readManifest } from '../manifest/read.ts'
import type { AppSpec, BuilderName } from '../manifest/types.ts'
import type { ImageInfo } from '../runtime/types.ts'
import type { EngineDeps } from './deps.ts'
import { LABELS } from './labels.ts'
import { WEB } from './workload.ts'

/** What a build works with. */
export type BuildDeps = Pick<
  EngineDeps,
  | 'db'
  | 'clock'
  | 'runtime'
  | 'sources'
  | 'deployLogs'
  | 'serverId'
  | 'checkpoint'
  | 'dataDir'
  | 'buildEnvironment'
>

/** What is built; `again` when a try before may have come to its end unseen. */
type Work = { app: App; deployment: Deployment; source: Source; again: boolean }
type Say = (text: string, stream?: 'out' | 'step') => void

const MIN_FREE_BYTES = 2 * 1024 ** 3
const MIN_FREE_SHARE = 0.05

/**
 * Build the source of a deployment; one that was built already is not built again.
 * @throws {HeliosError} HX30, HX31, HX32, HX34, HP50, invalid_manifest, archive_rejected
 */
export async function buildSource(
  deps: BuildDeps,
  work: Work,
  signal: AbortSignal,
): Promise<Build> {
  const known = buildOfDeployment(deps.db, work.deployment.id)
  if (known && (await deps.runtime.inspectImage(known.image))) return known
  const say: Say = (text, stream = 'step') =>
    deps.deployLogs.append(work.deployment.id, { stream, text })
  await checkDisk(deps.dataDir)
  const { spec, plan, builder, reason } = await decide(deps, work, say, signal)
  deps.checkpoint('build:planned')
  const limit = deadline(spec.build.limits.timeoutMs, signal)
  try {
    const { image, info } = await make(deps, work, { plan, spec }, say, limit)
    deps.checkpoint('build:done')
    return recordBuild(deps.db, {
      deploymentId: work.deployment.id,
      builder,
      reason,
      image,
      spec: complete(spec, plan, info),
      now: deps.clock(),
    })
  } catch (error) {
    signal.throwIfAborted()
    if (!limit.aborted) throw error
    const minutes = Math.round(spec.build.limits.timeoutMs / 6000) / 10
    throw new HeliosError('HX32', `The build took longer than ${minutes} min`, {
      hint: 'Raise build.limits.timeout in oal.yaml, or make the build do less',
      cause: error,
    })
  }
}

/** Refuse to build on a disk that is nearly full. @throws {HeliosError} HP50 */
async function checkDisk(dir: string): Promise<void> {
  const { bavail, bsize, blocks } = await statfs(dir)
  const free = bavail * bsize
  if (free >= MIN_FREE_BYTES && bavail / blocks >= MIN_FREE_SHARE) return
  throw new HeliosError('HP50', `Only ${printSize(free)} of disk are free below ${dir}`, {
    hint: 'Free some: builds need 2 GiB and a twentieth of the disk',
  })
}

type Decided = { spec: AppSpec; plan: BuildPlan; builder: BuilderName; reason: string }

async function decide(
  deps: BuildDeps,
  work: Work,
  say: Say,
  signal: AbortSignal,
): Promise<Decided> {
  const { app, source } = work
  if (source.kind === 'image') {
    const spec = readManifest(() => undefined).spec
    const image = source.rev ?? ''
    const build = { ...spec.build, builder: 'image' as const, image }
    return {
      spec: { ...spec, build },
      plan: BUILDERS.image.plan(noFiles(), build),
      builder: 'image',
      reason: 'an image was named',
    }
  }
  const files = await deps.sources.files(source, signal)
  const { spec, from, notes } = readManifest(files.read)
  if (from !== 'defaults') say(`Read ${from}`)
  for (const note of notes) say(note, 'out')
  const found =
    spec.build.builder === 'auto'
      ? detect(files, BUILDERS)
      : { builder: spec.build.builder, reason: `${from} says so` }
  say(`Builder ${found.builder}: ${found.reason}`)
  const { buildLimits } = await deps.runtime.ping(signal)
  // The classic builder knows no `RUN --mount`, which both of these need.
  const mounts =
    buildLimits === 'classic' ? {} : { cacheScope: app.id, environment: deps.buildEnvironment }
  const plan = BUILDERS[found.builder].plan(files, spec.build, mounts)
  return { spec, plan, ...found }
}

function noFiles(): SourceFiles {
  return { paths: [], read: () => undefined }
}

async function make(
  deps: BuildDeps,
  work: Work,
  what: { plan: BuildPlan; spec: AppSpec },
  say: Say,
  signal: AbortSignal,
): Promise<{ image: string; info: ImageInfo }> {
  const { plan, spec } = what
  const made = work.again ? await madeBefore(deps, work.deployment) : undefined
  if (made) return made
  // Nobody can guess it, so no Dockerfile of another team can name it.
  const image = `helios/${randomBytes(16).toString('hex')}`
  const onLine = (line: string): void => say(line, 'out')
  if (plan.kind === 'image') {
    const here = await deps.runtime.inspectImage(plan.image)
    const info = here ?? (await deps.runtime.pullImage(plan.image, onLine, signal))
    await deps.runtime.tagImage(plan.image, image)
    return { image, info }
  }
  const info = await deps.runtime.build(
    {
      tag: image,
      context: () => {
        const tar = deps.sources.tar(work.source, signal)
        return buildContext(tar instanceof Readable ? tar : Readable.from(tar), plan, signal)
      },
      dockerfile: CONTEXT_DOCKERFILE,
      ...(plan.target === undefined ? {} : { target: plan.target }),
      args: plan.args,
      labels: {
        [LABELS.server]: deps.serverId,
        [LABELS.app]: work.app.id,
        [LABELS.deployment]: work.deployment.id,
      },
      memoryBytes: spec.build.limits.memoryBytes,
      cpus: spec.build.limits.cpus,
    },
    onLine,
    signal,
  )
  return { image, info }
}

/** The image of a try whose process ended before it could write it down. */
async function madeBefore(
  deps: BuildDeps,
  deployment: Deployment,
): Promise<{ image: string; info: ImageInfo } | undefined> {
  const found = await deps.runtime.listImages({
    [LABELS.server]: deps.serverId,
    [LABELS.deployment]: deployment.id,
  })
  const image = found[0]?.tags[0]?.replace(/:latest$/, '')
  const info = image === undefined ? undefined : await deps.runtime.inspectImage(image)
  return image !== undefined && info ? { image, info } : undefined
}

/** Fill in what only the builder or the image knows: processes and the port. */
function complete(spec: AppSpec, plan: BuildPlan, info: ImageInfo): AppSpec {
  const commands = plan.kind === 'dockerfile' ? plan.processes : {}
  const named = Object.keys(spec.processes).length > 0
  const names = named ? Object.keys(spec.processes) : Object.keys(commands)
  const port = (plan.kind === 'dockerfile' ? plan.port : undefined) ?? info.ports[0]
  const processes = Object.fromEntries(
    (names.length > 0 ? names : [WEB]).map((name) => {
      const process = spec.processes[name] ?? defaultProcess(name)
      const command = process.command ?? commands[name]
      const listens = process.port ?? (name === WEB ? port : undefined)
      return [
        name,
        {
          ...process,
          ...(command === undefined ? {} : { command }),
          ...(listens === undefined ? {} : { port: listens }),
        },
      ]
    }),
  )
  return { ...spec, processes }
}
