/**
 * @module
 * Which keys of `build` go with which builder.
 */
import type { BuilderName, BuildSpec } from './types.ts'

const GOES_WITH: Readonly<Record<string, readonly BuilderName[]>> = {
  image: ['image'],
  root: ['static'],
  spa: ['static'],
  dockerfile: ['dockerfile'],
  target: ['dockerfile'],
  args: ['dockerfile'],
  run: ['node', 'python'],
}

const BUILDERS: readonly unknown[] = Object.values(GOES_WITH).flat()

/** Keys that say by themselves which builder is meant. */
const IMPLIES = ['image', 'root', 'spa', 'dockerfile', 'target'] as const

/** The builder that the keys of `build` imply where none is named; `auto` when they tell nothing. */
export function impliedBuilder(build: Readonly<Record<string, unknown>>): BuildSpec['builder'] {
  const key = IMPLIES.find((name) => build[name] !== undefined)
  return (key && GOES_WITH[key]?.[0]) ?? 'auto'
}

/** Keys of `build` as written that the builder would ignore, each with the reason. */
export function builderConflicts(
  build: Readonly<Record<string, unknown>>,
): { key: string; message: string }[] {
  const written = build['builder']
  const named = written !== undefined && written !== 'auto'
  const builder = named ? written : impliedBuilder(build)
  if (!BUILDERS.some((one) => one === builder)) return []
  const conflicts = Object.keys(build).flatMap((key) => {
    const fits = GOES_WITH[key]
    if (fits === undefined || fits.some((one) => one === builder)) return []
    const message = `\`build.${key}\` goes with builder ${fits.join(' or ')}, not ${String(builder)}`
    return [{ key, message }]
  })
  if (builder !== 'image' || build['image'] !== undefined) return conflicts
  const message = '`build.image` is missing: builder image needs the image to run'
  return [...conflicts, { key: 'builder', message }]
}
