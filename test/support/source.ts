/**
 * @module
 * Sources and build plans for tests of builders.
 */
import { createSourceFiles } from '../../src/builders/context.ts'
import { detect } from '../../src/builders/detect.ts'
import { checkDockerfile } from '../../src/builders/gate.ts'
import { BUILDERS } from '../../src/builders/index.ts'
import type {
  BuildPlan,
  Detected,
  DockerfilePlan,
  PlanOptions,
  SourceFiles,
} from '../../src/builders/types.ts'
import type { BuilderName, BuildSpec } from '../../src/manifest/types.ts'

/** What a manifest says of a build when it says nothing. */
export const BUILD_SPEC: BuildSpec = {
  builder: 'auto',
  dockerfile: 'Dockerfile',
  args: {},
  spa: false,
  limits: { memoryBytes: 1024 ** 3, cpus: 2, timeoutMs: 240_000 },
}

/** The source that has these files. */
export function sourceOf(files: Record<string, string>): SourceFiles {
  return createSourceFiles(Object.keys(files), new Map(Object.entries(files)))
}

/** What a builder plans for these files; its Dockerfile has passed the gate. */
export function planOf(
  name: BuilderName,
  files: Record<string, string>,
  spec: Partial<BuildSpec> = {},
  options?: PlanOptions,
): DockerfilePlan {
  const plan = BUILDERS[name].plan(sourceOf(files), { ...BUILD_SPEC, ...spec }, options)
  if (plan.kind !== 'dockerfile') throw new Error('no Dockerfile is planned')
  checkDockerfile(plan.dockerfile, plan.args, options?.cacheScope)
  return plan
}

/** The RUN steps of a plan without their mounts. */
export function runsOf(plan: DockerfilePlan): string[] {
  const runs = plan.dockerfile.split('\n').filter((line) => line.startsWith('RUN '))
  return runs.map((line) => line.replace(/^RUN ((--mount=\S+ )*)/, ''))
}

/** The builder that fits a source, and what it plans. */
export function planBuild(
  files: SourceFiles,
  spec: BuildSpec,
  options?: PlanOptions,
): { detected: Detected; plan: BuildPlan } {
  const detected =
    spec.builder === 'auto' ? detect(files, BUILDERS) : { builder: spec.builder, reason: 'named' }
  return { detected, plan: BUILDERS[detected.builder].plan(files, spec, options) }
}
