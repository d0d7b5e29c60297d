/**
 * @module
 * What may stand in a source archive: the judge of every entry, whatever the order.
 */
import type { Header } from 'tar-stream'
import { HeliosError, show } from '../lib/errors.ts'

/** Most of everything in one archive. */
export type ArchiveLimits = {
  entries: number
  /** Bytes of content, also after unpacking. */
  bytes: number
  /** Bytes after unpacking for one byte of gzip, once an archive is larger than 10 MiB. */
  ratio: number
  /** Bytes of all paths together. */
  pathBytes: number
}

/** The limits of every source. */
export const ARCHIVE_LIMITS: ArchiveLimits = {
  entries: 50_000,
  bytes: 2 * 1024 ** 3,
  ratio: 200,
  pathBytes: 16 * 1024 ** 2,
}

const MAX_NAME_BYTES = 255
const MAX_PATH_BYTES = 4095
const MAX_FOLDERS = 100_000

/** An accepted entry; its path has no leading, double or trailing slash and no dots. */
export type CheckedEntry =
  | { kind: 'file'; path: string; size: number; executable: boolean }
  | { kind: 'folder'; path: string }
  | { kind: 'symlink'; path: string; target: string }
  /** Another name of a file that came before. */
  | { kind: 'link'; path: string; target: string }

type Node = 'file' | 'folder' | 'symlink'

/** What the judge remembers of the entries before. */
type Seen = { nodes: Map<string, Node>; entries: number; bytes: number; pathBytes: number }

/** Refuse an archive for the rule that an entry breaks. */
export function rejectEntry(name: string, rule: string, hint?: string): never {
  throw new HeliosError('archive_rejected', `the entry ${show(name)} is rejected: ${rule}`, {
    hint: hint ?? 'Remove it from the source.',
  })
}

/**
 * Make a judge of the entries of one archive; it gives undefined for the root folder itself.
 * @throws {HeliosError} archive_rejected with the entry and the rule.
 */
export function createArchiveRules(
  limits: ArchiveLimits = ARCHIVE_LIMITS,
): (header: Header) => CheckedEntry | undefined {
  const seen: Seen = { nodes: new Map(), entries: 0, bytes: 0, pathBytes: 0 }
  return (header) => {
    count(header, seen, limits)
    const path = pathOf(header.name, header.name, 'its name')
    if (path === '' && header.type === 'directory') return undefined
    if (path === '') rejectEntry(header.name, 'it has no name')
    const entry = entryOf(header, path)
    place(entry, header.name, seen.nodes)
    return entry
  }
}

function count(header: Header, seen: Seen, limits: ArchiveLimits): void {
  seen.entries += 1
  seen.bytes += header.size
  seen.pathBytes += Buffer.byteLength(header.name)
  const hint = 'Leave out what the build does not need, as with .gitignore or .dockerignore.'
  if (seen.entries > limits.entries) {
    rejectEntry(header.name, `there are more than ${limits.entries} entries`, hint)
  }
  if (seen.bytes > limits.bytes) {
    rejectEntry(header.name, `the files are larger than ${limits.bytes} bytes together`, hint)
  }
  if (seen.pathBytes > limits.pathBytes) {
    rejectEntry(header.name, `the names are longer than ${limits.pathBytes} bytes together`, hint)
  }
}

function pathOf(text: string, entry: string, what: string): string {
  if (text.includes('\0')) rejectEntry(entry, `${what} has a NUL`)
  if (text.includes('\uFFFD')) rejectEntry(entry, `${what} is not UTF-8`)
  if (text.startsWith('/')) rejectEntry(entry, `${what} is absolute`)
  const names = text.split('/').filter((name) => name !== '' && name !== '.')
  if (names.includes('..')) rejectEntry(entry, `${what} has ".."`)
  if (names.some((name) => Buffer.byteLength(name) > MAX_NAME_BYTES)) {
    rejectEntry(entry, `${what} is longer than ${MAX_NAME_BYTES} bytes`)
  }
  const path = names.join('/')
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    rejectEntry(entry, `${what} is a path longer than ${MAX_PATH_BYTES} bytes`)
  }
  return path
}

function entryOf(header: Header, path: string): CheckedEntry {
  const target = header.linkname ?? ''
  switch (header.type) {
    case 'file':
    case 'contiguous-file':
      return fileOf(header, path)
    case 'directory':
      return { kind: 'folder', path }
    case 'symlink':
      checkTarget(path, target, header.name)
      return { kind: 'symlink', path, target }
    case 'link':
      return { kind: 'link', path, target: pathOf(target, header.name, 'its hard link') }
    case 'fifo':
      return rejectEntry(header.name, 'it is a named pipe')
    case 'block-device':
    case 'character-device':
      return rejectEntry(header.name, 'it is a device')
    default:
      return rejectEntry(header.name, 'its kind is unknown')
  }
}

function fileOf(header: Header, path: string): CheckedEntry {
  const mode = header.mode
  if ((mode & 0o6000) !== 0) {
    rejectEntry(header.name, 'it has a setuid or setgid bit', 'Take it off: chmod ug-s FILE')
  }
  if (/"GNU\.sparse/.test(JSON.stringify(header.pax))) {
    rejectEntry(header.name, 'it is a sparse file', 'Pack without --sparse.')
  }
  return { kind: 'file', path, size: header.size, executable: (mode & 0o111) !== 0 }
}

// Parents are real folders (see place), so ".." at the start is what it seems; behind a name it
// could stand behind a symlink and mean another folder.
function checkTarget(path: string, target: string, entry: string): void {
  if (target === '') rejectEntry(entry, 'its symlink is empty')
  if (target.includes('\0')) rejectEntry(entry, 'its symlink has a NUL')
  if (target.includes('\uFFFD')) rejectEntry(entry, 'its symlink is not UTF-8')
  if (target.startsWith('/')) rejectEntry(entry, 'its symlink is absolute')
  const names = target.split('/').filter((name) => name !== '' && name !== '.')
  const first = names.findIndex((name) => name !== '..')
  const ups = first < 0 ? names.length : first
  if (names.slice(ups).includes('..')) {
    rejectEntry(entry, 'its symlink has ".." behind a name')
  }
  if (ups > path.split('/').length - 1) rejectEntry(entry, 'its symlink leaves the root folder')
}

function place(entry: CheckedEntry, name: string, nodes: Map<string, Node>): void {
  for (let end = entry.path.lastIndexOf('/'); end > 0; end = entry.path.lastIndexOf('/', end - 1)) {
    const parent = entry.path.slice(0, end)
    const node = nodes.get(parent)
    if (node === 'symlink') rejectEntry(name, `it goes through the symlink ${show(parent)}`)
    if (node === 'file') rejectEntry(name, `it lies below ${show(parent)}, which is a file`)
    if (node === 'folder') break
    addNode(parent, 'folder', name, nodes)
  }
  if (entry.kind === 'link' && nodes.get(entry.target) !== 'file') {
    rejectEntry(name, `its hard link ${show(entry.target)} is no file that came before`)
  }
  const known = nodes.get(entry.path)
  if (known === 'folder' && entry.kind === 'folder') return
  if (known !== undefined) rejectEntry(name, `there is a ${known} of that name before it`)
  addNode(entry.path, entry.kind === 'link' ? 'file' : entry.kind, name, nodes)
}

function addNode(path: string, node: Node, name: string, nodes: Map<string, Node>): void {
  nodes.set(path, node)
  // Entries are counted already; this bounds the folders that only their paths name.
  if (nodes.size > MAX_FOLDERS) rejectEntry(name, `there are more than ${MAX_FOLDERS} folders`)
}
