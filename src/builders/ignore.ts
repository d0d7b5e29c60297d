/**
 * @module
 * The rules of a .dockerignore: which paths stay out of a build context.
 */
import { posix } from 'node:path'
import { HeliosError, show } from '../lib/errors.ts'

/** Work that all paths of a source may cost together; a few seconds at most. */
const MAX_STEPS = 300_000_000

type Token =
  | { kind: 'one'; fits(character: string): boolean }
  /** `*`: any characters of one name. */
  | { kind: 'star' }
  /** `**` at the end: everything. */
  | { kind: 'all' }
  /** `**` before something: nothing, or any folders. */
  | { kind: 'folders' }

type Rule = { keeps: boolean; literal: string } | { keeps: boolean; matches: Matcher }
type Matcher = (path: string, budget: Budget) => boolean
type Budget = { left: number }

/**
 * Read ignore rules and give the question "is this path ignored?"; the last rule that fits the
 * path or a folder above it decides. Patterns are matched without backtracking.
 * @throws {HeliosError} HX34 for a pattern that cannot be read; later for rules that cost too much.
 */
export function parseIgnore(text: string, maxSteps = MAX_STEPS): (path: string) => boolean {
  const rules = text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .flatMap(ruleOf)
    .reverse()
  const budget = { left: maxSteps }
  return (path) => {
    const rule = rules.find((each) => fits(each, path, budget))
    return rule !== undefined && !rule.keeps
  }
}

function ruleOf(line: string): Rule[] {
  if (line.startsWith('#')) return []
  const trimmed = line.trim()
  const keeps = trimmed.startsWith('!')
  const bare = keeps ? trimmed.slice(1).trim() : trimmed
  if (bare === '') return []
  const pattern = posix
    .normalize(bare)
    .replace(/(?<=.)\/$/, '')
    .replace(/^\/(?=.)/, '')
  if (!/[*?[\]\\]/.test(pattern)) return [{ keeps, literal: pattern }]
  return [{ keeps, matches: matcherOf(tokensOf(pattern)) }]
}

function tokensOf(pattern: string): Token[] {
  const tokens: Token[] = []
  let rest = pattern
  while (rest !== '') {
    const deep = /^\*\*\/?/.exec(rest)?.[0]
    if (deep !== undefined) {
      rest = rest.slice(deep.length)
      // One after another they mean no more than one, and cost much more.
      if (tokens.at(-1)?.kind === 'folders') tokens.pop()
      tokens.push({ kind: rest === '' ? 'all' : 'folders' })
      continue
    }
    const { token, length } = nextToken(rest, pattern)
    tokens.push(token)
    rest = rest.slice(length)
  }
  return tokens
}

function nextToken(rest: string, pattern: string): { token: Token; length: number } {
  const first = String.fromCodePoint(rest.codePointAt(0) ?? 0)
  if (first === '*') return { token: { kind: 'star' }, length: 1 }
  if (first === '?') return { token: { kind: 'one', fits: (c) => c !== '/' }, length: 1 }
  if (first === '[') return setToken(rest, pattern)
  if (first !== '\\') return { token: exactly(first), length: first.length }
  const escaped = rest.slice(1)
  if (escaped === '') unreadable(pattern)
  const character = String.fromCodePoint(escaped.codePointAt(0) ?? 0)
  return { token: exactly(character), length: 1 + character.length }
}

function exactly(character: string): Token {
  return { kind: 'one', fits: (other) => other === character }
}

function setToken(rest: string, pattern: string): { token: Token; length: number } {
  const found = /^\[(?:(\^)|(?!\^))((?:\\[\s\S]|[^\\\]])+)\]/u.exec(rest)
  if (found === null) unreadable(pattern)
  const [whole, not, body = ''] = found
  const ranges = [...body.matchAll(/(\\[\s\S]|[^\\])(?:-(\\[\s\S]|[^\\]))?/gu)].map(
    ([, from = '', to]) => [lastOf(from), lastOf(to ?? from)] as const,
  )
  const inside = (character: string): boolean => {
    const code = lastOf(character)
    return ranges.some(([from, to]) => from <= code && code <= to)
  }
  return {
    token: { kind: 'one', fits: (c) => c !== '/' && inside(c) !== (not === '^') },
    length: whole.length,
  }
}

function lastOf(text: string): number {
  return text.codePointAt(text.startsWith('\\') && text.length > 1 ? 1 : 0) ?? 0
}

function unreadable(pattern: string): never {
  throw new HeliosError('HX34', `the ignore rule ${show(pattern)} cannot be read`, {
    hint: 'Close every [ with a ] and let no pattern end with a backslash.',
  })
}

function fits(rule: Rule, path: string, budget: Budget): boolean {
  spend(budget, 1)
  if ('matches' in rule) return rule.matches(path, budget)
  return path.startsWith(rule.literal) && ['', '/'].includes(path.charAt(rule.literal.length))
}

function spend(budget: Budget, steps: number): void {
  budget.left -= steps
  if (budget.left >= 0) return
  throw new HeliosError('HX34', 'the ignore rules are too many for this many files', {
    hint: 'Shorten .dockerignore.',
  })
}

/** Places in a pattern, each at most once, in memory that is used again. */
type Places = { list: Int32Array; length: number; marks: Int32Array; round: number }

// All places in the pattern where the path read so far may stand; a place behind the last token
// before a "/" or the end means that the path, or a folder above it, fits.
function matcherOf(tokens: readonly Token[]): Matcher {
  const size = tokens.length + 1
  const empty = (): Places => ({
    list: new Int32Array(size),
    length: 0,
    marks: new Int32Array(size),
    round: 1,
  })
  let now = empty()
  let next = empty()
  return (path, budget) => {
    clear(now)
    enter(0, tokens, now)
    for (const character of path) {
      if (character === '/' && has(now, tokens.length)) return true
      spend(budget, 1 + now.length)
      clear(next)
      for (let at = 0; at < now.length; at++) step(now.list[at] ?? 0, character, tokens, next)
      if (next.length === 0) return false
      ;[now, next] = [next, now]
    }
    return has(now, tokens.length)
  }
}

function clear(places: Places): void {
  places.length = 0
  places.round += 1
}

function has(places: Places, place: number): boolean {
  return places.marks[place] === places.round
}

function add(places: Places, place: number): void {
  if (has(places, place)) return
  places.marks[place] = places.round
  places.list[places.length++] = place
}

function enter(place: number, tokens: readonly Token[], places: Places): void {
  for (let at = place; ; at++) {
    if (has(places, at) && tokens[at]?.kind !== 'folders') return
    add(places, at)
    const kind = tokens[at]?.kind
    if (kind === undefined || kind === 'one') return
  }
}

function step(place: number, character: string, tokens: readonly Token[], next: Places): void {
  const token = tokens[place]
  if (token === undefined) return
  if (token.kind === 'one') {
    if (token.fits(character)) enter(place + 1, tokens, next)
  } else if (token.kind === 'folders') {
    add(next, place)
    if (character === '/') enter(place + 1, tokens, next)
  } else if (token.kind === 'all' || character !== '/') {
    enter(place, tokens, next)
  }
}
