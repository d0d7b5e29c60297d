/**
 * @module
 * Where sources lie until they are built: trees in an app's repository, uploaded archives in a folder.
 */
import { createReadStream, existsSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createSourceFiles, isRead, MAX_TEXT_BYTES, readSource } from '../builders/context.ts'
import type { SourceFiles } from '../builders/types.ts'
import type { Source } from '../core/deployments.ts'
import { archive, findAbsent, listFiles, readFiles, treeOf } from '../git/read.ts'
import type { Repos } from '../git/repo.ts'
import { dropSource, listSources, settleSource } from '../git/sources.ts'
import { mapBounded } from '../lib/async.ts'
import { HeliosError } from '../lib/errors.ts'
import { isId } from '../lib/ids.ts'
import type { KeptSource, Sources } from './deps.ts'

/** What sources are found with. */
export type SourcesOptions = {
  repos: Pick<Repos, 'path'>
  /** Folder of uploaded archives, each `<source id>.tar`. */
  archiveDir: string
  /** A pusher's git waits for this source's deployment and moves the branch itself. */
  hasPusher(sourceId: string): boolean
}

/** The sources of a server. */
export function createSources(opts: SourcesOptions): Sources {
  return {
    files: (source, signal) =>
      source.kind === 'git'
        ? gitFiles(opts.repos.path(source.appId), source, signal)
        : readSource(createReadStream(archivePath(opts.archiveDir, source.id)), signal),
    tar: (source, signal) =>
      source.kind === 'git'
        ? archive(opts.repos.path(source.appId), source.rev ?? '', signal)
        : createReadStream(archivePath(opts.archiveDir, source.id)),
    settle: async (source, succeeded) => {
      if (source.kind === 'archive') {
        await rm(archivePath(opts.archiveDir, source.id), { force: true })
      }
      if (source.kind === 'git') await settleGit(opts, source, succeeded)
    },
    kept: async (appIds) => [
      ...(await keptArchives(opts.archiveDir)),
      ...(await mapBounded(appIds, REPOS_AT_ONCE, (id) => keptIn(opts.repos.path(id), id))).flat(),
    ],
    drop: async ({ id, appId }) => {
      if (appId === undefined) await rm(archivePath(opts.archiveDir, id), { force: true })
      else await dropSource(opts.repos.path(appId), id)
    },
  }
}

const REPOS_AT_ONCE = 4

async function keptArchives(dir: string): Promise<KeptSource[]> {
  const ids = (await readdir(dir)).map((name) => name.replace(/\.tar$/, ''))
  return ids.filter((id) => isId('src', id)).map((id) => ({ id }))
}

async function keptIn(repo: string, appId: string): Promise<KeptSource[]> {
  if (!existsSync(repo)) return []
  return (await listSources(repo)).map(({ id }) => ({ id, appId }))
}

function archivePath(dir: string, id: string): string {
  if (!isId('src', id)) throw new HeliosError('internal', `${id} is no id of a source`)
  return join(dir, `${id}.tar`)
}

async function settleGit(opts: SourcesOptions, source: Source, succeeded: boolean): Promise<void> {
  const repo = opts.repos.path(source.appId)
  const { id, ref, rev, previousRev } = source
  if (opts.hasPusher(id)) return
  if (!succeeded || !ref || !rev) return dropSource(repo, id)
  await settleSource(repo, { id, ref, rev, previousRev })
}

/** A git source is read without unpacking it: its list of files, and the few that may decide. */
async function gitFiles(repo: string, source: Source, signal: AbortSignal): Promise<SourceFiles> {
  const tree = await treeOf(repo, source.rev ?? '')
  const files = await listFiles(repo, tree, signal)
  const absent = await findAbsent(repo, tree, signal)
  refuseAbsent(absent)
  const wanted = files.filter(
    ({ path, kind, size }) =>
      (kind === 'file' || kind === 'executable') && size <= MAX_TEXT_BYTES && isRead(path),
  )
  const texts = await readFiles(
    repo,
    tree,
    wanted.map(({ path }) => path),
    signal,
  )
  return createSourceFiles(
    files.map(({ path }) => path),
    new Map([...texts].map(([path, text]) => [path, text.toString('utf8')])),
  )
}

const SHOWN = 3

function refuseAbsent(absent: { submodules: string[]; lfs: string[] }): void {
  const [what, paths, hint] =
    absent.submodules.length > 0
      ? ([
          'a submodule, whose files are not in the push',
          absent.submodules,
          'Commit its files, or deploy the folder as it is: helios deploy',
        ] as const)
      : ([
          'a Git LFS pointer, whose content is not in the push',
          absent.lfs,
          'Deploy the folder with its content: helios deploy',
        ] as const)
  if (paths.length === 0) return
  const names = paths.slice(0, SHOWN).join(', ')
  const more = paths.length > SHOWN ? ` and ${paths.length - SHOWN} more` : ''
  throw new HeliosError('HX34', `${names}${more} is ${what}`, { hint })
}
