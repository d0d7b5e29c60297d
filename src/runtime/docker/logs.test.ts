import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LogLine } from '../types.ts'
import { engineTime, framesOf, linesOf } from './logs.ts'

const AT = '2026-01-31T12:00:00.000000001Z'

function frame(type: number, text: string): Buffer {
  const data = Buffer.from(text)
  const header = Buffer.alloc(8)
  header[0] = type
  header.writeUInt32BE(data.length, 4)
  return Buffer.concat([header, data])
}

async function* chunks(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function read(bytes: Buffer, size: number): Promise<LogLine[]> {
  const lines: LogLine[] = []
  for await (const line of linesOf(framesOf(chunks(bytes, size)))) lines.push(line)
  return lines
}

test('lines come out the same however the stream is cut', async () => {
  const line = fc.record({
    stream: fc.constantFrom<LogLine['stream']>('stdout', 'stderr'),
    text: fc.string({ unit: 'grapheme' }).filter((text) => !/[\r\n]/.test(text)),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(line), fc.integer({ min: 1, max: 40 }), async (lines, size) => {
      const bytes = lines.map((l) => frame(l.stream === 'stderr' ? 2 : 1, `${AT} ${l.text}\n`))
      expect(await read(Buffer.concat(bytes), size)).toEqual(lines.map((l) => ({ at: AT, ...l })))
    }),
  )
})

test('pieces of a long line are joined, per stream, under the time of the first', async () => {
  const piece = 'x'.repeat(16_384)
  const later = '2027-01-01T00:00:00.000000000Z'
  const bytes = [
    frame(1, `${AT} ${piece}`),
    frame(2, `${AT} oops\r\n`),
    frame(1, `${later} two\n`),
    frame(1, `${AT} ${piece}`),
    frame(1, `${later} \n`),
    frame(1, `${AT} ${piece}`),
  ]
  expect(await read(Buffer.concat(bytes), 4001)).toEqual([
    { at: AT, stream: 'stderr', text: 'oops' },
    { at: AT, stream: 'stdout', text: `${piece}two` },
    { at: AT, stream: 'stdout', text: piece },
    { at: AT, stream: 'stdout', text: piece },
  ])
})

test('half a line at the end of one life of an instance does not join the next life', async () => {
  const bytes = [frame(1, `${AT} half`), frame(1, `${AT} started\n`), frame(1, `${AT} end`)]
  expect(await read(Buffer.concat(bytes), 9)).toEqual(
    ['half', 'started', 'end'].map((text) => ({ at: AT, stream: 'stdout', text })),
  )
})

test('an endless line is cut', async () => {
  const piece = frame(1, `${AT} ${'x'.repeat(16_384)}`)
  const lines = await read(Buffer.concat(Array.from({ length: 9 }, () => piece)), 50_000)
  expect(lines.map((l) => l.text.length)).toEqual([65_536, 65_536, 16_384])
})

test('a stream that is not made of frames is refused', async () => {
  await expect(read(Buffer.from('plain text output'), 4)).rejects.toMatchObject({
    code: 'engine_error',
  })
})

test('a time keeps its nanoseconds', () => {
  expect(engineTime('1970-01-01T00:01:00.123456789Z')).toBe('60.123456789')
  expect(engineTime('1970-01-01T01:00:00+01:00')).toBe('0.000000000')
  expect(() => engineTime('soon')).toThrow(/is no time/)
})
