/**
 * @module
 * Which files of a folder are not part of its source: .gitignore files at any depth, and .dockerignore; pure.
 */
import ignore from 'ignore'
import { HeliosError, show } from '../lib/errors.ts'

/** Adds the rules of one more .gitignore; `folder` is where it lies, with `/` and without one at its ends. */
export type GitRules = {
  add(folder: string, text: string): void
  /** Paths of folders end with `/`. */
  ignores(path: string): boolean
}

/** Rules of git: the last that matches decides, and nothing below an ignored folder comes back. */
export function gitRules(): GitRules {
  const all = ignore({ ignorecase: false })
  return {
    add: (folder, text) => {
      const lines = text.replace(/^\ufeff/, '').split(/\r?\n/)
      all.add(folder === '' ? lines : lines.flatMap((line) => lift(folder, line)))
    },
    ignores: (path) => all.ignores(path),
  }
}

// One set of rules for all depths: a rule of a deeper file is written as if it stood at the top.
function lift(folder: string, line: string): string[] {
  if (line.trim() === '' || line.startsWith('#')) return []
  const negated = line.startsWith('!')
  const body = (negated ? line.slice(1) : line).replace(/^\\(?=[!#])/, '')
  const anchored = body.replace(/[/\s]*$/, '').includes('/')
  const top = folder.replace(/[\\*?[\]! ]/g, '\\$&')
  return [`${negated ? '!' : ''}/${top}/${anchored ? '' : '**/'}${body.replace(/^\//, '')}`]
}

/** Tell whether a path is left out by a .dockerignore; other rules than git's: every pattern starts at the top, and `!` brings back from ignored folders. */
export function dockerRules(text: string): {
  ignores(path: string): boolean
  mayBringBack: boolean
} {
  const rules = text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.trim())
    .filter((line) => line !== '' && line !== '!')
    .map((line) => {
      const brings = line.startsWith('!')
      return { brings, pattern: toPattern(clean(brings ? line.slice(1).trim() : line)) }
    })
  return {
    mayBringBack: rules.some(({ brings }) => brings),
    ignores: (path) => {
      const parts = path.replace(/\/$/, '').split('/')
      const tops = parts.map((_, at) => parts.slice(0, at + 1).join('/'))
      const last = rules.findLast(({ pattern }) => tops.some((top) => pattern.test(top)))
      return last !== undefined && !last.brings
    },
  }
}

function clean(pattern: string): string {
  const kept: string[] = []
  for (const part of pattern.split('/')) {
    if (part === '..') kept.pop()
    else if (part !== '' && part !== '.') kept.push(part)
  }
  return kept.join('/')
}

const PIECES = /\*\*\/|\*\*|\*|\?|\\.|\[\^?(?:\\.|[^\]\\])+\]|[\s\S]/g

function toPattern(pattern: string): RegExp {
  const source = pattern.replace(PIECES, (piece) => {
    if (piece === '**/') return '(?:.*/)?'
    if (piece === '**') return '.*'
    if (piece === '*') return '[^/]*'
    if (piece === '?') return '[^/]'
    if (piece.length > 1 && piece.startsWith('[')) return piece
    return (piece.length === 2 ? piece.slice(1) : piece).replace(/[\\^$.*+?()[\]{}|/]/, '\\$&')
  })
  try {
    return new RegExp(`^${source}$`, 's')
  } catch (error) {
    throw new HeliosError(
      'archive_rejected',
      `.dockerignore has a pattern that means nothing: ${show(pattern)}`,
      {
        cause: error,
      },
    )
  }
}
