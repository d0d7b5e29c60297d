/**
 * @module
 * Take an uploaded archive to disk: beside its place first, then renamed, never more than the limit.
 */
import { createHash } from 'node:crypto'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { deadline, withDeadline } from '../lib/async.ts'
import { HeliosError } from '../lib/errors.ts'
import { newId } from '../lib/ids.ts'
import { mustBeType } from './body.ts'
import type { ApiDeps } from './context.ts'

/** An archive on disk; its id is that of the source it becomes. */
export type Archive = { id: string; file: string; digest: string }

const MAX_BYTES = 512 * 1024 * 1024
const TOTAL_MS = 60 * 60 * 1000
const SILENCE_MS = 60 * 1000
const TYPES = [
  'application/x-tar',
  'application/gzip',
  'application/x-gzip',
  'application/octet-stream',
] as const
const UNFINISHED = '.part'

/** Write the body of a request to `<sourcesDir>/<id>.tar`. @throws {HeliosError} body_too_large, bad_request, unsupported_media_type */
export async function receiveArchive(
  request: Request,
  deps: Pick<ApiDeps, 'sourcesDir' | 'clock'>,
  signal: AbortSignal,
): Promise<Archive> {
  mustBeType(request, TYPES)
  if (Number(request.headers.get('content-length') ?? 0) > MAX_BYTES) throw tooLarge()
  await mkdir(deps.sourcesDir, { recursive: true, mode: 0o700 })
  const id = newId('src', deps.clock())
  const file = join(deps.sourcesDir, `${id}.tar`)
  try {
    const digest = await write(request, file + UNFINISHED, deadline(TOTAL_MS, signal))
    await rename(file + UNFINISHED, file)
    return { id, file, digest }
  } catch (error) {
    await rm(file + UNFINISHED, { force: true })
    throw error
  }
}

async function write(request: Request, file: string, signal: AbortSignal): Promise<string> {
  const handle = await open(file, 'wx', 0o600)
  const reader = request.body?.getReader()
  const hash = createHash('sha256')
  let bytes = 0
  try {
    for (;;) {
      const part =
        reader && (await withDeadline(reader.read(), deadline(SILENCE_MS, signal)).catch(notWhole))
      if (!part || part.done) break
      bytes += part.value.length
      if (bytes > MAX_BYTES) throw tooLarge()
      hash.update(part.value)
      await handle.writeFile(part.value)
    }
    if (bytes === 0) throw new HeliosError('archive_rejected', 'The archive is empty')
    await handle.sync()
    return hash.digest('hex')
  } finally {
    reader?.cancel().catch(() => undefined)
    await handle.close()
  }
}

function notWhole(cause: unknown): never {
  throw new HeliosError('bad_request', 'The archive did not come whole', {
    hint: 'Send it again',
    cause,
  })
}

function tooLarge(): HeliosError {
  return new HeliosError(
    'body_too_large',
    `The archive has more than ${MAX_BYTES / 1024 / 1024} MiB`,
    {
      hint: 'Leave out what the build does not need with .dockerignore',
    },
  )
}

/** Remove an archive that nothing came of; none is fine. */
export async function discardArchive(archive: Archive | undefined): Promise<void> {
  if (archive) await rm(archive.file, { force: true })
}

/** Remove what a crash left of uploads. */
export async function removeUnfinished(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const names = await readdir(dir)
  const left = names.filter((name) => name.endsWith(UNFINISHED))
  for (const name of left) await rm(join(dir, name), { force: true })
}
