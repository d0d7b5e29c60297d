/**
 * @module
 * The table of builders, and the way from a source to what is to be built.
 */
import type { BuilderName, BuildSpec } from '../manifest/types.ts'
import { detect } from './detect.ts'
import { dockerfileBuilder } from './dockerfile.ts'
import { imageBuilder } from './image.ts'
import { nodeBuilder } from './node.ts'
import { pythonBuilder } from './python.ts'
import { staticBuilder } from './static.ts'
import type { Builder, BuildPlan, Detected, PlanOptions, SourceFiles } from './types.ts'

/** Every builder by its name. */
export const BUILDERS: Readonly<Record<BuilderName, Builder>> = {
  dockerfile: dockerfileBuilder,
  image: imageBuilder,
  node: nodeBuilder,
  python: pythonBuilder,
  static: staticBuilder,
}

/**
 * Choose the builder that the manifest names or the source fits, and let it plan. Pure.
 * @throws {HeliosError} HX34 when nothing fits or the source cannot be built, with what to do.
 */
export function planBuild(
  files: SourceFiles,
  spec: BuildSpec,
  options?: PlanOptions,
): { detected: Detected; plan: BuildPlan } {
  const detected: Detected =
    spec.builder === 'auto'
      ? detect(files, BUILDERS)
      : { builder: spec.builder, reason: 'build.builder of the manifest names it' }
  return { detected, plan: BUILDERS[detected.builder].plan(files, spec, options) }
}
