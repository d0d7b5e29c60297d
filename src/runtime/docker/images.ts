/**
 * @module
 * Images: look at, pull, tag, remove, list, and drop what builds left behind.
 */
import { text as textOf } from 'node:stream/consumers'
import type Docker from 'dockerode'
import { withDeadline } from '../../lib/async.ts'
import { HeliosError, messageOf, show } from '../../lib/errors.ts'
import type { ImageInfo } from '../types.ts'
import { engineCall, engineStatus } from './engine-call.ts'
import { enginePost } from './engine-http.ts'
import { jsonLines } from './json-lines.ts'

/** The mark of an image made on this machine under the name of a registry's. */
const MADE_HERE = 'helios.base-image'
/** States of a layer worth a line. */
const LAYER_STATES = /^(Pull complete|Already exists|Download complete)$/
const PRUNE_MS = 600_000

type Found = { info: ImageInfo; labels: Record<string, string> }

/** Facts of an image by reference or id; undefined when it is not here. */
export async function inspectImage(docker: Docker, ref: string): Promise<ImageInfo | undefined> {
  return (await find(docker, ref))?.info
}

/** Give an image one more name. */
export async function tagImage(docker: Docker, source: string, tag: string): Promise<void> {
  const [repo, name] = splitTag(tag)
  await engineCall(`name the image ${tag}`, (abortSignal) =>
    docker.getImage(source).tag({ repo, tag: name, abortSignal }),
  )
}

/** Remove a name, and with the last one the image; one that is gone is fine. */
export async function removeImage(docker: Docker, ref: string): Promise<void> {
  try {
    await engineCall(`remove the image ${ref}`, (abortSignal) =>
      docker.getImage(ref).remove({ abortSignal }),
    )
  } catch (error) {
    if (engineStatus(error) !== 404) throw error
  }
}

/** Images that carry all these labels. */
export async function listImages(
  docker: Docker,
  labels: Record<string, string>,
): Promise<{ id: string; tags: string[]; createdAt: string }[]> {
  const label = Object.entries(labels).map(([key, value]) => `${key}=${value}`)
  const found = await engineCall('list images', (abortSignal) =>
    docker.listImages({ filters: { label }, abortSignal }),
  )
  return found.map(({ Id, RepoTags, Created }) => ({
    id: Id,
    tags: (RepoTags ?? []).filter((tag) => tag !== '<none>:<none>'),
    createdAt: new Date(Created * 1000).toISOString(),
  }))
}

/**
 * Pull an image. One named by its hash or made on this machine is used as it is; so is any other
 * one that is here when no registry gives it. @throws {HeliosError} HX30 when there is none.
 */
export async function pullImage(
  docker: Docker,
  ref: string,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<ImageInfo> {
  const here = await find(docker, ref)
  if (here && (ref.includes('@sha256:') || here.labels[MADE_HERE] !== undefined)) return here.info
  try {
    await pull(docker, ref.includes('@') ? ref : splitTag(ref).join(':'), onLine, signal)
  } catch (error) {
    signal.throwIfAborted()
    const reason = reasonOf(error)
    if (here === undefined) throw notPulled(ref, reason, error)
    onLine(`No registry gave ${ref} (${reason}); using the one that is here.`)
    return here.info
  }
  const pulled = await find(docker, ref)
  if (pulled === undefined) throw notPulled(ref, 'it is gone again', undefined)
  return pulled.info
}

/** Drop the cache of builds down to `keepBytes`; gives the bytes freed. */
export async function pruneBuildCache(socketPath: string, keepBytes: number): Promise<number> {
  const path = `/build/prune?all=true&keep-storage=${keepBytes}`
  return await engineCall(
    'drop the cache of builds',
    async (signal) => {
      const answer = await enginePost(socketPath, { path, headers: {}, signal })
      const text = await textOf(answer)
      if (answer.statusCode === 200) {
        return (JSON.parse(text) as { SpaceReclaimed?: number }).SpaceReclaimed ?? 0
      }
      throw Object.assign(new Error(text), { statusCode: answer.statusCode })
    },
    { ms: PRUNE_MS },
  )
}

type PullMessage = { id?: string; status?: string; error?: string; progressDetail?: object }

async function pull(
  docker: Docker,
  ref: string,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const stream = await docker.pull(ref, { abortSignal: signal })
  for await (const { id, status, error } of jsonLines<PullMessage>(stream)) {
    if (error !== undefined) throw new Error(error)
    if (status === undefined) continue
    const isLayer = id !== undefined && /^[0-9a-f]{12}$/.test(id)
    if (!isLayer || LAYER_STATES.test(status)) onLine(id ? `${id}: ${status}` : status)
  }
}

async function find(docker: Docker, ref: string): Promise<Found | undefined> {
  try {
    const image = await engineCall(`inspect the image ${ref}`, (limit) =>
      withDeadline(docker.getImage(ref).inspect(), limit),
    )
    const { ExposedPorts, User, Entrypoint, Cmd, Labels } = image.Config ?? {}
    const ports = Object.keys(ExposedPorts ?? {}).filter((port) => /^\d+(\/tcp)?$/.test(port))
    const info = {
      id: image.Id,
      ports: ports.map((port) => Number.parseInt(port, 10)).sort((a, b) => a - b),
      bytes: image.Size,
      user: User ?? '',
      command: [Entrypoint ?? [], Cmd ?? []].flat(),
    }
    return { info, labels: Labels ?? {} }
  } catch (error) {
    if (engineStatus(error) === 404) return undefined
    throw error
  }
}

function notPulled(ref: string, reason: string, cause: unknown): HeliosError {
  return new HeliosError('HX30', `The image ${show(ref)} could not be pulled: ${reason}`, {
    hint: 'Check the name and that the registry can be reached; base images can be made with scripts/base-images.',
    cause,
  })
}

// dockerode puts the HTTP status in front of the engine's words.
function reasonOf(error: unknown): string {
  return messageOf(error)
    .replace(/^\(HTTP code \d+\) [\w ]+ - /, '')
    .trim()
}

/** Repository and tag of a reference; a colon before a slash is a registry's port. */
function splitTag(ref: string): [string, string] {
  const colon = ref.lastIndexOf(':')
  return colon > ref.lastIndexOf('/')
    ? [ref.slice(0, colon), ref.slice(colon + 1)]
    : [ref, 'latest']
}
