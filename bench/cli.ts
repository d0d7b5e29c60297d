/**
 * @module
 * Cold start of the command line against an empty Node script: `version`, and `status` of an app over HTTP.
 *
 * Run: node bench/cli.ts [--rounds N]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createApiServer } from '../src/api/server.ts'
import { makeApi } from '../test/api/support.ts'
import { buildCli } from '../test/support/cli.ts'
import { median, print } from './support.ts'

const TARGET = 1.5

/** Milliseconds from the start of a process to its end. */
async function timed(argv: string[], env: Record<string, string>): Promise<number> {
  const [program = '', ...args] = argv
  const began = performance.now()
  const child = spawn(program, args, { env, stdio: 'ignore' })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}`)
  return performance.now() - began
}

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '30' } } })
const dir = mkdtempSync(join(tmpdir(), 'helios-bench-'))
const empty = join(dir, 'empty.mjs')
writeFileSync(empty, '')
const built = await buildCli()
const at = makeApi()
at.newApp('shop')
at.deploy('shop')
const server = createApiServer(at.deps, { listen: { host: '127.0.0.1', port: 0 } })
await server.start(AbortSignal.timeout(10_000))
const { PATH = '' } = process.env
const env = {
  PATH,
  HOME: dir,
  HELIOS_SERVER: `http://127.0.0.1:${server.address().port}`,
  HELIOS_TOKEN: at.tokens.owner,
}
const lines: Record<string, string[]> = {
  empty: [process.execPath, empty],
  version: [process.execPath, built.file, 'version'],
  status: [process.execPath, built.file, 'status', 'shop'],
}
const times: Record<string, number[]> = { empty: [], version: [], status: [] }
try {
  // Side by side in each round, so that a busy moment of the machine is shared.
  for (let round = -2; round < Number(values.rounds); round++) {
    for (const [name, argv] of Object.entries(lines)) {
      const ms = await timed(argv, env)
      if (round >= 0) times[name]?.push(ms)
    }
  }
} finally {
  await server.stop(AbortSignal.timeout(10_000))
  at.close()
  built.remove()
  rmSync(dir, { recursive: true, force: true })
}
const base = median(times['empty'] ?? [])
const ms = (value: number): string => `${value.toFixed(1)} ms`
print(
  'cli',
  ['version', 'status'].map((name) => {
    const value = median(times[name] ?? [])
    return {
      what: `cold helios ${name}`,
      value: ms(value),
      baseline: `empty script ${ms(base)}`,
      ratio: value / base,
      ...(name === 'version' ? { target: `at most ${TARGET}` } : {}),
    }
  }),
)
