/**
 * @module
 * Every text a word with variables of a Dockerfile may become, as a superset: what a gate must judge.
 */

/** What each declared variable may hold. */
export type Variables = ReadonlyMap<string, readonly string[]>

const MOST = 256
const MOST_STEPS = 500

type Budget = { left: number }

const BUILT_IN: Record<string, readonly string[]> = {
  TARGETARCH: ['amd64', 'arm64'],
  TARGETOS: ['linux'],
  TARGETPLATFORM: ['linux/amd64', 'linux/arm64'],
}

/** All possible texts of a word, or undefined when a variable is unknown or there are too many. */
export function expandAll(
  word: string,
  known: Variables,
  budget: Budget = { left: MOST_STEPS },
): string[] | undefined {
  if (--budget.left < 0) return undefined
  let results = ['']
  let rest = word
  while (rest !== '') {
    const piece = nextPiece(rest, known, budget)
    if (piece === undefined) return undefined
    results = [...new Set(results.flatMap((head) => piece.texts.map((tail) => head + tail)))]
    if (results.length > MOST) return undefined
    rest = rest.slice(piece.length)
  }
  return results
}

type Piece = { texts: readonly string[]; length: number }

function nextPiece(text: string, known: Variables, budget: Budget): Piece | undefined {
  if (text.startsWith('${')) return braced(text, known, budget)
  if (text.startsWith('$')) {
    const name = /^\$(\w+)/.exec(text)?.[1]
    const texts = name === undefined ? undefined : valuesOf(name, known, budget)
    return texts && { texts, length: (name?.length ?? 0) + 1 }
  }
  const plain = /^[^$]+/.exec(text)?.[0] ?? ''
  return { texts: [plain], length: plain.length }
}

function braced(text: string, known: Variables, budget: Budget): Piece | undefined {
  const end = closingBrace(text)
  const found = /^(\w+)(?:(:?[-+])([\s\S]*))?$/.exec(text.slice(2, end))
  if (end < 0 || found === null) return undefined
  const [, name = '', modifier, word = ''] = found
  const own = valuesOf(name, known, budget)
  if (modifier === undefined) return own && { texts: own, length: end + 1 }
  const other = expandAll(word, known, budget)
  return other && { texts: ['', ...(own ?? []), ...other], length: end + 1 }
}

function closingBrace(text: string): number {
  let open = 0
  for (let at = 1; at < text.length; at++) {
    if (text[at] === '{') open++
    if (text[at] === '}' && --open === 0) return at
  }
  return -1
}

// The empty text is always possible: a variable may be out of scope where it is used.
function valuesOf(name: string, known: Variables, budget: Budget): string[] | undefined {
  const values = known.get(name) ?? BUILT_IN[name]
  if (values === undefined || values.length === 0) return undefined
  const all = ['']
  for (const value of values) {
    const texts = expandAll(value, known, budget)
    if (texts === undefined || all.length > MOST) return undefined
    all.push(...texts)
  }
  return all
}
