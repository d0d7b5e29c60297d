/**
 * @module
 * Read what an app.json says of health checks and of the formation.
 */
import { readDocument } from './document.ts'
import { problemsError } from './text.ts'
import type { HealthSpec } from './types.ts'

/** What app.json says of a process; absent where it says nothing. */
type Hints = { instances?: number; health?: Partial<HealthSpec> }

/** Hints by process, and what else stands in the file and is not done. */
export type AppJson = { processes: Record<string, Hints>; notes: string[] }

/** Words about the app for people and shops: nothing has to be done about them. */
const DESCRIPTIVE = new Set([
  'description',
  'keywords',
  'logo',
  'name',
  'repository',
  'success_url',
  'website',
  '$schema',
])
const SECOND = 1000
const MAX_INSTANCES = 100

/** Parse an app.json. @throws {HeliosError} invalid_manifest when it is no JSON object. */
export function parseAppJson(input: string | Uint8Array): AppJson {
  const doc = readDocument(input, { json: true, textAt: () => false })
  const problems = [...doc.problems]
  if (problems.length === 0 && !isMap(doc.value)) {
    problems.push({ offset: 0, message: 'write a map of keys and values' })
  }
  if (problems.length > 0) throw problemsError('app.json', doc.text, problems)
  const { healthchecks, formation, ...rest } = asMap(doc.value)
  const result: AppJson = { processes: {}, notes: [] }
  for (const [name, checks] of Object.entries(asMap(healthchecks))) {
    const health = healthOf(name, checks, result.notes)
    if (health !== undefined) result.processes[name] = { health }
  }
  for (const [name, wanted] of Object.entries(asMap(formation))) {
    const instances = instancesOf(name, asMap(wanted), result.notes)
    if (instances !== undefined) result.processes[name] = { ...result.processes[name], instances }
  }
  for (const key of Object.keys(rest)) {
    if (!DESCRIPTIVE.has(key)) result.notes.push(`app.json: ${key} is not supported and not read`)
  }
  return result
}

function healthOf(
  process: string,
  checks: unknown,
  notes: string[],
): Partial<HealthSpec> | undefined {
  const all = (Array.isArray(checks) ? checks : []).map(asMap)
  const check = all.find(({ path }) => typeof path === 'string' && /^\/[^\s#]*$/.test(path))
  const told = `app.json: healthchecks.${process}`
  if (check === undefined) {
    notes.push(`${told} has no check with a path and is not read`)
    return undefined
  }
  if (all.length > 1) notes.push(`${told}: only the check with the path ${check['path']} is read`)
  const { path, timeout, wait, type: _type, name: _name, description: _text, ...rest } = check
  const unread = Object.keys(rest)
  if (unread.length > 0) notes.push(`${told}: ${unread.join(', ')} is not supported and not read`)
  return {
    path: String(path),
    ...(isSeconds(timeout) ? { timeoutMs: timeout * SECOND } : {}),
    ...(isSeconds(wait) ? { intervalMs: wait * SECOND } : {}),
  }
}

function instancesOf(
  process: string,
  wanted: Record<string, unknown>,
  notes: string[],
): number | undefined {
  const { quantity, ...rest } = wanted
  const told = `app.json: formation.${process}`
  const unread = Object.keys(rest)
  if (unread.length > 0) notes.push(`${told}: ${unread.join(', ')} is not supported and not read`)
  if (quantity === undefined) return undefined
  if (Number.isInteger(quantity) && Number(quantity) >= 0 && Number(quantity) <= MAX_INSTANCES) {
    return Number(quantity)
  }
  notes.push(`${told}.quantity is no whole number from 0 to ${MAX_INSTANCES} and is not read`)
  return undefined
}

function isSeconds(value: unknown): value is number {
  return typeof value === 'number' && value >= 1 && value <= 3600
}

function isMap(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function asMap(value: unknown): Record<string, unknown> {
  return isMap(value) ? { ...(value as object) } : {}
}
