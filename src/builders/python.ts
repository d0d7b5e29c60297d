/**
 * @module
 * The builder for Python sources with a requirements.txt.
 */
import { HeliosError } from '../lib/errors.ts'
import type { Builder } from './types.ts'

const STARTS = ['app.py', 'main.py', 'server.py']

/** Installs requirements.txt with pip and runs as a user of its own. */
export const pythonBuilder: Builder = {
  name: 'python',
  detect: (files) =>
    files.paths.includes('requirements.txt') ? 'requirements.txt is in the root folder' : undefined,
  plan(files, spec) {
    if (!files.paths.includes('requirements.txt')) {
      throw new HeliosError('HX34', 'the builder python needs a requirements.txt', {
        hint: 'Add requirements.txt (it may be empty) to the root folder.',
      })
    }
    const start = STARTS.find((path) => files.paths.includes(path))
    return {
      kind: 'dockerfile',
      dockerfile: [
        'FROM python:3.11-slim',
        'ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1',
        'RUN useradd --create-home --uid 1000 app',
        'WORKDIR /app',
        'COPY requirements.txt ./',
        'RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt',
        'COPY . .',
        ...(spec.run === undefined ? [] : [`RUN ${JSON.stringify(['sh', '-c', spec.run])}`]),
        'USER app',
        '',
      ].join('\n'),
      extraFiles: {},
      args: {},
      ignore: '.git\n.venv\nvenv\n**/__pycache__\n',
      processes: start === undefined ? {} : { web: ['python', start] },
    }
  },
}
