/**
 * @module
 * The table of builders.
 */
import type { BuilderName } from '../manifest/types.ts'
import { dockerfileBuilder } from './dockerfile.ts'
import { imageBuilder } from './image.ts'
import { nodeBuilder } from './node.ts'
import { pythonBuilder } from './python.ts'
import { staticBuilder } from './static.ts'
import type { Builder } from './types.ts'

/** Every builder by its name. */
export const BUILDERS: Readonly<Record<BuilderName, Builder>> = {
  dockerfile: dockerfileBuilder,
  image: imageBuilder,
  node: nodeBuilder,
  python: pythonBuilder,
  static: staticBuilder,
}
