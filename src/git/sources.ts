/**
 * @module
 * Sources of builds inside a repository: kept as a ref to their tree from before the deploy until it is over.
 */
import { link, open, readdir, readFile, realpath, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { HeliosError, show } from '../lib/errors.ts'
import { isId } from '../lib/ids.ts'
import { listRefs, moveRef, NO_OBJECT, setHead } from './repo.ts'
import { git } from './run.ts'

const PREFIX = 'refs/helios/sources/'

function sourceRef(sourceId: string): string {
  if (!isId('src', sourceId)) throw new HeliosError('internal', `${show(sourceId)} is no source id`)
  return `${PREFIX}${sourceId}`
}

/**
 * Link what a push has brought into the repository's own objects, while git still holds it apart.
 * From then on it is there whatever becomes of the push.
 */
export async function adoptObjects(repo: string, quarantine: string): Promise<void> {
  // Git resolves links in the path it gives; ours may have some.
  if ((await realpath(dirname(quarantine))) !== (await realpath(join(repo, 'objects')))) {
    throw new HeliosError('internal', `${show(quarantine)} is not in ${repo}`)
  }
  const from = join(quarantine, 'pack')
  const to = join(repo, 'objects', 'pack')
  const names = await readdir(from).catch((): string[] => [])
  // Git looks for the index: it must come last. What git locks with .keep is its own affair.
  const packs = names.filter((name) => /^pack-[0-9a-f]{40}\.(pack|rev|idx)$/.test(name))
  packs.sort((a, b) => Number(a.endsWith('.idx')) - Number(b.endsWith('.idx')))
  for (const name of packs) {
    await link(join(from, name), join(to, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  }
  if (packs.length > 0) await syncFolder(to)
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Keep the tree of a commit as the source of a build. Not the commit: its parents may be lacking after a shallow push. */
export async function keepSource(repo: string, sourceId: string, commit: string): Promise<void> {
  await git(repo, ['update-ref', sourceRef(sourceId), `${commit}^{tree}`])
}

/** Let go of a source; one that is not there is no error. */
export async function dropSource(repo: string, sourceId: string): Promise<void> {
  await git(repo, ['update-ref', '-d', sourceRef(sourceId)])
}

/** Sources a repository still keeps, at most 1,000, with the tree each names. */
export async function listSources(repo: string): Promise<{ id: string; tree: string }[]> {
  const found = await listRefs(repo, '1000', PREFIX)
  return found.map(({ ref, oid }) => ({ id: ref.slice(PREFIX.length), tree: oid }))
}

/**
 * After a deploy that succeeded without its pusher's git: move the branch, unless somebody moved it
 * meanwhile, and let go of the source. Gives whether the branch is at the commit now.
 */
export async function settleSource(
  repo: string,
  source: { id: string; ref: string; rev: string; previousRev: string | null },
): Promise<boolean> {
  const moved = await moveRef(repo, source.ref, source.rev, source.previousRev ?? NO_OBJECT)
  if (moved && source.previousRev === null) await setHead(repo, source.ref)
  await dropSource(repo, source.id)
  return moved
}

/**
 * Forget the branches and tags that came without their history. A pusher with the whole history
 * takes the rest of it for present, and every push that branches off there fails; when the refs are
 * gone, the next push sends all. Gives whether there were any.
 */
export async function forgetShallow(repo: string): Promise<boolean> {
  const file = join(repo, 'shallow')
  const edges = (await readFile(file, 'utf8').catch(() => ''))
    .split('\n')
    .filter((line) => line !== '')
  if (edges.length === 0) return false
  const contains = edges.slice(0, 1000).flatMap((oid) => ['--contains', oid])
  const { stdout } = await git(repo, [
    'for-each-ref',
    '--format=delete %(refname)',
    ...contains,
    'refs/heads',
    'refs/tags',
  ])
  await git(repo, ['update-ref', '--stdin'], { input: stdout })
  await rm(file, { force: true })
  return true
}
