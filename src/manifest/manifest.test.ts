import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { HeliosError } from '../lib/errors.ts'
import { parseManifest } from './parse.ts'

const MIB = 2 ** 20

/** What is said of a file that cannot be read: each line is one problem. */
function problems(text: string | Uint8Array, file = 'oal.yaml'): string[] {
  try {
    parseManifest(text, file)
    return []
  } catch (error) {
    if (!(error instanceof HeliosError)) throw error
    expect(error).toMatchObject({ code: 'invalid_manifest', field: file, hint: /Correct/ })
    return error.message.split('\n')
  }
}

const DEFAULT_PROCESS = {
  instances: 1,
  memoryBytes: 512 * MIB,
  cpus: 1,
  health: { intervalMs: 2000, timeoutMs: 2000, graceMs: 60_000 },
  stop: { signal: 'SIGTERM', graceMs: 30_000 },
}

test('a manifest of one line has every default', () => {
  expect(parseManifest('oal: 1', 'oal.yaml')).toStrictEqual({
    oal: 1,
    build: {
      builder: 'auto',
      dockerfile: 'Dockerfile',
      args: {},
      spa: false,
      limits: { memoryBytes: 1024 * MIB, cpus: 1, timeoutMs: 900_000 },
    },
    env: {},
    processes: {},
    rollout: { drainMs: 30_000 },
  })
})

test('everything this version does is read', () => {
  const text = `\uFEFF# a comment\r
oal: 1
app: shop
team: store
build:
  builder: dockerfile
  dockerfile: docker/Dockerfile
  target: production
  args: { NODE_ENV: production, LEVEL: 1.10, ON: true }
  limits: { memory: 2GiB, cpus: 2, timeout: 20m }
env: &env
  LOG_LEVEL: info
  NO: no
  EMPTY: ""
  PORTS: 0o17
  TEXT: 'a "b" $HOME $(id) # c'
processes:
  web:
    command: node server.js --name 'my shop' "a\\"b"
    port: 3000
    instances: 2
    memory: 256MiB
    cpus: 0.5
    health: { path: /healthz, interval: 500ms, timeout: 1s, grace: 5m }
    stop: { signal: SIGINT, grace: 0s }
  worker:
    command: [node, worker.js, 8]
    instances: 0
  plain:
rollout: { strategy: blue-green, drain: 1m }
`
  expect(parseManifest(Buffer.from(text), 'oal.yaml')).toStrictEqual({
    oal: 1,
    app: 'shop',
    team: 'store',
    build: {
      builder: 'dockerfile',
      dockerfile: 'docker/Dockerfile',
      target: 'production',
      args: { NODE_ENV: 'production', LEVEL: '1.10', ON: 'true' },
      spa: false,
      limits: { memoryBytes: 2048 * MIB, cpus: 2, timeoutMs: 1_200_000 },
    },
    env: { LOG_LEVEL: 'info', NO: 'no', EMPTY: '', PORTS: '0o17', TEXT: 'a "b" $HOME $(id) # c' },
    processes: {
      web: {
        command: ['node', 'server.js', '--name', 'my shop', 'a"b'],
        port: 3000,
        instances: 2,
        memoryBytes: 256 * MIB,
        cpus: 0.5,
        health: { path: '/healthz', intervalMs: 500, timeoutMs: 1000, graceMs: 300_000 },
        stop: { signal: 'SIGINT', graceMs: 0 },
      },
      worker: { ...DEFAULT_PROCESS, command: ['node', 'worker.js', '8'], instances: 0 },
      plain: DEFAULT_PROCESS,
    },
    rollout: { drainMs: 60_000 },
  })
})

test.each([
  ['image: nginx:1', 'image'],
  ['root: dist', 'static'],
  ['spa: true', 'static'],
  ['target: prod', 'dockerfile'],
  ['run: make', 'auto'],
  ['args: { A: b }', 'auto'],
  ['builder: python\n  run: make', 'python'],
])('build `%s` means builder %s', (line, builder) => {
  expect(parseManifest(`oal: 1\nbuild:\n  ${line}\n`, 'oal.yml').build.builder).toBe(builder)
})

describe('every problem is told with its place', () => {
  test('all at once, in the order of the text', () => {
    const told = problems(`app: a_b
build:
  builder: nodejs
  arg: 1
env:
  1A: x
  A:
processes:
  web:
    replica: 2
    memory: 512
    instances: two
  Worker: {}
cron: []
`)
    expect(told).toEqual([
      expect.stringMatching(/^oal.yaml:1:1: `oal` is missing: write `oal: 1`$/),
      expect.stringMatching(/^oal.yaml:1:6: "a_b" is no app name: use 1–40/),
      expect.stringMatching(/^oal.yaml:3:12: .*cannot be "nodejs".*did you mean `node`\?$/),
      expect.stringMatching(/^oal.yaml:4:3: unknown key `arg`; did you mean `args`\? \(allowed/),
      expect.stringMatching(/^oal.yaml:6:3: "1A" is no config key/),
      expect.stringMatching(/^oal.yaml:7:5: `env.A` cannot be empty: write text/),
      expect.stringMatching(/^oal.yaml:10:5: unknown key `replica`; did you mean `instances`\?/),
      expect.stringMatching(/^oal.yaml:11:13: .*cannot be 512: write a size from 8MiB to 1024GiB/),
      expect.stringMatching(/^oal.yaml:12:16: .*cannot be "two": write a whole number from 0 to/),
      expect.stringMatching(/^oal.yaml:13:3: "Worker" is no process name/),
      expect.stringMatching(/^oal.yaml:14:1: `cron` is part of OAL but this Helios does not/),
    ])
  })

  test.each([
    ['secrets: []', '2:1: `secrets` is part of OAL but this Helios does not support it yet'],
    ['release: {}', '2:1: `release` is part of OAL'],
    ['routes: []', '2:1: `routes` is part of OAL'],
    ['volumes: []', '2:1: `volumes` is part of OAL'],
    ['build: { secrets: [A] }', '2:10: `build.secrets` is part of OAL'],
    ['build: { context: . }', '2:10: `build.context` is part of OAL'],
    ['build: { builder: ruby }', '2:19: `builder: ruby` is part of OAL'],
    ['rollout: { keep: 10m }', '2:12: `rollout.keep` is part of OAL'],
    ['rollout: { canary: {} }', '2:12: `rollout.canary` is part of OAL'],
    ['rollout: { strategy: recreate }', '2:22: `strategy: recreate` is part of OAL'],
    ['env: { A: "${B}" }', '2:11: `${NAME}` in env is part of OAL'],
    ['env: { HELIOS_X: 1 }', '2:8: "HELIOS_X": keys that start with HELIOS_ are reserved'],
    ['env: { A: [] }', '2:11: `env.A` cannot be a list'],
    ['env: [A]', '2:6: `env` cannot be a list: write a map'],
    ['env: { A: "\\0" }', '2:11: a NUL character is not allowed'],
    ['app: www', '2:6: "www" is reserved'],
    ['app: {}', '2:6: `app` cannot be a map: write a name'],
    ['build: 3', '2:8: `build` cannot be 3: write a map'],
    ['build: { root: /etc }', '2:16: `build.root` cannot be "/etc": write a path below'],
    ['build: { root: a/../../b }', '2:16: `build.root` cannot be'],
    ['build: { builder: image }', '2:10: `build.image` is missing'],
    ['build: { builder: node, image: a }', '2:25: `build.image` goes with builder image, not node'],
    ['build: { image: a, root: b }', '2:20: `build.root` goes with builder static, not image'],
    ['build: { args: { A-B: c } }', '2:18: the key "A-B": use letters, digits and _'],
    [
      'build: { limits: { timeout: 15 } }',
      '2:29: `build.limits.timeout` cannot be 15: write a dura',
    ],
    ['build: { limits: { memory: 1TiB } }', '2:28: `build.limits.memory` cannot be "1TiB"'],
    ['build: { limits: { cpus: .inf } }', '2:26: .inf is no number'],
    ['processes: { web: { port: 0 } }', '2:27: `processes.web.port` cannot be 0: write a whole nu'],
    ['processes: { web: { port: 70000 } }', '2:27: `processes.web.port` cannot be 70000'],
    ['processes: { web: { port: 80a } }', '2:27: `processes.web.port` cannot be "80a"'],
    ['processes: { web: { instances: -1 } }', '2:32: `processes.web.instances` cannot be -1'],
    ['processes: { web: { instances: 10000 } }', '2:32: `processes.web.instances` cannot be 10000'],
    ['processes: { web: { memory: "-1" } }', '2:29: `processes.web.memory` cannot be "-1"'],
    ['processes: { web: { memory: 1MiB } }', '2:29: `processes.web.memory` cannot be "1MiB"'],
    ['processes: { web: { command: [] } }', '2:30: `processes.web.command` cannot be a list'],
    ['processes: { web: { command: 3 } }', '2:30: `processes.web.command` cannot be 3: write a c'],
    ['processes: { web: { stop: { signal: TERM } } }', '2:37: `processes.web.stop.signal` cannot'],
    ['processes: { web: { health: { path: x } } }', '2:37: `processes.web.health.path` cannot be'],
    ['processes: { web: { heath: {} } }', '2:21: unknown key `heath`; did you mean `health`?'],
    ['processes: { web: { zzzzzzzz: {} } }', '2:21: unknown key `zzzzzzzz` (allowed here: command'],
    ['processes: web', '2:12: `processes` cannot be "web": write a map'],
  ])('%s', (line, problem) => {
    const told = problems(`oal: 1\n${line}\n`)
    expect(told).toHaveLength(1)
    expect(told[0]).toContain(`oal.yaml:${problem}`)
  })

  test.each([
    ['a > b', '">"'],
    ['a && b', '"&&"'],
    ['a | b', '"|"'],
    ['a; b', '";"'],
    ['a *.js', '"*.js"'],
    ['a $PORT', '"$PORT"'],
    ['a "${PORT}"', '"$PORT"'],
    ['a `id`', '"`"'],
    ['~/a', '"~"'],
    ['A=b c', '"A=b"'],
    ['cd a', '"cd"'],
    ['a # b', '"#"'],
    ['a ${', 'needs a shell'],
    ["a 'b", 'a quote or backslash in it has no end'],
    ['a\nb', 'more than one line'],
    [' ', 'the command is empty'],
  ])('the command %j needs a shell or is none', (command, sign) => {
    const told = problems(stringify({ oal: 1, processes: { web: { command } } }))
    expect(told).toHaveLength(1)
    expect(told[0]).toContain(sign)
  })

  test('at most 50 are listed', () => {
    const env = Array.from({ length: 60 }, (_, i) => `  ${i}: x\n`).join('')
    const told = problems(`oal: 1\nenv:\n${env}`)
    expect(told).toHaveLength(51)
    expect(told.at(-1)).toBe('and 10 more')
  })

  test('1,001 keys of env are too many', () => {
    const env = Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`K${i}`, 'x']))
    expect(problems(stringify({ oal: 1, env }))).toEqual([
      expect.stringMatching(/^oal.yaml:3:3: `env` has more than 1000 keys$/),
    ])
  })
})

const nested = (open: string, count: number): string => `oal: 1\nx: ${open.repeat(count)}`

describe('text of strangers', () => {
  test.each<[string, string | Uint8Array, string]>([
    ['a higher version', 'oal: 2\nnew: 1', '1:6: this is OAL 2; this Helios knows OAL 1'],
    ['no number as version', 'oal: "1"', '1:6: `oal` cannot be "1": write `oal: 1`'],
    ['nothing', '', '1:1: the file is empty'],
    ['only a comment', '# x', '1:1: the file is empty'],
    ['a list', '- a', '1:1: the file cannot be a list: write a map'],
    ['tabs', 'oal: 1\nenv:\n\tA: b', '3:1: tabs are not allowed as indentation'],
    ['a key twice', 'oal: 1\nenv: { A: 1, A: 2 }', '2:14: the key "A" is there twice'],
    ['a tag', 'oal: 1\nenv: { A: !!js/function x }', '2:'],
    ['two documents', 'oal: 1\n---\noal: 1', '3:1: a second document starts here'],
    ['an older YAML', '%YAML 1.1\n---\noal: 1', '1:1: YAML 1.1 is not read here'],
    ['an open bracket', 'oal: 1\nenv: [a', '2:8: '],
    ['a list as key', 'oal: 1\n? [a]\n: 1', '2:3: a key must be one plain word'],
    ['__proto__', 'oal: 1\n__proto__: { a: 1 }', '2:1: the key "__proto__" is not allowed'],
    ['constructor', 'oal: 1\nprocesses: { constructor: {} }', '2:14: the key "constructor" is not'],
    ['an alias to nothing', 'oal: 1\nenv: { A: *x }', '2:11: the alias *x has no anchor'],
    ['an alias in itself', 'oal: 1\nenv: &x { A: *x }', '2:14: the alias *x has no anchor &x'],
    ['10 MB', 'x'.repeat(10_000_000), '1:1: the file has 10000000 bytes; at most 262144'],
    ['not UTF-8', Buffer.from([0x6f, 0x0a, 0xff]), '2:1: the file is not UTF-8 from here on'],
    ['262,144 brackets', nested('[', 262_000), '2:36: nested more than 32 deep'],
    ['many dashes', nested('- ', 100_000), '2:66: nested more than 32 deep'],
    ['many keys in a line', nested('a: ', 80_000), '2:'],
    [
      '700 levels',
      Array.from({ length: 700 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'),
      '34:34: nested more',
    ],
    ['many quotes', `"${'"'.repeat(200_000)}`, '1:'],
    ['many lines', `oal: 1\n${'\n'.repeat(200_000)}`, 'more than 30000 words and signs'],
    ['half a surrogate pair', 'oal: 1\nenv: { A: "\\ud800" }', '2:11: half a surrogate pair'],
  ])('%s is refused', (_, text, problem) => {
    const began = performance.now()
    const told = problems(text)
    expect(told.join('\n')).toContain(problem)
    expect(performance.now() - began).toBeLessThan(2000)
  })

  test('an alias bomb ends at 50 aliases', () => {
    const levels = 'bcdefgh'.split('').map((name, i) => {
      const list = Array.from({ length: 7 }, () => `*${'abcdefg'[i]}`)
      return `${name}: &${name} [${list.join(', ')}]`
    })
    const told = problems(`a: &a [x, x]\n${levels.join('\n')}`)
    expect(told.join('\n')).toContain('more than 50 aliases')
  })

  test('aliases work where they are few, and the later anchor counts', () => {
    const text = 'oal: 1\nenv: { A: &x a, B: *x, C: &x c, D: *x }\n'
    expect(parseManifest(text, 'oal.yaml').env).toEqual({ A: 'a', B: 'a', C: 'c', D: 'c' })
  })

  test.each([
    ['{"oal": 1,}', '1:11: this is no JSON: "}" cannot stand here'],
    ['{"oal": NaN}', '1:9: this is no JSON: "NaN}" cannot stand here'],
    ["{'oal': 1}", '1:2: this is no JSON'],
    ['{"oal": 1', '1:10: this is no JSON: its end cannot stand here'],
    ['{"oal": 1, "env": {"A": 1e999}}', '1:25: 1e999 is no number'],
    ['{"oal": 1, "env": {"A": "\\ud800"}}', '1:25: half a surrogate pair'],
    ['{"oal": 1, "__proto__": {}}', '1:12: the key "__proto__" is not allowed'],
    ['{"oal": 1, "oal": 1}', '1:12: the key "oal" is there twice'],
    [`{"oal": ${'['.repeat(10_000)}`, 'this is no JSON: its end cannot'],
    [`${'['.repeat(10_000)}${']'.repeat(10_000)}`, '1:33: nested more than 32 deep'],
    ['oal: 1', '1:1: this is no JSON: "oal: 1" cannot stand here'],
  ])('JSON %.40s', (text, problem) => {
    expect(problems(text, 'oal.json')[0]).toContain(problem)
  })

  test('JSON with tabs and a byte order mark is read', () => {
    const text = '\uFEFF{\n\t"oal":\t1,\n\t"env":\n\t{"A": "a\\tb"}\n}'
    expect(parseManifest(text, 'oal.json').env).toEqual({ A: 'a\tb' })
  })
})

const words = fc.array(fc.stringMatching(/^[\w./:=@%+-]{1,12}$/), { minLength: 1, maxLength: 5 })
const envText = fc
  .string({ unit: 'grapheme', maxLength: 30 })
  .filter((text) => !/[\0\p{Surrogate}]|\$\{[A-Za-z_]\w*\}/u.test(text))
const processArb = fc.record(
  {
    command: words,
    port: fc.integer({ min: 1, max: 65_535 }),
    instances: fc.integer({ min: 0, max: 100 }),
    memory: fc.integer({ min: 8, max: 4096 }).map((mib) => `${mib}MiB`),
    cpus: fc.integer({ min: 1, max: 800 }).map((n) => n / 100),
    stop: fc.record({ grace: fc.integer({ min: 0, max: 3600 }).map((s) => `${s}s`) }),
  },
  { requiredKeys: [] },
)
const manifestArb = fc.record(
  {
    oal: fc.constant(1),
    env: fc.dictionary(fc.stringMatching(/^[A-Z][A-Z0-9_]{0,9}X$/), envText),
    processes: fc.dictionary(fc.stringMatching(/^[a-z][a-z0-9-]{0,9}x$/), processArb),
  },
  { requiredKeys: ['oal'] },
)

describe('properties', () => {
  test('what is printed as YAML or JSON is parsed back', () => {
    fc.assert(
      fc.property(manifestArb, (given) => {
        const spec = parseManifest(stringify(given), 'oal.yaml')
        expect(parseManifest(JSON.stringify(given, null, '\t'), 'oal.json')).toEqual(spec)
        expect(spec.env).toEqual({ ...given.env })
        for (const [name, process] of Object.entries(given.processes ?? {})) {
          const { memory, stop, ...same } = process
          expect(spec.processes[name]).toMatchObject({
            ...same,
            ...(memory === undefined ? {} : { memoryBytes: Number.parseInt(memory, 10) * MIB }),
            ...(stop ? { stop: { graceMs: Number.parseInt(stop.grace, 10) * 1000 } } : {}),
          })
        }
      }),
      { numRuns: 150 },
    )
  })

  test('any text gives a spec or an error with a place, never anything else', () => {
    const pieces = fc.constantFrom(
      'oal: 1\n',
      '  ',
      '- ',
      '{',
      '}',
      '[',
      ']',
      ': ',
      '&a ',
      '*a',
      '"',
    )
    const soup = fc.array(fc.oneof(pieces, fc.string({ maxLength: 4 }))).map((all) => all.join(''))
    fc.assert(
      fc.property(soup, fc.constantFrom('oal.yaml', 'oal.json'), (text, file) => {
        for (const line of problems(text, file)) expect(line).toMatch(/^(oal.\w+:\d+:\d+: |and |)/)
      }),
      { numRuns: 400 },
    )
  })
})
