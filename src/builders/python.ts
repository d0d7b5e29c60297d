/**
 * @module
 * The builder for Python sources with a requirements.txt or a pyproject.toml.
 */
import { HeliosError } from '../lib/errors.ts'
import { CACHE_DIR, installStep, mountedFiles } from './mounts.ts'
import { type Pyproject, pythonBase, pythonStart, readPyproject } from './python-project.ts'
import { normalName, readRequirements } from './python-requirements.ts'
import type { Builder, PlanOptions, SourceFiles } from './types.ts'

const ROOT = 0
const LISTED = '.helios/requirements.txt'
const IGNORED = '**/__pycache__\n.venv\nvenv\n.tox\n'
const PIP = 'pip install'
/** Settings of pip and uv, as build arguments: images do not keep them. */
const ARGS = [
  `PIP_CACHE_DIR=${CACHE_DIR}`,
  'PIP_DISABLE_PIP_VERSION_CHECK=1',
  'PIP_ROOT_USER_ACTION=ignore',
  'PIP_RETRIES=1',
  'PIP_TIMEOUT=30',
]
const VENV = '/opt/venv'
const ON_PATH = `ENV PATH=${VENV}/bin:$PATH`

/** How dependencies get into the image. */
type Install = {
  /** Paths in the context to copy before the steps. */
  copy: readonly string[]
  steps: readonly string[]
  extraFiles?: Record<string, string>
  /** Whether the steps need the whole source. */
  needsSource?: boolean
  lists(name: string): boolean
}

/** Installs by requirements.txt, uv.lock, poetry.lock or pyproject.toml, and runs as a user of its own. */
export const pythonBuilder: Builder = {
  name: 'python',
  detect(files) {
    const file = ['requirements.txt', 'pyproject.toml'].find((path) => files.paths.includes(path))
    return file === undefined ? undefined : `${file} is in the root folder`
  },
  plan(files, spec, options) {
    const project = readPyproject(files)
    const base = pythonBase(files, project)
    const install = installOf(files, project, options)
    const start = pythonStart(files, (name) => install.lists(name))
    const source = 'COPY --chown=app:app app/ ./'
    return {
      kind: 'dockerfile',
      dockerfile: [
        `FROM ${base}`,
        'ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1',
        'RUN useradd --create-home --uid 1000 app && install -d -o app -g app /app',
        'WORKDIR /app',
        ...(install.steps.length === 0 ? [] : [`ARG ${ARGS.join(' ')}`]),
        ...(install.needsSource ? [source] : install.copy.map(copyStep)),
        ...install.steps,
        ...(install.needsSource ? [] : [source]),
        ...(hasSrcLayout(files) ? ['ENV PYTHONPATH=/app/src'] : []),
        'USER app',
        ...(spec.run === undefined ? [] : [`RUN ${JSON.stringify(['sh', '-c', spec.run])}`]),
        '',
      ].join('\n'),
      extraFiles: { ...mountedFiles(options), ...install.extraFiles },
      sourceDir: 'app',
      args: {},
      ignore: [
        IGNORED + (files.read('.dockerignore') ?? ''),
        ...install.copy.map((path) => path.replace(/^app\/(.*?)\/?$/, '!$1')),
        '',
      ].join('\n'),
      processes: start === undefined ? {} : { web: start },
    }
  },
}

function copyStep(path: string): string {
  const inSource = path.replace(/^app\//, '')
  const target = path === LISTED ? '/tmp/' : `./${inSource.replace(/[^/]+$/, '')}`
  return `COPY ${JSON.stringify([path, target])}`
}

function hasSrcLayout(files: SourceFiles): boolean {
  return files.paths.some((path) => /^src\/\w+\/__init__\.py$/.test(path))
}

function installOf(
  files: SourceFiles,
  project: Pyproject | undefined,
  options: PlanOptions | undefined,
): Install {
  if (files.paths.includes('requirements.txt')) return byRequirements(files, options)
  if (project === undefined) {
    throw new HeliosError('HX34', 'the builder python needs a requirements.txt or pyproject.toml', {
      hint: 'Add requirements.txt (it may be empty) to the root folder.',
    })
  }
  if (files.paths.includes('uv.lock')) return byUv(files, options)
  if (files.paths.includes('poetry.lock')) return byPoetry(files, options)
  if (project.dependencies !== undefined) return byProject(project.dependencies, options)
  throw new HeliosError('HX34', 'pyproject.toml lists no dependencies that can be read', {
    hint: project.isPoetry
      ? 'Make a lock file with: poetry lock'
      : 'Name them under dependencies of [project], or add a requirements.txt.',
  })
}

function byRequirements(files: SourceFiles, options: PlanOptions | undefined): Install {
  const found = readRequirements(files, 'requirements.txt')
  const lists = (name: string): boolean => found.names.has(name)
  if (found.isEmpty) return { copy: [], steps: [], lists }
  return {
    copy: found.files.map((path) => `app/${path}`),
    steps: [installStep(`${PIP} -r requirements.txt`, ROOT, 'pip', options)],
    needsSource: found.needsSource,
    lists,
  }
}

function byProject(dependencies: readonly string[], options: PlanOptions | undefined): Install {
  const names = new Set(dependencies.map((text) => normalName(/^[\w.-]*/.exec(text)?.[0] ?? '')))
  const lists = (name: string): boolean => names.has(name)
  if (dependencies.length === 0) return { copy: [], steps: [], lists }
  return {
    copy: [LISTED],
    steps: [installStep(`${PIP} -r /tmp/requirements.txt`, ROOT, 'pip', options)],
    extraFiles: {
      [LISTED]: `${dependencies.map((text) => text.replace(/\s+/g, ' ')).join('\n')}\n`,
    },
    lists,
  }
}

function byUv(files: SourceFiles, options: PlanOptions | undefined): Install {
  const variables = `UV_PROJECT_ENVIRONMENT=${VENV} UV_CACHE_DIR=${CACHE_DIR} UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=30`
  return {
    copy: ['app/pyproject.toml', 'app/uv.lock'],
    steps: [
      ON_PATH,
      installStep(`${PIP} uv`, ROOT, 'pip', options),
      installStep(
        `${variables} uv sync --frozen --no-dev --no-install-project`,
        ROOT,
        'uv',
        options,
      ),
    ],
    lists: listedInLock(files, 'uv.lock'),
  }
}

function byPoetry(files: SourceFiles, options: PlanOptions | undefined): Install {
  const poetry = '/opt/poetry'
  const command = [
    `python -m venv ${poetry}`,
    `${poetry}/bin/${PIP} poetry`,
    `python -m venv ${VENV}`,
    `VIRTUAL_ENV=${VENV} ${poetry}/bin/poetry install --only main --no-root --no-interaction`,
    `rm -rf ${poetry}`,
  ]
  return {
    copy: ['app/pyproject.toml', 'app/poetry.lock'],
    steps: [ON_PATH, installStep(command.join(' && '), ROOT, 'pip', options)],
    lists: listedInLock(files, 'poetry.lock'),
  }
}

function listedInLock(files: SourceFiles, path: string): (name: string) => boolean {
  const text = files.read(path) ?? ''
  const names = new Set([...text.matchAll(/^name = "([^"]+)"/gm)].map(([, name = '']) => name))
  return (name) => names.has(name)
}
