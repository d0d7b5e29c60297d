import { appendFileSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { createBell } from './bell.ts'
import { type LineAt, linesBefore, linesFrom, openLineFile } from './line-file.ts'

const dir = mkdtempSync(join(tmpdir(), 'helios-lines-'))
afterAll(() => rmSync(dir, { recursive: true }))

const isSound = (text: string): boolean => text.startsWith('ok')

function forward(fd: number, from = 0): LineAt[] {
  const all: LineAt[] = []
  for (let at = from; ; ) {
    const lines = linesFrom(fd, at)
    const last = lines.at(-1)
    if (last === undefined) return all
    all.push(...lines)
    at = last.end
  }
}

function backward(fd: number, to: number): LineAt[] {
  const all: LineAt[] = []
  for (let at = to; at > 0; ) {
    const { lines, start } = linesBefore(fd, at)
    all.unshift(...lines)
    at = start
  }
  return all
}

test('lines are the same forward and backward, however long', () => {
  const path = join(dir, 'long')
  const file = openLineFile(path, isSound)
  const lengths = [0, 1, 65_535, 65_536, 3, 400_000, 70_000, 5]
  const texts = Array.from({ length: 40 }, (_, i) => `ok${'é'.repeat(lengths[i % 8] ?? 0)}${i}`)
  for (const text of texts) file.append([text])
  const fd = openSync(path, 'r')
  const lines = forward(fd)
  expect(lines.map(({ text }) => text)).toEqual(texts)
  expect(backward(fd, file.size())).toEqual(lines)
  expect(lines.at(-1)?.end).toBe(file.size())
  const middle = lines[20]?.end ?? 0
  expect(forward(fd, middle)).toEqual(lines.slice(21))
  file.close()
})

test.each([
  ['a torn line', 'ok1\nok2\nok', 'ok1\nok2\n'],
  ['lines of zeros', 'ok1\n\0\0\0\n\0', 'ok1\n'],
  ['nothing sound', 'x\ny', ''],
  ['nothing', '', ''],
  ['a sound end', 'ok1\n', 'ok1\n'],
])('%s at the end of a file after a crash', (name, before, after) => {
  const path = join(dir, name)
  writeFileSync(path, before)
  const file = openLineFile(path, isSound)
  expect(file.size()).toBe(after.length)
  file.append(['ok8', 'ok9'])
  file.close()
  expect(readFileSync(path, 'utf8')).toBe(`${after}ok8\nok9\n`)
})

test('what is no line does not stop readers', () => {
  const path = join(dir, 'endless')
  writeFileSync(path, `ok1\n${'x'.repeat(3_000_000)}`)
  appendFileSync(path, '\nok2\n')
  const fd = openSync(path, 'r')
  expect(forward(fd).at(-1)?.text).toBe('ok2')
  const back = backward(fd, 3_000_009)
  expect([back[0]?.text, back.at(-1)?.text]).toEqual(['ok1', 'ok2'])
})

test('a ring between a look and the wait is not missed; waits end with time or signal', async () => {
  const bell = createBell()
  const seen = bell.count()
  bell.ring()
  await bell.wait(seen, 60_000, AbortSignal.timeout(5000))
  const rung = bell.wait(bell.count(), 60_000, AbortSignal.timeout(60_000))
  bell.ring()
  await rung
  await bell.wait(bell.count(), 5, AbortSignal.timeout(60_000))
  await bell.wait(bell.count(), 60_000, AbortSignal.timeout(5))
})
