/**
 * @module
 * Which folder a site generator writes, where a package.json has nothing that serves.
 */
import type { Package } from './node-package.ts'
import type { SourceFiles } from './types.ts'

/** Site generators by the package that gives them away, with the folder they write by default. */
const GENERATORS: readonly (readonly [name: string, folder: string])[] = [
  ['astro', 'dist'],
  ['@11ty/eleventy', '_site'],
  ['@docusaurus/core', 'build'],
  ['gatsby', 'public'],
  ['@vue/cli-service', 'dist'],
  ['parcel', 'dist'],
  ['vite', 'dist'],
]

/** Frameworks that use these generators for servers. */
const SERVERS =
  /^(@astrojs\/(node|vercel|netlify|cloudflare)|@sveltejs\/kit|nuxt|@remix-run\/.*|@react-router\/.*|vike|express|fastify|hono|koa)$/

/** The folder that the build script will fill with files to serve; undefined when that is not clear. */
export function siteFolder(files: SourceFiles, pack: Package): string | undefined {
  if (pack.scripts['build'] === undefined || files.paths.includes('Procfile')) return undefined
  const names = Object.keys(pack.all)
  if (names.some((name) => SERVERS.test(name))) return undefined
  return GENERATORS.find(([name]) => names.includes(name))?.[1]
}
