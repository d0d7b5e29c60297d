import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { newId } from '../lib/ids.ts'
import { createJobLogs, type Entry, type JobLogs } from './job-log.ts'

const dir = join(mkdtempSync(join(tmpdir(), 'helios-job-log-')), 'logs')
afterAll(() => rmSync(dir, { recursive: true }))

const logs = createJobLogs(dir)
const soon = (): AbortSignal => AbortSignal.timeout(15_000)
const out = (text: string) => ({ stream: 'out', text }) as const
const path = (id: string): string => join(dir, `${id}.ndjson`)

async function all(from: JobLogs, id: string, afterSeq = 0, signal = soon()): Promise<Entry[]> {
  const entries: Entry[] = []
  for await (const entry of from.follow(id, afterSeq, signal)) entries.push(entry)
  return entries
}

test('lines are read back from any place', () => {
  const id = newId('dep')
  expect(logs.read(id)).toEqual([])
  for (let i = 1; i <= 2500; i++) logs.append(id, out(`line ${i}`))
  logs.append(id, { stream: 'err', text: 'a\nb\u2028"é' })
  expect(logs.read(id)).toHaveLength(1000)
  expect(logs.read(id, 2498)).toMatchObject([
    { seq: 2499, stream: 'out', text: 'line 2499' },
    { seq: 2500, text: 'line 2500' },
    { seq: 2501, stream: 'err', text: 'a\nb\u2028"é' },
  ])
  expect(logs.read(id, 10, 2).map(({ seq }) => seq)).toEqual([11, 12])
  expect(statSync(path(id)).mode & 0o777).toBe(0o600)
})

test('followers that come before, during and after see each line once, then the end', async () => {
  const id = newId('dep')
  const early = all(logs, id)
  for (let i = 1; i <= 100; i++) logs.append(id, out(`${i}`))
  const late = all(logs, id, 90)
  await new Promise((resolve) => setTimeout(resolve, 20))
  for (let i = 101; i <= 200; i++) logs.append(id, out(`${i}`))
  logs.end(id)
  logs.end(id)
  logs.append(id, out('too late'))
  const seqs = (entries: Entry[]) => entries.map(({ seq }) => seq)
  const upTo200 = Array.from({ length: 200 }, (_, i) => i + 1)
  expect(seqs(await early)).toEqual(upTo200)
  expect(seqs(await late)).toEqual(upTo200.slice(90))
  expect(seqs(await all(logs, id, 198))).toEqual([199, 200])
  expect(await all(logs, id, 500)).toEqual([])
})

test('the log goes on after a restart; a torn line is dropped; the end stays the end', async () => {
  const id = newId('dep')
  logs.append(id, out('one'))
  logs.append(id, out('two'))
  appendFileSync(path(id), '{"seq":3,"at":"2026-01-01T00:0')
  expect(logs.read(id)).toHaveLength(2)
  const again = createJobLogs(dir)
  again.append(id, out('three'))
  expect(again.read(id).map(({ seq, text }) => [seq, text])).toEqual([
    [1, 'one'],
    [2, 'two'],
    [3, 'three'],
  ])
  again.end(id)
  const third = createJobLogs(dir)
  third.append(id, out('four'))
  third.end(id)
  expect(await all(third, id, 2)).toMatchObject([{ text: 'three' }])
})

test('another process is followed too', async () => {
  const id = newId('dep')
  const following = all(logs, id)
  const other = createJobLogs(dir)
  other.append(id, out('from there'))
  other.end(id)
  expect(await following).toMatchObject([{ text: 'from there' }])
})

test('followers end with their signal, and with a removed log', async () => {
  const id = newId('dep')
  logs.append(id, out('one'))
  expect(await all(logs, id, 0, AbortSignal.timeout(30))).toHaveLength(1)
  expect(await all(logs, id, 0, AbortSignal.abort())).toEqual([])
  const stop = new AbortController()
  for await (const _ of logs.follow(id, 0, stop.signal)) stop.abort()
  const following = all(logs, id)
  await new Promise((resolve) => setTimeout(resolve, 20))
  logs.remove(id)
  logs.remove(id)
  expect(await following).toHaveLength(1)
  expect(logs.read(id)).toEqual([])
})

test('a full log says so once, and keeps what Helios says', async () => {
  const id = newId('dep')
  const text = 'x'.repeat(70_000)
  for (let i = 0; i < 100; i++) logs.append(id, out(text))
  const again = createJobLogs(dir)
  for (let i = 0; i < 100; i++) again.append(id, { stream: 'err', text })
  again.append(id, { stream: 'step', text: 'failed' })
  const third = createJobLogs(dir)
  third.append(id, out('no'))
  third.append(id, { stream: 'step', text: 'really' })
  for (let i = 0; i < 10; i++) third.append(id, { stream: 'step', text })
  third.end(id)
  const entries = await all(third, id)
  const said = entries.filter(({ stream, text }) => stream === 'step' && text.length < 100)
  expect(said.map(({ text }) => text)).toEqual([
    'The log has reached 10 MiB: later output is not kept.',
    'failed',
    'really',
  ])
  expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_, i) => i + 1))
  expect(entries[0]?.text).toHaveLength(65_537)
  expect(statSync(path(id)).size).toBeLessThan(10.1 * 1024 * 1024)
})

test.each(['../x', 'dep_', '', newId('usr'), `${newId('dep')}/../x`])('%j has no log', (id) => {
  expect(() => logs.append(id, out('x'))).toThrow(`There is no log`)
  expect(() => logs.read(id)).toThrow('There is no log')
  expect(() => logs.remove(id)).toThrow('There is no log')
})

test('a log that cannot be written is an error that says so', () => {
  const id = newId('dep')
  const blocked = createJobLogs(join(dir, 'blocked'))
  rmSync(join(dir, 'blocked'), { recursive: true })
  expect(() => blocked.append(id, out('x'))).toThrow(/The log of dep_\w+ cannot be written: ENOENT/)
})

test('lines that are no entries are passed over', () => {
  const id = newId('dep')
  logs.append(id, out('one'))
  writeFileSync(path(id), `garbage\n${readFileSync(path(id), 'utf8')}{"seq":9}\n{"seq":x}\n`)
  expect(logs.read(id).map(({ text }) => text)).toEqual(['one'])
})
