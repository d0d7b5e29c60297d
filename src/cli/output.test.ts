import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HeliosError } from '../lib/errors.ts'
import { cut, layOut, printable, widthOf } from './columns.ts'
import { commandHelp, overview } from './help.ts'
import { createOutput } from './output.ts'
import { COMMANDS } from './table/index.ts'

test('columns align, whatever is in them', () => {
  const rows = [
    ['shop', 2, 'http://shop.localhost/'],
    ['日本', null, 'é\u0301'],
    ['a\nb\x1b[2J', undefined, ''],
  ]
  expect(layOut(['NAME', 'N', 'URL'], rows)).toBe(
    ['NAME  N  URL', 'shop  2  http://shop.localhost/', '日本  -  é\u0301', 'ab    -'].join('\n'),
  )
})

test('a table fits its width', () => {
  const rows = [['x'.repeat(100), 'short', 'y'.repeat(50)]]
  const text = layOut(['A', 'B', 'C'], rows, { width: 60 })
  expect(text.split('\n').map(widthOf)[1]).toBe(60)
  expect(text).toContain('…')
  expect(text).toContain('short')
  const narrow = layOut(['A', 'B', 'C'], rows, { width: 5 })
  expect(narrow).toContain('short')
})

test('no text is wider than it was cut to, nor steers a terminal', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 20 }), (text, width) => {
      expect(widthOf(cut(text, width))).toBeLessThanOrEqual(width)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be left
      expect(printable(text)).not.toMatch(/[\x00-\x08\x0a-\x1f\x7f-\x9f]/)
      expect(printable(printable(text))).toBe(printable(text))
    }),
  )
})

test.each([
  ['plain', 'plain', 'plain'],
  ['\x1b[31mred\x1b[0m', 'red', '\x1b[31mred\x1b[0m\x1b[0m'],
  ['\x1b[31mred', 'red', '\x1b[31mred\x1b[0m'],
  ['\x1b]0;title\x07text', 'text', 'text'],
  ['\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\', 'link', 'link'],
  ['a\x1b[2J\x1b[Hb', 'ab', 'ab'],
  ['50%\r100%', '50%100%', '50%100%'],
  ['\x9b31mx', '31mx', '31mx'],
  ['tab\tstays', 'tab\tstays', 'tab\tstays'],
  ['\x1b[>4;2m', '', ''],
])('%j without what steers a terminal', (text, bare, coloured) => {
  expect(printable(text)).toBe(bare)
  expect(printable(text, { colours: true })).toBe(coloured)
})

function capture(opts: { json?: boolean; colours?: boolean; tty?: boolean }) {
  const streams = { stdout: new PassThrough(), stderr: new PassThrough() }
  for (const stream of Object.values(streams)) {
    Object.assign(stream, { isTTY: opts.tty ?? false, columns: 80 })
  }
  const out = createOutput({
    json: opts.json ?? false,
    colours: opts.colours ?? true,
    stdout: streams.stdout as never,
    stderr: streams.stderr as never,
  })
  const told = (): string[] => Object.values(streams).map((one) => String(one.read() ?? ''))
  return { out, told, ...streams }
}

test('results go to stdout, what to do next to stderr; with --json only data', () => {
  const text = capture({})
  text.out.result({ a: 1 }, 'one')
  text.out.note('next')
  text.out.progress('50 %')
  expect(text.told()).toEqual(['one\n', 'next\n'])
  const json = capture({ json: true, tty: true })
  json.out.result({ a: 1 }, 'one')
  json.out.event({ b: 2 }, 'two')
  json.out.note('next')
  json.out.progress('50 %')
  expect(json.told()).toEqual(['{"a":1}\n{"b":2}\n', ''])
})

test('colours only on a terminal, and not when they are off', () => {
  const styled = (opts: Parameters<typeof capture>[0]) => capture(opts).out.style('red', 'x')
  expect(styled({ tty: true })).toBe('\x1b[31mx\x1b[39m')
  expect(styled({ tty: true, colours: false })).toBe('x')
  expect(styled({ tty: false })).toBe('x')
})

test('errors say what to do next; JSON has the same', () => {
  const error = new HeliosError('app_not_found', 'No app "x"', {
    hint: 'helios apps',
    field: 'app',
  })
  const text = capture({})
  expect(text.out.error(error)).toBe(4)
  expect(text.told()[1]).toBe('helios: No app "x"\n  helios apps\n')
  const json = capture({ json: true })
  expect(json.out.error(error)).toBe(4)
  expect(JSON.parse(json.told()[1] ?? '')).toEqual({
    code: 'app_not_found',
    message: 'No app "x"',
    field: 'app',
    hint: 'helios apps',
  })
  expect(json.out.error(new TypeError('boom'))).toBe(1)
  expect(JSON.parse(json.told()[1] ?? '')).toEqual({ code: 'internal', message: 'boom' })
})

test('a progress line is taken away before anything else', () => {
  const { out, told } = capture({ tty: true, colours: false })
  out.progress('50 %')
  out.result(1, 'done')
  out.progress()
  expect(told()).toEqual(['done\n', '\r\x1b[K50 %\r\x1b[K'])
})

test('who closes stdout ends what goes on', () => {
  const { out, stdout } = capture({})
  stdout.emit('error', new Error('EPIPE'))
  expect(out.closed.aborted).toBe(true)
  out.result(1, 'nobody reads this')
})

test('help has every command, and each option of one', () => {
  const { out } = capture({})
  const all = overview(COMMANDS, out)
  for (const { name } of COMMANDS) expect(all).toContain(`\n  ${name} `)
  expect(all.split('\n').every((line) => widthOf(line) <= 100)).toBe(true)
  for (const command of COMMANDS) {
    const help = commandHelp(command, out)
    for (const { name } of command.options ?? []) expect(help).toContain(`--${name}`)
    expect(help).toContain('--json')
  }
})
