/**
 * @module
 * Which builder fits a source, and which file decided.
 */
import { HeliosError } from '../lib/errors.ts'
import type { BuilderName } from '../manifest/types.ts'
import type { Builder, Detected, SourceFiles } from './types.ts'

const ORDER: readonly BuilderName[] = ['dockerfile', 'node', 'python', 'static']
const SHOWN = 10

/**
 * The first builder that fits.
 * @throws {HeliosError} HX34 with what was looked for and what was found.
 */
export function detect(
  files: SourceFiles,
  builders: Readonly<Record<BuilderName, Builder>>,
): Detected {
  for (const builder of ORDER) {
    const reason = builders[builder].detect(files)
    if (reason !== undefined) return { builder, reason }
  }
  const names = files.paths.slice(0, SHOWN).map((path) => path.slice(0, 80))
  const more = files.paths.length - names.length
  const found = names.length === 0 ? 'no files' : names.join(', ')
  throw new HeliosError(
    'HX34',
    'no builder fits: looked for Dockerfile, package.json, requirements.txt, pyproject.toml and ' +
      `index.html in the root folder; found ${found}${more > 0 ? ` and ${more} more` : ''}`,
    { hint: 'Add one of these files, or name a builder in oal.yaml under build.builder.' },
  )
}
