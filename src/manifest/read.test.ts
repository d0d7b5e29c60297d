import { expect, test } from 'vitest'
import { defaultProcess } from './defaults.ts'
import { readManifest } from './read.ts'

const read = (files: Record<string, string>) => readManifest((path) => files[path])

test('without a file everything has its default', () => {
  const { spec, from, notes } = read({})
  expect({ from, notes, processes: spec.processes }).toEqual({
    from: 'defaults',
    notes: [],
    processes: {},
  })
  expect(spec.build.builder).toBe('auto')
  expect(defaultProcess('web')).toEqual({
    instances: 1,
    memoryBytes: 512 * 2 ** 20,
    cpus: 1,
    health: { intervalMs: 2000, timeoutMs: 2000, graceMs: 60_000 },
    stop: { signal: 'SIGTERM', graceMs: 30_000 },
  })
})

test('oal.yaml comes before oal.yml, oal.json and Procfile, and says so', () => {
  const files = { 'oal.yaml': 'oal: 1\napp: a', 'oal.json': '{', Procfile: '?' }
  const { spec, from, notes } = read(files)
  expect([spec.app, from]).toEqual(['a', 'oal.yaml'])
  expect(notes).toEqual([
    'oal.json is not read, since oal.yaml is there',
    'Procfile is not read, since oal.yaml is there',
  ])
  expect(read({ 'oal.yml': 'oal: 1' }).from).toBe('oal.yml')
  expect(read({ 'oal.json': '{"oal": 1}' }).from).toBe('oal.json')
  expect(() => read({ 'oal.yml': 'oal: 3' })).toThrow('oal.yml:1:6: this is OAL 3')
})

test('a Procfile names processes; a command that needs a shell gets one', () => {
  const { spec, from, notes } = read({
    Procfile:
      "\uFEFF# processes\r\n\r\nweb: node server.js 'a b'\r\nworker:  gunicorn -b :$PORT app\n" +
      'chain: a && b $X\nset: A=b c\nlate: sleep 1 # $X\nrelease: npm run migrate\n',
  })
  expect(from).toBe('Procfile')
  const commands = Object.entries(spec.processes).map(([name, { command }]) => [name, command])
  expect(commands).toEqual([
    ['web', ['node', 'server.js', 'a b']],
    ['worker', ['sh', '-c', 'exec gunicorn -b :$PORT app']],
    ['chain', ['sh', '-c', 'a && b $X']],
    ['set', ['sh', '-c', 'A=b c']],
    ['late', ['sh', '-c', 'sleep 1 # $X']],
  ])
  expect(notes).toEqual([
    'Procfile: worker runs by sh, since "$PORT" needs a shell',
    'Procfile: chain runs by sh, since "&&" needs a shell',
    'Procfile: set runs by sh, since "A=b" needs a shell',
    'Procfile: late runs by sh, since "#" needs a shell',
    'Procfile: the command of release is not run; this Helios does not support it yet',
  ])
})

test.each([
  ['web npm start', 'Procfile:1:1: write the name of a process, a colon and its command'],
  ['a: b\nWeb: c', 'Procfile:2:1: "Web" is no process name'],
  ['a: b\na: c', 'Procfile:2:1: the process a is there twice'],
  ['web:', 'Procfile:1:1: web: the command is empty'],
  ["web: a 'b", 'Procfile:1:1: web: a quote or backslash in it has no end'],
  ['constructor: a', 'Procfile:1:1: the name constructor is not allowed'],
  ['web: a $X \0', 'Procfile:1:1: web: '],
  ['x'.repeat(300_000), 'Procfile:1:1: the file has 300000 bytes'],
])('the Procfile %.20j is refused', (text, message) => {
  expect(() => read({ Procfile: text })).toThrow(message)
})

test('app.json gives health checks and the formation; the rest is named', () => {
  const { spec, from, notes } = read({
    Procfile: 'web: node a.js\nworker: node b.js',
    'app.json': JSON.stringify({
      name: 'shop',
      description: 'a shop',
      env: { A: 'b' },
      scripts: { postdeploy: 'x' },
      healthchecks: {
        web: [
          { type: 'startup', uptime: 3 },
          { type: 'startup', path: '/up', timeout: 5, wait: 3, attempts: 4 },
        ],
        worker: [{ uptime: 3 }],
      },
      formation: {
        web: { quantity: 2, size: 'standard-1x' },
        worker: { quantity: -1 },
        toString: { quantity: 1 },
      },
    }),
  })
  expect(from).toBe('Procfile and app.json')
  expect(spec.processes['web']).toEqual({
    ...defaultProcess('web'),
    command: ['node', 'a.js'],
    instances: 2,
    health: { path: '/up', intervalMs: 3000, timeoutMs: 5000, graceMs: 60_000 },
  })
  expect(spec.processes['worker']?.instances).toBe(1)
  expect(Object.keys(spec.processes)).toEqual(['web', 'worker'])
  expect(notes).toEqual([
    'app.json: healthchecks.web: only the check with the path /up is read',
    'app.json: healthchecks.web: attempts is not supported and not read',
    'app.json: healthchecks.worker has no check with a path and is not read',
    'app.json: formation.web: size is not supported and not read',
    'app.json: formation.worker.quantity is no whole number from 0 to 100 and is not read',
    'app.json: env is not supported and not read',
    'app.json: scripts is not supported and not read',
    'app.json: there is no process toString',
  ])
})

test('app.json alone tells of web, whose command comes from the builder', () => {
  const formation = { web: { quantity: 3 }, worker: { quantity: 1 } }
  const { spec, from, notes } = read({ 'app.json': JSON.stringify({ formation }) })
  expect([from, notes]).toEqual(['app.json', ['app.json: there is no process worker']])
  expect(spec.processes).toEqual({ web: { ...defaultProcess('web'), instances: 3 } })
  expect(() => read({ 'app.json': '{' })).toThrow('app.json:1:2: this is no JSON')
  expect(() => read({ 'app.json': '[]' })).toThrow('app.json:1:1: write a map')
})
