/**
 * @module
 * Bare repositories, one per app, found by the app's id: make, remove, list and move refs, keep small.
 */
import { randomBytes } from 'node:crypto'
import { access, chmod, constants, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HeliosError, show } from '../lib/errors.ts'
import { isId } from '../lib/ids.ts'
import { git } from './run.ts'

/** Where the repositories are, and how they come and go. */
export type Repos = {
  /** Folder of the hooks that every push runs. */
  hooksDir: string
  /** Write the hooks and remove what a crash left; call it before the first push. @throws {HeliosError} config_invalid when they cannot run there */
  prepare(): Promise<void>
  /** Path of an app's repository, there or not. */
  path(appId: string): string
  /** Path of an app's repository, made when it is missing. */
  ensure(appId: string): Promise<string>
  /** Remove an app's repository with everything in it. */
  remove(appId: string): Promise<void>
  /** Path of a repository that stays empty, to show before an app is there. */
  empty(): Promise<string>
}

/** A ref and the object it names. */
export type Ref = { ref: string; oid: string }

/** What stands for "no object" in a ref update. */
export const NO_OBJECT = '0'.repeat(40)

// Text goes one way over 3 until Helios closes it; 4 carries the question there and the verdict back.
// Reading the text with cat and not line by line keeps long build output cheap.
const PRE_RECEIVE = `#!/bin/sh
# Helios decides what this push may do; without its answer nothing moves.
trap '' PIPE
verdict=
ask() {
  printf '%s\\n' "\${GIT_QUARANTINE_PATH:-}"
  while IFS= read -r update; do printf '%s\\n' "$update"; done
  printf '\\n'
}
ask >&4 2>/dev/null && cat <&3 && IFS= read -r verdict <&4
case $verdict in
  ok) exit 0 ;;
  no) exit 1 ;;
esac
echo 'Helios stopped before it decided about this push, so the branch has not moved.'
echo 'Push again when it is back; what it had begun to deploy is in: helios deployments'
exit 1
`

/** The repositories below a data dir. */
export function createRepos(dataDir: string): Repos {
  const root = join(dataDir, 'repos')
  const hooksDir = join(root, 'hooks')
  const path = (appId: string): string => {
    if (!isId('app', appId)) throw new HeliosError('internal', `${show(appId)} is no app id`)
    return join(root, `${appId}.git`)
  }
  return {
    hooksDir,
    prepare: async () => {
      await writeHooks(hooksDir)
      await removeRests(root)
    },
    path,
    ensure: (appId) => ensureRepo(path(appId)),
    remove: (appId) => removeRepo(path(appId)),
    empty: () => ensureRepo(join(root, 'empty.git')),
  }
}

async function writeHooks(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const file = join(dir, 'pre-receive')
  const written = `${file}.${randomBytes(6).toString('hex')}`
  await writeFile(written, PRE_RECEIVE, { mode: 0o700 })
  await chmod(written, 0o700)
  await rename(written, file)
  // Git leaves out a hook it cannot run, and every push would pass unseen.
  await access(file, constants.X_OK).catch((cause: unknown) => {
    throw new HeliosError('config_invalid', `${file} cannot be run`, {
      hint: 'The data dir must be on a file system that allows programs (no noexec)',
      cause,
    })
  })
}

/** A git whose Helios was killed dies while it reports, and then leaves behind what it held. */
async function removeRests(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    if (/\.git\.[0-9a-f]{12}$/.test(name))
      await rm(join(root, name), { recursive: true, force: true })
    if (!name.endsWith('.git')) continue
    const objects = join(root, name, 'objects')
    for (const each of await readdir(objects).catch((): string[] => [])) {
      if (each.startsWith('tmp_objdir-'))
        await rm(join(objects, each), { recursive: true, force: true })
    }
  }
}

async function ensureRepo(dir: string): Promise<string> {
  if (await isThere(join(dir, 'HEAD'))) return dir
  // Made aside and renamed, so that a crash leaves no half of a repository.
  const made = `${dir}.${randomBytes(6).toString('hex')}`
  await mkdir(made, { recursive: true, mode: 0o700 })
  await git(made, ['init', '--bare', '--quiet', '--template=', '--initial-branch=main'])
  await mkdir(join(made, 'info'), { recursive: true })
  // Files must reach the build as they were pushed: these attributes would drop or change some.
  await writeFile(join(made, 'info', 'attributes'), '* -export-ignore -export-subst\n')
  try {
    await rename(made, dir)
  } catch (error) {
    await rm(made, { recursive: true, force: true })
    if (!(await isThere(join(dir, 'HEAD')))) throw error
  }
  return dir
}

async function removeRepo(dir: string): Promise<void> {
  const doomed = `${dir}.${randomBytes(6).toString('hex')}`
  const moved = await rename(dir, doomed).then(
    () => true,
    () => false,
  )
  if (moved) await rm(doomed, { recursive: true, force: true, maxRetries: 3 })
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/** Refs of a repository in the order of their names, those of Helios itself left out; at most 10,000. */
export async function refs(repo: string): Promise<Ref[]> {
  return (await listRefs(repo, '10000')).filter(({ ref }) => !ref.startsWith('refs/helios/'))
}

/** Refs below a prefix, as `refs/helios/sources`. */
export async function listRefs(repo: string, count: string, prefix?: string): Promise<Ref[]> {
  const format = '--format=%(objectname) %(refname)'
  const { stdout } = await git(repo, [
    'for-each-ref',
    `--count=${count}`,
    format,
    ...(prefix === undefined ? [] : [prefix]),
  ])
  return stdout
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [oid = '', ref = ''] = line.split(' ')
      return { ref, oid }
    })
}

/**
 * Move a ref from `old` to `next`, only if it is still at `old` ({@link NO_OBJECT}: not there).
 * Gives whether it is at `next` now.
 */
export async function moveRef(
  repo: string,
  ref: string,
  next: string,
  old: string,
): Promise<boolean> {
  const { code } = await git(repo, ['update-ref', ref, next, old], { okCodes: [0, 1, 128] })
  if (code === 0) return true
  const now = await listRefs(repo, '1', ref)
  return now.some((found) => found.ref === ref && found.oid === next)
}

/** Make a branch the one that a clone checks out. */
export async function setHead(repo: string, branchRef: string): Promise<void> {
  await git(repo, ['symbolic-ref', 'HEAD', branchRef])
}

const MAX_PACKS = 30

/** Repack a repository that has many packs, and drop what nothing refers to any more; gives whether it did. */
export async function tidy(repo: string, signal?: AbortSignal): Promise<boolean> {
  const names = await readdir(join(repo, 'objects', 'pack')).catch((): string[] => [])
  if (names.filter((name) => name.endsWith('.pack')).length <= MAX_PACKS) return false
  // Objects younger than that may belong to a push under way.
  await git(repo, ['gc', '--quiet', '--prune=3.hours.ago'], signal ? { signal } : {})
  return true
}
