/**
 * @module
 * What a package.json and its neighbours say: dependencies, scripts, the version of Node.
 */
import semver from 'semver'
import { HeliosError, show } from '../lib/errors.ts'
import type { SourceFiles } from './types.ts'

/** The parts of a package.json that decide something. */
export type Package = {
  scripts: Record<string, string>
  main: string | undefined
  engine: string | undefined
  /** `name@version` of packageManager, without the hash. */
  manager: { name: string; version: string } | undefined
  /** Names with versions; `all` has those of development too. */
  production: Record<string, string>
  all: Record<string, string>
  hasWorkspaces: boolean
}

/** Majors of Node with a base image, best first. */
const MAJORS = [24, 22] as const
const LTS: Record<string, number> = { '*': 24, krypton: 24, jod: 22 }

/** Read package.json where it only helps to decide: undefined when it is missing or broken. */
export function peekPackage(files: SourceFiles): Package | undefined {
  try {
    return readPackage(files)
  } catch {
    return undefined
  }
}

/** Read package.json. @throws {HeliosError} HX34 when it is missing or no JSON object. */
export function readPackage(files: SourceFiles): Package {
  const data = parsed(files)
  const production = { ...texts(data['dependencies']), ...texts(data['optionalDependencies']) }
  const all = {
    ...production,
    ...texts(data['devDependencies']),
    ...texts(data['peerDependencies']),
  }
  const manager = /^(\w+)@(\d[\w.-]*)/.exec(String(data['packageManager'] ?? ''))
  return {
    scripts: texts(data['scripts']),
    main: texts(data)['main'],
    engine: texts(data['engines'])['node'],
    manager: manager === null ? undefined : { name: manager[1] ?? '', version: manager[2] ?? '' },
    production,
    all,
    hasWorkspaces: data['workspaces'] !== undefined || files.paths.includes('pnpm-workspace.yaml'),
  }
}

function parsed(files: SourceFiles): Record<string, unknown> {
  const text = files.read('package.json')
  if (text === undefined) {
    const problem = files.paths.includes('package.json') ? 'is larger than 1 MiB' : 'is missing'
    throw new HeliosError('HX34', `package.json ${problem}`, {
      hint: 'The builder node needs a package.json in the root folder.',
    })
  }
  try {
    const data: unknown = JSON.parse(text.replace(/^\uFEFF/, ''))
    if (typeof data === 'object' && data !== null && !Array.isArray(data)) return { ...data }
  } catch (cause) {
    throw new HeliosError('HX34', 'package.json is not valid JSON', {
      cause,
      hint: 'Check it with: npm pkg get name',
    })
  }
  throw new HeliosError('HX34', 'package.json is not a JSON object', {
    hint: 'Make one with: npm init',
  })
}

function texts(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null) return {}
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  )
}

/**
 * The major version of Node to use: what engines.node allows, of these what .nvmrc or
 * .node-version names, else the newest.
 * @throws {HeliosError} HX34 when there is no base image for what they ask.
 */
export function nodeMajor(files: SourceFiles, pack: Package): number {
  const allowed = MAJORS.filter((major) => pack.engine === undefined || allows(pack.engine, major))
  if (allowed[0] === undefined) missing(`engines.node of package.json`, pack.engine ?? '')
  const file = ['.nvmrc', '.node-version'].find((path) => files.read(path) !== undefined)
  if (file === undefined) return allowed[0]
  const wanted = files.read(file)?.trim() ?? ''
  const pinned = allowed.find((major) => major === majorOf(wanted))
  if (pinned !== undefined) return pinned
  if (pack.engine === undefined) missing(file, wanted)
  return allowed[0]
}

function allows(range: string, major: number): boolean {
  const valid = semver.validRange(range) !== null
  return valid && semver.intersects(range, `>=${major}.0.0 <${major + 1}.0.0`)
}

function majorOf(text: string): number | undefined {
  if (/^(node|stable|current|latest)$/.test(text)) return MAJORS[0]
  const name = /^lts\/(.+)$/.exec(text)?.[1]
  if (name !== undefined) return LTS[name]
  const number = /^v?(\d+)(\.|$)/.exec(text)?.[1]
  return number === undefined ? undefined : Number(number)
}

function missing(where: string, value: string): never {
  throw new HeliosError(
    'HX34',
    `${where} asks for Node ${show(value)}; there are base images for 22 and 24`,
    { hint: 'Ask for "22.x" or "24.x", or add a Dockerfile.' },
  )
}

/** The command that starts the app: a plain `node FILE` of the start script, npm start, or a known file. */
export function startCommand(files: SourceFiles, pack: Package): string[] | undefined {
  const { start, prestart, poststart } = pack.scripts
  if (start !== undefined) {
    // Without npm in between the app starts sooner and gets its signals itself.
    const plain = /^node( [\w./=:@-]+)+$/.test(start) && prestart === undefined
    return plain && poststart === undefined ? start.split(' ') : ['npm', 'start']
  }
  const file = startFile(files, pack)
  return file === undefined ? undefined : ['node', file]
}

/** The file that runs without a start script: main, server.js or index.js. */
export function startFile(files: SourceFiles, pack: Package): string | undefined {
  const main = pack.main?.replace(/^\.\//, '')
  const named = main === undefined ? [] : [main, `${main}.js`]
  return [...named, 'server.js', 'server.mjs', 'index.js'].find((path) =>
    files.paths.includes(path),
  )
}
