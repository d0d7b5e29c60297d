import { describe, expect, test } from 'vitest'
import { planOf, runsOf, sourceOf } from '../../test/support/source.ts'
import { pythonBuilder } from './python.ts'

const ARGS =
  'ARG PIP_CACHE_DIR=/tmp/cache PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_RETRIES=1 PIP_TIMEOUT=30'
const HEAD = `FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --create-home --uid 1000 app && install -d -o app -g app /app
WORKDIR /app
`
const USER = runsOf(planOf('python', { 'requirements.txt': '' }))[0] ?? ''
const clean = ' && rm -rf /tmp/cache'

test.each([
  ['requirements.txt', 'requirements.txt is in the root folder'],
  ['pyproject.toml', 'pyproject.toml is in the root folder'],
  ['app.py', undefined],
])('detects %s: %s', (file, reason) => {
  expect(pythonBuilder.detect(sourceOf({ [file]: '' }))).toBe(reason)
})

describe('the Dockerfile', () => {
  test('of an app without dependencies copies once', () => {
    const files = { 'requirements.txt': '# nothing\n', 'app.py': '' }
    expect(planOf('python', files).dockerfile).toBe(`${HEAD}COPY --chown=app:app app/ ./
USER app
`)
  })

  test('of requirements installs before the source is there', () => {
    const files = {
      'requirements.txt':
        'flask==3\n-r requirements/base.txt\n./wheels/a-1.whl\n--find-links vendor\n',
      'requirements/base.txt': 'gunicorn\n',
      'wheels/a-1.whl': '',
      'vendor/b.whl': '',
      'app.py': 'app = Flask(__name__)\n',
      'src/shop/__init__.py': '',
      '.dockerignore': 'wheels',
    }
    const made = planOf('python', files, { run: 'id' }, { cacheScope: 'app_1' })
    expect(made.dockerfile).toBe(`${HEAD}${ARGS}
COPY ["app/requirements.txt","./"]
COPY ["app/requirements/base.txt","./requirements/"]
COPY ["app/wheels/a-1.whl","./wheels/"]
COPY ["app/vendor/","./vendor/"]
RUN --mount=type=cache,id=app_1-pip,target=/tmp/cache pip install -r requirements.txt
COPY --chown=app:app app/ ./
ENV PYTHONPATH=/app/src
USER app
RUN ["sh","-c","id"]
`)
    expect(made.ignore).toBe(
      '**/__pycache__\n.venv\nvenv\n.tox\nwheels\n!requirements.txt\n!requirements/base.txt\n!wheels/a-1.whl\n!vendor\n',
    )
    expect(made.processes).toEqual({ web: ['gunicorn', 'app:app'] })
  })

  test('of a source that installs itself copies it first', () => {
    const made = planOf('python', { 'requirements.txt': '-e .\n', 'setup.py': '' })
    expect(made.dockerfile).toBe(`${HEAD}${ARGS}
COPY --chown=app:app app/ ./
RUN pip install -r requirements.txt${clean}
USER app
`)
  })

  test('of a pyproject.toml installs what it lists', () => {
    const text =
      '[project]\ndependencies = ["Flask[async] >=3",\n "uvi_corn; python_version > \'3\'"]\n'
    const made = planOf('python', { 'pyproject.toml': text })
    expect(made.dockerfile).toContain(
      `COPY [".helios/requirements.txt","/tmp/"]\nRUN pip install -r /tmp/requirements.txt${clean}\n`,
    )
    expect(made.extraFiles).toEqual({
      '.helios/requirements.txt': "Flask[async] >=3\nuvi_corn; python_version > '3'\n",
    })
    const empty = planOf('python', { 'pyproject.toml': '[project]\nname = "x"\n' })
    expect(runsOf(empty)).toEqual([USER])
  })

  test('follows uv.lock and poetry.lock', () => {
    const uv = planOf('python', {
      'pyproject.toml': '[project]\n',
      'uv.lock': '[[package]]\nname = "uvicorn"\n',
      'main.py': 'app = FastAPI()\n',
    })
    expect(uv.dockerfile).toContain(
      'COPY ["app/pyproject.toml","./"]\nCOPY ["app/uv.lock","./"]\nENV PATH=/opt/venv/bin:$PATH\nRUN ',
    )
    expect(runsOf(uv)).toEqual([
      USER,
      `pip install uv${clean}`,
      `UV_PROJECT_ENVIRONMENT=/opt/venv UV_CACHE_DIR=/tmp/cache UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=30 uv sync --frozen --no-dev --no-install-project${clean}`,
    ])
    expect(uv.processes['web']?.[2]).toBe(
      'exec uvicorn --host 0.0.0.0 --port "${PORT:-8080}" main:app',
    )
    const poetry = planOf('python', { 'pyproject.toml': '[tool.poetry]\n', 'poetry.lock': '' })
    expect(runsOf(poetry)[1]).toBe(
      `python -m venv /opt/poetry && /opt/poetry/bin/pip install poetry && python -m venv /opt/venv && VIRTUAL_ENV=/opt/venv /opt/poetry/bin/poetry install --only main --no-root --no-interaction && rm -rf /opt/poetry${clean}`,
    )
  })
})

describe('requirements', () => {
  test.each<[text: string, copied: string[]]>([
    ['a\n', []],
    ['-rmore.txt', ['more.txt']],
    ['--requirement=more.txt\n-c constraints.txt # why', ['more.txt', 'constraints.txt']],
    ['-r more.txt\n-r more.txt\n-r requirements.txt', ['more.txt']],
    ['lib/x-1.tar.gz', ['lib/x-1.tar.gz']],
    ['x-1.whl ; python_version > "3"', ['x-1.whl']],
    ['x @ file:./lib/x-1.tar.gz', ['lib/x-1.tar.gz']],
    ['./lib', ['lib/']],
    ['-e ./lib[extra]', ['lib/']],
    ['-f lib\na', ['lib/']],
    ['a==1 \\\n  --hash=sha256:ab', []],
    ['x @ https://a.example/x-1.whl', []],
    ['-r gone.txt\n./gone', []],
  ])('%j copies %j', (text, copied) => {
    const others = ['more.txt', 'constraints.txt', 'x-1.whl', 'lib/x-1.tar.gz', 'lib/setup.py']
    const files = Object.fromEntries(others.map((name) => [name, name === 'more.txt' ? 'b' : '']))
    const made = planOf('python', { ...files, 'requirements.txt': text })
    const found = [...made.dockerfile.matchAll(/^COPY \["app\/([^"]+)"/gm)].map(([, path]) => path)
    expect(found).toEqual(['requirements.txt', ...copied])
  })
})

describe('the version', () => {
  test.each<[string, string]>([
    ['.python-version', '3.11'],
    ['.python-version', '# comment\n3.11.4\n3.12\n'],
    ['.python-version', '3'],
    ['runtime.txt', 'python-3.11.9\n'],
    ['runtime.txt', '3.11'],
    ...[
      '>=3.9',
      '>=3.11',
      '~=3.10',
      '~=3.11.2',
      '==3.11.*',
      '>=3.9,<4',
      '^3.11',
      '^3.8',
      '~3.11',
      '3.11',
      '>=3.11.5, <3.12',
      '!=3.11.3',
      '>3.11.1',
      '<3.11.9',
      '',
      '*',
    ].map((text): [string, string] => ['pyproject.toml', text]),
  ])('%s with %j is there', (file, text) => {
    expect(() => planOf('python', withVersion(file, text))).not.toThrow()
  })

  test.each<[string, string, string]>([
    ['.python-version', '3.12\n', '.python-version asks for Python "3.12"'],
    ['.python-version', 'pypy3.9', '.python-version asks for Python "pypy3.9"'],
    ['runtime.txt', 'python-3.1', 'runtime.txt asks for Python "python-3.1"'],
    ...[
      '>=3.12',
      '<3.11',
      '<3.11.0',
      '==3.10.*',
      '==3.12',
      '!=3.11.*',
      '~=3.12',
      '~=3.10.2',
      '>3.11',
      '^3.12',
      '~3.12',
      '^2.7',
      '<=3.10',
      '===3.11',
      '>=3.9,<3.11',
    ].map((text): [string, string, string] => [
      'pyproject.toml',
      text,
      `requires-python of pyproject.toml asks for Python "${text}"`,
    ]),
  ])('%s with %j is not there', (file, text, message) => {
    expect(() => planOf('python', withVersion(file, text))).toThrow(
      `${message}; there is a base image for 3.11`,
    )
  })

  test('may stand in poetry’s table', () => {
    const text = '[tool.poetry.dependencies]\npython = "^3.12"\n'
    expect(() => planOf('python', { 'pyproject.toml': text, 'poetry.lock': '' })).toThrow('"^3.12"')
  })
})

function withVersion(file: string, text: string): Record<string, string> {
  const project = `[project]\nrequires-python = ${JSON.stringify(text)}\n`
  return { 'requirements.txt': '', [file]: file === 'pyproject.toml' ? project : text }
}

describe('the start', () => {
  const flask = 'from flask import Flask\nserver: Flask = flask.Flask(__name__)\n'
  const fast = 'app = FastAPI()\n'
  const uvicorn = (app: string): string[] => [
    'sh',
    '-c',
    `exec uvicorn --host 0.0.0.0 --port "\${PORT:-8080}" ${app}`,
  ]
  test.each<[string, Record<string, string>, string[] | undefined]>([
    ['', { 'main.py': '' }, ['python', 'main.py']],
    ['', { 'main.py': '', 'app.py': '' }, ['python', 'app.py']],
    ['flask', { 'app.py': flask }, ['python', 'app.py']],
    ['Gunicorn>=20', { 'app.py': flask }, ['gunicorn', 'app:server']],
    ['gunicorn', { 'app.py': fast }, ['python', 'app.py']],
    ['uvicorn[standard]', { 'main.py': fast }, uvicorn('main:app')],
    ['uvicorn\ngunicorn', { 'app.py': flask }, ['gunicorn', 'app:server']],
    ['gunicorn', { 'manage.py': '', 'shop/wsgi.py': '' }, ['gunicorn', 'shop.wsgi']],
    ['gunicorn', { 'shop/wsgi.py': '' }, undefined],
    ['', { 'other.py': '' }, undefined],
  ])('with %j and %j is %j', (requirements, files, command) => {
    const made = planOf('python', { 'requirements.txt': requirements, ...files })
    expect(made.processes['web']).toEqual(command)
  })
})

test.each<[Record<string, string>, string, string]>([
  [{}, 'the builder python needs a requirements.txt or pyproject.toml', 'Add requirements.txt'],
  [
    { 'pyproject.toml': '[project' },
    'pyproject.toml is not valid TOML: ',
    'Correct pyproject.toml.',
  ],
  [
    { 'pyproject.toml': '[tool.poetry]\nname = "x"' },
    'pyproject.toml lists no dependencies that can be read',
    'poetry lock',
  ],
  [
    { 'pyproject.toml': '[project]\ndynamic = ["dependencies"]' },
    'pyproject.toml lists no dependencies that can be read',
    'under dependencies',
  ],
])('%j is rejected', (files, message, hint) => {
  expect(() => planOf('python', files)).toThrow(
    expect.objectContaining({
      code: 'HX34',
      message: expect.stringContaining(message),
      hint: expect.stringContaining(hint),
    }),
  )
})
