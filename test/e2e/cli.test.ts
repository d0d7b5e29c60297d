import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { run } from '../../src/lib/exec.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'helios-cli-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const helios = async (...args: string[]) => {
  const result = await run([process.execPath, 'dist/main.js', ...args], {
    env: { HELIOS_DATA_DIR: join(dir, 'data') },
    okCodes: [0, 1, 2, 5],
  })
  return { code: result.code, out: result.stdout.toString(), err: result.stderr }
}

test('version prints a line or JSON', async () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
  expect(await helios('version')).toMatchObject({ code: 0, out: `helios ${version}\n` })
  expect(JSON.parse((await helios('version', '--json')).out)).toEqual({ version })
})

test('an unknown command names the near one and exits with 2', async () => {
  const { code, err } = await helios('versoin')
  expect(code).toBe(2)
  expect(err).toContain('Did you mean: helios version?')
})

test('db:migrate provisions a database from zero and is safe to run again', async () => {
  expect((await helios('db:migrate')).out).toContain('applied 0000_init.sql')
  expect((await helios('db:migrate')).out).toContain('up to date')
})
