/**
 * @module
 * Headers of a tar that says nothing of time and owner: the same files give the same bytes.
 */

/** What a header tells of an entry. */
export type TarHeader =
  | { kind: 'file'; path: string; size: number; executable: boolean }
  | { kind: 'folder'; path: string }
  | { kind: 'symlink' | 'link'; path: string; target: string }

const BLOCK = 512
const TYPES = { file: '0', link: '1', symlink: '2', folder: '5' } as const

/** The header blocks of an entry, with a pax header where the old format cannot hold it. */
export function tarHeader(header: TarHeader): Buffer {
  const path = header.kind === 'folder' ? `${header.path}/` : header.path
  const target = header.kind === 'symlink' || header.kind === 'link' ? header.target : ''
  const size = header.kind === 'file' ? header.size : 0
  const mode = header.kind === 'folder' || (header.kind === 'file' && header.executable)
  const block = (name: string): Buffer =>
    ustar({ name, target, size, mode: mode ? 0o755 : 0o644, type: TYPES[header.kind] })
  const records = [
    ...(isPlain(path, 100) ? [] : [record('path', path)]),
    ...(isPlain(target, 100) ? [] : [record('linkpath', target)]),
  ]
  if (records.length === 0) return block(path)
  const body = Buffer.from(records.join(''))
  const pax = { name: 'pax', target: '', size: body.length, mode: 0o644, type: 'x' }
  return Buffer.concat([ustar(pax), body, tarPadding(body.length), block(path)])
}

/** The zeros that fill up the last block of a content. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK)
}

/** The end of a tar. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * BLOCK)
}

function isPlain(text: string, most: number): boolean {
  return text.length <= most && /^[\x20-\x7e]*$/.test(text)
}

// The length of a record counts its own digits.
function record(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`)
  let length = rest + 1
  while (rest + String(length).length !== length) length++
  return `${length} ${key}=${value}\n`
}

type Fields = { name: string; target: string; size: number; mode: number; type: string }

function ustar({ name, target, size, mode, type }: Fields): Buffer {
  const block = Buffer.alloc(BLOCK)
  const octal = (value: number, at: number, width: number): void => {
    block.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, 'latin1')
  }
  block.write(name, 0, 100, 'utf8')
  octal(mode, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(size, 124, 12)
  octal(0, 136, 12)
  block.fill(' ', 148, 156)
  block.write(type, 156, 'latin1')
  block.write(target, 157, 100, 'utf8')
  block.write('ustar\x0000', 257, 'latin1')
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  )
  return block
}
