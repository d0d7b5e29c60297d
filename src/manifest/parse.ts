/**
 * @module
 * Parse the text of a manifest into an AppSpec, or name everything that is wrong with it.
 */
import { distance } from 'fastest-levenshtein'
import type { z } from 'zod'
import { show } from '../lib/errors.ts'
import { builderConflicts } from './builder-keys.ts'
import { type Path, type ReadDocument, readDocument } from './document.ts'
import { SENTENCE } from './fields.ts'
import { KNOWN_KEYS, manifestSchema, NOT_YET } from './schema.ts'
import { type Problem, problemsError } from './text.ts'
import type { AppSpec } from './types.ts'

/** The version of OAL that this Helios knows. */
const VERSION = 1

/** Keys, and values of keys, that OAL has and this version refuses by name. */
const LATER: ReadonlySet<string> = new Set([
  'secrets',
  'release',
  'cron',
  'routes',
  'volumes',
  'build.secrets',
  'build.context',
  'build.builder=go',
  'build.builder=ruby',
  'build.builder=php',
  'rollout.keep',
  'rollout.canary',
  'rollout.strategy=canary',
  'rollout.strategy=recreate',
])

/** What people write from other systems, too far in letters from what is meant. */
const SYNONYMS: Readonly<Record<string, string>> = {
  replica: 'instances',
  replicas: 'instances',
  scale: 'instances',
  quantity: 'instances',
  cmd: 'command',
  start: 'command',
  environment: 'env',
  services: 'processes',
}

/**
 * Parse OAL text; JSON by the name of the file.
 * @throws {HeliosError} invalid_manifest naming every problem with line and column.
 */
export function parseManifest(text: string | Uint8Array, file: string): AppSpec {
  const doc = readDocument(text, { json: file.endsWith('.json'), textAt })
  const form = doc.value === undefined ? doc.problems : versionProblem(doc)
  if (form.length > 0) throw problemsError(file, doc.text, form)
  const result = manifestSchema.safeParse(doc.value, { reportInput: true })
  const found = result.success ? [] : result.error.issues.flatMap((one) => problemsOf(doc, one))
  const told = new Set(doc.problems.map(({ offset }) => offset))
  const problems = [...doc.problems, ...found.filter(({ offset }) => !told.has(offset))]
  problems.push(...conflictsOf(doc))
  if (problems.length > 0 || !result.success) throw problemsError(file, doc.text, problems)
  return result.data
}

/** Where a number is as good as text: values of env and build.args, words of a command. */
function textAt(path: Path): boolean {
  const place = path.map((key) => (typeof key === 'number' ? '#' : String(key)))
  if (place[0] === 'env') return place.length === 2
  if (place[0] === 'build') return place[1] === 'args' && place.length === 3
  return place[0] === 'processes' && place[2] === 'command' && place[3] === '#'
}

/** The keys of a later version mean nothing to this one, so that its number is the only problem told. */
function versionProblem(doc: ReadDocument): Problem[] {
  const { oal } = asMap(doc.value)
  if (typeof oal !== 'number' || oal <= VERSION) return []
  const offset = doc.rangeOf(['oal'], 'value').start
  return [
    {
      offset,
      message: `this is OAL ${oal}; this Helios knows OAL ${VERSION}: update Helios or write \`oal: ${VERSION}\``,
    },
  ]
}

function conflictsOf(doc: ReadDocument): Problem[] {
  const build = asMap(asMap(doc.value)['build'])
  return builderConflicts(build).map(({ key, message }) => ({
    offset: doc.rangeOf(['build', key], 'key').start,
    message,
  }))
}

function problemsOf(doc: ReadDocument, issue: z.core.$ZodIssue): Problem[] {
  const { path } = issue
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      offset: doc.rangeOf([...path, key], 'key').start,
      message: unknownKey(placeOf(path), key),
    }))
  }
  if (issue.code === 'invalid_key') {
    const offset = doc.rangeOf(path, 'key').start
    const [inner] = issue.issues
    return inner ? [{ offset, message: messageFor(`the key ${show(path.at(-1))}`, inner) }] : []
  }
  const range = doc.rangeOf(path, 'value')
  const name = path.length === 0 ? 'the file' : `\`${path.join('.')}\``
  if (isMissing(doc.value, path)) {
    return [{ offset: range.start, message: `${name} is missing: ${issue.message}` }]
  }
  const given = valueAt(doc.value, path)
  const message = LATER.has(`${placeOf(path)}=${String(given)}`)
    ? `\`${String(path.at(-1))}: ${String(given)}\` ${NOT_YET}`
    : messageFor(`${name} cannot be ${shown(given)}`, issue)
  return [{ offset: range.start, message }]
}

function messageFor(subject: string, issue: z.core.$ZodIssue): string {
  const sentence = issue.code === 'custom' && issue.params?.[SENTENCE] === true
  return sentence ? issue.message : `${subject}: ${issue.message}${guessFor(issue)}`
}

function unknownKey(place: string, key: string): string {
  const name = place === '' ? key : `${place}.${key}`
  if (LATER.has(name)) return `\`${name}\` ${NOT_YET}`
  const known = KNOWN_KEYS[place] ?? []
  const near = nearest(key, known)
  const guess = near === undefined ? '' : `; did you mean \`${near}\`?`
  return `unknown key \`${shortKey(key)}\`${guess} (allowed here: ${known.join(', ')})`
}

function shortKey(key: string): string {
  return show(key).slice(1, -1)
}

function nearest(key: string, known: readonly string[]): string | undefined {
  const meant = SYNONYMS[key.toLowerCase()]
  if (meant !== undefined && known.includes(meant)) return meant
  const ranked = known
    .map((name) => ({ name, far: distance(key.toLowerCase().slice(0, 40), name) }))
    .sort((a, b) => a.far - b.far)
  const [best] = ranked
  return best && best.far <= Math.max(1, Math.floor(best.name.length / 2)) ? best.name : undefined
}

/** The path as tables know it: the name of a process is `*`. */
function placeOf(path: Path): string {
  return path.map((key, i) => (i === 1 && path[0] === 'processes' ? '*' : String(key))).join('.')
}

function guessFor(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'invalid_value' || typeof issue.input !== 'string') return ''
  const near = nearest(issue.input, issue.values.map(String))
  return near === undefined || near === issue.input ? '' : `; did you mean \`${near}\`?`
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce((at, key) => asMap(at)[String(key)], value)
}

function isMissing(value: unknown, path: Path): boolean {
  return path.length > 0 && valueAt(value, path) === undefined
}

/** What is written, short enough for a message. */
function shown(value: unknown): string {
  if (value === null) return 'empty'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a map'
  return typeof value === 'string' ? show(value) : String(value)
}

function asMap(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
