import { renameSync, rmSync } from 'node:fs'
import { build } from 'esbuild'

// Packages written for require find these three; a chunk without such a package does not miss them.
const PRELUDE = `import { createRequire as createRequireOfChunk } from 'node:module'
import { dirname as dirnameOfChunk } from 'node:path'
const require = createRequireOfChunk(import.meta.url), __filename = import.meta.filename, __dirname = dirnameOfChunk(__filename)`

const [dir = 'dist'] = process.argv.slice(2)
const made = `${dir}.new`
rmSync(made, { recursive: true, force: true })
await build({
  entryPoints: { main: 'src/main.ts', 'ssh-worker': 'src/ssh/worker.ts' },
  outdir: made,
  // Packages too: loading them as some 2,000 files took four times the time of a start.
  bundle: true,
  external: ['better-sqlite3', 'cpu-features', '*.node'],
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  jsx: 'automatic',
  jsxImportSource: 'hono/jsx',
  sourcemap: 'linked',
  banner: { js: `#!/usr/bin/env node\n${PRELUDE}` },
  logLevel: 'warning',
})
// Whoever starts meanwhile finds the old or the new one.
rmSync(dir, { recursive: true, force: true })
renameSync(made, dir)
