/**
 * @module
 * A build context held in memory: the files of a tar stream in the order BuildKit walks them.
 */
import { buffer } from 'node:stream/consumers'
import { extract, type Header } from 'tar-stream'
import { HeliosError, show } from '../../lib/errors.ts'
import type { FileStat } from './buildkit-messages.ts'

/** Mode bits as Go writes them, which differ from the system's. */
const GO = { dir: 2 ** 31, symlink: 2 ** 27, setuid: 2 ** 23, setgid: 2 ** 22, sticky: 2 ** 20 }

/** A file of a context; folders and links have no content. */
export type ContextFile = { stat: FileStat; content: Buffer }

/** The start of a stream: all of it when it fits, else what was read and the stream to go on with. */
export type StreamHead = { whole: Buffer } | { chunks: Buffer[]; rest: AsyncIterator<Buffer> }

/** Read a stream until its end or until more than `maxBytes` are there. */
export async function readHead(
  source: NodeJS.ReadableStream,
  maxBytes: number,
): Promise<StreamHead> {
  const rest = (source as AsyncIterable<Buffer | string>)[Symbol.asyncIterator]()
  const chunks: Buffer[] = []
  for (let bytes = 0; bytes <= maxBytes; ) {
    const { value, done } = await rest.next()
    if (done) return { whole: Buffer.concat(chunks) }
    const chunk = Buffer.from(value)
    chunks.push(chunk)
    bytes += chunk.length
  }
  return { chunks, rest: rest as AsyncIterator<Buffer> }
}

/** The bytes of a stream whose start was read. */
export async function* wholeOf(head: StreamHead): AsyncGenerator<Buffer> {
  if ('whole' in head) {
    yield head.whole
    return
  }
  yield* head.chunks
  yield* { [Symbol.asyncIterator]: () => head.rest }
}

/**
 * The files of a tar archive, folders before what is in them, missing folders added.
 * Devices and pipes are left out; owners are not kept: a build gives files to root.
 * @throws {HeliosError} HX34 for a path that leaves the context, or an archive that is none.
 */
export async function filesOfTar(tar: Buffer): Promise<ContextFile[]> {
  const files = new Map<string, ContextFile>()
  const unpack = extract()
  unpack.end(tar)
  try {
    for await (const entry of unpack) {
      const content = await buffer(entry)
      addFile(files, entry.header, content)
    }
  } catch (error) {
    if (error instanceof HeliosError) throw error
    throw new HeliosError('HX34', 'The build context is no readable tar archive.', { cause: error })
  }
  for (const path of [...files.keys()]) addFolders(files, path)
  const keyed = [...files.values()].map((file) => ({ file, key: walkKey(file.stat.path) }))
  return keyed.sort((a, b) => Buffer.compare(a.key, b.key)).map(({ file }) => file)
}

/** The files a request names, with the folders they are in; all when a name is a pattern. */
export function selectFiles(files: ContextFile[], names: string[]): ContextFile[] {
  if (names.length === 0 || names.some((name) => /[*?[\\!]/.test(name))) return files
  const wanted = (path: string): boolean =>
    names.some(
      (name) => path === name || name.startsWith(`${path}/`) || path.startsWith(`${name}/`),
    )
  return files.filter(({ stat }) => wanted(stat.path))
}

function addFile(files: Map<string, ContextFile>, header: Header, content: Buffer): void {
  const path = cleanPath(header.name)
  if (path === '') return
  const stat = {
    path,
    mode: permissions(header.mode ?? 0o644),
    size: 0,
    modTimeNs: BigInt(header.mtime?.getTime() ?? 0) * 1_000_000n,
    linkname: '',
  }
  const linkname = header.linkname ?? ''
  if (header.type === 'directory') {
    files.set(path, { stat: { ...stat, mode: stat.mode + GO.dir }, content: Buffer.alloc(0) })
  } else if (header.type === 'symlink') {
    const mode = 0o777 + GO.symlink
    files.set(path, { stat: { ...stat, mode, linkname }, content: Buffer.alloc(0) })
  } else if (header.type === 'link') {
    // A second name of a file becomes a copy: the order of the walk may put it first.
    const target = files.get(cleanPath(linkname))
    if (target) files.set(path, { ...target, stat: { ...target.stat, path } })
  } else if (header.type === 'file' || header.type === 'contiguous-file') {
    files.set(path, { stat: { ...stat, size: content.length }, content })
  }
}

function addFolders(files: Map<string, ContextFile>, path: string): void {
  const parts = path.split('/').slice(0, -1)
  for (const [index] of parts.entries()) {
    const folder = parts.slice(0, index + 1).join('/')
    const known = files.get(folder)
    if (known && known.stat.mode >= GO.dir) continue
    if (known) throw outside(path, `${show(folder)} is no folder`)
    const stat = { path: folder, mode: 0o755 + GO.dir, size: 0, modTimeNs: 0n, linkname: '' }
    files.set(folder, { stat, content: Buffer.alloc(0) })
  }
}

function cleanPath(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (name.startsWith('/') || parts.includes('..') || name.includes('\0')) {
    throw outside(name, 'it leaves the context')
  }
  return parts.join('/')
}

function outside(name: string, why: string): HeliosError {
  return new HeliosError('HX34', `The build context holds the path ${show(name)}: ${why}.`, {
    hint: 'Use relative paths without ".." below a folder.',
  })
}

function permissions(mode: number): number {
  return (
    (mode & 0o777) +
    (mode & 0o4000 ? GO.setuid : 0) +
    (mode & 0o2000 ? GO.setgid : 0) +
    (mode & 0o1000 ? GO.sticky : 0)
  )
}

// The walk goes by bytes, with the separator below every other byte.
function walkKey(path: string): Buffer {
  return Buffer.from(path.replaceAll('/', '\0'))
}
