/**
 * @module
 * Build an image by the engine's BuildKit, or by its classic builder where BuildKit cannot be capped.
 */
import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { HeliosError, messageOf } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import type { BuildRequest } from '../types.ts'
import { filesOfTar, readHead, type StreamHead, wholeOf } from './build-context.ts'
import { explainFailure } from './build-failure.ts'
import type { BuildHold, BuildLimits } from './build-limits.ts'
import { type BuildProgress, boundedLines, createBuildProgress } from './build-progress.ts'
import { type BuildSession, openBuildSession } from './build-session.ts'
import type { BuildkitCodec } from './buildkit-messages.ts'
import { enginePost, refusal } from './engine-http.ts'
import { jsonLines } from './json-lines.ts'

const MAX_OUTPUT = 10 * 1024 * 1024
/** A larger context is sent as an archive instead of being held in memory. */
const MAX_HELD_CONTEXT = 32 * 1024 * 1024
const CANCEL_MS = 10_000
const CPU_PERIOD_US = 100_000

/** What builds need of the client. */
export type BuildDeps = {
  socketPath: string
  codec: BuildkitCodec
  log: Logger
  /** The caps of BuildKit; undefined where only the classic builder can be capped. */
  limits: BuildLimits | undefined
  /** Called when a step ran outside of the caps: they do not hold on this engine. */
  onUncapped(): void
}

/** Build; gives the id of the image. @throws HX30, HX31, HX34, HP51, or the signal's reason. */
export async function buildImage(
  deps: BuildDeps,
  build: BuildRequest,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<string> {
  signal.throwIfAborted()
  const hold = deps.limits?.hold(build)
  const progress = createBuildProgress(boundedLines(onLine, MAX_OUTPUT))
  try {
    const result = await (hold === undefined
      ? classicBuild(deps, build, progress, signal)
      : buildkitBuild(deps, build, progress, signal))
    if (hold?.stepSeen() === false && progress.ranCommand()) deps.onUncapped()
    if (result.error !== undefined) throw failureOf(result.error, build, progress, hold)
    if (result.imageId !== undefined) return result.imageId
    throw new HeliosError('HP51', 'The engine broke off the build without a result.', {
      hint: 'Check that Docker runs: systemctl status docker',
    })
  } finally {
    hold?.release()
  }
}

type Result = { imageId?: string; error?: string }

async function buildkitBuild(
  deps: BuildDeps,
  build: BuildRequest,
  progress: BuildProgress,
  signal: AbortSignal,
): Promise<Result> {
  const source = build.context()
  const id = randomUUID()
  let session: BuildSession | undefined
  try {
    const head = await readHead(source, MAX_HELD_CONTEXT)
    const held = 'whole' in head
    const files = held ? { files: await filesOfTar(head.whole) } : {}
    session = await reaching(signal, () => openBuildSession({ ...deps, ...files }, signal))
    const query = buildQuery(build, {
      version: '2',
      buildid: id,
      session: session.id,
      ...(held ? { remote: 'client-session' } : {}),
    })
    return await runBuild(deps, query, held ? undefined : head, progress, signal)
  } catch (error) {
    if (signal.aborted) await cancelBuild(deps, id)
    throw error
  } finally {
    session?.close()
    destroy(source)
  }
}

async function classicBuild(
  deps: BuildDeps,
  build: BuildRequest,
  progress: BuildProgress,
  signal: AbortSignal,
): Promise<Result> {
  const source = build.context()
  try {
    const query = buildQuery(build, {
      version: '1',
      rm: '1',
      forcerm: '1',
      memory: `${build.memoryBytes}`,
      memswap: `${build.memoryBytes}`,
      cpuperiod: `${CPU_PERIOD_US}`,
      cpuquota: `${Math.max(1000, Math.round(build.cpus * CPU_PERIOD_US))}`,
    })
    const head = await readHead(source, 0)
    return await runBuild(deps, query, head, progress, signal)
  } finally {
    destroy(source)
  }
}

function buildQuery(build: BuildRequest, more: Record<string, string>): URLSearchParams {
  return new URLSearchParams({
    t: build.tag,
    dockerfile: build.dockerfile,
    ...(build.target === undefined ? {} : { target: build.target }),
    buildargs: JSON.stringify(build.args),
    labels: JSON.stringify(build.labels),
    ...more,
  })
}

type Message = {
  id?: string
  aux?: unknown
  stream?: string
  error?: string
  errorDetail?: { message?: string }
}

async function runBuild(
  deps: BuildDeps,
  query: URLSearchParams,
  body: StreamHead | undefined,
  progress: BuildProgress,
  signal: AbortSignal,
): Promise<Result> {
  const answer = await reaching(signal, () =>
    enginePost(deps.socketPath, {
      path: `/build?${query}`,
      headers: { 'Content-Type': 'application/x-tar' },
      ...(body === undefined ? {} : { body: Readable.from(wholeOf(body)) }),
      signal,
    }),
  )
  const result: Result = {}
  try {
    if (answer.statusCode !== 200) return { error: await refusal(answer) }
    for await (const message of jsonLines<Message>(answer)) take(deps, message, progress, result)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof HeliosError) throw error
    // A broken stream is no result: the caller sees that there is none.
    deps.log.debug({ err: error }, 'the stream of a build broke')
  } finally {
    progress.end()
    answer.destroy()
  }
  return result
}

function take(deps: BuildDeps, message: Message, progress: BuildProgress, result: Result): void {
  if (message.id === 'moby.buildkit.trace' && typeof message.aux === 'string') {
    progress.status(deps.codec.decodeStatus(Buffer.from(message.aux, 'base64')))
    return
  }
  if (message.stream !== undefined) progress.classic(message.stream)
  const { ID: imageId } = (message.aux ?? {}) as { ID?: string }
  if (imageId !== undefined) result.imageId = imageId
  const error = message.errorDetail?.message ?? message.error
  if (error !== undefined) result.error = error
}

// Closing the connection stops a build too, but only once the engine has read the whole request.
async function cancelBuild(deps: BuildDeps, id: string): Promise<void> {
  try {
    const path = `/build/cancel?id=${id}`
    const call = { path, headers: {}, signal: AbortSignal.timeout(CANCEL_MS) }
    const answer = await enginePost(deps.socketPath, call)
    answer.resume()
  } catch (error) {
    deps.log.warn({ err: error }, 'the engine did not confirm that a build was cancelled')
  }
}

async function reaching<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof HeliosError) throw error
    throw new HeliosError('HP51', `The engine did not answer: ${messageOf(error)}`, {
      hint: 'Check that Docker runs: systemctl status docker',
      cause: error,
    })
  }
}

function failureOf(
  message: string,
  build: BuildRequest,
  progress: BuildProgress,
  hold: BuildHold | undefined,
): HeliosError {
  return explainFailure({
    message,
    step: progress.failed(),
    memoryBytes: build.memoryBytes,
    sharedBytes: hold?.memoryBytes() ?? build.memoryBytes,
    memoryRanOut: hold?.memoryRanOut(),
  })
}

function destroy(source: NodeJS.ReadableStream): void {
  // Streams of libraries are not always made by Node, but all can be destroyed.
  if ('destroy' in source && typeof source.destroy === 'function') source.destroy()
}
