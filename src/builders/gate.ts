/**
 * @module
 * The gate every Dockerfile passes before a build: what would reach other tenants, the host or a foreign frontend is rejected.
 */
import { type Dockerfile, DockerfileParser, type Instruction, Keyword } from 'dockerfile-ast'
import { HeliosError, show } from '../lib/errors.ts'
import { expandAll, type Variables } from './variables.ts'

const MAX_BYTES = 1024 * 1024
const MAX_JOINED = 8 * MAX_BYTES
const KEYWORDS = new Set<string>(Object.values(Keyword))

type Statement = { line: number; keyword: string; rest: string }

/**
 * Check a Dockerfile with the build arguments it will get; with a scope every cache mount must
 * have an id that begins with it.
 * @throws {HeliosError} HX34 with the line and the reason.
 */
export function checkDockerfile(
  text: string,
  args: Readonly<Record<string, string>>,
  cacheScope?: string,
): void {
  if (Buffer.byteLength(text) > MAX_BYTES) refuse(1, 'the file is larger than 1 MiB')
  const body = text.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n')
  checkCharacters(body)
  checkSyntaxComment(body)
  for (const name of Object.keys(args)) {
    if (/^BUILDKIT_/i.test(name)) refuse(1, `the build argument ${show(name)} steers the builder`)
  }
  const file = DockerfileParser.parse(body)
  checkStructure(file)
  const statements = statementsOf(body)
  const known = variablesOf(statements, args)
  for (const statement of statements) checkStatement(statement, known)
  if (cacheScope !== undefined) checkCaches(statements, `${cacheScope}-`)
}

// A cache is shared by its id with every build of the machine.
function checkCaches(statements: readonly Statement[], prefix: string): void {
  for (const { line, rest } of statements) {
    for (const word of rest.split(/\s+/)) {
      const value = /^--mount=(.*)$/i.exec(plain(word))?.[1]
      if (value !== undefined) checkCache(line, value.split(','), prefix)
    }
  }
}

function checkCache(line: number, fields: readonly string[], prefix: string): void {
  const hint = 'Write it as RUN --mount=type=cache,target=/path'
  const pairs = fields.map((field) => {
    const [key = '', ...value] = field.split('=')
    return { key: key.trim().toLowerCase(), value: value.join('=').trim() }
  })
  const types = pairs.filter(({ key }) => key === 'type').map(({ value }) => value.toLowerCase())
  if (types.some((type) => type.includes('$'))) {
    refuse(line, 'the type of a mount is a variable', hint)
  }
  if (!types.includes('cache')) return
  const ids = pairs.filter(({ key }) => key === 'id')
  if (ids.length === 0 || !ids.every(({ value }) => value.startsWith(prefix))) {
    refuse(line, 'a cache mount is written in a way that hides its id', hint)
  }
}

function refuse(line: number, reason: string, hint?: string): never {
  throw new HeliosError('HX34', `Dockerfile line ${line}: ${reason}`, { hint })
}

// Parsers disagree on these about where a line ends or begins.
function checkCharacters(body: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  const at = body.search(/[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]/)
  if (at >= 0) {
    const line = body.slice(0, at).split('\n').length
    refuse(line, `the character ${show(body[at])} is not allowed`, 'Save the file as plain text.')
  }
}

function checkSyntaxComment(body: string): void {
  for (const [index, line] of body.split('\n').entries()) {
    const text = line.trim()
    if (text !== '' && !text.startsWith('#')) return
    if (/^#\s*syntax\s*=/i.test(text)) {
      refuse(index + 1, 'a "# syntax=" frontend is not allowed', 'Remove the line.')
    }
  }
}

function checkStructure(file: Dockerfile): void {
  const instructions = file.getInstructions()
  if (instructions.length === 0) refuse(1, 'the file has no instructions', 'Start with FROM.')
  for (const instruction of instructions) {
    checkKeyword(lineOf(instruction), instruction.getKeyword())
  }
  for (const trigger of file.getOnbuildTriggers()) {
    checkKeyword(lineOf(trigger), trigger.getKeyword())
  }
  const froms = file.getFROMs()
  if (froms.length === 0) refuse(1, 'no FROM instruction was found', 'Start with FROM.')
  for (const from of froms) {
    if (!from.getImage()) refuse(lineOf(from), 'FROM names no image')
  }
}

function lineOf(instruction: Instruction): number {
  return instruction.getRange().start.line + 1
}

function checkKeyword(line: number, keyword: string): void {
  if (!KEYWORDS.has(keyword)) refuse(line, `${show(keyword)} is not a Dockerfile instruction`)
}

// Every line is read as if an instruction began there, heredoc or not: no trick about
// where an instruction ends can then hide one.
function statementsOf(body: string): Statement[] {
  const marks = /^\s*#\s*escape\s*=/im.test(body) ? ['\\', '`'] : ['\\']
  const lines = body.split('\n')
  const budget = { left: MAX_JOINED }
  return marks.flatMap((mark) =>
    lines.flatMap((_, index) => {
      const joined = joinFrom(lines, index, mark, budget)
      const found = /^\s*([a-z]+)\s+([\s\S]*)$/i.exec(joined)
      if (found === null) return []
      const [, keyword = '', rest = ''] = found
      return [{ line: index + 1, keyword: keyword.toUpperCase(), rest: rest.trim() }]
    }),
  )
}

function joinFrom(
  lines: readonly string[],
  start: number,
  mark: string,
  budget: { left: number },
): string {
  const parts: string[] = []
  for (let at = start; at < lines.length; at++) {
    const line = lines[at] ?? ''
    budget.left -= line.length + 1
    if (budget.left < 0) refuse(start + 1, 'too many continued lines', 'Shorten the file.')
    const bare = line.trimEnd()
    const skipped = at > start && /^\s*(#|$)/.test(line)
    if (skipped) continue
    if (!bare.endsWith(mark)) return parts.join('') + line
    parts.push(bare.slice(0, -1))
  }
  return parts.join('')
}

function variablesOf(
  statements: readonly Statement[],
  args: Readonly<Record<string, string>>,
): Variables {
  const known = new Map<string, string[]>()
  const add = (name: string, value: string | undefined): void => {
    const values = known.get(name) ?? []
    if (value !== undefined && !values.includes(value)) values.push(value)
    known.set(name, values)
  }
  for (const { keyword, rest } of statements) {
    if (keyword === 'ARG') for (const word of rest.split(/\s+/)) addArg(word, args, add)
    if (keyword === 'ENV') for (const [name, value] of assignments(rest)) add(name, value)
  }
  return known
}

function addArg(
  word: string,
  args: Readonly<Record<string, string>>,
  add: (name: string, value: string | undefined) => void,
): void {
  const [name = '', ...value] = plain(word).split('=')
  if (Object.hasOwn(args, name)) add(name, plain(args[name] ?? ''))
  else add(name, value.length === 0 ? undefined : value.join('='))
}

function assignments(rest: string): [string, string][] {
  const old = /^(\w+)\s+([^=]*)$/.exec(rest)
  if (old !== null) return [[old[1] ?? '', plain(old[2] ?? '')]]
  return rest.split(/\s+/).map((word) => {
    const [name = '', ...value] = plain(word).split('=')
    return [name, value.join('=')]
  })
}

/** Words lose quotes and escapes before they are judged, as the builder drops them before use. */
function plain(word: string): string {
  return word.replace(/["'\\`]/g, '')
}

function checkStatement(statement: Statement, known: Variables): void {
  const { line, keyword, rest } = statement
  if (keyword === 'ONBUILD') {
    const found = /^([a-z]+)\s+([\s\S]*)$/i.exec(rest)
    if (found === null) return
    const [, inner = '', innerRest = ''] = found
    if (inner.toUpperCase() === 'ONBUILD') refuse(line, 'ONBUILD may not contain ONBUILD')
    checkStatement({ line, keyword: inner.toUpperCase(), rest: innerRest }, known)
    return
  }
  if (!['FROM', 'RUN', 'COPY', 'ADD'].includes(keyword)) return
  const words = rest.split(/\s+/)
  const count = words.findIndex((word) => !plain(word).startsWith('--'))
  const flags = count < 0 ? words : words.slice(0, count)
  for (const flag of flags) checkFlag(line, flag, known)
  const operands = words.slice(flags.length)
  if (keyword === 'FROM') checkImage(line, 'FROM', operands[0] ?? '', known)
  if (keyword === 'ADD') checkAdd(line, operands, known)
}

function checkFlag(line: number, flag: string, known: Variables): void {
  const quotes = flag.match(/["']/g)?.length ?? 0
  if (quotes % 2 === 1) refuse(line, `${show(flag)} has a quoted blank, which is not allowed`)
  const text = plain(flag).slice(2)
  const [name = '', ...rest] = text.split('=')
  const value = rest.join('=')
  switch (name.toLowerCase()) {
    case 'security':
    case 'device':
      refuse(line, `--${name} is not allowed`)
      break
    case 'network':
      if (!['default', 'none'].includes(value)) refuse(line, `--network=${value} is not allowed`)
      return
    case 'from':
      checkImage(line, '--from', value, known)
      return
    case 'mount':
      checkMount(line, value, known)
  }
}

function checkMount(line: number, value: string, known: Variables): void {
  for (const field of value.split(',')) {
    const [key = '', ...rest] = field.split('=')
    if (key.includes('$')) refuse(line, `${show(field)} names its option by a variable`)
    if (key.trim().toLowerCase() === 'from') checkImage(line, 'from', rest.join('='), known)
  }
}

function checkImage(line: number, where: string, word: string, known: Variables): void {
  const hint = 'Name an image of a public registry, or a stage of this Dockerfile.'
  if (where !== 'FROM' && word.includes('$')) {
    refuse(line, `${where} ${show(word)} has a variable, which the base image may set`, hint)
  }
  const images = expandAll(plain(word), known)
  if (images === undefined) {
    refuse(line, `${where} ${show(word)} cannot be resolved`, 'Give the ARG a default value.')
  }
  for (const image of images) {
    const reason = localReason(image.toLowerCase())
    if (reason !== undefined)
      refuse(line, `${where} ${show(image)} is not allowed: ${reason}`, hint)
  }
}

function localReason(image: string): string | undefined {
  if (image.includes('://')) return 'it is an address, not an image'
  if (/^sha256(:|$)/.test(image) || /^[0-9a-f]{5,64}$/.test(image)) return 'it is an image id'
  const name = image.replace(/^((index|registry-1)\.)?docker\.io(:\d+)?\//, '')
  if (/^(library\/)?helios\//.test(name)) return 'images of other apps are not readable'
  const host = image.slice(0, Math.max(0, image.indexOf('/'))).replace(/:\d*$/, '')
  const local = /^(localhost|.*\.localhost|127(\.\d+)*|0(\.0)*|\[.*\]|host\.docker\.internal)\.?$/
  return local.test(host) ? 'it is a registry on this host' : undefined
}

function checkAdd(line: number, operands: readonly string[], known: Variables): void {
  for (const word of [...operands, ...jsonWords(operands.join(' '))].map(plain)) {
    const bare = word.replace(/^[[\s]+|[\],\s]+$/g, '')
    for (const part of bare.split(',')) checkSource(line, part, known)
  }
}

function jsonWords(text: string): string[] {
  try {
    const list: unknown = JSON.parse(text)
    return Array.isArray(list) ? list.filter((word) => typeof word === 'string') : []
  } catch {
    return []
  }
}

// A variable may also come from the base image, so it may only follow a local path's start.
function checkSource(line: number, word: string, known: Variables): void {
  const hint = 'Use COPY for files of the source; fetch others in a RUN step.'
  const remote = /:\/\/|^[\w.-]+@[\w.-]+:|^github\.com\//i
  const texts = /^\.{0,2}\//.test(word) ? [word] : expandAll(word, known)
  if (texts === undefined) refuse(line, `ADD ${show(word)} cannot be resolved`, hint)
  const found = texts.find((text) => remote.test(text))
  if (found !== undefined) refuse(line, `ADD from the remote ${show(found)} is not allowed`, hint)
  if (word.includes('$') && !/^\.{0,2}\//.test(word)) {
    refuse(line, `ADD ${show(word)} has a variable, which may name a remote source`, hint)
  }
}
