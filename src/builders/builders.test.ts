import { describe, expect, test } from 'vitest'
import type { BuildSpec } from '../manifest/types.ts'
import { detect } from './detect.ts'
import { checkDockerfile } from './gate.ts'
import { BUILDERS } from './index.ts'
import type { BuildPlan, SourceFiles } from './types.ts'

const SPEC: BuildSpec = {
  builder: 'auto',
  dockerfile: 'Dockerfile',
  args: {},
  spa: false,
  limits: { memoryBytes: 1, cpus: 1, timeoutMs: 1 },
}

const source = (files: Record<string, string>): SourceFiles => ({
  paths: Object.keys(files).sort(),
  read: (path) => (Object.hasOwn(files, path) ? files[path] : undefined),
})

function plan(
  name: keyof typeof BUILDERS,
  files: Record<string, string>,
  spec: Partial<BuildSpec> = {},
): Extract<BuildPlan, { kind: 'dockerfile' }> {
  const made = BUILDERS[name].plan(source(files), { ...SPEC, ...spec })
  if (made.kind !== 'dockerfile') throw new Error('not a Dockerfile')
  checkDockerfile(made.dockerfile, made.args)
  return made
}

describe('detect', () => {
  const all = { Dockerfile: '', 'package.json': '', 'requirements.txt': '', 'index.html': '' }
  test.each([
    ['Dockerfile', 'dockerfile'],
    ['package.json', 'node'],
    ['requirements.txt', 'python'],
    ['index.html', 'static'],
  ])('%s decides for %s over those after it', (file, builder) => {
    const files = Object.entries(all).slice(Object.keys(all).indexOf(file))
    const found = detect(source(Object.fromEntries(files)), BUILDERS)
    expect(found).toEqual({ builder, reason: `${file} is in the root folder` })
  })

  test('says what was looked for and found', () => {
    expect(() => detect(source({}), BUILDERS)).toThrow(/looked for Dockerfile.*found no files/)
    const many = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`f${n}.txt`, '']))
    expect(() => detect(source(many), BUILDERS)).toThrow(/found f0.txt, .* and 2 more/)
  })
})

describe('node', () => {
  test('npm with a lockfile', () => {
    const pack = '{"scripts":{"build":"x","start":"y"},"engines":{"node":"^22.1"}}'
    const made = plan('node', { 'package.json': pack, 'package-lock.json': '{}' }, { run: 'id' })
    expect(made.processes).toEqual({ web: ['npm', 'start'] })
    expect(made.dockerfile).toBe(`FROM node:22-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY . .
RUN ["sh","-c","id"]
RUN npm run build
RUN --mount=type=cache,target=/root/.npm npm prune --omit=dev --no-audit --no-fund
FROM node:22-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build --chown=node:node /app /app
USER node
`)
  })

  test.each([
    ['pnpm-lock.yaml', 'pnpm install --frozen-lockfile'],
    ['yarn.lock', 'yarn install --frozen-lockfile'],
    ['other', 'npm install'],
  ])('%s means %s', (lock, command) => {
    const made = plan('node', { 'package.json': '{"main":"a.js"}', [lock]: '', 'a.js': '' })
    expect(made.dockerfile).toContain(command)
    expect(made.dockerfile).toContain('FROM node:24-slim\n')
    expect(made.processes).toEqual({ web: ['node', 'a.js'] })
  })

  test.each(['{', '{"engines":{"node":"18"}}', '{"engines":{"node":"what"}}'])(
    'rejects %s',
    (text) => {
      expect(() => plan('node', { 'package.json': text })).toThrow(/package.json/)
    },
  )

  test('knows no start without a file', () => {
    expect(plan('node', { 'package.json': '{}' }).processes).toEqual({})
  })
})

test('python installs before the source is copied and drops root', () => {
  const made = plan('python', { 'requirements.txt': '', 'app.py': '' }, { run: 'id' })
  const order = ['COPY requirements.txt', 'pip install', 'COPY . .', '"id"', 'USER app']
  const at = order.map((text) => made.dockerfile.indexOf(text))
  expect(at).toEqual([...at].sort((a, b) => a - b))
  expect(at[0]).toBeGreaterThan(0)
  expect(made.processes).toEqual({ web: ['python', 'app.py'] })
  expect(plan('python', { 'requirements.txt': '' }).processes).toEqual({})
  expect(() => plan('python', {})).toThrow(/requirements.txt/)
})

test('static serves a folder, with a fallback when asked', () => {
  const files = { 'dist/index.html': '' }
  const made = plan('static', files, { root: './dist/', spa: true })
  expect(made.dockerfile).toContain('FROM caddy:2\n')
  expect(made.dockerfile).toContain('COPY ["dist","/srv/"]')
  expect(made.extraFiles['helios.Caddyfile']).toContain('try_files {path} /index.html')
  expect(plan('static', files).extraFiles['helios.Caddyfile']).not.toContain('try_files')
  expect(() => plan('static', files, { root: 'nope' })).toThrow(/"nope"/)
})

test('dockerfile passes the gate and reads EXPOSE', () => {
  const text = '\uFEFFFROM node:24\nEXPOSE 3000/tcp\n'
  const made = plan('dockerfile', { Dockerfile: text, '.dockerignore': 'x' }, { target: 'a' })
  expect(made).toMatchObject({ port: 3000, target: 'a', ignore: 'x' })
  expect(plan('dockerfile', { Dockerfile: 'FROM a\n' }).port).toBeUndefined()
  expect(() => plan('dockerfile', {})).toThrow(/is not in the source/)
  expect(() => plan('dockerfile', { Dockerfile: 'FROM helios/x\n' })).toThrow(/line 1/)
})

test('image takes a foreign image only', () => {
  const make = (image: string) => BUILDERS.image.plan(source({}), { ...SPEC, image })
  expect(make('a.example/b:1')).toEqual({ kind: 'image', image: 'a.example/b:1' })
  expect(() => make('helios/x')).toThrow(/not allowed/)
  expect(() => make('')).toThrow(/build.image|name of an image/)
  expect(BUILDERS.image.detect(source({}))).toBeUndefined()
})
