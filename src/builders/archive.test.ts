import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { type Header, pack } from 'tar-stream'
import { describe, expect, test } from 'vitest'
import { HeliosError } from '../lib/errors.ts'
import { readArchive } from './archive.ts'
import { ARCHIVE_LIMITS, createArchiveRules } from './archive-rules.ts'

type Entry = [header: Partial<Header> & { name: string }, body?: string]

async function tar(entries: readonly Entry[]): Promise<Buffer> {
  const packing = pack()
  for (const [header, body] of entries) packing.entry(header, body ?? '')
  packing.finalize()
  return buffer(packing)
}

async function readAll(
  bytes: Buffer | readonly Buffer[],
  limits = ARCHIVE_LIMITS,
): Promise<Record<string, string>> {
  const chunks = Buffer.isBuffer(bytes) ? [bytes] : bytes
  const found: Record<string, string> = {}
  const signal = AbortSignal.timeout(10_000)
  for await (const entry of readArchive(Readable.from(chunks), signal, limits)) {
    const parts: Uint8Array[] = []
    if (entry.kind === 'file') for await (const part of entry.body) parts.push(part)
    const text = Buffer.concat(parts).toString()
    found[entry.path] = 'target' in entry ? `${entry.kind} ${entry.target}` : text
  }
  return found
}

async function failure(reading: Promise<unknown>): Promise<HeliosError> {
  const error: unknown = await reading.catch((caught: unknown) => caught)
  if (!(error instanceof HeliosError)) throw new Error(`not rejected: ${String(error)}`)
  return error
}

const file = (name: string, more: Partial<Header> = {}): Entry => [{ name, ...more }, 'x']
const link = (name: string, linkname: string): Entry => [{ name, type: 'link', linkname }]
const symlink = (name: string, linkname: string): Entry => [{ name, type: 'symlink', linkname }]

const BAD: Record<string, [rule: string, entries: Entry[]]> = {
  'a name with ..': ['its name has ".."', [file('../x')]],
  'a name with .. inside': ['its name has ".."', [file('a/../../x')]],
  'an absolute name': ['its name is absolute', [file('/etc/x')]],
  'an absolute folder': ['its name is absolute', [[{ name: '/', type: 'directory' }]]],
  'a name that is not UTF-8': ['its name is not UTF-8', [file('a\uFFFDb')]],
  'a NUL': ['its name has a NUL', [[{ name: 'a\0b€' }, 'x']]],
  'a file without a name': ['it has no name', [file('./')]],
  'a name of 256 bytes': ['its name is longer than 255 bytes', [file('x'.repeat(256))]],
  'a path of 4 KiB': ['its name is a path longer than 4095 bytes', [file('ab/'.repeat(1366))]],
  'a block device': ['it is a device', [[{ name: 'd', type: 'block-device' }]]],
  'a character device': ['it is a device', [[{ name: 'd', type: 'character-device' }]]],
  'a named pipe': ['it is a named pipe', [[{ name: 'p', type: 'fifo' }]]],
  'a setuid file': ['it has a setuid or setgid bit', [file('s', { mode: 0o4755 })]],
  'a setgid file': ['it has a setuid or setgid bit', [file('s', { mode: 0o2755 })]],
  'a sparse file': ['it is a sparse file', [file('s', { pax: { 'GNU.sparse.major': '1' } })]],
  'an absolute symlink': ['its symlink is absolute', [symlink('l', '/etc')]],
  'a symlink to the parent': ['its symlink leaves the root folder', [symlink('l', '..')]],
  'a symlink out of a folder': ['its symlink leaves the root folder', [symlink('a/l', '../../x')]],
  'a symlink that comes back': ['its symlink has ".." behind a name', [symlink('l', 'a/../../x')]],
  'a symlink through a symlink': [
    'its symlink has ".." behind a name',
    [symlink('a/b/c', '../../t'), symlink('l', 'a/b/c/..')],
  ],
  'an empty symlink': ['its symlink is empty', [[{ name: 'l', type: 'symlink', linkname: '/' }]]],
  'writing through a symlink': [
    'it goes through the symlink "l"',
    [symlink('l', 'a'), file('l/x')],
  ],
  'a folder that becomes a symlink': [
    'there is a folder of that name before it',
    [file('l/x'), symlink('l', 'a')],
  ],
  'a symlink that becomes a file': [
    'there is a symlink of that name before it',
    [symlink('l', 'a'), file('l')],
  ],
  'a file twice': ['there is a file of that name before it', [file('a'), file('./a')]],
  'a file below a file': ['it lies below "a", which is a file', [file('a'), file('a/b')]],
  'a hard link out': ['its hard link has ".."', [link('h', '../x')]],
  'an absolute hard link': ['its hard link is absolute', [link('h', '/etc/passwd')]],
  'a hard link to nothing': ['its hard link "a" is no file that came before', [link('h', 'a')]],
  'a hard link to a symlink': [
    'its hard link "l" is no file that came before',
    [symlink('l', 'a'), link('h', 'l')],
  ],
}

describe('rejects', () => {
  test.each(Object.entries(BAD))('%s', async (name, [rule, entries]) => {
    // tar-stream does not write an empty link.
    const bytes = await tar(entries)
    if (name === 'an empty symlink') emptyLink(bytes)
    const error = await failure(readAll(bytes))
    const last = entries.at(-1)?.[0].name ?? ''
    expect(error.code).toBe('archive_rejected')
    expect(error.message).toMatch(/^the entry ".*"? is rejected: /)
    expect(error.message).toContain(JSON.stringify(last).slice(0, 79).replace(/"$/, ''))
    expect(error.message.split('is rejected: ')[1]).toBe(rule)
  })

  test('an entry of unknown kind', async () => {
    const bytes = await tar([file('x')])
    bytes[156] = 'D'.charCodeAt(0)
    checksum(bytes)
    expect((await failure(readAll(bytes))).message).toBe(
      'the entry "x" is rejected: its kind is unknown',
    )
  })

  const many = Array.from({ length: 1200 }, (_, at) => file(`f${at}`))
  test.each([
    [
      'too many entries',
      { entries: 1000 },
      'the entry "f1000" is rejected: there are more than 1000 entries',
    ],
    [
      'too many bytes of names',
      { pathBytes: 9 },
      'the entry "f4" is rejected: the names are longer than 9 bytes together',
    ],
    ['too many bytes', { bytes: 20 }, 'the archive is rejected: it unpacks to more than 20 bytes'],
  ])('%s', async (_, limits, message) => {
    const bytes = await tar(many)
    const error = await failure(readAll(bytes, { ...ARCHIVE_LIMITS, ...limits }))
    expect(error.message).toBe(message)
  })

  test('more than 50,000 entries and 2 GiB by default', () => {
    const header: Header = { ...HEADER, size: 0 }
    const count = createArchiveRules()
    for (let at = 0; at < 50_000; at++) count({ ...header, name: `f${at}` })
    expect(() => count(header)).toThrow('there are more than 50000 entries')
    const add = createArchiveRules()
    add({ ...header, size: 2 ** 31 })
    expect(() => add({ ...header, name: 'y', size: 1 })).toThrow(
      'the files are larger than 2147483648 bytes together',
    )
    const deep = createArchiveRules()
    expect(() => {
      for (let at = 0; at < 1000; at++) deep({ ...header, name: `${at}/${'d/'.repeat(500)}f` })
    }).toThrow('there are more than 100000 folders')
  })
})

const HEADER: Header = {
  name: 'x',
  size: 0,
  mode: 0o644,
  mtime: new Date(0),
  type: 'file',
  linkname: '',
  uid: 0,
  gid: 0,
  uname: '',
  gname: '',
  devmajor: 0,
  devminor: 0,
}

function emptyLink(bytes: Buffer): void {
  bytes[157] = 0
  checksum(bytes)
}

function checksum(bytes: Buffer): void {
  bytes.fill(' ', 148, 156)
  const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0)
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
}

describe('as a whole', () => {
  const good = tar([file('first'), file('second')])
  const whole: Record<string, [message: RegExp, make: () => Promise<Buffer> | Buffer]> = {
    empty: [/it is empty$/, () => Buffer.alloc(0)],
    'not a tar': [/it is not a tar$/, () => randomBytes(5000)],
    'a short text': [/it is not a tar$/, () => Buffer.from('hello')],
    'a zip': [/it is a zip, not a tar$/, () => Buffer.from('PK\u0003\u0004 and more')],
    'gzip of a zip': [/it is not a tar$/, () => gzipSync(`PK\u0003\u0004${'x'.repeat(2000)}`)],
    'cut in a file': [
      /it ends too early after the entry "second"$/,
      async () => (await good).subarray(0, 1537),
    ],
    'cut between files': [
      /it ends too early after the entry "first"$/,
      async () => (await tar([[{ name: 'first' }, 'x'.repeat(512)]])).subarray(0, 1024),
    ],
    'cut gzip': [
      /it ends too early/,
      async () =>
        gzipSync(await tar([[{ name: 'a' }, randomBytes(9000).toString('hex')]])).subarray(0, 5000),
    ],
    'damaged gzip': [
      /its gzip is damaged$/,
      async () => {
        const bytes = gzipSync(await good)
        return bytes.fill(0xff, 12, 40)
      },
    ],
    'damaged in the middle': [
      /it is damaged after the entry "first"$/,
      async () => Buffer.from(await good).fill(7, 1024, 1100),
    ],
    'a bomb': [
      /it unpacks to more than 200 times its size$/,
      () => gzipSync(Buffer.alloc(12 * 1024 ** 2)),
    ],
    'an endless header': [
      /a header is larger than 4 MiB$/,
      async () => {
        const bytes = Buffer.from(await good)
        bytes.write('77777777777\0', 124)
        bytes[156] = 'x'.charCodeAt(0)
        checksum(bytes)
        return bytes
      },
    ],
  }
  test.each(Object.entries(whole))('rejects: %s', async (_, [message, make]) => {
    const error = await failure(readAll(await make()))
    expect(error.code).toBe('archive_rejected')
    expect(error.message).toMatch(message)
  })
})

describe('accepts', () => {
  const long = `${'d'.repeat(120)}/${'é'.repeat(120)}/[id].tsx`
  const good: Entry[] = [
    [{ name: './', type: 'directory' }],
    [{ name: 'empty/', type: 'directory', mode: 0o2755 }],
    file('a b'),
    file('é🚀\\"\n$(id)'),
    file('x'.repeat(255)),
    file(long),
    file('bin/run', { mode: 0o755 }),
    symlink('link', 'bin/run'),
    symlink('bin/up', '../a b'),
    symlink('bin/dangling', './none/'),
    link('hard', './bin/run'),
    [{ name: 'empty', type: 'directory' }],
  ]
  const found = {
    empty: '',
    'a b': 'x',
    'é🚀\\"\n$(id)': 'x',
    ['x'.repeat(255)]: 'x',
    [long]: 'x',
    'bin/run': 'x',
    link: 'symlink bin/run',
    'bin/up': 'symlink ../a b',
    'bin/dangling': 'symlink ./none/',
    hard: 'link bin/run',
  }

  test('odd names, links inside, empty folders, plain and gzipped, in any pieces', async () => {
    const bytes = await tar(good)
    expect(await readAll(bytes)).toEqual(found)
    expect(await readAll(gzipSync(bytes))).toEqual(found)
    const pieces = [...gzipSync(bytes)].map((byte) => Buffer.from([byte]))
    expect(await readAll(pieces)).toEqual(found)
    expect(await readAll(await tar([]))).toEqual({})
  })

  test('in any order', async () => {
    const entries = good.filter(([{ type }]) => type !== 'link')
    const { hard: _, ...rest } = found
    await fc.assert(
      fc.asyncProperty(shuffled(entries), async (order) => {
        expect(await readAll(await tar(order))).toEqual(rest)
      }),
      { numRuns: 30 },
    )
  })

  test('nothing bad, wherever it stands', async () => {
    const bad = Object.values(BAD).map(([, entries]) => entries)
    const filler = Array.from({ length: 6 }, (_, at) => file(`fine/${at}`))
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...bad).chain((entries) => shuffled([...entries, ...filler])),
        async (order) => {
          const bytes = await tar(order)
          const at = order.findIndex(([{ linkname }]) => linkname === '/')
          if (at >= 0) return
          expect((await failure(readAll(bytes))).code).toBe('archive_rejected')
        },
      ),
      { numRuns: 200 },
    )
  })
})

const shuffled = (entries: readonly Entry[]): fc.Arbitrary<Entry[]> =>
  fc.shuffledSubarray([...entries], { minLength: entries.length, maxLength: entries.length })

describe('ends', () => {
  test('when the signal says so, while the source is silent', async () => {
    const source = new Readable({ read: () => undefined })
    const reason = new Error('enough')
    const controller = new AbortController()
    const reading = readArchive(source, controller.signal).next()
    setTimeout(() => controller.abort(reason), 20)
    await expect(reading).rejects.toBe(reason)
    expect(source.destroyed).toBe(true)
    await expect(readArchive(source, controller.signal).next()).rejects.toBe(reason)
  })

  test('when the signal says so, in the middle of an entry', async () => {
    const source = new Readable({ read: () => undefined })
    source.push((await tar([[{ name: 'a' }, 'x'.repeat(9000)]])).subarray(0, 2000))
    const controller = new AbortController()
    const archive = readArchive(source, controller.signal)
    await archive.next()
    const next = archive.next()
    setTimeout(() => controller.abort(new Error('enough')), 20)
    await expect(next).rejects.toThrow('enough')
    expect(source.destroyed).toBe(true)
  })

  test('with the error of the source', async () => {
    const source = new Readable({ read: () => undefined })
    const reading = readArchive(source, AbortSignal.timeout(5000)).next()
    setTimeout(() => source.destroy(new Error('unplugged')), 20)
    await expect(reading).rejects.toThrow('unplugged')
    const gone = readArchive(source, AbortSignal.timeout(5000)).next()
    await expect(gone).rejects.toThrow('unplugged')
  })

  test('when nobody reads on', async () => {
    const source = Readable.from([await tar([file('a'), file('b')])])
    for await (const _ of readArchive(source, AbortSignal.timeout(5000))) break
    expect(source.destroyed).toBe(true)
  })
})
