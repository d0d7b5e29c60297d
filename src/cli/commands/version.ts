/**
 * @module
 * The version.
 */
import type { Run } from '../command.ts'
import { VERSION } from '../version.ts'

/** Print the version. */
export const version: Run = async ({ out }) => {
  out.result({ version: VERSION }, `helios ${VERSION}`)
  return 0
}
