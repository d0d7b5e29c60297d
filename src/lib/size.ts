/**
 * @module
 * Parse sizes and durations as people write them, and print them back.
 */
import { HeliosError, show } from './errors.ts'

const UNITS: Record<string, number> = {
  kib: 2 ** 10,
  k: 2 ** 10,
  mib: 2 ** 20,
  m: 2 ** 20,
  gib: 2 ** 30,
  g: 2 ** 30,
}
const SPANS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Parse a size with its unit to bytes, as `512MiB`. @throws {HeliosError} invalid_size */
export function parseSize(text: string, field = 'memory'): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text.trim())
  const unit = UNITS[(match?.[2] ?? '').toLowerCase().replace(/^([kmg])b$/, '$1')]
  if (match && unit) return Math.round(Number(match[1]) * unit)
  throw new HeliosError(
    'invalid_size',
    `${show(text)} is no size: write a number with a unit KiB, MiB or GiB, as in "512MiB"`,
    { field },
  )
}

/** Parse a duration with its unit to milliseconds, as `30s`. @throws {HeliosError} invalid_value */
export function parseDuration(text: string, field: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim())
  const unit = SPANS[match?.[2] ?? '']
  if (match && unit) return Math.round(Number(match[1]) * unit)
  throw new HeliosError(
    'invalid_value',
    `${show(text)} is no duration: write a number with a unit ms, s, m, h or d, as in "30s"`,
    { field },
  )
}

/** Print bytes in the largest unit that keeps a whole number, as `512 MiB`. */
export function printSize(bytes: number): string {
  for (const [name, unit] of [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const) {
    if (bytes >= unit) return `${Math.round((bytes / unit) * 10) / 10} ${name}`
  }
  return `${bytes} B`
}
