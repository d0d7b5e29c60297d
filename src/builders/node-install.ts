/**
 * @module
 * How npm, pnpm and yarn install what a lock file says.
 */

import { CACHE_DIR } from './mounts.ts'
import type { Package } from './node-package.ts'
import type { SourceFiles } from './types.ts'

/** The commands of one package manager. */
export type Installer = {
  tool: 'npm' | 'pnpm' | 'yarn'
  /** The lock file; absent when the source has none. */
  lock?: string
  /** Build arguments that set it up. */
  args: readonly string[]
  /** Package to install globally first, as `pnpm@10`. */
  setup?: string
  /** Install everything; what runs the app only; drop what does not run the app. */
  all: string
  production: string
  prune: string
  /** Run the build script. */
  build: string
}

/**
 * Settings of the package managers, as build arguments: images do not keep them. A registry that
 * does not answer fails a build within a minute, not after npm's default of many.
 */
const INSTALL_ARGS: readonly string[] = [
  `npm_config_cache=${CACHE_DIR}`,
  `npm_config_store_dir=${CACHE_DIR}`,
  'npm_config_audit=false',
  'npm_config_fund=false',
  'npm_config_update_notifier=false',
  'npm_config_fetch_retries=1',
  'npm_config_fetch_retry_mintimeout=1000',
  'npm_config_fetch_retry_maxtimeout=2000',
  'npm_config_fetch_timeout=30000',
]
// Without node_modules the cache would have to be in the image.
const BERRY_ARGS = [
  `YARN_GLOBAL_FOLDER=${CACHE_DIR}`,
  'YARN_NODE_LINKER=node-modules',
  'YARN_ENABLE_TELEMETRY=0',
  'YARN_HTTP_RETRY=1',
  'YARN_HTTP_TIMEOUT=30000',
]
const YARN_FLAGS = `--non-interactive --cache-folder ${CACHE_DIR} --network-timeout 30000`

/** The install of a global tool by npm. */
export function globalInstall(spec: string): string {
  return `npm install -g --force ${spec}`
}

/** The package manager whose lock file is there; of several the one of packageManager. */
export function chooseInstaller(files: SourceFiles, pack: Package): Installer {
  const locks = LOCKS.filter(({ lock }) => files.paths.includes(lock))
  const found = locks.find(({ tool }) => tool === pack.manager?.name) ?? locks[0]
  const tool = found?.tool ?? pack.manager?.name
  const lock = found?.lock === undefined ? {} : { lock: found.lock }
  if (tool === 'pnpm') return { ...pnpm(files, pack, found !== undefined), ...lock }
  if (tool === 'yarn') return { ...yarn(files, pack, found !== undefined), ...lock }
  return { ...npm(found !== undefined), ...lock }
}

const LOCKS = [
  { lock: 'pnpm-lock.yaml', tool: 'pnpm' },
  { lock: 'yarn.lock', tool: 'yarn' },
  { lock: 'package-lock.json', tool: 'npm' },
  { lock: 'npm-shrinkwrap.json', tool: 'npm' },
] as const

function npm(locked: boolean): Installer {
  const install = locked ? 'npm ci' : 'npm install'
  return {
    tool: 'npm',
    args: INSTALL_ARGS,
    all: `${install} --include=dev`,
    production: `${install} --omit=dev`,
    prune: 'npm prune --omit=dev --ignore-scripts',
    build: 'npm run build',
  }
}

function pnpm(files: SourceFiles, pack: Package, locked: boolean): Installer {
  const install = `pnpm install --${locked ? '' : 'no-'}frozen-lockfile`
  return {
    tool: 'pnpm',
    args: INSTALL_ARGS,
    setup: `pnpm@${versionFor(pack, 'pnpm') ?? pnpmOfLock(files)}`,
    all: `${install} --prod=false`,
    production: `${install} --prod`,
    prune: 'CI=true pnpm prune --prod --ignore-scripts',
    build: 'pnpm run build',
  }
}

function pnpmOfLock(files: SourceFiles): number {
  const version = /^lockfileVersion:\s*'?(\d+)/m.exec(files.read('pnpm-lock.yaml') ?? '')?.[1]
  if (version === '6') return 8
  return version === '5' ? 7 : 10
}

function yarn(files: SourceFiles, pack: Package, locked: boolean): Installer {
  const version = versionFor(pack, 'yarn')
  const isBerry = version === undefined ? isBerryLock(files) : !version.startsWith('1.')
  if (isBerry) return berry(files, version ?? '4', locked)
  const install = `yarn install ${YARN_FLAGS}${locked ? ' --frozen-lockfile' : ''}`
  return {
    tool: 'yarn',
    args: INSTALL_ARGS,
    all: `${install} --production=false`,
    production: `${install} --production=true`,
    prune: `${install} --production=true --ignore-scripts --prefer-offline`,
    build: 'yarn run build',
  }
}

function berry(files: SourceFiles, version: string, locked: boolean): Installer {
  const ownBinary = /^yarnPath:/m.test(files.read('.yarnrc.yml') ?? '')
  const focus = 'yarn workspaces focus --all --production'
  return {
    tool: 'yarn',
    args: [...INSTALL_ARGS, ...BERRY_ARGS],
    ...(ownBinary ? {} : { setup: `@yarnpkg/cli-dist@${version}` }),
    all: `yarn install ${locked ? '--immutable' : '--no-immutable'}`,
    production: focus,
    prune: focus,
    build: 'yarn run build',
  }
}

function isBerryLock(files: SourceFiles): boolean {
  return /^__metadata:/m.test(files.read('yarn.lock') ?? '') || files.paths.includes('.yarnrc.yml')
}

function versionFor(pack: Package, name: string): string | undefined {
  return pack.manager?.name === name ? pack.manager.version : undefined
}
