/**
 * @module
 * From a source archive to what builders look at, and to the build context an engine gets.
 */
import { posix } from 'node:path'
import { Readable } from 'node:stream'
import { type ArchiveEntry, readArchive } from './archive.ts'
import { rejectEntry } from './archive-rules.ts'
import { parseIgnore } from './ignore.ts'
import { type TarHeader, tarEnd, tarHeader, tarPadding } from './tar-writer.ts'
import type { DockerfilePlan, SourceFiles } from './types.ts'

/** Path of the Dockerfile in every context that {@link buildContext} makes. */
export const CONTEXT_DOCKERFILE = '.helios/Dockerfile'

/** Largest file whose text is kept, bytes. */
export const MAX_TEXT_BYTES = 1024 ** 2

/** Most bytes of text kept of one source; what comes after has no text. */
const MAX_TEXTS_BYTES = 16 * 1024 ** 2

const ROOT_FILES = new Set(
  `Procfile app.json oal.yaml oal.yml oal.json package.json package-lock.json npm-shrinkwrap.json
  pnpm-lock.yaml pnpm-workspace.yaml yarn.lock .yarnrc.yml .npmrc .nvmrc .node-version
  pyproject.toml uv.lock poetry.lock .python-version runtime.txt app.py asgi.py main.py manage.py
  server.py wsgi.py .gitmodules .gitattributes`.split(/\s+/),
)

/** Whether the text of this file may decide something, so that it has to be read with the paths. */
export function isRead(path: string): boolean {
  const name = posix.basename(path)
  if (/dockerfile|containerfile/i.test(name) || name.endsWith('.dockerignore')) return true
  return (
    ROOT_FILES.has(path) ||
    /^((requirements|constraints)[^/]*|requirements\/[^/]+)\.txt$/.test(path)
  )
}

/** Whether the path is the tools' own and no part of a source: git's folders and ours. */
function isPrivate(path: string): boolean {
  return /(^|\/)\.git(\/|$)/.test(path) || /^\.helios(\/|$)/.test(path)
}

/** The source that has these paths and texts. */
export function createSourceFiles(
  paths: Iterable<string>,
  texts: ReadonlyMap<string, string>,
): SourceFiles {
  return {
    paths: [...paths].filter((path) => !isPrivate(path)).sort(),
    read: (path) => texts.get(path),
  }
}

/**
 * Read a source archive (tar, plain or gzipped) once: all its paths, and the texts that may decide.
 * @throws {HeliosError} archive_rejected with the entry and the rule; or the signal's reason.
 */
export async function readSource(source: Readable, signal: AbortSignal): Promise<SourceFiles> {
  const paths: string[] = []
  const texts = new Map<string, string>()
  const links: { path: string; target: string }[] = []
  let left = MAX_TEXTS_BYTES
  for await (const entry of readArchive(source, signal)) {
    if (entry.kind === 'folder') continue
    paths.push(entry.path)
    if (!isRead(entry.path) || isPrivate(entry.path)) continue
    if (entry.kind !== 'file') {
      links.push({ path: entry.path, target: targetOf(entry) })
    } else if (entry.size <= Math.min(left, MAX_TEXT_BYTES)) {
      left -= entry.size
      texts.set(entry.path, await textOf(entry.body))
    }
  }
  for (const { path, target } of links) {
    const text = texts.get(target)
    if (text !== undefined) texts.set(path, text)
  }
  return createSourceFiles(paths, texts)
}

function targetOf({ kind, path, target }: { kind: string; path: string; target: string }): string {
  return kind === 'symlink' ? posix.join(posix.dirname(path), target) : target
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

/**
 * Make the build context of a plan as a tar stream: the Dockerfile as {@link CONTEXT_DOCKERFILE},
 * the plan's extra files, and the source but for what is ignored. Owner and time are always 0,
 * modes 0644 or 0755. The source is read as the context is, and destroyed with it.
 * The stream fails with HeliosError archive_rejected, or the signal's reason.
 */
export function buildContext(
  source: Readable,
  plan: DockerfilePlan,
  signal: AbortSignal,
): Readable {
  const context = Readable.from(contextChunks(source, plan, signal), { objectMode: false })
  const abort = (): void => {
    context.destroy(signal.reason)
  }
  context.once('close', () => {
    signal.removeEventListener('abort', abort)
    source.destroy()
  })
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort)
  return context
}

async function* contextChunks(
  source: Readable,
  plan: DockerfilePlan,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const folders = new Set<string>()
  const write = (header: TarHeader): Buffer => Buffer.concat([...above(header, folders)])
  const own = Object.entries({ ...plan.extraFiles, [CONTEXT_DOCKERFILE]: plan.dockerfile })
  for (const [path, text] of own) {
    const body = Buffer.from(text)
    yield write({ kind: 'file', path, size: body.length, executable: false })
    yield Buffer.concat([body, tarPadding(body.length)])
  }
  const { sourceDir } = plan
  if (sourceDir !== undefined) yield write({ kind: 'folder', path: sourceDir })
  const prefix = sourceDir === undefined ? '' : `${sourceDir}/`
  for await (const entry of included(source, plan, signal)) {
    const target = entry.kind === 'link' ? { target: `${prefix}${entry.target}` } : {}
    yield write({ ...entry, path: `${prefix}${entry.path}`, ...target })
    if (entry.kind !== 'file') continue
    yield* entry.body
    yield tarPadding(entry.size)
  }
  yield tarEnd()
}

async function* included(
  source: Readable,
  plan: DockerfilePlan,
  signal: AbortSignal,
): AsyncGenerator<ArchiveEntry> {
  const ignored = parseIgnore(plan.ignore)
  // The engine would apply the source's own rules a second time, and to our files too.
  const leftOut = (path: string): boolean =>
    isPrivate(path) || path === '.dockerignore' || ignored(path)
  for await (const entry of readArchive(source, signal)) {
    if (leftOut(entry.path)) continue
    if (entry.kind === 'link' && leftOut(entry.target)) {
      rejectEntry(entry.path, 'it is a hard link to a file that is ignored', 'Copy the file.')
    }
    yield entry
  }
}

// Folders are written out before what is in them: engines differ in the modes of implied ones.
function* above(header: TarHeader, folders: Set<string>): Generator<Buffer> {
  const names = header.path.split('/')
  for (let depth = 1; depth < names.length; depth++) {
    const path = names.slice(0, depth).join('/')
    if (folders.has(path)) continue
    folders.add(path)
    yield tarHeader({ kind: 'folder', path })
  }
  if (header.kind === 'folder') {
    if (folders.has(header.path)) return
    folders.add(header.path)
  }
  yield tarHeader(header)
}
