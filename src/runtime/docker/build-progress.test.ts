import { describe, expect, test } from 'vitest'
import { boundedLines, createBuildProgress, lineBuffer } from './build-progress.ts'
import { type BuildStatus, createBuildkitCodec, type Vertex } from './buildkit-messages.ts'

const NOTHING: BuildStatus = { vertexes: [], statuses: [], logs: [], warnings: [] }
const vertex = (
  digest: string,
  name: string,
  more: Partial<Vertex> = {},
): Partial<BuildStatus> => ({
  vertexes: [{ digest, name, cached: false, error: '', ...more }],
})
const log = (digest: string, text: string | Buffer): Partial<BuildStatus> => ({
  logs: [{ vertex: digest, msg: Buffer.from(text) }],
})

function collect(): {
  lines: string[]
  progress: ReturnType<typeof createBuildProgress>
  feed(...messages: Partial<BuildStatus>[]): void
} {
  const lines: string[] = []
  const progress = createBuildProgress((line) => lines.push(line))
  return {
    lines,
    progress,
    feed: (...messages) => {
      for (const message of messages) progress.status({ ...NOTHING, ...message })
    },
  }
}

describe('progress of BuildKit', () => {
  test('steps are numbered as they begin and end with their time', () => {
    const { lines, progress, feed } = collect()
    feed(
      vertex('i', '[internal] load build definition', { started: 1, completed: 2 }),
      vertex('a', '[1/3] FROM base', { started: 1 }),
      vertex('b', '[2/3] RUN --mount=type=cache,target=/c --mount=a=b make\n  all', { started: 2 }),
      vertex('a', '[1/3] FROM base', { started: 1, completed: 1.04 }),
      log('b', 'one\ntw'),
      log('b', 'o\r\n10%\r50%\r100%\n'),
      log('b', 'unfinished'),
      { statuses: [{ id: 'layer', vertex: 'a', total: 3 * 2 ** 20, completed: true }] },
      { warnings: [{ vertex: 'b', short: 'old syntax' }] },
      vertex('b', '[2/3] RUN make\n  all', { started: 2, completed: 3.26 }),
      vertex('c', '[3/3] COPY . .', { started: 3, completed: 3, cached: true }),
      vertex('c', '[3/3] COPY . .', { started: 3, completed: 3, cached: true }),
    )
    expect(lines).toEqual([
      '#1 [1/3] FROM base',
      '#2 [2/3] RUN make all',
      '#1 DONE 0.0s',
      '#2 one',
      '#2 two',
      '#2 100%',
      '#1 layer 3 MiB',
      '#2 WARNING: old syntax',
      '#2 unfinished',
      '#2 DONE 1.3s',
      '#3 [3/3] COPY . .',
      '#3 CACHED',
    ])
    expect(progress.ranCommand()).toBe(true)
    expect(progress.failed()).toBeUndefined()
  })

  test('the step that failed is told, not those cancelled with it', () => {
    const { lines, progress, feed } = collect()
    feed(
      vertex('a', '[1/2] RUN sleep 9', { started: 1 }),
      vertex('b', '[2/2] RUN false', { started: 1 }),
      log('b', Array.from({ length: 30 }, (_, i) => `line ${i}\n`).join('')),
      vertex('a', '[1/2] RUN sleep 9', { started: 1, completed: 2, error: 'context canceled' }),
      vertex('b', '[2/2] RUN false', { started: 1, completed: 2, error: 'exit code: 1' }),
    )
    expect(lines.slice(-2)).toEqual(['#1 CANCELED', '#2 ERROR: exit code: 1'])
    const failed = progress.failed()
    expect(failed).toMatchObject({ name: '[2/2] RUN false', error: 'exit code: 1' })
    expect([failed?.tail.length, failed?.tail.at(0), failed?.tail.at(-1)]).toEqual([
      20,
      'line 10',
      'line 29',
    ])
  })

  test('what is cached ran no command; what is left is printed at the end', () => {
    const { lines, progress, feed } = collect()
    feed(
      vertex('a', '[1/1] RUN make', { started: 1, completed: 1, cached: true }),
      log('b', 'a stray word'),
    )
    expect(progress.ranCommand()).toBe(false)
    progress.end()
    expect(lines.at(-1)).toBe('#2 a stray word')
  })
})

test('the classic builder reads the same', () => {
  const lines: string[] = []
  const progress = createBuildProgress((line) => lines.push(line))
  for (const text of [
    'Step 1/2 : FROM base\n',
    ' ---> 0123456789ab\n',
    'Step 2/2 : RUN make\n ---> Using cache\n ---> Running in 0123456789ab\n',
    '\u001b[91moops\n\u001b[0m',
    'half',
    ' a line\nSuccessfully built 0123456789ab\nSuccessfully tagged x\nno end',
  ]) {
    progress.classic(text)
  }
  progress.end()
  expect(lines).toEqual([
    '#1 [1/2] FROM base',
    '#2 [2/2] RUN make',
    '#2 CACHED',
    '#2 oops',
    '#2 half a line',
    '#2 no end',
  ])
  expect(progress.failed()).toMatchObject({
    name: '[2/2] RUN make',
    tail: ['oops', 'half a line', 'no end'],
  })
})

test('a character cut in two is joined, a line without end is cut', () => {
  const text = lineBuffer()
  const bytes = Buffer.from('é\n')
  expect([text.push(bytes.subarray(0, 1)), text.push(bytes.subarray(1))]).toEqual([[], ['é']])
  expect(text.push(Buffer.from('x'.repeat(20_000))).map((line) => line.length)).toEqual([
    8192, 8192,
  ])
  expect(text.end().map((line) => line.length)).toEqual([20_000 - 2 * 8192])
})

test('more output than allowed is cut with one notice', () => {
  const lines: string[] = []
  const print = boundedLines((line) => lines.push(line), 1024)
  for (let i = 0; i < 100; i += 1) print('x'.repeat(99))
  expect(lines.length).toBe(11)
  expect(lines.at(-1)).toBe('[output cut: the build printed more than 1 KiB]')
})

test('messages of a real engine are understood', () => {
  const messages = [
    'Gl4KR3NoYTI1NjplOWNhNjVlYzM0MjdmMmZiNTA1NzZjZGEyNjY4ODQyMzQzN2YwZmQ3MGUyZGUzYzVkNGMxZTg1NjVlZjc4NmU5EgwIt9CU2AYQ07Pc5wIYASIDaGkK',
    'Co0CCkdzaGEyNTY6ZTljYTY1ZWMzNDI3ZjJmYjUwNTc2Y2RhMjY2ODg0MjM0MzdmMGZkNzBlMmRlM2M1ZDRjMWU4NTY1ZWY3ODZlORJHc2hhMjU2OjU2YmY1ZGNkMzhlZTJmNjBmNjQ2YjE1YjFiOTFlNDBiNWU4Mzc1YTQ1NzU3MmY4OTBlZGJjY2JkMTcxOTA4MTMaGVsyLzJdIFJVTiBlY2hvIGhpOyBleGl0IDMqDAi10JTYBhCKq/DHATIMCLjQlNgGEKbZ9uQBOkJleGVjdXRvciBmYWlsZWQgcnVubmluZyBbL2Jpbi9zaCAtYyBlY2hvIGhpOyBleGl0IDNdOiBleGl0IGNvZGU6IDM=',
  ]
  const codec = createBuildkitCodec()
  const [output, end] = messages.map((text) => codec.decodeStatus(Buffer.from(text, 'base64')))
  expect(output?.logs.map((each) => each.msg.toString())).toEqual(['hi\n'])
  expect(end?.vertexes[0]).toMatchObject({
    digest: output?.logs[0]?.vertex,
    name: '[2/2] RUN echo hi; exit 3',
    cached: false,
    error: 'executor failed running [/bin/sh -c echo hi; exit 3]: exit code: 3',
  })
  const { started = 0, completed = 0 } = end?.vertexes[0] ?? {}
  expect(completed - started).toBeCloseTo(3.06, 1)
})
