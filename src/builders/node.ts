/**
 * @module
 * The builder for Node.js sources with a package.json.
 */
import semver from 'semver'
import { HeliosError, show } from '../lib/errors.ts'
import type { Builder, SourceFiles } from './types.ts'

type Package = { engine: string; scripts: Record<string, unknown>; main: unknown }
type Manager = { lock: string; cache: string; install: string; build: string; production: string }

const COREPACK = 'npm install -g corepack && corepack'
const MANAGERS: readonly Manager[] = [
  {
    lock: 'pnpm-lock.yaml',
    cache: '/root/.local/share/pnpm/store',
    install: `${COREPACK} pnpm install --frozen-lockfile`,
    build: 'corepack pnpm run build',
    production: 'CI=true corepack pnpm prune --prod',
  },
  {
    lock: 'yarn.lock',
    cache: '/usr/local/share/.cache/yarn',
    install: 'yarn install --frozen-lockfile',
    build: 'yarn run build',
    production: 'yarn install --frozen-lockfile --production --ignore-scripts --prefer-offline',
  },
  {
    lock: 'package-lock.json',
    cache: '/root/.npm',
    install: 'npm ci --no-audit --no-fund',
    build: 'npm run build',
    production: 'npm prune --omit=dev --no-audit --no-fund',
  },
]
const UNLOCKED: Manager = {
  lock: '',
  cache: '/root/.npm',
  install: 'npm install --no-audit --no-fund',
  build: 'npm run build',
  production: 'npm prune --omit=dev --no-audit --no-fund',
}

/** Installs by the lockfile, runs the build script, and keeps production dependencies only. */
export const nodeBuilder: Builder = {
  name: 'node',
  detect: (files) =>
    files.paths.includes('package.json') ? 'package.json is in the root folder' : undefined,
  plan(files, spec) {
    const pack = readPackage(files)
    const manager = MANAGERS.find(({ lock }) => files.paths.includes(lock)) ?? UNLOCKED
    const cached = `RUN --mount=type=cache,target=${manager.cache} `
    const copied = ['package.json', manager.lock, '.npmrc', 'pnpm-workspace.yaml']
    const present = copied.filter((path) => files.paths.includes(path))
    const base = `node:${versionOf(pack.engine)}-slim`
    return {
      kind: 'dockerfile',
      dockerfile: [
        `FROM ${base} AS build`,
        'WORKDIR /app',
        `COPY ${present.join(' ')} ./`,
        cached + manager.install,
        'COPY . .',
        ...(spec.run === undefined ? [] : [`RUN ${JSON.stringify(['sh', '-c', spec.run])}`]),
        ...(typeof pack.scripts['build'] === 'string' ? [`RUN ${manager.build}`] : []),
        cached + manager.production,
        `FROM ${base}`,
        'ENV NODE_ENV=production',
        'WORKDIR /app',
        'COPY --from=build --chown=node:node /app /app',
        'USER node',
        '',
      ].join('\n'),
      extraFiles: {},
      args: {},
      ignore: '.git\n**/node_modules\n',
      processes: startOf(files, pack),
    }
  },
}

function readPackage(files: SourceFiles): Package {
  try {
    const data: unknown = JSON.parse(files.read('package.json') ?? '')
    const pack = record(data)
    const engine = record(pack['engines'])['node']
    return {
      engine: typeof engine === 'string' ? engine : '*',
      scripts: record(pack['scripts']),
      main: pack['main'],
    }
  } catch (cause) {
    throw new HeliosError('HX34', 'package.json is missing or is not valid JSON', {
      cause,
      hint: 'Check it with: npm pkg get name',
    })
  }
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function versionOf(range: string): number {
  const major = [24, 22].find(
    (version) =>
      semver.validRange(range) !== null &&
      semver.intersects(range, `>=${version}.0.0 <${version + 1}.0.0`),
  )
  if (major !== undefined) return major
  throw new HeliosError(
    'HX34',
    `engines.node ${show(range)} of package.json allows neither 22 nor 24`,
    {
      hint: 'Set engines.node to "22.x" or "24.x", or add a Dockerfile.',
    },
  )
}

function startOf(files: SourceFiles, pack: Package): Record<string, string[]> {
  if (typeof pack.scripts['start'] === 'string') return { web: ['npm', 'start'] }
  const named = typeof pack.main === 'string' ? [pack.main] : []
  const file = [...named, 'server.js', 'index.js'].find((path) => files.paths.includes(path))
  return file === undefined ? {} : { web: ['node', file] }
}
