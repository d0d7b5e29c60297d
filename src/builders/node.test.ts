import { describe, expect, test } from 'vitest'
import { BUILD_SPEC, planOf, runsOf, sourceOf } from '../../test/support/source.ts'
import { nodeBuilder } from './node.ts'

const pack = (more: object = {}): string => JSON.stringify({ dependencies: { a: '1' }, ...more })
const ARGS =
  'ARG npm_config_cache=/tmp/cache npm_config_store_dir=/tmp/cache npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false npm_config_fetch_retries=1 npm_config_fetch_retry_mintimeout=1000 npm_config_fetch_retry_maxtimeout=2000 npm_config_fetch_timeout=30000'

describe('the Dockerfile', () => {
  test('of an app without dependencies copies once and never calls npm', () => {
    const made = planOf('node', { 'package.json': '{"main":"server.js"}', 'server.js': '' })
    expect(made.dockerfile).toBe(`FROM node:24-slim
ENV NODE_ENV=production
USER node
WORKDIR /app
COPY --chown=node:node app/ ./
`)
    expect(made).toMatchObject({ sourceDir: 'app', extraFiles: {}, args: {} })
    expect(made.processes).toEqual({ web: ['node', 'server.js'] })
  })

  test('of an app without a build installs what production needs before the source is there', () => {
    const files = { 'package.json': pack(), 'package-lock.json': '{}', '.npmrc': '' }
    expect(planOf('node', files).dockerfile).toBe(`FROM node:24-slim
ENV NODE_ENV=production
${ARGS}
USER node
COPY --chown=node:node app/package.json app/package-lock.json app/.npmrc /app/
WORKDIR /app
RUN npm ci --omit=dev && rm -rf /tmp/cache
COPY --chown=node:node app/ ./
`)
  })

  test('of an app with a build, with a cache and the server’s settings', () => {
    const files = {
      'package.json': pack({ devDependencies: { b: '1' }, scripts: { build: 'x' } }),
      'package-lock.json': '{}',
    }
    const options = {
      cacheScope: 'app_1',
      environment: { caFile: 'PEM', npmrc: 'registry=https://npm.example/x/\n//npm.example/:a=b' },
    }
    const made = planOf('node', files, { run: 'id "x"' }, options)
    const mounts = `--mount=type=cache,id=app_1-npm,target=/tmp/cache,uid=1000,gid=1000 --mount=type=bind,source=.helios/env,target=/run/helios . /run/helios/env &&`
    expect(made.dockerfile).toBe(`FROM node:24-slim AS build
${ARGS}
USER node
COPY --chown=node:node app/package.json app/package-lock.json /app/
WORKDIR /app
RUN ${mounts} npm ci --include=dev
COPY --chown=node:node app/ ./
RUN ["sh","-c","id \\"x\\""]
RUN npm run build
RUN ${mounts} npm prune --omit=dev --ignore-scripts
FROM node:24-slim
ENV NODE_ENV=production
USER node
WORKDIR /app
COPY --from=build --chown=node:node /app ./
`)
    const ca = '/run/helios/ca.pem'
    expect(made.extraFiles).toEqual({
      '.helios/env/ca.pem': 'PEM',
      '.helios/env/npmrc': options.environment.npmrc,
      '.helios/env/env': `export NODE_EXTRA_CA_CERTS=${ca} PIP_CERT=${ca} REQUESTS_CA_BUNDLE=${ca} SSL_CERT_FILE=${ca} npm_config_userconfig=/run/helios/npmrc YARN_NPM_REGISTRY_SERVER=https://npm.example/x/\n`,
    })
  })

  test.each([
    ['a script that npm runs', { scripts: { postinstall: 'node x.js' } }, {}],
    ['a local dependency', { dependencies: { a: 'file:./a' } }, {}],
    ['workspaces', { workspaces: ['a'] }, {}],
    ['pnpm’s workspaces', {}, { 'pnpm-workspace.yaml': '' }],
  ])('copies the source before the install for %s', (_, more, files) => {
    const made = planOf('node', { 'package.json': pack(more), ...files })
    const [copy, install] = ['COPY --chown=node:node app/ ./', ' install '].map((text) =>
      made.dockerfile.lastIndexOf(text),
    )
    expect(copy).toBeGreaterThan(0)
    expect(copy).toBeLessThan(install ?? 0)
    expect(made.dockerfile).toContain('COPY --from=build')
  })

  test('builds without an install, and without pruning, where nothing is there to install', () => {
    const made = planOf('node', { 'package.json': '{"scripts":{"build":"x"}}' })
    expect(runsOf(made)).toEqual(['npm run build'])
    expect(runsOf(planOf('node', { 'package.json': pack({ scripts: { build: 'x' } }) }))).toEqual([
      'npm install --include=dev && rm -rf /tmp/cache',
      'npm run build',
    ])
  })

  test('copies what an install reads, even where .dockerignore names it', () => {
    const made = planOf('node', {
      'package.json': pack({ packageManager: 'yarn@4.1.0' }),
      'yarn.lock': '',
      '.yarnrc.yml': 'yarnPath: x',
      '.yarn/releases/yarn.cjs': '',
      'patches/a.patch': '',
      '.dockerignore': '*.lock\r\nnotes\r\n',
    })
    expect(made.dockerfile).toContain(
      'app/package.json app/yarn.lock app/.yarnrc.yml /app/\nWORKDIR /app\n' +
        'COPY --chown=node:node app/.yarn/releases/ ./.yarn/releases/\n' +
        'COPY --chown=node:node app/patches/ ./patches/\nRUN ',
    )
    expect(made.ignore).toBe(
      '**/node_modules\n*.lock\nnotes\n\n!package.json\n!yarn.lock\n!.yarnrc.yml\n',
    )
  })
})

describe('the package manager', () => {
  const berry = '__metadata:\n  version: 8\n'
  test.each<[string, Record<string, string>, object, string[]]>([
    ['npm', { 'package-lock.json': '' }, {}, ['npm ci --omit=dev']],
    ['npm by shrinkwrap', { 'npm-shrinkwrap.json': '' }, {}, ['npm ci --omit=dev']],
    ['npm without a lock', {}, {}, ['npm install --omit=dev']],
    [
      'pnpm',
      { 'pnpm-lock.yaml': "lockfileVersion: '9.0'" },
      {},
      ['npm install -g --force pnpm@10', 'pnpm install --frozen-lockfile --prod'],
    ],
    [
      'old pnpm',
      { 'pnpm-lock.yaml': "lockfileVersion: '6.0'" },
      {},
      ['npm install -g --force pnpm@8', 'pnpm install --frozen-lockfile --prod'],
    ],
    [
      'older pnpm',
      { 'pnpm-lock.yaml': 'lockfileVersion: 5.4' },
      {},
      ['npm install -g --force pnpm@7', 'pnpm install --frozen-lockfile --prod'],
    ],
    [
      'a named pnpm',
      { 'pnpm-lock.yaml': '' },
      { packageManager: 'pnpm@9.1.2+sha512.ab' },
      ['npm install -g --force pnpm@9.1.2', 'pnpm install --frozen-lockfile --prod'],
    ],
    [
      'pnpm without a lock',
      {},
      { packageManager: 'pnpm@9.1.2' },
      ['npm install -g --force pnpm@9.1.2', 'pnpm install --no-frozen-lockfile --prod'],
    ],
    [
      'yarn',
      { 'yarn.lock': '# yarn lockfile v1' },
      {},
      [
        'yarn install --non-interactive --cache-folder /tmp/cache --network-timeout 30000 --frozen-lockfile --production=true',
      ],
    ],
    [
      'yarn without a lock',
      {},
      { packageManager: 'yarn@1.22.0' },
      [
        'yarn install --non-interactive --cache-folder /tmp/cache --network-timeout 30000 --production=true',
      ],
    ],
    [
      'yarn 4',
      { 'yarn.lock': berry },
      {},
      ['npm install -g --force @yarnpkg/cli-dist@4', 'yarn workspaces focus --all --production'],
    ],
    [
      'a named yarn',
      { 'yarn.lock': '' },
      { packageManager: 'yarn@3.8.0' },
      [
        'npm install -g --force @yarnpkg/cli-dist@3.8.0',
        'yarn workspaces focus --all --production',
      ],
    ],
    [
      'a yarn of its own',
      { 'yarn.lock': berry, '.yarnrc.yml': 'yarnPath: x' },
      {},
      ['yarn workspaces focus --all --production'],
    ],
    [
      'of two locks the named one',
      { 'pnpm-lock.yaml': '', 'package-lock.json': '' },
      { packageManager: 'npm@11.0.0' },
      ['npm ci --omit=dev'],
    ],
    [
      'of two locks the first',
      { 'yarn.lock': '', 'package-lock.json': '' },
      {},
      [
        'yarn install --non-interactive --cache-folder /tmp/cache --network-timeout 30000 --frozen-lockfile --production=true',
      ],
    ],
  ])('is %s', (_, locks, more, runs) => {
    const made = planOf('node', { 'package.json': pack(more), ...locks })
    expect(runsOf(made)).toEqual(runs.map((run) => `${run} && rm -rf /tmp/cache`))
  })

  test.each<[string, Record<string, string>, string[]]>([
    [
      'pnpm',
      { 'pnpm-lock.yaml': '' },
      [
        'pnpm install --frozen-lockfile --prod=false',
        'pnpm run build',
        'CI=true pnpm prune --prod --ignore-scripts',
      ],
    ],
    [
      'yarn',
      { 'yarn.lock': '' },
      [
        'yarn install --non-interactive --cache-folder /tmp/cache --network-timeout 30000 --frozen-lockfile --production=false',
        'yarn run build',
        'yarn install --non-interactive --cache-folder /tmp/cache --network-timeout 30000 --frozen-lockfile --production=true --ignore-scripts --prefer-offline',
      ],
    ],
    [
      'yarn 4',
      { 'yarn.lock': berry },
      ['yarn install --immutable', 'yarn run build', 'yarn workspaces focus --all --production'],
    ],
  ])('%s builds', (_, locks, runs) => {
    const text = pack({ devDependencies: { b: '1' }, scripts: { build: 'x' } })
    const made = runsOf(planOf('node', { 'package.json': text, ...locks }))
    expect(made.slice(-3)).toEqual(
      runs.map((run) => (/run build/.test(run) ? run : `${run} && rm -rf /tmp/cache`)),
    )
  })
})

describe('the version', () => {
  test.each<[string, Record<string, string>, number]>([
    ['', {}, 24],
    ['22', {}, 22],
    ['^22.1', {}, 22],
    ['>=20', {}, 24],
    ['>=18 <23', {}, 22],
    ['', { '.nvmrc': 'v22.11.0\n' }, 22],
    ['', { '.nvmrc': '24' }, 24],
    ['', { '.nvmrc': 'lts/jod' }, 22],
    ['', { '.nvmrc': 'lts/*' }, 24],
    ['', { '.node-version': '22.1.0' }, 22],
    ['', { '.nvmrc': 'node' }, 24],
    ['>=20', { '.nvmrc': '22' }, 22],
    ['>=18', { '.nvmrc': '18' }, 24],
    ['22.x', { '.nvmrc': '24' }, 22],
  ])('for engines.node "%s" and %j is %i', (node, files, major) => {
    const engines = node === '' ? {} : { engines: { node } }
    const made = planOf('node', { 'package.json': JSON.stringify(engines), ...files })
    expect(made.dockerfile).toContain(`FROM node:${major}-slim\n`)
  })

  test.each<[string, Record<string, string>, string]>([
    [
      '18',
      {},
      'engines.node of package.json asks for Node "18"; there are base images for 22 and 24',
    ],
    [
      'what',
      {},
      'engines.node of package.json asks for Node "what"; there are base images for 22 and 24',
    ],
    ['', { '.nvmrc': '18.2' }, '.nvmrc asks for Node "18.2"; there are base images for 22 and 24'],
    [
      '',
      { '.node-version': 'lts/iron' },
      '.node-version asks for Node "lts/iron"; there are base images for 22 and 24',
    ],
  ])('rejects engines.node "%s" and %j', (node, files, message) => {
    const engines = node === '' ? {} : { engines: { node } }
    const text = JSON.stringify(engines)
    expect(() => planOf('node', { 'package.json': text, ...files })).toThrow(message)
  })
})

describe('the start', () => {
  test.each<[object, string[], string[] | undefined]>([
    [{ scripts: { start: 'node server.js' } }, [], ['node', 'server.js']],
    [
      { scripts: { start: 'node --env-file=x src/a.js' } },
      [],
      ['node', '--env-file=x', 'src/a.js'],
    ],
    [{ scripts: { start: 'node server.js', prestart: 'x' } }, [], ['npm', 'start']],
    [{ scripts: { start: 'node a.js && b' } }, [], ['npm', 'start']],
    [{ scripts: { start: 'next start' } }, [], ['npm', 'start']],
    [{ main: './lib/a.js' }, ['lib/a.js'], ['node', 'lib/a.js']],
    [{ main: 'a' }, ['a.js', 'server.js'], ['node', 'a.js']],
    [{ main: 'gone.js' }, ['server.js'], ['node', 'server.js']],
    [{}, ['index.js', 'server.js'], ['node', 'server.js']],
    [{}, ['index.js'], ['node', 'index.js']],
    [{}, ['other.js'], undefined],
  ])('of %j with %j is %j', (data, names, command) => {
    const files = Object.fromEntries(names.map((name) => [name, '']))
    const made = planOf('node', { 'package.json': JSON.stringify(data), ...files })
    expect(made.processes['web']).toEqual(command)
  })
})

describe('package.json', () => {
  test.each([
    ['{', 'package.json is not valid JSON'],
    ['', 'package.json is not valid JSON'],
    ['[]', 'package.json is not a JSON object'],
    ['null', 'package.json is not a JSON object'],
  ])('%j is rejected', (text, message) => {
    expect(() => planOf('node', { 'package.json': text })).toThrow(message)
  })

  test('is missing, or too large', () => {
    expect(() => planOf('node', {})).toThrow('package.json is missing')
    const large = { paths: ['package.json'], read: () => undefined }
    expect(() => nodeBuilder.plan(large, BUILD_SPEC)).toThrow('package.json is larger than 1 MiB')
  })

  test('may begin with a byte order mark and hold nonsense', () => {
    const text =
      '\uFEFF{"scripts":{"start":1},"dependencies":[],"main":{},"engines":"x","packageManager":5}'
    expect(planOf('node', { 'package.json': text, 'index.js': '' }).processes).toEqual({
      web: ['node', 'index.js'],
    })
  })

  test('of a site is left to the static builder', () => {
    const detect = (files: Record<string, string>): string | undefined =>
      nodeBuilder.detect(sourceOf(files))
    const site = '{"scripts":{"build":"vite build"},"devDependencies":{"vite":"5"}}'
    expect(detect({ 'package.json': '{', 'index.html': '' })).toBe(
      'package.json is in the root folder',
    )
    expect(detect({ 'package.json': '{}', 'index.html': '' })).toBeUndefined()
    expect(detect({ 'package.json': '{}', 'index.html': '', 'server.js': '' })).toBeDefined()
    expect(detect({ 'package.json': '{}' })).toBeDefined()
    expect(detect({ 'package.json': site })).toBeUndefined()
    expect(detect({ 'package.json': site, Procfile: '' })).toBeDefined()
    expect(detect({ 'package.json': site.replace('}', ',"start":"x"}') })).toBeDefined()
    expect(
      detect({ 'package.json': site.replace('"vite":', '"express":"5","vite":') }),
    ).toBeDefined()
    expect(detect({ 'app.py': '' })).toBeUndefined()
  })
})
