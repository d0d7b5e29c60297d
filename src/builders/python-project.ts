/**
 * @module
 * What a Python source says of itself: which dependencies, which version, what starts it.
 */
import { parse } from 'smol-toml'
import { HeliosError, messageOf, show } from '../lib/errors.ts'
import type { SourceFiles } from './types.ts'

/** The parts of a pyproject.toml that decide something. */
export type Pyproject = {
  /** Requirements of [project], as in PEP 508; undefined when there is no [project] or they are dynamic. */
  dependencies: string[] | undefined
  /** `requires-python`, or poetry's own constraint. */
  python: string | undefined
  isPoetry: boolean
}

/** The one version with a base image. */
const MINOR = '3.11'

/** Read pyproject.toml; undefined when there is none. @throws {HeliosError} HX34 when it is no TOML. */
export function readPyproject(files: SourceFiles): Pyproject | undefined {
  const text = files.read('pyproject.toml')
  if (text === undefined) return undefined
  const data = tomlOf(text)
  const project = table(data['project'])
  const poetry = table(table(data['tool'])['poetry'])
  const dynamic = list(project['dynamic']).includes('dependencies')
  return {
    dependencies:
      data['project'] === undefined || dynamic ? undefined : list(project['dependencies']),
    python: string(project['requires-python']) ?? string(table(poetry['dependencies'])['python']),
    isPoetry: Object.keys(poetry).length > 0,
  }
}

function tomlOf(text: string): Record<string, unknown> {
  try {
    return parse(text.replace(/^\uFEFF/, ''))
  } catch (cause) {
    const first = messageOf(cause).split('\n')[0]
    throw new HeliosError('HX34', `pyproject.toml is not valid TOML: ${first}`, {
      cause,
      hint: 'Correct pyproject.toml.',
    })
  }
}

function table(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
}

function list(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}

function string(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/**
 * The base image for what .python-version, runtime.txt or pyproject.toml ask for, first come first
 * served.
 * @throws {HeliosError} HX34 when there is no base image for it.
 */
export function pythonBase(files: SourceFiles, project: Pyproject | undefined): string {
  const pinned = files
    .read('.python-version')
    ?.split('\n')
    .map((line) => line.trim())
    .find((line) => line !== '' && !line.startsWith('#'))
  const runtime = files.read('runtime.txt')?.trim()
  const asked: [where: string, value: string | undefined, fits: (value: string) => boolean][] = [
    ['.python-version', pinned, isMinor],
    ['runtime.txt', runtime, (value) => isMinor(value.replace(/^python-/, ''))],
    ['requires-python of pyproject.toml', project?.python, allowsMinor],
  ]
  const [where, value = '', fits] = asked.find(([, each]) => each) ?? []
  if (where !== undefined && fits?.(value) === false) {
    throw new HeliosError(
      'HX34',
      `${where} asks for Python ${show(value)}; there is a base image for ${MINOR}`,
      { hint: `Ask for "${MINOR}", or add a Dockerfile.` },
    )
  }
  return `python:${MINOR}-slim`
}

function isMinor(version: string): boolean {
  return version === '3' || version === MINOR || version.startsWith(`${MINOR}.`)
}

// Whether some 3.11.x fits all clauses; a clause about the patch level does not matter here.
function allowsMinor(specifier: string): boolean {
  return specifier.split(',').every((clause) => {
    const found = /^\s*(>=|<=|>|<|==|!=|~=|\^|~)?\s*v?(\d+)(?:\.(\d+))?(\.[\d*]+)?/.exec(clause)
    if (found === null) return clause.trim() === '' || clause.trim() === '*'
    const [, operator = '==', major, minor, patch] = found
    const version = Number(major) * 1000 + Number(minor ?? 0)
    return OPERATORS[operator]?.(3011, version, { minor, patch }) ?? false
  })
}

type Parts = { minor: string | undefined; patch: string | undefined }

const OPERATORS: Record<string, (ours: number, theirs: number, parts: Parts) => boolean> = {
  '>=': (ours, theirs) => ours >= theirs,
  '>': (ours, theirs, { patch }) => (patch === undefined ? ours > theirs : ours >= theirs),
  '<=': (ours, theirs) => ours <= theirs,
  '<': (ours, theirs, { patch }) =>
    patch === undefined || /^\.0+$/.test(patch) ? ours < theirs : ours <= theirs,
  '==': (ours, theirs, { minor }) => ours === theirs || (minor === undefined && theirs === 3000),
  '!=': (ours, theirs, { patch }) => ours !== theirs || (patch !== undefined && patch !== '.*'),
  '~=': (ours, theirs, { patch }) => (patch === undefined ? ours >= theirs : ours === theirs),
  '^': (ours, theirs) => ours >= theirs && theirs >= 3000,
  '~': (ours, theirs, { minor }) => ours === theirs || (minor === undefined && theirs === 3000),
}

const STARTS = ['app.py', 'main.py', 'server.py', 'wsgi.py', 'asgi.py']
const WSGI = /^(\w+)\s*(?::[^=\n]+)?=\s*(?:\w+\.)?(Flask|Bottle|get_wsgi_application|App)\(/m
const ASGI =
  /^(\w+)\s*(?::[^=\n]+)?=\s*(?:\w+\.)?(FastAPI|Starlette|Quart|Litestar|get_asgi_application)\(/m

/**
 * The command that starts the app: a server that is among the dependencies with the app object it
 * finds, else the plain file; undefined when nothing is clear.
 */
export function pythonStart(
  files: SourceFiles,
  lists: (name: string) => boolean,
): string[] | undefined {
  if (lists('uvicorn')) {
    const app = appObject(files, ASGI)
    // uvicorn does not read $PORT, and a command is run without a shell.
    const run = `exec uvicorn --host 0.0.0.0 --port "\${PORT:-8080}" ${app}`
    if (app !== undefined) return ['sh', '-c', run]
  }
  if (lists('gunicorn')) {
    const app = appObject(files, WSGI) ?? djangoObject(files)
    if (app !== undefined) return ['gunicorn', app]
  }
  const file = STARTS.find((path) => files.paths.includes(path))
  return file === undefined ? undefined : ['python', file]
}

function appObject(files: SourceFiles, pattern: RegExp): string | undefined {
  for (const path of STARTS) {
    const name = pattern.exec(files.read(path) ?? '')?.[1]
    if (name !== undefined) return `${path.replace(/\.py$/, '')}:${name}`
  }
  return undefined
}

function djangoObject(files: SourceFiles): string | undefined {
  if (!files.paths.includes('manage.py')) return undefined
  const path = files.paths.find((each) => /^\w+\/wsgi\.py$/.test(each))
  return path?.replace(/\.py$/, '').replace('/', '.')
}
