import { randomBytes, randomInt } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { crc32 } from 'node:zlib'
import { pack } from 'tar-stream'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { buildContext, CONTEXT_DOCKERFILE, readSource } from '../../src/builders/context.ts'
import type { PlanOptions } from '../../src/builders/types.ts'
import { until } from '../../src/lib/async.ts'
import { run } from '../../src/lib/exec.ts'
import { silentLogger } from '../../src/lib/log.ts'
import type { BuildSpec } from '../../src/manifest/types.ts'
import { createDockerRuntime } from '../../src/runtime/docker/client.ts'
import type { ImageInfo, Instance, WorkloadSpec } from '../../src/runtime/types.ts'
import { BUILD_SPEC, planBuild } from '../support/source.ts'

const { HELIOS_TEST_DOCKER: engine = 'unix:///var/run/docker.sock', HOME = '/root' } = process.env
const runtime = createDockerRuntime({
  socketPath: engine.replace(/^unix:\/\//, ''),
  log: silentLogger(),
})
const id = randomBytes(6).toString('hex')
const labels = { 'helios.test': id }
const network = { name: `helios-test-${id}`, subnet: `10.214.${randomInt(256)}.0/24`, labels }
const soon = (): AbortSignal => AbortSignal.timeout(240_000)

/** What this machine's own npm uses to reach its registry. */
const CA = '/etc/ssl/certs/ca-certificates.crt'
const options: PlanOptions = {
  cacheScope: `test-${id}`,
  environment: {
    ...(existsSync(CA) ? { caFile: readFileSync(CA, 'utf8') } : {}),
    npmrc: `registry=${(await npm('config', 'get', 'registry')) ?? ''}\n`,
  },
}
const hasRegistry = (await npm('view', 'express@5', 'name')) !== undefined
const needsRegistry = describe.skipIf(!hasRegistry)

async function npm(...args: string[]): Promise<string | undefined> {
  try {
    const env = { HOME, PATH: process.env['PATH'] ?? '', NODE_EXTRA_CA_CERTS: CA }
    const { stdout } = await run(['npm', ...args], { env, signal: AbortSignal.timeout(30_000) })
    return stdout.toString().trim()
  } catch {
    return undefined
  }
}

type Files = Record<string, string | Buffer>
type Built = { image: ImageInfo; ran: string[]; command: string[] | undefined; reason: string }

function folder(dir: string): Files {
  const names = readdirSync(dir, { recursive: true, encoding: 'utf8' })
  const files = names.filter((name) => statSync(join(dir, name)).isFile())
  return Object.fromEntries(files.map((name) => [name, readFileSync(join(dir, name))]))
}

/** The source with a version that no build before had, as an engine keeps its cache. */
function versioned(files: Files): { version: string; changed: Files } {
  const version = `v${randomBytes(4).toString('hex')}`
  const changed = Object.entries(files).map(([name, content]) => {
    const text = content.toString()
    return [name, /\bv1\b/.test(text) ? text.replace(/\bv1\b/, version) : content]
  })
  return { version, changed: Object.fromEntries(changed) }
}

async function build(files: Files, spec: Partial<BuildSpec> = {}, given = options): Promise<Built> {
  const packing = pack()
  for (const [name, text] of Object.entries(files)) packing.entry({ name }, text)
  packing.finalize()
  const bytes = await buffer(packing)
  const source = (): Readable => Readable.from([bytes])
  const whole = { ...BUILD_SPEC, ...spec }
  const { detected, plan } = planBuild(await readSource(source(), soon()), whole, given)
  if (plan.kind !== 'dockerfile') throw new Error('nothing to build')
  const lines: string[] = []
  const request = {
    tag: `helios/test-${id}:${randomBytes(4).toString('hex')}`,
    context: () => buildContext(source(), plan, soon()),
    dockerfile: CONTEXT_DOCKERFILE,
    ...(plan.target === undefined ? {} : { target: plan.target }),
    args: plan.args,
    labels,
    ...whole.limits,
  }
  const image = await runtime
    .build(request, (line) => lines.push(line), soon())
    .catch((error: unknown) => {
      throw new Error(`${String(error)}\n${plan.dockerfile}\n${lines.join('\n')}`)
    })
  const cached = new Set(lines.map((line) => /^#(\d+) CACHED$/.exec(line)?.[1]))
  const ran = lines.flatMap((line) => {
    const [, number, step] = /^#(\d+) \[[^\]]*\] ((?:RUN|COPY).*)$/.exec(line) ?? []
    return step === undefined || cached.has(number) ? [] : [step]
  })
  return { image, ran, command: plan.processes['web'], reason: detected.reason }
}

function workload(built: Built, command: string[] | undefined): WorkloadSpec {
  return {
    name: `helios-test-${id}-${randomBytes(4).toString('hex')}`,
    image: built.image.id,
    ...(command === undefined ? {} : { command }),
    env: { PORT: '5000' },
    labels,
    network: network.name,
    memoryBytes: 256 * 1024 ** 2,
    cpus: 1,
    stopSignal: 'SIGTERM',
    stopGraceMs: 5000,
    restart: 'never',
  }
}

async function start(built: Built, command = built.command): Promise<Instance & { id: string }> {
  const started = await runtime.createInstance(workload(built, command), soon())
  await runtime.startInstance(started)
  const instance = await runtime.inspectInstance(started)
  if (instance === undefined) throw new Error('it is gone')
  return instance
}

type Answer = { status: number; text: string }

async function answer(url: string): Promise<Answer> {
  const response = await until(() => fetch(url).catch(() => undefined), {
    everyMs: 50,
    signal: AbortSignal.timeout(20_000),
  })
  return { status: response.status, text: await response.text() }
}

async function get(built: Built): Promise<Answer & { uid: number }> {
  const instance = await start(built)
  const status = readFileSync(`/proc/${instance.pid}/status`, 'utf8')
  const uid = Number(/^Uid:\s+(\d+)/m.exec(status)?.[1])
  const answered = answer(`http://${instance.address}:5000/`).catch(async (error: unknown) => {
    throw new Error(`${String(error)}: ${await output(instance.id)}`)
  })
  return { ...(await answered), uid }
}

async function output(instance: string): Promise<string> {
  const lines: string[] = []
  for await (const line of runtime.logs(instance, { follow: false }, soon())) lines.push(line.text)
  return lines.join('\n')
}

async function inside(built: Built, ...command: string[]): Promise<string> {
  const { id: instance } = await start(built, command)
  await until(
    async () => (await runtime.inspectInstance(instance))?.state === 'exited' || undefined,
    { everyMs: 50, signal: AbortSignal.timeout(20_000) },
  )
  return output(instance)
}

async function removeInstances(): Promise<void> {
  for (const instance of await runtime.listInstances(labels)) {
    await runtime.removeInstance(instance.id)
  }
}

beforeAll(() => runtime.ensureNetwork(network))
afterEach(removeInstances)
afterAll(async () => {
  await removeInstances()
  await runtime.removeNetwork(network.name)
  for (const image of await runtime.listImages(labels)) {
    for (const tag of image.tags) await runtime.removeImage(tag)
  }
})

const EXAMPLES: [name: string, reason: string][] = [
  ['hello-node', 'package.json is in the root folder'],
  ['hello-python', 'requirements.txt is in the root folder'],
  ['hello-static', 'index.html is in the root folder'],
  ['hello-dockerfile', 'Dockerfile is in the root folder'],
  ...(hasRegistry
    ? [['hello-express', 'package.json is in the root folder'] as [string, string]]
    : []),
]

describe.each(EXAMPLES)('examples/%s', (name, reason) => {
  const files = folder(`examples/${name}`)

  test('answers on $PORT, not as root; a change of the source copies the source and no more', async () => {
    const first = await build(files)
    expect(first.reason).toBe(reason)
    const answer = await get(first)
    expect(answer).toMatchObject({ status: 200 })
    expect(answer.text).toContain(`Hello from ${name} v1`)
    expect(answer.uid).toBeGreaterThan(0)

    const { version, changed } = versioned(files)
    const second = await build(changed)
    expect((await get(second)).text).toContain(`Hello from ${name} ${version}`)
    expect(second.ran).toHaveLength(1)
    expect(second.ran[0]).toMatch(/^COPY/)
    expect((await build(files)).image.id).toBe(first.image.id)
  })
})

const PACKAGE = {
  type: 'module',
  dependencies: { ms: '2.1.3' },
  devDependencies: { semver: '7.7.2' },
  scripts: { build: 'node build.js', start: 'node server.js' },
}
const APP = {
  'build.js': Buffer.from(`import semver from 'semver'
import { writeFileSync } from 'node:fs'
writeFileSync('built.txt', String(semver.major('3.1.0')))
`),
  'server.js': Buffer.from(`import ms from 'ms'
import { createServer } from 'node:http'
import { readFileSync, writeFileSync } from 'node:fs'
writeFileSync('written.txt', 'x')
const text = 'v1 ' + ms('1s') + ' ' + readFileSync('built.txt') + ' ' + process.env.NODE_ENV
createServer((_, response) => response.end(text)).listen(process.env.PORT)
`),
}
const SUMS = {
  ms: '6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA==',
  semver:
    'RF0Fw+rO5AMf9MAyaRXI4AV0Ulj5lMHqVxxdSgiVbixSCXoEmmX/jk0CuJw4+3SqroYO9VoUh+HcuJivvtJemA==',
}
const LOCKS: Record<string, Files> = {
  npm: {
    'package-lock.json': JSON.stringify({
      lockfileVersion: 3,
      requires: true,
      packages: {
        '': { dependencies: PACKAGE.dependencies, devDependencies: PACKAGE.devDependencies },
        'node_modules/ms': { version: '2.1.3', integrity: `sha512-${SUMS.ms}` },
        'node_modules/semver': { version: '7.7.2', integrity: `sha512-${SUMS.semver}`, dev: true },
      },
    }),
  },
  pnpm: {
    'pnpm-lock.yaml': `lockfileVersion: '9.0'

importers:

  .:
    dependencies:
      ms:
        specifier: 2.1.3
        version: 2.1.3
    devDependencies:
      semver:
        specifier: 7.7.2
        version: 7.7.2

packages:

  ms@2.1.3:
    resolution: {integrity: sha512-${SUMS.ms}}

  semver@7.7.2:
    resolution: {integrity: sha512-${SUMS.semver}}
    engines: {node: '>=10'}
    hasBin: true

snapshots:

  ms@2.1.3: {}

  semver@7.7.2: {}
`,
  },
  yarn: {
    'yarn.lock': `ms@2.1.3:
  version "2.1.3"
  integrity sha512-${SUMS.ms}

semver@7.7.2:
  version "7.7.2"
  integrity sha512-${SUMS.semver}
`,
  },
  'yarn 4': {
    'yarn.lock': `# This file is generated by running "yarn install" inside your project.
# Manual changes might be lost - proceed with caution!

__metadata:
  version: 8
  cacheKey: 10c0

"app@workspace:.":
  version: 0.0.0-use.local
  resolution: "app@workspace:."
  dependencies:
    ms: "npm:2.1.3"
    semver: "npm:7.7.2"
  languageName: unknown
  linkType: soft

"ms@npm:2.1.3":
  version: 2.1.3
  resolution: "ms@npm:2.1.3"
  checksum: 10c0/d924b57e7312b3b63ad21fc5b3dc0af5e78d61a1fc7cfb5457edaf26326bf62be5307cc87ffb6862ef1c2b33b0233cdb5d4f01c4c958cc0d660948b65a287a48
  languageName: node
  linkType: hard

"semver@npm:7.7.2":
  version: 7.7.2
  resolution: "semver@npm:7.7.2"
  bin:
    semver: bin/semver.js
  checksum: 10c0/aca305edfbf2383c22571cb7714f48cadc7ac95371b4b52362fb8eeffdfbc0de0669368b82b2b15978f8848f01d7114da65697e56cd8c37b0dab8c58e543f9ea
  languageName: node
  linkType: hard
`,
    'package.json': JSON.stringify({ name: 'app', packageManager: 'yarn@4.9.2', ...PACKAGE }),
  },
}

needsRegistry('node', () => {
  test.each(Object.entries(LOCKS))(
    '%s builds, and leaves production dependencies',
    async (_, lock) => {
      const files = { 'package.json': JSON.stringify({ name: 'app', ...PACKAGE }), ...APP, ...lock }
      const built = await build(files)
      const { text, uid } = await get(built)
      expect({ text, uid }).toEqual({ text: 'v1 1000 3 production', uid: 1000 })
      const [modules, settings] = (
        await inside(
          built,
          'sh',
          '-c',
          'ls node_modules; echo; cat /run/helios/* 2>/dev/null | wc -c',
        )
      ).split('\n\n')
      expect(modules).toBe('ms')
      expect(settings?.trim()).toBe('0')
      const changed = await build(versioned(files).changed)
      expect(
        changed.ran.filter((step) =>
          /npm ci|npm install|install .*(prod=false|production=false|immutable)/.test(step),
        ),
      ).toEqual([])
      expect(changed.ran.some((step) => step.startsWith('COPY'))).toBe(true)
    },
  )
})

/** A wheel of one module with a function, as pip installs it; stored, not compressed. */
function wheel(): Buffer {
  const info = 'greet-1.0.dist-info'
  const files = {
    'greet.py': 'def greet():\n    return "greetings"\n',
    [`${info}/METADATA`]: 'Metadata-Version: 2.1\nName: greet\nVersion: 1.0\n',
    [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    [`${info}/RECORD`]: `greet.py,,\n${info}/METADATA,,\n${info}/WHEEL,,\n${info}/RECORD,,\n`,
  }
  return zip(Object.entries(files).map(([name, text]) => [name, Buffer.from(text)]))
}

function zip(files: [name: string, body: Buffer][]): Buffer {
  const bodies: Buffer[] = []
  const index: Buffer[] = []
  let offset = 0
  for (const [name, body] of files) {
    // Version, flags, method, time, date, sum, sizes, length of the name, length of extras.
    const fields = Buffer.alloc(26)
    fields.writeUInt16LE(20, 0)
    fields.writeUInt16LE(33, 8)
    fields.writeUInt32LE(crc32(body), 10)
    fields.writeUInt32LE(body.length, 14)
    fields.writeUInt32LE(body.length, 18)
    fields.writeUInt16LE(name.length, 22)
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), fields, Buffer.from(name), body])
    const rest = Buffer.alloc(14)
    rest.writeUInt32LE(offset, 10)
    index.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\0'), fields, rest, Buffer.from(name)]))
    bodies.push(local)
    offset += local.length
  }
  const end = Buffer.alloc(18)
  end.writeUInt16LE(files.length, 4)
  end.writeUInt16LE(files.length, 6)
  end.writeUInt32LE(Buffer.concat(index).length, 8)
  end.writeUInt32LE(offset, 12)
  return Buffer.concat([...bodies, ...index, Buffer.from('PK\x05\x06'), end])
}

test('python installs a local wheel once', async () => {
  const app = readFileSync('examples/hello-python/app.py', 'utf8')
    .replace('import os', 'import os\nfrom greet import greet')
    .replace('Hello from', '{greet()} from')
  const files = {
    'app.py': Buffer.from(app),
    'requirements.txt': '--no-index\n./wheels/greet-1.0-py3-none-any.whl\n',
    'wheels/greet-1.0-py3-none-any.whl': wheel(),
  }
  const built = await build(files)
  const { text, uid } = await get(built)
  expect({ text, uid }).toEqual({ text: 'greetings from hello-python v1\n', uid: 1000 })
  expect(await inside(built, 'sh', '-c', 'touch x && ls')).toBe(
    'app.py\nrequirements.txt\nwheels\nx',
  )
  const changed = await build(versioned(files).changed)
  expect(changed.ran).toEqual(['COPY --chown=app:app app/ ./'])
})

test('a Dockerfile of several stages, with its ignore rules, caches and Windows line ends', async () => {
  const dockerfile = `\uFEFFARG TAG
FROM debian:bookworm-slim AS build
COPY . /src
ARG TAG
RUN --mount=type=cache,target=/cache \\
  ls -A /src /src/a > /list; echo "$TAG" >> /cache/log; cat /cache/log >> /list
FROM debian:\${TAG} AS run
COPY --from=build /list /list
USER nobody
EXPOSE 3000/tcp
FROM build AS other
`
  const files = {
    'docker/Dockerfile': dockerfile.replaceAll('\n', '\r\n'),
    '.dockerignore': 'docker\n*.log\n!keep.log\na/*\n!a/b\n',
    'x.log': '',
    'keep.log': '',
    'a/b': '',
    'a/c': '',
    '.git/HEAD': '',
  }
  const args = { TAG: 'bookworm-slim' }
  const spec = {
    builder: 'dockerfile',
    dockerfile: 'docker/Dockerfile',
    target: 'run',
    args,
  } as const
  const built = await build(files, spec)
  expect(built.image).toMatchObject({ user: 'nobody', ports: [3000] })
  const listed = '/src:\n.helios\na\nkeep.log\n\n/src/a:\nb\nbookworm-slim'
  expect((await inside(built, 'cat', '/list')).trim()).toBe(listed)
})

test('a static folder serves files, its error page and nothing hidden', async () => {
  const files = {
    'index.html': 'home',
    '404.html': 'lost',
    'a/index.html': 'below',
    '.well-known/x': 'known',
    '.env': 'SECRET=1',
    'oal.yaml': 'oal: 1',
  }
  const built = await build(files)
  const paths = ['/', '/a/', '/.well-known/x', '/none', '/.env', '/oal.yaml', '/.helios/Dockerfile']
  const { address } = await start(built)
  const answers = await Promise.all(paths.map((path) => answer(`http://${address}:5000${path}`)))
  expect(answers.map(({ status, text }) => `${status} ${text}`)).toEqual([
    '200 home',
    '200 below',
    '200 known',
    '404 lost',
    '404 lost',
    '404 lost',
    '404 lost',
  ])
})

test('a site is built, and unknown paths get its index where it asks', async () => {
  const build_ = `import { mkdirSync, writeFileSync } from 'node:fs'
mkdirSync('dist/assets', { recursive: true })
writeFileSync('dist/index.html', 'v1')
writeFileSync('dist/assets/a.js', 'code')
`
  const files = {
    'package.json': JSON.stringify({ type: 'module', scripts: { build: 'node build.js' } }),
    'build.js': Buffer.from(build_),
  }
  const built = await build(files, { builder: 'static', root: 'dist', spa: true })
  const { address } = await start(built)
  const texts = ['/', '/assets/a.js', '/some/page'].map(async (path) => {
    return (await answer(`http://${address}:5000${path}`)).text
  })
  expect(await Promise.all(texts)).toEqual(['v1', 'code', 'v1'])
})

test('a registry that is not there fails a build in seconds', async () => {
  const begun = Date.now()
  const files = { 'package.json': JSON.stringify({ dependencies: { ms: '2.1.3' } }) }
  const npmrc = 'registry=http://127.0.0.1:9/\n'
  const other = { cacheScope: `none-${id}`, environment: { npmrc } }
  await expect(build(files, {}, other)).rejects.toThrow(/ECONNREFUSED/)
  expect(Date.now() - begun).toBeLessThan(90_000)
})
