/**
 * @module
 * Pack a folder into a compressed tar, without what its ignore files name and without git's own files.
 */
import { createReadStream, type Dirent, existsSync } from 'node:fs'
import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createGzip } from 'node:zlib'
import { type Pack, pack } from 'tar-stream'
import { HeliosError, messageOf, show } from '../lib/errors.ts'
import { dockerRules, gitRules } from './ignore-rules.ts'

/** A file or symlink to pack; `path` is relative to the folder. */
type Entry = { path: string; bytes: number; mode: number; mtime: Date; link: string | undefined }

/** What a folder packs to: files in order, and paths that are neither file, folder nor symlink. */
export type Listing = { folder: string; entries: Entry[]; bytes: number; skipped: string[] }

// The same bounds as the server's, known before anything is sent.
const MOST_FILES = 50_000
const MOST_BYTES = 2 * 1024 ** 3

// Docker reads the first two whatever .dockerignore says of them; the others tell how to build and run.
const ALWAYS = new Set([
  'Dockerfile',
  '.dockerignore',
  'Procfile',
  'oal.yaml',
  'oal.yml',
  'oal.json',
  'app.json',
])

type Rules = {
  /** Path of the folder below the top of its git repository; empty, or with `/` at its end. */
  below: string
  git: ReturnType<typeof gitRules>
  docker: ReturnType<typeof dockerRules> | undefined
}

/** List what to pack of a folder, in order of path. @throws {HeliosError} usage, archive_rejected */
export async function listFolder(folder: string): Promise<Listing> {
  const top = resolve(folder)
  const stat = await lstat(`${top}/`).catch(() => undefined)
  if (!stat?.isDirectory()) {
    throw new HeliosError('usage', `${show(folder)} is no folder`, {
      hint: 'helios deploy FOLDER, or change to the folder of the app',
    })
  }
  const listing: Listing = { folder: top, entries: [], bytes: 0, skipped: [] }
  const dockerText = await readRules(join(top, '.dockerignore'))
  const docker = dockerText === undefined ? undefined : dockerRules(dockerText)
  await walk(listing, { ...(await rulesAbove(top)), docker }, '')
  if (listing.entries.length > 0) return listing
  throw new HeliosError('archive_rejected', `There is nothing to deploy in ${top}`, {
    hint: 'The folder is empty, or its .gitignore or .dockerignore names everything in it',
  })
}

async function rulesAbove(top: string): Promise<Pick<Rules, 'below' | 'git'>> {
  const repository = ancestors(top).find((dir) => existsSync(join(dir, '.git')))
  const alone = { below: '', git: gitRules() }
  if (repository === undefined || repository === top) return alone
  const path = relative(repository, top)
  const git = gitRules()
  const dirs = ancestors(top).filter((dir) => dir !== top && dir.startsWith(repository))
  for (const dir of dirs.reverse()) {
    git.add(relative(repository, dir), (await readRules(join(dir, '.gitignore'))) ?? '')
  }
  // Somebody who deploys a folder that git ignores, as `dist`, means what is in it.
  return git.ignores(`${path}/`) ? alone : { below: `${path}/`, git }
}

function ancestors(dir: string): string[] {
  const up = dirname(dir)
  return up === dir ? [dir] : [dir, ...ancestors(up)]
}

async function readRules(file: string): Promise<string | undefined> {
  const stat = await lstat(file).catch(() => undefined)
  // As git does: a symlink is no file of rules.
  if (!stat?.isFile()) return undefined
  return readFile(file, 'utf8')
}

async function walk(listing: Listing, rules: Rules, path: string): Promise<void> {
  const dir = join(listing.folder, path)
  const text = await readRules(join(dir, '.gitignore'))
  if (text !== undefined) rules.git.add(`${rules.below}${path}`.replace(/\/$/, ''), text)
  const found = await readdir(dir, { withFileTypes: true }).catch((error: unknown) => {
    throw unreadable(path || '.', error)
  })
  for (const one of found.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (one.name === '.git') continue
    await visit(listing, rules, `${path}${one.name}`, one)
  }
}

async function visit(listing: Listing, rules: Rules, path: string, one: Dirent): Promise<void> {
  const folder = one.isDirectory()
  const full = folder ? `${path}/` : path
  if (rules.git.ignores(`${rules.below}${full}`)) return
  const left = rules.docker?.ignores(full) === true && !ALWAYS.has(path)
  if (folder) {
    if (!left || rules.docker?.mayBringBack) await walk(listing, rules, full)
  } else if (!left) await addFile(listing, path, one)
}

async function addFile(listing: Listing, path: string, one: Dirent): Promise<void> {
  const file = join(listing.folder, path)
  if (!one.isFile() && !one.isSymbolicLink()) {
    listing.skipped.push(path)
    return
  }
  const link = one.isSymbolicLink() ? await readlink(file) : undefined
  const { size, mode, mtime } = await lstat(file)
  const bytes = link === undefined ? size : 0
  listing.entries.push({ path, bytes, mode: mode & 0o111 ? 0o755 : 0o644, mtime, link })
  listing.bytes += bytes
  if (listing.entries.length <= MOST_FILES && listing.bytes <= MOST_BYTES) return
  throw new HeliosError(
    'archive_rejected',
    `${listing.folder} has more than ${MOST_FILES} files or 2 GiB`,
    { hint: 'Name what is not source, as node_modules/, in .gitignore or .dockerignore' },
  )
}

/** The listed files as a gzipped tar, read as fast as it is taken; destroy it to stop. Errors are HeliosErrors that name the file. */
export function packFolder(listing: Listing, onBytes: (packed: number) => void): Readable {
  const tar = pack()
  const archive = createGzip({ level: constants.Z_BEST_SPEED })
  // What went wrong is told by the error of `archive` alone, which names the file.
  tar.on('error', () => undefined)
  tar.on('data', (chunk) => {
    if (!archive.write(chunk)) tar.pause()
  })
  tar.on('end', () => archive.end())
  archive.on('drain', () => tar.resume())
  archive.once('close', () => tar.destroy())
  fill(tar, listing, onBytes).catch((error: Error) => archive.destroy(error))
  return archive
}

async function fill(tar: Pack, listing: Listing, onBytes: (packed: number) => void): Promise<void> {
  let packed = 0
  for (const { path, bytes, mode, mtime, link } of listing.entries) {
    const header = { name: path, mode, mtime, uid: 0, gid: 0 }
    if (link !== undefined) {
      tar.entry({ ...header, type: 'symlink', linkname: link, size: 0 })
    } else if (bytes === 0) {
      tar.entry({ ...header, size: 0 }, '')
    } else {
      // A file that grows meanwhile is cut at the size its header tells.
      const from = createReadStream(join(listing.folder, path), { end: bytes - 1 })
      from.on('data', (chunk) => {
        packed += chunk.length
        onBytes(packed)
      })
      await pipeline(from, tar.entry({ ...header, size: bytes })).catch((error: unknown) => {
        throw unreadable(path, error)
      })
    }
  }
  tar.finalize()
}

function unreadable(path: string, error: unknown): HeliosError {
  const why = /size mismatch/i.test(messageOf(error))
    ? 'it got shorter while it was read'
    : messageOf(error)
  return new HeliosError('archive_rejected', `Cannot pack ${show(path)}: ${why}`, {
    hint: 'Make it readable, or name it in .gitignore',
    cause: error,
  })
}
