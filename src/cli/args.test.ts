import { describe, expect, test } from 'vitest'
import { HeliosError } from '../lib/errors.ts'
import { parseLine, splitCommand, wholeNumber } from './args.ts'
import { type Command, usageOf } from './command.ts'
import { exitCodeOf } from './exit-codes.ts'
import { near } from './near.ts'
import { COMMANDS } from './table/index.ts'
import { ago, sinceMoment, span } from './times.ts'

const named = (name: string): Command => {
  const command = COMMANDS.find((one) => one.name === name)
  if (!command) throw new Error(name)
  return command
}
const refused = (work: () => unknown): HeliosError => {
  try {
    work()
  } catch (error) {
    if (error instanceof HeliosError) return error
  }
  throw new Error('was not refused')
}

test.each([
  [['logs', '-f'], 'logs', ['-f']],
  [['--json', 'apps'], 'apps', ['--json']],
  [['-a', 'shop', 'status'], 'status', ['-a', 'shop']],
  [['--app', 'shop', '--json', 'ps'], 'ps', ['--app', 'shop', '--json']],
  [['--help'], undefined, ['--help']],
  [[], undefined, []],
])('%j names the command %s', (argv, name, rest) => {
  expect(splitCommand(argv)).toEqual({ name, rest })
})

test.each([
  ['logs', ['shop', '-fn', '50'], ['shop'], { follow: true, lines: '50' }],
  ['logs', ['-n50', 'shop', '--process=web'], ['shop'], { lines: '50', process: 'web' }],
  ['config:set', ['A=1', 'B=--x', '-a', 'shop', 'C='], ['A=1', 'B=--x', 'C='], { app: 'shop' }],
  ['config:set', ['KEY', '-'], ['KEY', '-'], {}],
  ['config:set', ['--', '-A=1'], ['-A=1'], {}],
  ['apps:destroy', ['--confirm', '007'], [], { confirm: '007' }],
  ['run', ['-a', 'shop', '--', 'ls', '-la', '--json'], ['ls', '-la', '--json'], { app: 'shop' }],
  ['run', ['ls', '-la', '--app', 'x'], ['ls', '-la', '--app', 'x'], {}],
  ['run', ['--', 'sh', '-c', '--', '--'], ['sh', '-c', '--', '--'], {}],
  ['apps:create', ['--help'], [], { help: true }],
  ['keys:add', ['--name=-x'], [], { name: '-x' }],
])('%s %j', (name, argv, args, options) => {
  const line = parseLine(named(name), argv)
  expect(line.args).toEqual(args)
  expect({ ...line.options }).toEqual(options)
})

test.each([
  ['apps', ['--foo'], 'no option "--foo"'],
  ['apps', ['-z'], 'no option "-z"'],
  ['apps', ['--__proto__'], 'no option'],
  ['apps', ['x'], 'does not know what to do with "x"'],
  ['apps', ['--json=1'], 'takes no value'],
  ['apps:create', [], 'needs NAME'],
  ['status', ['a', 'b'], '"b"'],
  ['logs', ['--process'], '--process needs a value: --process NAME'],
  ['logs', ['--process', '-f'], '--process needs a value'],
  ['run', ['-a', 'shop', '--'], 'needs COMMAND'],
])('%s %j is a misuse', (name, argv, message) => {
  const error = refused(() => parseLine(named(name), argv))
  expect(error).toMatchObject({ code: 'usage', message: expect.stringContaining(message) })
  expect(error.hint).toContain(usageOf(named(name)))
  expect(exitCodeOf(error.code)).toBe(2)
})

test('numbers of options have bounds', () => {
  const within = { min: 1, max: 1000, otherwise: 20 }
  expect(wholeNumber({}, 'lines', within)).toBe(20)
  expect(wholeNumber({ lines: '7' }, 'lines', within)).toBe(7)
  for (const lines of ['0', '1001', '-1', '1e2', '', '0x10', 'x']) {
    expect(refused(() => wholeNumber({ lines }, 'lines', within)).code).toBe('usage')
  }
})

describe('the table', () => {
  test('has each command once, with examples that are its own and parse', () => {
    expect(new Set(COMMANDS.map(({ name }) => name)).size).toBe(COMMANDS.length)
    for (const command of COMMANDS) {
      expect(command.about).not.toMatch(/\.$/)
      expect(command.examples.length).toBeGreaterThan(0)
      for (const example of command.examples) {
        const [, words = ''] = /(?:^|\s)helios (.*?)(?: {3}.*| [<>|] .*)?$/.exec(example) ?? []
        const { name, rest } = splitCommand(words.split(' '))
        expect(name).toBe(command.name)
        expect(() => parseLine(command, rest)).not.toThrow()
      }
    }
  })

  test.each(
    COMMANDS.filter(({ group }) => group !== 'Server').map((one) => [one.name, one] as const),
  )('%s loads', async (_, command) => {
    expect(await command.load()).toBeTypeOf('function')
  })
})

test.each([
  ['statsu', ['status', 'apps'], 'status'],
  ['confg', ['config', 'config:set'], 'config'],
  ['deploymnets', ['deploy', 'deployments'], 'deployments'],
  ['deploym', ['releases', 'deployments'], 'deployments'],
  ['shp', ['shop', 'blog'], 'shop'],
  ['x', ['a', 'shop'], undefined],
  ['zzzzzz', ['shop', 'blog'], undefined],
  ['shop', [], undefined],
])('near %s of %j is %s', (word, candidates, expected) => {
  expect(near(word, candidates)).toBe(expected)
})

test('times', () => {
  const now = Date.parse('2026-01-31T12:00:00Z')
  expect(
    ['2026-01-31T11:59:58Z', '2026-01-31T11:00:00Z', null, 'x'].map((at) => ago(at, now)),
  ).toEqual(['2 s ago', '1 h ago', '-', '-'])
  expect(span(now, now - 5000)).toBe('0 s')
  expect(span(now - 90_000_000, now)).toBe('1 d')
  expect(sinceMoment('10m', now)).toBe('2026-01-31T11:50:00.000Z')
  expect(sinceMoment('2026-01-31T08:00:00+01:00', now)).toBe('2026-01-31T07:00:00.000Z')
  expect(sinceMoment('2026-01-30', now)).toBe('2026-01-30T00:00:00.000Z')
  for (const text of ['soon', '10', '', '5 fortnights']) {
    expect(refused(() => sinceMoment(text, now)).code).toBe('usage')
  }
})
