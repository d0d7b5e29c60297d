import { describe, expect, test } from 'vitest'
import { parseIgnore } from './ignore.ts'

type Case = [rules: string, ignored: string[], kept: string[]]

const CASES: Record<string, Case> = {
  nothing: ['', [], ['a', '.git/x']],
  'comments and blank lines': ['# a\n\n  \n!\n', [], ['a', '# a', '!']],
  'a name in the root folder only': ['a', ['a', 'a/b', 'a/b/c'], ['b/a', 'ab', 'a.b']],
  'slashes and dots around': ['/a/\n./b\nc//d/.', ['a/x', 'b', 'c/d'], ['c', 'd']],
  'blanks, CRLF and a byte order mark': ['\uFEFF a \r\n\tb\r\n', ['a', 'b'], [' a']],
  'a path': ['a/b', ['a/b', 'a/b/c'], ['a', 'a/c', 'x/a/b']],
  '* within one name': ['*.md', ['x.md', '.md', 'x.md/y'], ['x.md5', 'a/x.md']],
  '* between': ['a*b*c', ['abc', 'a1b2c', 'aXbYbZc'], ['ab', 'a/b/c']],
  '* for a folder': ['*/x', ['a/x', 'a/x/y'], ['x', 'a/b/x']],
  '?': ['a?c', ['abc', 'aéc', 'a🚀c'], ['ac', 'a/c', 'abbc']],
  '** before': ['**/x', ['x', 'a/x', 'a/b/x', 'a/x/y'], ['ax', 'a/bx']],
  '** between': ['a/**/x', ['a/x', 'a/b/x', 'a/b/c/x/y'], ['x', 'b/a/x', 'a/bx']],
  '** after': ['a/**', ['a/b', 'a/b/c'], ['a', 'ab']],
  '** alone': ['**', ['a', 'a/b'], []],
  '** glued': ['**.md\na**b', ['x/.md', 'a/b', 'ax/b', 'ab'], ['x.md', 'axb']],
  'a set': ['[a-c]x', ['ax', 'cx'], ['dx', 'abx', '/x']],
  'a set turned round': ['[^a-c]x', ['dx', '-x'], ['ax', '/x']],
  'a set of odd characters': ['[\\]\\-.]x', [']x', '-x', '.x'], ['ax', '\\x']],
  escapes: ['a\\*b\n\\!c\n\\#d', ['a*b', '!c', '#d'], ['aXb', 'c']],
  'special for other tools': ['a.b+(c)$|^', ['a.b+(c)$|^'], ['aXb+(c)$|^', 'a.bb']],
  'an exception': ['*.md\n!README.md', ['x.md'], ['README.md']],
  'an exception below': [
    'node_modules\n!node_modules/keep/**',
    ['node_modules/a'],
    ['node_modules/keep/x'],
  ],
  'all but one folder': [
    '*\n!src\n**/*.test.ts',
    ['a', 'b/c', 'src/a.test.ts'],
    ['src', 'src/a.ts'],
  ],
  'the last rule decides': ['!a\na\n!a/b\na/b/c', ['a', 'a/x', 'a/b/c'], ['a/b', 'a/b/x']],
  'a blank after !': ['*\n! a', ['b'], ['a']],
  'a path out of the source': ['../a', [], ['a', '../b']],
}

describe('parseIgnore', () => {
  test.each(Object.entries(CASES))('%s', (_, [rules, ignored, kept]) => {
    const ignores = parseIgnore(rules)
    expect(ignored.filter((path) => !ignores(path))).toEqual([])
    expect(kept.filter(ignores)).toEqual([])
  })

  test.each(['[a', 'a[]', 'a[^]', 'x\\'])('cannot read %s', (rule) => {
    expect(() => parseIgnore(rule)).toThrow(
      `the ignore rule ${JSON.stringify(rule)} cannot be read`,
    )
  })

  test('takes no time for rules that ask for backtracking', () => {
    const ignores = parseIgnore(`${'*a'.repeat(120)}b\n${'**/'.repeat(80)}b`)
    const begun = performance.now()
    expect(ignores('a'.repeat(255))).toBe(false)
    expect(ignores(`${'a/'.repeat(2000)}a`)).toBe(false)
    expect(performance.now() - begun).toBeLessThan(2000)
  })

  test('gives up on work without end', () => {
    const ignores = parseIgnore(`${'*'.repeat(2)}/a\n`.repeat(100), 1_000_000)
    const path = 'x/'.repeat(100)
    expect(() => {
      for (let at = 0; at < 1000; at++) ignores(path)
    }).toThrow('the ignore rules are too many for this many files')
  })
})
