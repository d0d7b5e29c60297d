/**
 * @module
 * Moments as people read them, and as they write them; pure.
 */
import { HeliosError, show } from '../lib/errors.ts'
import { parseDuration } from '../lib/size.ts'

const STEPS = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
] as const

/** How long it took from one moment to another, as `3 min`. */
export function span(fromMs: number, toMs: number): string {
  const seconds = Math.max(0, Math.round((toMs - fromMs) / 1000))
  const [unit, size] = STEPS.find(([, length]) => seconds >= length) ?? STEPS[3]
  return `${Math.floor(seconds / size)} ${unit}`
}

/** How long ago a moment was, as `3 min ago`; a dash for none. */
export function ago(moment: string | null | undefined, nowMs: number): string {
  const at = moment ? Date.parse(moment) : Number.NaN
  return Number.isNaN(at) ? '-' : `${span(at, nowMs)} ago`
}

/** The moment meant by `10m`, or by a date, as RFC 3339. @throws {HeliosError} usage */
export function sinceMoment(text: string, nowMs: number): string {
  if (/^[\d.]+\s*(ms|s|m|h|d)$/.test(text)) {
    return new Date(nowMs - parseDuration(text, 'since')).toISOString()
  }
  const at = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(at)) return new Date(at).toISOString()
  throw new HeliosError(
    'usage',
    `--since is ${show(text)}: give a span as 30s, 10m, 2h or 1d, or a moment as 2026-01-31T08:00:00Z`,
  )
}
