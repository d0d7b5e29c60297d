import { describe, expect, test } from 'vitest'
import { planOf, sourceOf } from '../../test/support/source.ts'
import { staticBuilder } from './static.ts'

const SERVER = `FROM caddy:2
ENV XDG_CONFIG_HOME=/tmp XDG_DATA_HOME=/tmp
COPY .helios/Caddyfile /etc/caddy/Caddyfile
USER 1000:1000
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
`
const site = (more: object = {}): string =>
  JSON.stringify({ scripts: { build: 'x' }, devDependencies: { vite: '5' }, ...more })
const detect = (files: Record<string, string>): string | undefined =>
  staticBuilder.detect(sourceOf(files))

test.each<[Record<string, string>, string | undefined]>([
  [{ 'index.html': '' }, 'index.html is in the root folder'],
  [{ 'dist/index.html': '' }, 'index.html is in dist/'],
  [{ 'public/index.html': '', '_site/index.html': '' }, 'index.html is in public/'],
  [{ 'docs/index.html': '' }, undefined],
  [
    { 'package.json': site() },
    'package.json has a build script that writes dist/, and nothing that serves',
  ],
  [
    { 'package.json': site({ devDependencies: { '@11ty/eleventy': '3' } }) },
    'package.json has a build script that writes _site/, and nothing that serves',
  ],
  [{ 'package.json': site({ dependencies: { fastify: '5' } }) }, undefined],
  [{ 'package.json': site({ devDependencies: { webpack: '5' } }) }, undefined],
  [{ 'package.json': site({ scripts: {} }) }, undefined],
])('detects %j: %s', (files, reason) => expect(detect(files)).toBe(reason))

describe('a folder', () => {
  test('in the root is served without dot files', () => {
    const made = planOf('static', { 'index.html': '', '404.html': '', '.dockerignore': 'notes' })
    expect(made.dockerfile).toBe(`${SERVER}COPY ["app/","/srv/"]\n`)
    expect(made.ignore).toMatch(/^\*\*\/\.\*\n!\.well-known\noal\.yaml\n[\s\S]*\nnotes\n$/)
    expect(made.extraFiles).toEqual({
      '.helios/Caddyfile': `{
	admin off
	auto_https off
	persist_config off
}
:{$PORT:8080} {
	root * /srv
	handle_errors 404 {
		rewrite * /404.html
		file_server
	}
	encode zstd gzip
	file_server
}
`,
    })
  })

  test('below is served, with a fallback when asked', () => {
    const files = { 'a b/index.html': '', '.dockerignore': 'a b' }
    const made = planOf('static', files, { root: './a b/.', spa: true })
    expect(made.dockerfile).toBe(`${SERVER}COPY ["app/a b/","/srv/"]\n`)
    expect(made.ignore).toBe('a b\n!a b\n')
    expect(made.extraFiles['.helios/Caddyfile']).toContain('\n\ttry_files {path} /index.html\n')
    expect(made.extraFiles['.helios/Caddyfile']).not.toContain('handle_errors')
    expect(planOf('static', { 'dist/index.html': '' }).dockerfile).toContain('"app/dist/"')
  })

  test.each(['nope', 'a"b', '../x', '$HOME', 'a*'])('%j is rejected', (root) => {
    const files = { 'index.html': '', [`${root}/x`.replace('nope', 'no')]: '' }
    expect(() => planOf('static', files, { root })).toThrow(
      `the folder ${JSON.stringify(root)} to serve is not in the source`,
    )
  })
})

describe('a site', () => {
  test('is built by its script and served', () => {
    const files = { 'package.json': site(), 'package-lock.json': '{}' }
    const made = planOf('static', files, {}, { environment: { caFile: 'PEM' } })
    expect(made.dockerfile).toMatch(/^FROM node:24-slim AS build\nARG .*\nUSER node\n/)
    expect(made.dockerfile).toContain('npm ci --include=dev')
    expect(made.dockerfile).toContain('RUN npm run build\n')
    expect(made.dockerfile.endsWith(`${SERVER}COPY --from=build ["/app/dist/","/srv/"]\n`)).toBe(
      true,
    )
    expect(Object.keys(made.extraFiles)).toEqual([
      '.helios/env/env',
      '.helios/env/ca.pem',
      '.helios/Caddyfile',
    ])
  })

  test('may write another folder, unless it lies in the source', () => {
    const files = { 'package.json': site({ devDependencies: {} }) }
    const made = planOf('static', files, { root: 'out' })
    expect(made.dockerfile).toContain('COPY --from=build ["/app/out/","/srv/"]')
    const there = planOf('static', { ...files, 'out/index.html': '' }, { root: 'out' })
    expect(there.dockerfile).not.toContain('FROM node')
    expect(() => planOf('static', files, { root: 'out"' })).toThrow(
      'the folder "out\\"" to serve cannot be served',
    )
  })
})
