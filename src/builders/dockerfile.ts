/**
 * @module
 * The builder for a source with its own Dockerfile.
 */
import { HeliosError, show } from '../lib/errors.ts'
import { checkDockerfile } from './gate.ts'
import type { Builder } from './types.ts'

/** Builds the Dockerfile of the source after it passed the gate. */
export const dockerfileBuilder: Builder = {
  name: 'dockerfile',
  detect: (files) =>
    files.paths.includes('Dockerfile') ? 'Dockerfile is in the root folder' : undefined,
  plan(files, spec) {
    const path = spec.dockerfile.replace(/^(\.?\/)+/, '')
    const text = files.read(path)
    if (text === undefined) {
      const problem = files.paths.includes(path) ? 'is larger than 1 MiB' : 'is not in the source'
      throw new HeliosError('HX34', `the Dockerfile ${show(path)} ${problem}`, {
        hint: 'Set build.dockerfile in oal.yaml to its path.',
      })
    }
    checkDockerfile(text, spec.args)
    const port = exposedPort(text)
    return {
      kind: 'dockerfile',
      dockerfile: text.replace(/^\uFEFF/, ''),
      extraFiles: {},
      ...(spec.target === undefined ? {} : { target: spec.target }),
      args: spec.args,
      ignore: files.read(`${path}.dockerignore`) ?? files.read('.dockerignore') ?? '',
      processes: {},
      ...(port === undefined ? {} : { port }),
    }
  },
}

function exposedPort(text: string): number | undefined {
  const ports = [...text.matchAll(/^[ \t]*EXPOSE[ \t]+(\d{1,5})(?:\/tcp)?(?=\s|$)/gim)]
  const port = Number(ports.at(-1)?.[1])
  return port >= 1 && port <= 65_535 ? port : undefined
}
