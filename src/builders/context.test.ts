import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { extract, type Header, pack } from 'tar-stream'
import { describe, expect, test } from 'vitest'
import { run } from '../lib/exec.ts'
import { buildContext, CONTEXT_DOCKERFILE, isRead, readSource } from './context.ts'
import { tarHeader } from './tar-writer.ts'
import type { DockerfilePlan } from './types.ts'

type Files = Record<string, string | (Partial<Header> & { text?: string })>
const soon = (): AbortSignal => AbortSignal.timeout(10_000)

async function tar(files: Files): Promise<Buffer> {
  const packing = pack()
  for (const [name, value] of Object.entries(files)) {
    const { text = '', ...header } = typeof value === 'string' ? { text: value } : value
    packing.entry({ ...header, name }, text)
  }
  packing.finalize()
  return buffer(packing)
}

type Unpacked = Record<string, { header: Header; text: string }>

async function unpack(stream: Readable): Promise<Unpacked> {
  const found: Unpacked = {}
  const reading = extract()
  stream.on('error', (error) => reading.destroy(error))
  stream.pipe(reading)
  for await (const entry of reading) {
    const chunks: Uint8Array[] = []
    for await (const chunk of entry as AsyncIterable<Uint8Array>) chunks.push(chunk)
    found[entry.header.name] = {
      header: entry.header,
      text: Buffer.concat(chunks).toString(),
    }
  }
  return found
}

const PLAN: DockerfilePlan = {
  kind: 'dockerfile',
  dockerfile: 'FROM scratch\n',
  extraFiles: {},
  args: {},
  ignore: '',
  processes: {},
}

async function contextOf(files: Files, plan: Partial<DockerfilePlan> = {}): Promise<Unpacked> {
  return unpack(buildContext(Readable.from([await tar(files)]), { ...PLAN, ...plan }, soon()))
}

test.each([
  'Dockerfile',
  'a/b/Dockerfile.prod',
  'web.dockerfile',
  'Containerfile',
  '.dockerignore',
  'Dockerfile.dockerignore',
  'Procfile',
  'app.json',
  'oal.yaml',
  'oal.yml',
  'oal.json',
  'package.json',
  'pnpm-lock.yaml',
  'requirements.txt',
  'requirements/base.txt',
  'constraints.txt',
  'pyproject.toml',
  '.python-version',
  'runtime.txt',
  '.nvmrc',
  '.node-version',
])('%s is read', (path) => expect(isRead(path)).toBe(true))

test.each(['a/package.json', 'src/main.py', 'README.md', 'x/Procfile', 'notes.txt'])(
  '%s is not read',
  (path) => expect(isRead(path)).toBe(false),
)

describe('readSource', () => {
  test('gives sorted paths, and texts of what may decide', async () => {
    const bytes = await tar({
      'src/': { type: 'directory' },
      'src/main.js': 'x',
      'package.json': '{}',
      Dockerfile: { type: 'symlink', linkname: 'docker/Dockerfile.web' },
      'docker/Dockerfile.web': 'FROM a\n',
      'docker/Dockerfile.copy': { type: 'link', linkname: 'docker/Dockerfile.web' },
      'big/Dockerfile': 'x'.repeat(1024 * 1024 + 1),
      'lost/Dockerfile': { type: 'symlink', linkname: '../none' },
      '.git/config': 'secret',
      'sub/.git': 'gitdir: x',
      '.helios/Dockerfile': 'FROM b\n',
    })
    for (const source of [bytes, gzipSync(bytes)]) {
      const files = await readSource(Readable.from([source]), soon())
      expect(files.paths).toEqual([
        'Dockerfile',
        'big/Dockerfile',
        'docker/Dockerfile.copy',
        'docker/Dockerfile.web',
        'lost/Dockerfile',
        'package.json',
        'src/main.js',
      ])
      expect(files.read('package.json')).toBe('{}')
      expect(files.read('Dockerfile')).toBe('FROM a\n')
      expect(files.read('docker/Dockerfile.copy')).toBe('FROM a\n')
      const unread = [
        'src/main.js',
        'big/Dockerfile',
        'lost/Dockerfile',
        '.helios/Dockerfile',
        'no',
      ]
      expect(unread.filter((path) => files.read(path) !== undefined)).toEqual([])
    }
  })

  test('keeps a bounded amount of text', async () => {
    const text = 'x'.repeat(1024 * 1024)
    const names = Array.from({ length: 18 }, (_, at) => `${at}/Dockerfile`)
    const bytes = await tar(Object.fromEntries(names.map((name) => [name, text])))
    const files = await readSource(Readable.from([bytes]), soon())
    expect(files.paths).toHaveLength(18)
    expect(names.filter((name) => files.read(name) !== undefined)).toHaveLength(16)
  })

  test('reads what git archive writes', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'helios-context-'))
    const git = async (...args: string[]): Promise<Buffer> =>
      (await run(['git', '-C', dir, '-c', 'user.name=a', '-c', 'user.email=a@b', ...args])).stdout
    try {
      await git('init', '-q')
      const names = ['package.json', `${'long/'.repeat(30)}é🚀.js`, '[id].tsx', 'a b']
      for (const name of names) {
        mkdirSync(dirname(join(dir, name)), { recursive: true })
        writeFileSync(join(dir, name), name)
      }
      symlinkSync('a b', join(dir, 'link'))
      await git('add', '.')
      await git('commit', '-qm', 'x')
      const archive = await git('archive', 'HEAD')
      const files = await readSource(Readable.from([archive]), soon())
      expect(files.paths).toEqual([...names, 'link'].sort())
      const context = await unpack(buildContext(Readable.from([archive]), PLAN, soon()))
      for (const name of names) expect(context[name]?.text).toBe(name)
      expect(context['link']?.header).toMatchObject({ type: 'symlink', linkname: 'a b' })
    } finally {
      rmSync(dir, { recursive: true })
    }
  })
})

describe('buildContext', () => {
  test('adds the Dockerfile and the plan’s files, leaves out what is ignored', async () => {
    const files = {
      Dockerfile: 'FROM own\n',
      '.dockerignore': 'x',
      '.git/config': 'x',
      'sub/.git': 'x',
      '.helios/Dockerfile': 'FROM theirs\n',
      'node_modules/': { type: 'directory' },
      'node_modules/a/index.js': 'x',
      'node_modules/keep/index.js': 'kept',
      'empty/': { type: 'directory' },
      'src/main.js': 'x',
    } as const
    const found = await contextOf(files, {
      extraFiles: { '.helios/extra': 'more' },
      ignore: 'node_modules\n!node_modules/keep\nDockerfile',
    })
    expect(Object.keys(found)).toEqual([
      '.helios/',
      '.helios/extra',
      CONTEXT_DOCKERFILE,
      'node_modules/',
      'node_modules/keep/',
      'node_modules/keep/index.js',
      'empty/',
      'src/',
      'src/main.js',
    ])
    expect(found[CONTEXT_DOCKERFILE]?.text).toBe('FROM scratch\n')
    expect(found['.helios/extra']?.text).toBe('more')
  })

  test('puts the source into a folder, with its links', async () => {
    const files: Files = {
      'a/b': 'x',
      'a/hard': { type: 'link', linkname: 'a/b' },
      'a/soft': { type: 'symlink', linkname: 'b' },
    }
    const found = await contextOf(files, { sourceDir: 'app' })
    expect(Object.keys(found).slice(2)).toEqual([
      'app/',
      'app/a/',
      'app/a/b',
      'app/a/hard',
      'app/a/soft',
    ])
    expect(found['app/a/hard']?.header).toMatchObject({ type: 'link', linkname: 'app/a/b' })
    expect(found['app/a/soft']?.header).toMatchObject({ type: 'symlink', linkname: 'b' })
    expect(Object.keys(await contextOf({}, { sourceDir: 'app' }))).toContain('app/')
    await expect(contextOf(files, { ignore: 'a/b' })).rejects.toThrow(
      'the entry "a/hard" is rejected: it is a hard link to a file that is ignored',
    )
  })

  test('says nothing of time, owner and umask', async () => {
    const odd: Partial<Header> = { mtime: new Date(), uid: 7, gid: 8, uname: 'me', gname: 'us' }
    const make = (more: Partial<Header>, mode: number): Promise<Buffer> =>
      tar({ a: { ...more, mode, text: 'x' }, b: { ...more, mode: mode | 0o100, text: 'y' } })
    const [one, other] = await Promise.all(
      [make(odd, 0o600), make({}, 0o664)].map(async (bytes) =>
        buffer(buildContext(Readable.from([await bytes]), PLAN, soon())),
      ),
    )
    expect(one?.equals(other ?? Buffer.alloc(0))).toBe(true)
    const { a, b } = await unpack(Readable.from([one]))
    expect(a?.header).toMatchObject({ mode: 0o644, uid: 0, gid: 0, uname: '', mtime: new Date(0) })
    expect(b?.header.mode).toBe(0o755)
  })

  test('keeps any name and content', async () => {
    const part = fc.string({ unit: 'binary', minLength: 1, maxLength: 60 })
    const name = part.filter((text) => !/[\0/\uFFFD]|^\.|^app$/.test(text) && text.isWellFormed())
    const path = fc
      .array(name, { minLength: 1, maxLength: 4 })
      .map((parts) => `r/${parts.join('/')}.f`)
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(path, fc.string({ unit: 'grapheme' }), { noNullPrototype: true }),
        async (files) => {
          const nested = Object.keys(files).some((one) =>
            Object.keys(files).some((other) => other.startsWith(`${one}/`)),
          )
          fc.pre(!nested)
          const found = await contextOf(files)
          for (const [key, text] of Object.entries(files)) expect(found[key]?.text).toBe(text)
        },
      ),
      { numRuns: 50 },
    )
  })

  test('reads no faster than it is read', async () => {
    let given = 0
    const block = Buffer.alloc(64 * 1024)
    const size = 64 * 1024 * 1024
    const head = tarHeader({ kind: 'file', path: 'big', size, executable: false })
    const source = Readable.from(
      (function* () {
        yield head
        for (; given < size; given += block.length) yield block
      })(),
      { highWaterMark: 1 },
    )
    const context = buildContext(source, PLAN, soon())
    for await (const _ of context) break
    await sleep(50)
    expect(given).toBeLessThan(8 * 1024 * 1024)
    expect(source.destroyed).toBe(true)
  })

  test('fails with the rule, and with the signal', async () => {
    await expect(contextOf({ '../x': 'x' })).rejects.toMatchObject({ code: 'archive_rejected' })
    const silent = (): Readable => new Readable({ read: () => undefined })
    const controller = new AbortController()
    const source = silent()
    const context = buffer(buildContext(source, PLAN, controller.signal))
    setTimeout(() => controller.abort(new Error('enough')), 20)
    await expect(context).rejects.toThrow('enough')
    expect(source.destroyed).toBe(true)
    await expect(buffer(buildContext(silent(), PLAN, controller.signal))).rejects.toThrow('enough')
    const unread = silent()
    buildContext(unread, PLAN, soon()).destroy()
    await sleep(10)
    expect(unread.destroyed).toBe(true)
  })
})
