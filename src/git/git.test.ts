import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { newId } from '../lib/ids.ts'
import { archive, listFiles, readCommit, readFiles, treeOf } from './read.ts'
import { createRepos, moveRef, NO_OBJECT, type Repos, refs, setHead, tidy } from './repo.ts'
import { adoptObjects, dropSource, keepSource, listSources, settleSource } from './sources.ts'

let dir: string
let repos: Repos
let repo: string
const appId = newId('app')
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'helios-repo-'))
  repos = createRepos(dir)
  await repos.prepare()
  repo = await repos.ensure(appId)
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const env = {
  PATH: '/usr/bin:/bin',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'Ada L',
  GIT_AUTHOR_EMAIL: 'a@b',
  GIT_COMMITTER_NAME: 'Ada L',
  GIT_COMMITTER_EMAIL: 'a@b',
}
const git = (...args: string[]): string =>
  execFileSync('git', args, { cwd: join(dir, 'work'), env, encoding: 'utf8', stdio: 'pipe' }).trim()

/** Commit files in a working copy and bring the objects into the repository; gives the commit. */
function commit(files: Record<string, string | Buffer>, message = 'work'): string {
  const work = join(dir, 'work')
  mkdirSync(work, { recursive: true })
  git('init', '-q', '-b', 'main')
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(work, path)), { recursive: true })
    writeFileSync(join(work, path), text, { mode: path.endsWith('.sh') ? 0o755 : 0o644 })
  }
  git('add', '-A')
  git('commit', '-q', '--allow-empty', '-m', message)
  git('push', '-q', '-f', repo, 'HEAD:refs/tmp/objects')
  execFileSync('git', [`--git-dir=${repo}`, 'update-ref', '-d', 'refs/tmp/objects'])
  return git('rev-parse', 'HEAD')
}

async function read(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

test('repositories come and go by the id of their app', async () => {
  expect(await repos.ensure(appId)).toBe(repo)
  expect(await Promise.all([repos.empty(), repos.empty()])).toEqual(
    Array(2).fill(join(dir, 'repos', 'empty.git')),
  )
  expect(statSync(join(repos.hooksDir, 'pre-receive')).mode & 0o777).toBe(0o700)
  expect(statSync(repo).mode & 0o777).toBe(0o700)
  await repos.remove(appId)
  await repos.remove(appId)
  mkdirSync(join(dir, 'repos', 'app_x.git.0123456789ab'))
  mkdirSync(join(dir, 'repos', 'empty.git', 'objects', 'tmp_objdir-incoming-x'))
  await repos.prepare()
  expect(readdirSync(join(dir, 'repos')).sort()).toEqual(['empty.git', 'hooks'])
  expect(readdirSync(join(dir, 'repos', 'empty.git', 'objects')).sort()).toEqual(['info', 'pack'])
  for (const id of ['../x', '', 'app_', newId('src')])
    expect(() => repos.path(id)).toThrow('no app id')
})

test('refs move only from where they were', async () => {
  const [one, two] = [commit({ a: '1' }), commit({ a: '2' })]
  const main = 'refs/heads/main'
  expect(await moveRef(repo, main, one, two)).toBe(false)
  expect(await moveRef(repo, main, one, NO_OBJECT)).toBe(true)
  expect(await moveRef(repo, main, two, NO_OBJECT)).toBe(false)
  expect(await moveRef(repo, main, two, one)).toBe(true)
  expect(await moveRef(repo, main, two, one)).toBe(true)
  expect(await refs(repo)).toEqual([{ ref: main, oid: two }])
  await setHead(repo, 'refs/heads/other')
  expect(await tidy(repo)).toBe(false)
})

test('commits and files read as they were written', async () => {
  const big = Buffer.alloc(100_000, 7)
  const files = { 'run.sh': '#!/bin/sh\n', 'a b/é\u{1f600}.txt': 'ünï', 'bin/big': big, empty: '' }
  const oid = commit(files, 'Subject\n\nBody <x>')
  const tree = await treeOf(repo, oid)
  expect(await readCommit(repo, oid)).toEqual({ oid, tree, subject: 'Subject', author: 'Ada L' })
  expect(await readCommit(repo, tree)).toBeUndefined()
  expect(await readCommit(repo, '1'.repeat(40))).toBeUndefined()
  await expect(treeOf(repo, tree)).rejects.toThrow('no commit of this app')
  await expect(treeOf(repo, '--all')).rejects.toThrow('no commit')
  const listed = await listFiles(repo, tree)
  expect(listed.map(({ path, kind, size }) => [path, kind, size])).toEqual([
    ['a b/é\u{1f600}.txt', 'file', 5],
    ['bin/big', 'file', 100_000],
    ['empty', 'file', 0],
    ['run.sh', 'executable', 10],
  ])
  const paths = [...Object.keys(files), 'none', 'bin', '../x', './run.sh', 'a\nb', '']
  const found = await readFiles(repo, oid, paths)
  expect([...found.keys()]).toEqual(Object.keys(files))
  for (const [path, text] of Object.entries(files))
    expect(found.get(path)).toEqual(Buffer.from(text))
})

test('more than 8 MiB is not read into memory', async () => {
  const oid = commit({ small: 'x', 'Docker file': Buffer.alloc(9_000_000) })
  await expect(readFiles(repo, oid, ['small', 'Docker file'])).rejects.toThrow(
    /"Docker file" and the like have 9000001/,
  )
})

test('links are told apart', async () => {
  mkdirSync(join(dir, 'work'))
  execFileSync('ln', ['-s', '/etc/passwd', join(dir, 'work', 'link')])
  expect(await listFiles(repo, commit({}))).toMatchObject([{ path: 'link', kind: 'symlink' }])
})

test('an archive has every file, whatever the attributes say; failure and abort are errors', async () => {
  const oid = commit({
    '.gitattributes': 'a export-ignore\nb export-subst\n',
    a: 'kept',
    b: '$Format:%H$',
    c: Buffer.alloc(5_000_000, 1),
  })
  const tar = await read(archive(repo, oid, AbortSignal.timeout(10_000)))
  const out = execFileSync('tar', ['-xOf', '-', 'a', 'b'], { input: tar, encoding: 'utf8' })
  expect(out).toBe('kept$Format:%H$')
  await expect(read(archive(repo, '1'.repeat(40), AbortSignal.timeout(10_000)))).rejects.toThrow(
    /git archive ended with 128: .*not a tree/s,
  )
  const stop = new AbortController()
  const cut = archive(repo, oid, stop.signal)
  cut.once('data', () => stop.abort(new Error('enough')))
  await expect(read(cut)).rejects.toThrow('enough')
  archive(repo, oid, AbortSignal.timeout(10_000)).destroy()
})

test('a source is kept as a tree until its deploy is over', async () => {
  const oid = commit({ a: '1' })
  const tree = await treeOf(repo, oid)
  const [one, two] = [newId('src'), newId('src')]
  await keepSource(repo, one, oid)
  await keepSource(repo, two, oid)
  expect((await listSources(repo)).map(({ id, tree: kept }) => [id, kept])).toEqual(
    [one, two].sort().map((id) => [id, tree]),
  )
  expect(await refs(repo)).toEqual([])
  await dropSource(repo, two)
  await dropSource(repo, two)
  const source = { id: one, ref: 'refs/heads/main', rev: oid, previousRev: null }
  expect(await settleSource(repo, source)).toBe(true)
  expect(await settleSource(repo, source)).toBe(true)
  expect(await settleSource(repo, { ...source, rev: commit({ a: '2' }) })).toBe(false)
  expect(await listSources(repo)).toEqual([])
  expect(await refs(repo)).toEqual([{ ref: 'refs/heads/main', oid }])
  await expect(keepSource(repo, 'main', tree)).rejects.toThrow('no source id')
})

test('only a quarantine of the repository itself is adopted', async () => {
  mkdirSync(join(dir, 'elsewhere', 'pack'), { recursive: true })
  await expect(adoptObjects(repo, join(dir, 'elsewhere'))).rejects.toThrow('is not in')
  const quarantine = join(repo, 'objects', 'tmp_objdir-x')
  mkdirSync(join(quarantine, 'pack'), { recursive: true })
  const name = `pack-${'a'.repeat(40)}`
  for (const end of ['idx', 'pack', 'keep'])
    writeFileSync(join(quarantine, 'pack', `${name}.${end}`), end)
  await adoptObjects(repo, quarantine)
  await adoptObjects(repo, quarantine)
  const pack = readdirSync(join(repo, 'objects', 'pack')).filter((file) => file.startsWith(name))
  expect(pack.sort()).toEqual([`${name}.idx`, `${name}.pack`])
})
