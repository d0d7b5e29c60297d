import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import fc from 'fast-check'
import { extract } from 'tar-stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { run } from '../lib/exec.ts'
import { dockerRules, gitRules } from './ignore-rules.ts'
import { listFolder, packFolder } from './pack.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'helios-pack-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

function lay(files: Record<string, string>, under = dir): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(under, path)), { recursive: true })
    writeFileSync(join(under, path), text)
  }
}
const git = async (...args: string[]): Promise<string> =>
  (
    await run(['git', ...args], { cwd: dir, env: { HOME: dir, GIT_CONFIG_NOSYSTEM: '1' } })
  ).stdout.toString()
const paths = async (folder = dir): Promise<string[]> =>
  (await listFolder(folder)).entries.map(({ path }) => path)

const NESTED = {
  '.gitignore': [
    'node_modules/',
    '*.log',
    '!keep.log',
    '/build',
    'docs/*.txt',
    '# comment',
    '',
    '\\#odd',
    '\\!bang',
    'trail\\ ',
    'space   ',
    'a/**/z',
    '**/cache',
    'tmp/**',
    '[ab].o',
    'sub/only',
    'x?y',
    'later',
    '!/deep/kept',
  ].join('\n'),
  'index.js': '1',
  'node_modules/a/b.js': '1',
  'lib/node_modules/c.js': '1',
  'x.log': '1',
  'keep.log': '1',
  'lib/keep.log': '1',
  'build/out': '1',
  'lib/build/out': '1',
  'docs/a.txt': '1',
  'docs/in/a.txt': '1',
  '#odd': '1',
  '!bang': '1',
  'trail ': '1',
  space: '1',
  'a/z': '1',
  'a/b/c/z': '1',
  'p/cache/f': '1',
  'tmp/f': '1',
  'tmp/d/f': '1',
  'a.o': '1',
  'c.o': '1',
  'sub/only': '1',
  'in/sub/only': '1',
  xay: '1',
  'x/y': '1',
  later: '1',
  'deep/later': '1',
  'deep/kept': '1',
  'deep/.gitignore': '!later\n*.js\n/root\nmid/leaf\n!node_modules/\n',
  'deep/x.js': '1',
  'deep/d/x.js': '1',
  'deep/root': '1',
  'deep/d/root': '1',
  'deep/mid/leaf': '1',
  'deep/d/mid/leaf': '1',
  'deep/node_modules/m': '1',
  'deep/y.log': '1',
  'odd [dir]*/.gitignore': 'f\n!g.log\n',
  'odd [dir]*/f': '1',
  'odd [dir]*/g.log': '1',
  'odd d/f': '1',
  'win/.gitignore': 'a\r\n*.tmp\r\n',
  'win/a': '1',
  'win/b.tmp': '1',
  'win/c': '1',
}

test('packs what git would add, at every depth', async () => {
  lay(NESTED)
  await git('init', '-q')
  const expected = (await git('ls-files', '-z', '--others', '--exclude-standard'))
    .split('\0')
    .filter(Boolean)
  expect((await paths()).sort()).toEqual(expected.sort())
  expect(expected.length).toBeGreaterThan(15)
})

test('any rules of two files give what git gives', async () => {
  await git('init', '-q')
  const files = ['a', 'b', 'a.x', 'd/a', 'd/b', 'd/a.x', 'd/e/a', 'd/e/b', 'f/d/a', 'f/a.x']
  lay(Object.fromEntries(files.map((file) => [file, '1'])))
  const word = fc.constantFrom('a', 'b', 'd', 'e', 'f', '*', '*.x', '?', '**', 'a.?', '[ab]')
  const rule = fc
    .tuple(
      fc.constantFrom('', '!', '/', '!/'),
      fc.array(word, { minLength: 1, maxLength: 3 }),
      fc.constantFrom('', '/'),
    )
    .map(([before, words, after]) => `${before}${words.join('/')}${after}`)
  await fc.assert(
    fc.asyncProperty(
      fc.array(rule, { maxLength: 5 }),
      fc.array(rule, { maxLength: 4 }),
      async (top, deep) => {
        lay({ '.gitignore': top.join('\n'), 'd/.gitignore': deep.join('\n') })
        const expected = (await git('ls-files', '-z', '--others', '--exclude-standard'))
          .split('\0')
          .filter(Boolean)
        const found = await paths().catch(() => [])
        expect(found.sort()).toEqual(expected.sort())
      },
    ),
    { numRuns: 60 },
  )
})

test('a folder below its repository obeys the rules above, unless they name the folder itself', async () => {
  lay({
    '.gitignore': '*.log\ndist\n',
    'web/a.log': '1',
    'web/a.js': '1',
    'web/.gitignore': 'b.js',
    'web/b.js': '1',
    'dist/i.html': '1',
    'dist/x.log': '1',
  })
  await git('init', '-q')
  expect(await paths(join(dir, 'web'))).toEqual(['.gitignore', 'a.js'])
  expect(await paths(join(dir, 'dist'))).toEqual(['i.html', 'x.log'])
})

// Expected: what `docker build` sends, from its documentation and reference tests.
test.each([
  ['node_modules', ['node_modules/a'], ['lib/node_modules/a']],
  ['**/node_modules', ['node_modules/a', 'x/y/node_modules/a'], ['node_modules2']],
  ['*.md\n!README.md', ['x.md'], ['README.md', 'docs/x.md']],
  ['*\n!src', ['a', 'lib/b'], ['src/a', 'src/b/c']],
  ['*\n!src/keep', ['src/a'], ['src/keep']],
  ['docs\n!docs/keep.md', ['docs/a.md'], ['docs/keep.md']],
  ['!a\na', ['a'], []],
  ['/abs', ['abs', 'abs/x'], ['x/abs']],
  ['a/../b/./c/', ['b/c'], ['a', 'c']],
  ['# a\n  b  \n\n!', ['b'], ['# a', 'a']],
  ['a?c', ['abc'], ['ac', 'a/c']],
  ['[a-c].txt', ['b.txt'], ['d.txt']],
  ['[^a].txt', ['b.txt'], ['a.txt']],
  ['**/*.o', ['x.o', 'a/b/x.o'], ['x.ob']],
  ['a/**', ['a/b', 'a/b/c'], ['b/a']],
  ['a.b', ['a.b'], ['axb']],
  ['\\*x', ['*x'], ['ax']],
  ['temp?+(1)', ['tempA+(1)'], ['temp+1']],
  ['\ufeffa\r\nb\r\n', ['a', 'b'], ['c']],
])('.dockerignore %j', (text, ignored, kept) => {
  const { ignores } = dockerRules(text)
  expect(ignored.filter((path) => !ignores(path))).toEqual([])
  expect(kept.filter(ignores)).toEqual([])
})

test('a pattern that means nothing is named', () => {
  expect(() => dockerRules('[z-a]')).toThrow('"[z-a]"')
  expect(gitRules().ignores('a')).toBe(false)
})

test('the two ignore files hold together, and what says how to build always comes', async () => {
  lay({
    '.gitignore': 'secret',
    '.dockerignore': '*\n!src\nsrc/x\n',
    Dockerfile: 'FROM a',
    'oal.yaml': 'oal: 1',
    'src/a': '1',
    'src/x': '1',
    'src/secret': '1',
    'src/Dockerfile': '1',
    other: '1',
  })
  expect(await paths()).toEqual([
    '.dockerignore',
    'Dockerfile',
    'oal.yaml',
    'src/Dockerfile',
    'src/a',
  ])
})

test('.git never comes, neither as a folder nor as a file', async () => {
  lay({
    '.git/config': '1',
    'sub/.git': 'gitdir: ../x',
    'sub/a': '1',
    '.gitmodules': '1',
    '.github/x': '1',
  })
  expect(await paths()).toEqual(['.github/x', '.gitmodules', 'sub/a'])
})

async function unpack(
  archive: NodeJS.ReadableStream,
): Promise<Record<string, { mode: number; text: string; link: string | null }>> {
  const found: Awaited<ReturnType<typeof unpack>> = {}
  const tar = extract()
  pipeline(archive, createGunzip(), tar, () => undefined)
  for await (const entry of tar) {
    const chunks: Buffer[] = []
    for await (const chunk of entry) chunks.push(chunk as Buffer)
    const { name, mode = 0, linkname = null } = entry.header
    found[name] = { mode, text: Buffer.concat(chunks).toString(), link: linkname }
  }
  return found
}

test('the archive holds files, modes, links and long names as they are', async () => {
  const long = `${'d'.repeat(120)}/${'f'.repeat(120)}.txt`
  const big = 'x'.repeat(300_000)
  lay({ 'a b.txt': 'hi', empty: '', big, [long]: 'deep', 'ü/日本.txt': 'utf' })
  writeFileSync(join(dir, 'run.sh'), '#!', { mode: 0o751 })
  symlinkSync('big', join(dir, 'link'))
  symlinkSync('nowhere', join(dir, 'broken'))
  await run(['mkfifo', join(dir, 'pipe')])
  const listing = await listFolder(dir)
  expect(listing.skipped).toEqual(['pipe'])
  const reported: number[] = []
  const found = await unpack(packFolder(listing, (packed) => reported.push(packed)))
  expect(Object.keys(found)).toEqual(listing.entries.map(({ path }) => path))
  expect(found['a b.txt']).toEqual({ mode: 0o644, text: 'hi', link: null })
  expect(found['run.sh']?.mode).toBe(0o755)
  const { link, big: whole, empty } = found
  expect(link).toMatchObject({ link: 'big', text: '' })
  expect([whole?.text === big, empty?.text]).toEqual([true, ''])
  expect([found[long]?.text, found['ü/日本.txt']?.text]).toEqual(['deep', 'utf'])
  expect(reported.at(-1)).toBe(listing.bytes)
})

test('a file that goes away or shrinks meanwhile is named', async () => {
  lay({ a: 'x'.repeat(1000), b: '1' })
  const drain = async (): Promise<void> => {
    const listing = await listFolder(dir)
    writeFileSync(join(dir, 'a'), 'x')
    for await (const _ of packFolder(listing, () => undefined));
  }
  await expect(drain()).rejects.toMatchObject({
    code: 'archive_rejected',
    message: expect.stringContaining('"a"'),
  })
  const listing = await listFolder(dir)
  rmSync(join(dir, 'b'))
  await expect(unpackAll(listing)).rejects.toMatchObject({
    message: expect.stringContaining('"b"'),
  })
})

async function unpackAll(listing: Awaited<ReturnType<typeof listFolder>>): Promise<void> {
  for await (const _ of packFolder(listing, () => undefined));
}

test.each([
  [{}, '.', 'nothing to deploy'],
  [{ '.gitignore': '*\n' }, '.', 'nothing to deploy'],
  [{ a: '1' }, 'a', 'no folder'],
  [{ a: '1' }, 'missing', 'no folder'],
])('%j deployed as %s is refused', async (files, folder, message) => {
  lay(files)
  await expect(listFolder(join(dir, folder))).rejects.toThrow(message)
})

test('one thousand files take no time', async () => {
  lay(Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`d${at % 10}/f${at}`, 'x'])))
  lay({ '.gitignore': 'node_modules\n*.log\n' })
  const before = performance.now()
  expect((await listFolder(dir)).entries).toHaveLength(1001)
  expect(performance.now() - before).toBeLessThan(5000)
  expect(readFileSync(join(dir, '.gitignore'), 'utf8')).toContain('log')
})
