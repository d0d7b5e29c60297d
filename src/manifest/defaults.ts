/**
 * @module
 * What holds where no file says anything.
 */
import { manifestSchema, processSchema } from './schema.ts'
import type { AppSpec, ProcessSpec } from './types.ts'

/** An app of which nothing is known: no process yet, so that the builder's can be taken. */
export function defaultSpec(): AppSpec {
  return manifestSchema.parse({ oal: 1 })
}

/** A process of this name with every default; `web` and others alike have one instance. */
export function defaultProcess(_name: string): ProcessSpec {
  return processSchema.parse({})
}
