import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { newId } from '../lib/ids.ts'
import { type AppLine, type AppLogs, createAppLogs } from './app-logs.ts'
import type { StoredLine } from './log-store.ts'

const dir = mkdtempSync(join(tmpdir(), 'helios-app-logs-'))
afterAll(() => rmSync(dir, { recursive: true }))

const logs = createAppLogs({ dir })
const small = createAppLogs({ dir, budgetBytes: 80_000 })
const soon = (): AbortSignal => AbortSignal.timeout(15_000)
const at = (i: number): string => `2026-01-01T00:00:00.${String(i).padStart(9, '0')}Z`
const texts = (lines: AppLine[]): string[] => lines.map(({ text }) => text)

function line(i: number, more: Partial<StoredLine> = {}): StoredLine {
  const source = 'c1'
  return {
    at: at(i),
    process: 'web',
    instance: 'web.1',
    source,
    stream: 'stdout',
    text: `${i}`,
    ...more,
  }
}

const lines = (from: number, to: number, more: Partial<StoredLine> = {}): StoredLine[] =>
  Array.from({ length: to - from + 1 }, (_, i) => line(from + i, more))

async function take(from: AsyncIterable<AppLine>, count: number): Promise<AppLine[]> {
  const found: AppLine[] = []
  for await (const one of from) {
    found.push(one)
    if (found.length === count) break
  }
  return found
}

test('the last lines, of a process, an instance, or a time', () => {
  const app = newId('app')
  expect(logs.tail(app, { lines: 5 })).toEqual([])
  logs.append(app, lines(1, 3000))
  logs.append(app, [line(3001, { process: 'worker', instance: 'worker.2', text: '"web" é\n' })])
  logs.append(app, [])
  expect(texts(logs.tail(app, { lines: 2 }))).toEqual(['3000', '"web" é\n'])
  expect(logs.tail(app, { lines: 1, process: 'web' })).toEqual([
    { ...line(3000), id: expect.stringMatching(/^1-\d+$/) },
  ])
  expect(texts(logs.tail(app, { lines: 9, process: 'worker.2' }))).toEqual(['"web" é\n'])
  expect(logs.tail(app, { lines: 9, process: 'web.2' })).toEqual([])
  expect(logs.tail(app, { lines: 9000 })).toHaveLength(3001)
  expect(logs.tail(app, { lines: 0 })).toEqual([])
  const sinceMs = Date.parse('2026-01-01T00:00:00.001Z')
  expect(logs.tail(app, { lines: 9000, sinceMs })).toEqual([])
  logs.append(app, [line(1_000_000)])
  expect(texts(logs.tail(app, { lines: 9000, sinceMs }))).toEqual(['1000000'])
})

test('followers get what is new, what is old, or what comes after a place', async () => {
  const app = newId('app')
  logs.append(app, lines(1, 10))
  const live = take(logs.follow(app, {}, soon()), 5)
  const withTail = take(logs.follow(app, { lines: 3 }, soon()), 8)
  const worker = take(logs.follow(app, { lines: 3, process: 'worker' }, soon()), 1)
  const place = logs.tail(app, { lines: 6 })[0]?.id
  const resumed = take(logs.follow(app, { after: place, lines: 1 }, soon()), 10)
  await new Promise((resolve) => setTimeout(resolve, 20))
  logs.append(app, lines(11, 15))
  logs.append(app, [line(16, { process: 'worker' })])
  expect(texts(await live)).toEqual(['11', '12', '13', '14', '15'])
  expect(texts(await withTail)).toEqual(['8', '9', '10', '11', '12', '13', '14', '15'])
  expect(texts(await worker)).toEqual(['16'])
  expect(texts(await resumed)).toEqual(texts([...(await resumed)]))
  expect(texts(await resumed)[0]).toBe('6')
  expect(texts(await take(logs.follow(app, { after: '1-7' }, soon()), 1))).toEqual(['1'])
})

test('a place nobody gave out is the end; followers end with their signal', async () => {
  const app = newId('app')
  logs.append(app, lines(1, 3))
  for (const after of ['9-0', '1-99999999']) {
    const stop = new AbortController()
    const following = take(logs.follow(app, { after }, stop.signal), 1)
    await new Promise((resolve) => setTimeout(resolve, 10))
    logs.append(app, [line(4)])
    expect(texts(await following)).toEqual(['4'])
  }
  expect(await take(logs.follow(app, {}, AbortSignal.timeout(20)), 1)).toEqual([])
  expect(
    await take(logs.follow(app, { after: 'x', lines: 1 }, AbortSignal.abort()), 9),
  ).toHaveLength(1)
})

test('the budget holds; a slow follower reads on from what is left', async () => {
  const app = newId('app')
  const total = 2000
  small.append(app, lines(1, 20))
  const follower = small.follow(app, { after: '1-0' }, soon())[Symbol.asyncIterator]()
  const first = (await follower.next()).value as AppLine
  expect(first.text).toBe('1')
  for (let i = 21; i <= total; i += 20) small.append(app, lines(i, i + 19))
  const files = readdirSync(join(dir, app))
  const bytes = files.reduce((sum, name) => sum + statSync(join(dir, app, name)).size, 0)
  expect(files.length).toBeLessThanOrEqual(8)
  expect(bytes).toBeLessThanOrEqual(80_000)
  const kept = texts(small.tail(app, { lines: 9000 })).map(Number)
  expect(kept).toEqual(Array.from({ length: kept.length }, (_, i) => total - kept.length + 1 + i))
  expect(kept.length).toBeGreaterThan(300)
  const seen = [1]
  while (seen.at(-1) !== total) seen.push(Number(((await follower.next()).value as AppLine).text))
  await follower.return?.()
  // The rest of the segment it had open, then those that are left.
  expect(seen.slice(0, 20)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
  expect(seen.slice(-kept.length)).toEqual(kept)
  expect(new Set(seen).size).toBe(seen.length)
})

test('how far each source is stored survives restarts, rotation and a torn line', () => {
  const app = newId('app')
  const restarted = (): AppLogs => createAppLogs({ dir, budgetBytes: 80_000 })
  const store = restarted()
  expect(store.lastOf(app, 'quiet')).toBeUndefined()
  store.append(app, [line(1, { source: 'quiet' }), line(1, { source: 'quiet' })])
  store.append(app, [line(1, { source: 'quiet', stream: 'stderr' })])
  const quiet = { stdout: { at: at(1), sameAt: 2 }, stderr: { at: at(1), sameAt: 1 } }
  expect(store.lastOf(app, 'quiet')).toEqual(quiet)
  expect(restarted().lastOf(app, 'quiet')).toEqual(quiet)
  for (let i = 2; i <= 2000; i += 9) store.append(app, lines(i, i + 8))
  expect(texts(store.tail(app, { lines: 9000 }))).not.toContain('1')
  expect(restarted().lastOf(app, 'quiet')).toEqual(quiet)
  const newest = readdirSync(join(dir, app)).sort(
    (a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10),
  )[0]
  appendFileSync(join(dir, app, `${newest}`), `{"at":"${at(9999)}","process":"web","inst`)
  const again = restarted()
  expect(again.lastOf(app, 'c1')?.stdout?.at).toBe(at(2008))
  again.append(app, [line(2009)])
  expect(texts(again.tail(app, { lines: 2 }))).toEqual(['2008', '2009'])
  // A crash may come between making a segment and its first line.
  writeFileSync(join(dir, app, '999.ndjson'), '')
  expect(restarted().lastOf(app, 'quiet')).toEqual(quiet)
})

test('sources without a line for the longest time are forgotten', () => {
  const app = newId('app')
  const store = createAppLogs({ dir, budgetBytes: 80_000 })
  for (let i = 1; i <= 260; i++) store.append(app, lines(i, i + 20, { source: `s${i}` }))
  expect(store.lastOf(app, 's260')).toBeDefined()
  expect(store.lastOf(app, 's1')).toBeUndefined()
  store.close()
  expect(createAppLogs({ dir }).lastOf(app, 's260')).toBeDefined()
})

test('an app goes with its files and followers', async () => {
  const app = newId('app')
  logs.append(app, lines(1, 3))
  const following = take(logs.follow(app, { lines: 3 }, soon()), 9)
  await new Promise((resolve) => setTimeout(resolve, 20))
  logs.removeApp(app)
  expect(await following).toHaveLength(3)
  expect(readdirSync(dir)).not.toContain(app)
  logs.removeApp(app)
})

test('only ids of apps have logs; what cannot be written says so', () => {
  for (const id of ['../x', 'app_1', newId('dep')]) {
    expect(() => logs.append(id, lines(1, 1))).toThrow('There are no logs')
    expect(() => logs.tail(id, { lines: 1 })).toThrow('There are no logs')
  }
  const app = newId('app')
  writeFileSync(join(dir, app), '')
  expect(() => logs.append(app, lines(1, 1))).toThrow(/output of app_\w+ cannot be stored: EEXIST/)
})

test('a flood of 20 MB is stored and found quickly', () => {
  const app = newId('app')
  const text = 'x'.repeat(100)
  const began = performance.now()
  for (let i = 1; i <= 80_000; i += 200) logs.append(app, lines(i, i + 199, { text }))
  const stored = performance.now()
  expect(logs.tail(app, { lines: 1000 })).toHaveLength(1000)
  expect(logs.tail(app, { lines: 10, process: 'worker' })).toEqual([])
  expect(createAppLogs({ dir }).lastOf(app, 'c1')?.stdout?.at).toBe(at(80_000))
  expect(stored - began).toBeLessThan(8000)
  expect(performance.now() - stored).toBeLessThan(2000)
})
