/**
 * @module
 * The builder for Node.js sources with a package.json.
 */
import type { BuildSpec } from '../manifest/types.ts'
import { installStep, mountedFiles } from './mounts.ts'
import { chooseInstaller, globalInstall, type Installer } from './node-install.ts'
import {
  nodeMajor,
  type Package,
  peekPackage,
  readPackage,
  startCommand,
  startFile,
} from './node-package.ts'
import { siteFolder } from './site.ts'
import type { Builder, PlanOptions, SourceFiles } from './types.ts'

const NODE = 1000
const ROOT = 0

/** Scripts that npm runs at an install, which may need any file of the source. */
const AT_INSTALL = ['preinstall', 'install', 'postinstall', 'prepublish', 'preprepare', 'prepare']

// COPY makes /app with the owner it is given; WORKDIR does so with BuildKit only.
const OWN_FOLDER = 'COPY --chown=node:node app/package.json /app/'

/** Files and folders besides package.json and the lock file that an install reads. */
const SETTINGS = ['.npmrc', '.yarnrc', '.yarnrc.yml', '.pnpmfile.cjs']
const SETTINGS_DIRS = ['.yarn/releases', '.yarn/plugins', '.yarn/patches', 'patches']

/** Installs by the lock file, runs the build script, and keeps production dependencies only. */
export const nodeBuilder: Builder = {
  name: 'node',
  detect(files) {
    if (!files.paths.includes('package.json')) return undefined
    if (isSite(files)) return undefined
    return 'package.json is in the root folder'
  },
  plan(files, spec, options) {
    const pack = readPackage(files)
    const base = `node:${nodeMajor(files, pack)}-slim`
    const start = startCommand(files, pack)
    return {
      kind: 'dockerfile',
      dockerfile: `${stepsFor(files, pack, spec, base, options).join('\n')}\n`,
      extraFiles: mountedFiles(options),
      sourceDir: 'app',
      args: {},
      ignore: nodeIgnore(files),
      processes: start === undefined ? {} : { web: start },
    }
  },
}

// Files for a browser, with a package.json beside them for tools.
function isSite(files: SourceFiles): boolean {
  const pack = peekPackage(files)
  if (pack === undefined) return false
  if (pack.scripts['start'] !== undefined || startFile(files, pack) !== undefined) return false
  if (pack.scripts['build'] === undefined) return files.paths.includes('index.html')
  return siteFolder(files, pack) !== undefined
}

/** The ignore rules for a Node source: its own, but never the files an install needs. */
export function nodeIgnore(files: SourceFiles): string {
  const needed = [
    'package.json',
    ...installFiles(files, chooseInstaller(files, readPackage(files))),
  ]
  return [
    '**/node_modules',
    ...(files.read('.dockerignore')?.split(/\r?\n/) ?? []),
    ...needed.map((path) => `!${path}`),
    '',
  ].join('\n')
}

function installFiles(files: SourceFiles, installer: Installer): string[] {
  const names = installer.lock === undefined ? SETTINGS : [installer.lock, ...SETTINGS]
  return names.filter((path) => files.paths.includes(path))
}

function stepsFor(
  files: SourceFiles,
  pack: Package,
  spec: BuildSpec,
  base: string,
  options?: PlanOptions,
): string[] {
  const production = [`FROM ${base}`, 'ENV NODE_ENV=production']
  const builds = pack.scripts['build'] !== undefined || spec.run !== undefined
  if (!builds && !hasDependencies(pack)) {
    return [...production, 'USER node', 'WORKDIR /app', 'COPY --chown=node:node app/ ./']
  }
  if (!builds && !needsSource(pack)) {
    const installer = chooseInstaller(files, pack)
    return [
      ...production,
      ...setupSteps(installer, options),
      ...manifestSteps(files, installer),
      installStep(installer.production, NODE, installer.tool, options),
      'COPY --chown=node:node app/ ./',
    ]
  }
  return [
    ...buildStage(files, pack, spec, base, options),
    ...pruneSteps(files, pack, options),
    ...production,
    'USER node',
    'WORKDIR /app',
    'COPY --from=build --chown=node:node /app ./',
  ]
}

/** A stage named build that ends with the app built in /app, development dependencies included. */
export function buildStage(
  files: SourceFiles,
  pack: Package,
  spec: BuildSpec,
  base: string,
  options?: PlanOptions,
): string[] {
  const installer = chooseInstaller(files, pack)
  const install = hasDependencies(pack)
    ? [installStep(installer.all, NODE, installer.tool, options)]
    : []
  const source = 'COPY --chown=node:node app/ ./'
  const early = [...manifestSteps(files, installer), ...install, source]
  const late = ['USER node', OWN_FOLDER, 'WORKDIR /app', source, ...install]
  return [
    `FROM ${base} AS build`,
    ...(install.length === 0 ? [] : setupSteps(installer, options)),
    ...(needsSource(pack) || install.length === 0 ? late : early),
    ...(spec.run === undefined ? [] : [`RUN ${JSON.stringify(['sh', '-c', spec.run])}`]),
    ...(pack.scripts['build'] === undefined ? [] : [`RUN ${installer.build}`]),
  ]
}

function pruneSteps(files: SourceFiles, pack: Package, options?: PlanOptions): string[] {
  const development = Object.keys(pack.all).length > Object.keys(pack.production).length
  if (!development && !pack.hasWorkspaces) return []
  const installer = chooseInstaller(files, pack)
  return [installStep(installer.prune, NODE, installer.tool, options)]
}

function hasDependencies(pack: Package): boolean {
  return Object.keys(pack.all).length > 0 || pack.hasWorkspaces
}

function needsSource(pack: Package): boolean {
  const local = Object.values(pack.all).some((version) => /^(file|link|portal):/.test(version))
  const scripts = AT_INSTALL.some((name) => pack.scripts[name] !== undefined)
  return local || scripts || pack.hasWorkspaces
}

function setupSteps(installer: Installer, options?: PlanOptions): string[] {
  const args = [`ARG ${installer.args.join(' ')}`]
  if (installer.setup === undefined) return args
  return [...args, installStep(globalInstall(installer.setup), ROOT, 'npm-root', options)]
}

function manifestSteps(files: SourceFiles, installer: Installer): string[] {
  const names = ['package.json', ...installFiles(files, installer)].map((path) => `app/${path}`)
  const folders = SETTINGS_DIRS.filter((dir) =>
    files.paths.some((path) => path.startsWith(`${dir}/`)),
  )
  return [
    'USER node',
    `COPY --chown=node:node ${names.join(' ')} /app/`,
    'WORKDIR /app',
    ...folders.map((dir) => `COPY --chown=node:node app/${dir}/ ./${dir}/`),
  ]
}
