import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'
import { type RawEnv, SERVER_VARIABLES } from '../src/config/env.ts'
import { parseSettings } from '../src/config/settings.ts'

const read = (path: string) => readFileSync(path, 'utf8')
const pages = ['README.md', 'CONTRIBUTING.md', ...readdirSync('docs').map((name) => `docs/${name}`)]

/** Rows of the tables of one heading of docs/configuration.md: variable and default. */
function documented(heading: string): [string, string][] {
  const section = read('docs/configuration.md')
    .split(/^## /m)
    .find((each) => each.startsWith(heading))
  return [...(section ?? '').matchAll(/^\| `([A-Z_]+)` \| ([^|]*) \|/gm)].map(
    ([, name = '', fallback = '']) => [name, fallback],
  )
}

test('every variable is documented, and only those', () => {
  const source = ['env.ts', 'settings.ts'].map((name) => read(`src/config/${name}`)).join('\n')
  const known = [...new Set(source.match(/HELIOS_[A-Z_]+/g))]
  const names = [...documented('The server'), ...documented('The command line')]
    .map(([name]) => name)
    .filter((name) => name.startsWith('HELIOS_'))
  expect(names.sort()).toEqual(known.sort())
})

test('documented defaults are those of the settings', () => {
  const byName = Object.fromEntries(documented('The server'))
  const settings = (textOf: (name: string) => string | undefined) =>
    parseSettings(
      Object.fromEntries(
        Object.entries(SERVER_VARIABLES).map(([key, name]) => [key, textOf(name)]),
      ) as RawEnv,
    )
  const given = settings((name) => /^`([^`]+)`$/.exec(byName[name] ?? '')?.[1])
  expect(given).toEqual(settings(() => undefined))
})

test('links between pages lead to a page', () => {
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)]
      .map(([, to = '']) => normalize(join(dirname(page), to)))
      .filter((to) => !pages.includes(to) && to !== 'LICENSE')
      .map((to) => `${page}: ${to}`),
  )
  expect(broken).toEqual([])
})
