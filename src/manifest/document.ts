/**
 * @module
 * Read YAML or JSON text of strangers into plain values that know where they stand in the text.
 */
import {
  Composer,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  Parser,
  type Document as YamlDocument,
} from 'yaml'
import { show } from '../lib/errors.ts'
import { MAX_DEPTH, TOO_DEEP, tooComplex } from './complexity.ts'
import { decodeText, jsonProblem, type Problem } from './text.ts'

const MAX_ALIASES = 50
const MAX_VALUES = 20_000
/** Names every object has by birth: as keys they would read as present where they are not. */
const FORBIDDEN_KEYS = new Set(['__proto__', 'constructor', 'prototype'])

/** Where something stands in the text, as offsets. */
type Range = { start: number; end: number }

/** Keys and indexes from the top to a value. */
export type Path = readonly PropertyKey[]

/** A document as plain values; strings, numbers, booleans, null, lists and maps only. */
export type ReadDocument = {
  text: string
  value: unknown
  problems: Problem[]
  /** Offsets of the value at a path, or of its key; of the nearest value around it when there is none. */
  rangeOf(path: Path, what: 'key' | 'value'): Range
}

/** Where a number or boolean stands for its own text, so that `1.10` stays `1.10`. */
type TextAt = (path: Path) => boolean

/** Read one document; what is wrong with its form comes back as problems, never as an exception. */
export function readDocument(
  input: string | Uint8Array,
  opts: { json: boolean; textAt: TextAt },
): ReadDocument {
  const { text, problem } = decodeText(input)
  const early = problem ?? (opts.json ? jsonProblem(text) : undefined) ?? tooComplex(text)
  if (early !== undefined) return failed(text, [early])
  const documents = [
    ...new Composer({ uniqueKeys: false, prettyErrors: false, strict: true }).compose(
      new Parser().parse(opts.json ? text.replaceAll('\t', ' ') : text),
    ),
  ]
  const [first, second] = documents
  if (first === undefined || first.contents === null) {
    return failed(text, [{ offset: 0, message: 'the file is empty: write at least `oal: 1`' }])
  }
  const problems: Problem[] = documents.flatMap(({ errors }) =>
    errors.map(({ pos, message }) => ({ offset: pos[0], message: lowerFirst(message) })),
  )
  if (second !== undefined) {
    const offset = second.contents?.range?.[0] ?? second.range[0]
    problems.push({ offset, message: 'a second document starts here: one file has one document' })
  }
  const { explicit, version } = first.directives.yaml
  if (explicit && version !== '1.2') {
    problems.push({ offset: 0, message: `YAML ${version} is not read here: leave the line out` })
  }
  if (problems.length > 0) return failed(text, problems)
  return walk(text, first, opts.textAt)
}

function failed(text: string, problems: Problem[]): ReadDocument {
  return { text, value: undefined, problems, rangeOf: () => ({ start: 0, end: 0 }) }
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}

type Walk = {
  document: YamlDocument
  textAt: TextAt
  problems: Problem[]
  ranges: Map<string, { key?: Range; value: Range }>
  aliases: number
  values: number
}

function walk(text: string, document: YamlDocument.Parsed, textAt: TextAt): ReadDocument {
  const state: Walk = { document, textAt, problems: [], ranges: new Map(), aliases: 0, values: 0 }
  const value = plainOf(state, document.contents, [], undefined)
  const rangeOf = (path: Path, what: 'key' | 'value'): Range => {
    for (let length = path.length; length >= 0; length--) {
      const found = state.ranges.get(keyOf(path.slice(0, length)))
      if (found !== undefined) {
        return length < path.length || what === 'key' ? (found.key ?? found.value) : found.value
      }
    }
    return { start: 0, end: 0 }
  }
  return { text, value, problems: state.problems, rangeOf }
}

function keyOf(path: Path): string {
  return path.map(String).join('\0')
}

function rangeOfNode(node: unknown): Range {
  const range = (node as Node | null)?.range
  return { start: range?.[0] ?? 0, end: range?.[1] ?? 0 }
}

function plainOf(state: Walk, node: unknown, path: Path, key: Range | undefined): unknown {
  const value = node === null ? (key ?? { start: 0, end: 0 }) : rangeOfNode(node)
  const known = keyOf(path)
  if (!state.ranges.has(known)) state.ranges.set(known, { ...(key ? { key } : {}), value })
  const stop = limitsOf(state, path)
  if (stop !== undefined) {
    complain(state, value.start, stop)
    return null
  }
  if (isAlias(node)) return aliasOf(state, node.source, path, value)
  if (typeof (node as Node | null)?.tag === 'string') {
    complain(
      state,
      value.start,
      `the tag ${show((node as Node).tag)} is not allowed: write plain values`,
    )
  }
  if (isMap(node)) return mapOf(state, node.items, path)
  if (isSeq(node)) return node.items.map((item, i) => plainOf(state, item, [...path, i], undefined))
  return isScalar(node) ? scalarOf(state, node.value, node.source, path, value) : null
}

function limitsOf(state: Walk, path: Path): string | undefined {
  if (path.length > MAX_DEPTH) return TOO_DEEP
  state.values += 1
  return state.values > MAX_VALUES ? `more than ${MAX_VALUES} values are no manifest` : undefined
}

/** One problem of a kind and place is enough, however often an alias repeats it. */
function complain(state: Walk, offset: number, message: string): void {
  const told = state.problems.some((one) => one.message === message)
  if (!told) state.problems.push({ offset, message })
}

function aliasOf(state: Walk, name: string, path: Path, at: Range): unknown {
  state.aliases += 1
  if (state.aliases > MAX_ALIASES) {
    complain(state, at.start, `more than ${MAX_ALIASES} aliases: write the values out`)
    return null
  }
  const target = anchored(state.document, name, at.start)
  if (target === undefined) {
    complain(state, at.start, `the alias *${name} has no anchor &${name} before it`)
    return null
  }
  return plainOf(state, target, path, undefined)
}

/** The last node with this anchor that ended before the alias: one around it would contain itself. */
function anchored(document: YamlDocument, name: string, before: number): unknown {
  const found: Node[] = []
  const open: unknown[] = [document.contents]
  while (open.length > 0) {
    const node = open.pop()
    if (isMap(node)) open.push(...node.items.flatMap(({ key, value }) => [key, value]))
    else if (isSeq(node)) open.push(...node.items)
    if (isAlias(node) || !(isMap(node) || isSeq(node) || isScalar(node))) continue
    if (node.anchor === name && rangeOfNode(node).end <= before) found.push(node)
  }
  return found.sort((a, b) => rangeOfNode(a).start - rangeOfNode(b).start).at(-1)
}

function mapOf(
  state: Walk,
  items: readonly { key: unknown; value: unknown }[],
  path: Path,
): Record<string, unknown> {
  const entries: [string, unknown][] = []
  const seen = new Map<string, number>()
  for (const item of items) {
    const range = rangeOfNode(item.key)
    const name = keyText(item.key)
    if (name === undefined) {
      complain(state, range.start, 'a key must be one plain word, not a list, map or alias')
      continue
    }
    if (FORBIDDEN_KEYS.has(name)) {
      complain(state, range.start, `the key ${show(name)} is not allowed`)
      continue
    }
    const first = seen.get(name)
    if (first !== undefined) {
      const message = `the key ${show(name)} is there twice; remove one of them`
      state.problems.push({ offset: range.start, message })
      continue
    }
    seen.set(name, range.start)
    entries.push([name, plainOf(state, item.value, [...path, name], range)])
  }
  return Object.fromEntries(entries)
}

function keyText(key: unknown): string | undefined {
  if (!isScalar(key)) return undefined
  return typeof key.value === 'string' ? key.value : (key.source ?? String(key.value))
}

function scalarOf(
  state: Walk,
  value: unknown,
  source: string | undefined,
  path: Path,
  at: Range,
): unknown {
  if (typeof value === 'string') {
    if (value.includes('\0')) complain(state, at.start, 'a NUL character is not allowed')
    if (/\p{Surrogate}/u.test(value)) {
      complain(state, at.start, 'half a surrogate pair is no text: escape both halves')
    }
    return value
  }
  if (typeof value === 'number' && !Number.isFinite(value)) {
    complain(state, at.start, `${source} is no number a manifest can carry; put text in quotes`)
    return null
  }
  const asText = value !== null && source !== undefined && state.textAt(path)
  return asText ? source : value
}
