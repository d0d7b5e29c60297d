/**
 * @module
 * Read a repository: commits, files of a tree, their content, and all of it as a tar stream.
 */
import { PassThrough, type Readable } from 'node:stream'
import { HeliosError, show } from '../lib/errors.ts'
import { spawnPiped } from '../lib/exec.ts'
import { git, gitArgv, gitEnv } from './run.ts'

/** What Helios needs to know of a commit. */
export type Commit = { oid: string; tree: string; subject: string; author: string }

/** A file of a tree; `size` in bytes, 0 for a submodule. */
export type RepoFile = {
  path: string
  kind: 'file' | 'executable' | 'symlink' | 'submodule'
  size: number
  oid: string
}

const KINDS: Readonly<Record<string, RepoFile['kind']>> = {
  '100755': 'executable',
  '120000': 'symlink',
  '160000': 'submodule',
}
const MAX_FILES = 200_000
const MAX_READ = 8 * 1024 * 1024

/** Refuse what is no full object id; other text could be taken for an option or a path. */
function objectId(text: string): string {
  if (/^[0-9a-f]{40}$/.test(text)) return text
  throw new HeliosError('invalid_ref', `${show(text)} is no commit`, { field: 'rev' })
}

/** The commit an id names, through tags; undefined when it names something else or nothing. */
export async function readCommit(repo: string, rev: string): Promise<Commit | undefined> {
  const { stdout } = await git(repo, ['cat-file', '--batch'], {
    input: `${objectId(rev)}^{commit}\n`,
    maxBytes: 4 * 1024 * 1024,
  })
  const text = stdout.toString()
  const [oid = '', type] = text.slice(0, text.indexOf('\n')).split(' ')
  if (type !== 'commit') return undefined
  const body = text.slice(text.indexOf('\n') + 1)
  const message = body.slice(body.indexOf('\n\n') + 2)
  return {
    oid,
    tree: /^tree ([0-9a-f]{40})$/m.exec(body)?.[1] ?? '',
    author: /^author (.*?) *</m.exec(body)?.[1] ?? '',
    subject: message.split('\n', 1)[0] ?? '',
  }
}

/** The tree of a commit. @throws {HeliosError} invalid_ref */
export async function treeOf(repo: string, commit: string): Promise<string> {
  const found = await readCommit(repo, commit)
  if (found) return found.tree
  throw new HeliosError('invalid_ref', `${show(commit)} is no commit of this app`, { field: 'rev' })
}

/** Every file of a commit or tree, in git's order. @throws {HeliosError} HX34 when there are more than 200,000 */
export async function listFiles(
  repo: string,
  rev: string,
  signal?: AbortSignal,
): Promise<RepoFile[]> {
  const args = ['ls-tree', '-r', '-z', '-l', '--full-tree', objectId(rev)]
  const { stdout } = await git(repo, args, {
    maxBytes: 128 * 1024 * 1024,
    ...(signal ? { signal } : {}),
  })
  const lines = stdout.toString().split('\0').slice(0, -1)
  if (lines.length > MAX_FILES) {
    throw new HeliosError(
      'HX34',
      `The source has ${lines.length} files; at most ${MAX_FILES} are allowed`,
    )
  }
  return lines.map((line) => {
    const tab = line.indexOf('\t')
    const [mode = '', , oid = '', size] = line.slice(0, tab).split(/ +/)
    return { path: line.slice(tab + 1), kind: KINDS[mode] ?? 'file', size: Number(size) || 0, oid }
  })
}

/**
 * Content of some files of a commit or tree, 8 MiB together; paths that are not there or no files are left out.
 * @throws {HeliosError} HX34 when they are larger
 */
export async function readFiles(
  repo: string,
  rev: string,
  paths: readonly string[],
  signal?: AbortSignal,
): Promise<Map<string, Buffer>> {
  const tree = objectId(rev)
  // A line is a question, and ./ would be taken from the current folder.
  const asked = paths.filter((path) => path !== '' && !/^\.\.?\/|[\n\0]/.test(path))
  const blobs = await readBlobs(
    repo,
    asked.map((path) => `${tree}:${path}`),
    signal,
  )
  return new Map(
    asked.flatMap((path, index) => {
      const blob = blobs[index]
      return blob ? [[path, blob] as const] : []
    }),
  )
}

async function readBlobs(
  repo: string,
  names: readonly string[],
  signal?: AbortSignal,
): Promise<(Buffer | undefined)[]> {
  if (names.length === 0) return []
  const opts = { input: `${names.join('\n')}\n`, ...(signal ? { signal } : {}) }
  const { stdout: sizes } = await git(
    repo,
    ['cat-file', '--batch-check=%(objecttype) %(objectsize)'],
    opts,
  )
  const bytes = sizes
    .toString()
    .split('\n')
    .map((line) => (line.startsWith('blob ') ? Number(line.slice(5)) : 0))
  const total = bytes.reduce((sum, size) => sum + size, 0)
  if (total > MAX_READ) {
    const largest = names[bytes.indexOf(Math.max(...bytes))]?.slice(41)
    throw new HeliosError(
      'HX34',
      `${show(largest)} and the like have ${total} bytes; at most ${MAX_READ} are read`,
    )
  }
  const { stdout } = await git(repo, ['cat-file', '--batch'], { ...opts, maxBytes: 4 * MAX_READ })
  return parseBatch(stdout, names.length)
}

function parseBatch(out: Buffer, count: number): (Buffer | undefined)[] {
  const found: (Buffer | undefined)[] = []
  for (let at = 0; found.length < count; ) {
    const end = out.indexOf('\n', at)
    if (end < 0) throw new HeliosError('internal', 'git cat-file ended early')
    const [, type, size] = /^[0-9a-f]{40} (\w+) (\d+)$/.exec(out.toString('latin1', at, end)) ?? []
    at = end + 1
    if (size === undefined) {
      found.push(undefined)
      continue
    }
    found.push(type === 'blob' ? out.subarray(at, at + Number(size)) : undefined)
    at += Number(size) + 1
  }
  return found
}

/** All files of a commit or tree as a tar stream; a failure of git is an error of the stream, and its end ends git. */
export function archive(repo: string, rev: string, signal: AbortSignal): Readable {
  const child = spawnPiped(gitArgv(repo, ['archive', '--format=tar', objectId(rev)]), {
    env: gitEnv(),
    signal,
  })
  const out = new PassThrough({ highWaterMark: 256 * 1024 })
  let stderr = ''
  child.stdin.end()
  child.stderr.on('data', (chunk: Buffer) => {
    stderr = `${stderr}${chunk}`.slice(-4096)
  })
  child.stdout.pipe(out, { end: false })
  const read = new Promise<void>((resolve) => child.stdout.once('close', resolve))
  Promise.all([child.ended, read]).then(
    ([{ code, signal: by }]) => {
      if (code === 0) out.end()
      else if (signal.aborted) out.destroy(signal.reason)
      else
        out.destroy(
          new HeliosError('internal', `git archive ended with ${code ?? by}: ${stderr.trim()}`),
        )
    },
    (error: Error) => out.destroy(error),
  )
  out.once('close', () => {
    child.stdout.destroy()
    child.kill()
  })
  return out
}

const LFS_POINTER = 'version https://git-lfs'

/** Paths of a tree whose content is elsewhere: submodules, and pointers of Git LFS (of the first 500 candidates). */
export async function findAbsent(
  repo: string,
  rev: string,
  signal?: AbortSignal,
): Promise<{ submodules: string[]; lfs: string[] }> {
  const files = await listFiles(repo, rev, signal)
  const submodules = files.filter(({ kind }) => kind === 'submodule').map(({ path }) => path)
  const attributes = files.filter(({ path }) => /(^|\/)\.gitattributes$/.test(path)).slice(0, 100)
  const rules = await readBlobs(
    repo,
    attributes.map(({ oid }) => oid),
    signal,
  )
  if (!rules.some((rule) => rule?.includes('filter=lfs'))) return { submodules, lfs: [] }
  const small = files.filter(({ kind, size }) => kind === 'file' && size >= 100 && size <= 1024)
  const candidates = small.slice(0, 500)
  const blobs = await readBlobs(
    repo,
    candidates.map(({ oid }) => oid),
    signal,
  )
  const lfs = candidates.filter((_, index) =>
    blobs[index]?.toString('latin1').startsWith(LFS_POINTER),
  )
  return { submodules, lfs: lfs.map(({ path }) => path) }
}
