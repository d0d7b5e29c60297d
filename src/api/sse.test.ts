import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { HeliosError } from '../lib/errors.ts'
import { eventStream, frame, lastSeq, type ServerEvent } from './sse.ts'
import { createStreams } from './streams.ts'

type Options = Partial<Parameters<typeof eventStream>[1]>

function begin(source: (signal: AbortSignal) => AsyncIterable<ServerEvent>, opts: Options = {}) {
  const stream = createStreams().open('ada')
  let cuts = 0
  const response = eventStream(source(stream.signal), {
    stream,
    stillHolds: () => true,
    cut: () => void cuts++,
    ...opts,
  })
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  const next = async () => {
    const { done, value } = await reader.read()
    return done ? 'end' : new TextDecoder().decode(value)
  }
  return { stream, reader, next, cuts: () => cuts }
}

const waits = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))

test('events keep their lines and ids', () => {
  expect(frame({ event: 'line', id: '3', data: 'a\nb\r\nc\rid: 9' })).toBe(
    'event: line\nid: 3\ndata: a\ndata: b\ndata: c\ndata: id: 9\n\n',
  )
})

test.each([
  [undefined, 0],
  ['', 0],
  ['12', 12],
])('Last-Event-ID %s is %d', (header, seq) => expect(lastSeq(header)).toBe(seq))

test.each(['-1', '1e3', 'x', '9'.repeat(16)])('Last-Event-ID %s is refused', (header) => {
  expect(() => lastSeq(header)).toThrow(HeliosError)
})

test('a source is asked only when the client took the event before', async () => {
  let asked = 0
  async function* count() {
    for (;;) yield { event: 'n', data: String(++asked) }
  }
  const { next, reader } = begin(count)
  expect([await next(), await next()]).toEqual(['event: n\ndata: 1\n\n', 'event: n\ndata: 2\n\n'])
  await delay(20)
  expect(asked).toBe(2)
  await reader.cancel()
})

test('heartbeats come while nothing happens, and lose no event', async () => {
  async function* slow() {
    await delay(60)
    yield { event: 'n', data: '1' }
  }
  const { next } = begin(slow, { heartbeatMs: 25 })
  const got = [await next(), await next(), await next(), await next()]
  expect(got).toEqual([': beat\n\n', ': beat\n\n', 'event: n\ndata: 1\n\n', 'end'])
})

test.each([
  ['the right to see it ends', { stillHolds: () => false, recheckMs: 10 }],
  ['the source fails', undefined],
])('it ends when %s', async (_, opts) => {
  let returned = false
  async function* source(signal: AbortSignal) {
    try {
      if (!opts) throw new Error('broken')
      await waits(signal)
      yield { event: 'n', data: 'late' }
    } finally {
      returned = true
    }
  }
  const { next } = begin(source, opts)
  expect(await next()).toBe('end')
  await delay(5)
  expect(returned).toBe(true)
})

test('a client that takes nothing is cut, and the source let go', async () => {
  let returned = false
  async function* source(signal: AbortSignal) {
    try {
      yield { event: 'n', data: '1' }
      await waits(signal)
    } finally {
      returned = true
    }
  }
  const { next, cuts, stream } = begin(source, { stallMs: 20 })
  await next()
  await delay(60)
  expect([cuts(), stream.signal.aborted, returned]).toEqual([1, true, true])
})

test('streams are bounded for each and for all', () => {
  const streams = createStreams()
  for (let n = 0; n < 100; n++) streams.open('ada')
  expect(() => streams.open('ada')).toThrow('Too many streams')
  const one = streams.open('bob')
  one.end()
  for (let who = 0; who < 9; who++) for (let n = 0; n < 100; n++) streams.open(`u${who}`)
  expect(() => streams.open('carol')).toThrow('Too many streams')
  streams.endAll()
  expect(streams.open('carol').signal.aborted).toBe(false)
})
