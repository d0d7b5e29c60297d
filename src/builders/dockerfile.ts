/**
 * @module
 * The builder for a source with its own Dockerfile.
 */
import { DockerfileParser } from 'dockerfile-ast'
import { HeliosError, show } from '../lib/errors.ts'
import { checkDockerfile } from './gate.ts'
import { scopeCacheMounts } from './mounts.ts'
import type { Builder, SourceFiles } from './types.ts'

/** Builds the Dockerfile of the source after it passed the gate. */
export const dockerfileBuilder: Builder = {
  name: 'dockerfile',
  detect: (files) =>
    files.paths.includes('Dockerfile') ? 'Dockerfile is in the root folder' : undefined,
  plan(files, spec, options) {
    const path = spec.dockerfile.replace(/^(\.?\/)+/, '')
    const scope = options?.cacheScope
    const own = textOf(files, path).replace(/^\uFEFF/, '')
    const text = scope === undefined ? own : scopeCacheMounts(own, scope)
    checkDockerfile(text, spec.args, scope)
    const stages = stagesOf(text)
    const stage = chooseStage(stages, spec.target)
    return {
      kind: 'dockerfile',
      dockerfile: text,
      extraFiles: {},
      ...(spec.target === undefined ? {} : { target: spec.target }),
      args: spec.args,
      ignore: files.read(`${path}.dockerignore`) ?? files.read('.dockerignore') ?? '',
      processes: {},
      ...(stage.port === undefined ? {} : { port: stage.port }),
    }
  },
}

function textOf(files: SourceFiles, path: string): string {
  const text = files.read(path)
  if (text !== undefined) return text
  if (!files.paths.includes(path)) {
    throw new HeliosError('HX34', `the Dockerfile ${show(path)} is not in the source`, {
      hint: 'Set build.dockerfile in oal.yaml to its path.',
    })
  }
  throw new HeliosError('HX34', `the Dockerfile ${show(path)} cannot be read`, {
    hint: 'It may be 1 MiB large, and its name has to contain "Dockerfile".',
  })
}

type Stage = { name: string | undefined; from: string; port?: number }

// A stage has the ports of the stage it stands on.
function stagesOf(text: string): [Stage, ...Stage[]] {
  const stages: Stage[] = []
  for (const instruction of DockerfileParser.parse(text).getInstructions()) {
    const [first = '', ...rest] = instruction.getArguments().map((word) => word.getValue())
    if (instruction.getKeyword() === 'FROM') stages.push(newStage(stages, [first, ...rest]))
    const stage = stages.at(-1)
    if (instruction.getKeyword() !== 'EXPOSE' || stage === undefined) continue
    const port = portOf([first, ...rest])
    if (port !== undefined) stage.port = port
  }
  const [first = { name: undefined, from: '' }, ...others] = stages
  return [first, ...others]
}

function newStage(stages: readonly Stage[], words: readonly string[]): Stage {
  const [from = '', as = '', name] = words.filter((word) => !word.startsWith('--'))
  const below = stages.find((stage) => stage.name !== undefined && sameName(stage.name, from))
  const port = below?.port === undefined ? {} : { port: below.port }
  return { name: /^as$/i.test(as) ? name : undefined, from, ...port }
}

function sameName(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase()
}

function portOf(words: readonly string[]): number | undefined {
  const ports = words.flatMap((word) => /^(\d{1,5})(?:\/tcp)?$/i.exec(word)?.[1] ?? [])
  return ports.map(Number).find((port) => port >= 1 && port <= 65_535)
}

function chooseStage(stages: readonly [Stage, ...Stage[]], target: string | undefined): Stage {
  if (target === undefined) return stages.at(-1) ?? stages[0]
  const byNumber = /^\d+$/.test(target) ? stages[Number(target)] : undefined
  const found = stages.find(({ name }) => name !== undefined && sameName(name, target)) ?? byNumber
  if (found !== undefined) return found
  const names = stages.flatMap(({ name }) => name ?? [])
  throw new HeliosError('HX34', `the Dockerfile has no stage ${show(target)}`, {
    hint:
      names.length === 0
        ? 'Leave out build.target: no stage has a name.'
        : `Set build.target in oal.yaml to one of: ${names.join(', ')}.`,
  })
}
