import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { run } from '../lib/exec.ts'
import { migrate, readMigrations } from './migrate.ts'
import { type Db, inTransaction, lockDataDir, openDatabase } from './open.ts'

let dir: string
let db: Db
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'helios-db-'))
  db = openDatabase(dir)
})
afterEach(() => {
  db.$client.close()
  rmSync(dir, { recursive: true, force: true })
})

const first = {
  name: '0000_first.sql',
  statements: [
    'CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT)',
    'CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER NOT NULL REFERENCES parent(id) ON DELETE CASCADE)',
    "INSERT INTO parent VALUES (1, 'a')",
    'INSERT INTO child VALUES (1, 1), (2, 1)',
  ],
}
const rebuild = {
  name: '0001_rebuild.sql',
  statements: [
    'CREATE TABLE __new_parent (id INTEGER PRIMARY KEY, name TEXT NOT NULL)',
    'INSERT INTO __new_parent SELECT * FROM parent',
    'DROP TABLE parent',
    'ALTER TABLE __new_parent RENAME TO parent',
  ],
}
const count = (table: string): unknown =>
  db.$client.prepare(`SELECT count(*) FROM ${table}`).pluck().get()

test('the migrations of the repository make a database from nothing, once', () => {
  const files = readMigrations('drizzle')
  expect(migrate(db, files)).toEqual(files.map((file) => file.name))
  expect(migrate(db, files)).toEqual([])
  expect(count('jobs')).toBe(0)
})

test('a table rebuild keeps child rows and leaves a copy of before', () => {
  migrate(db, [first])
  migrate(db, [first, rebuild])
  expect(count('child')).toBe(2)
  expect(db.$client.pragma('foreign_keys', { simple: true })).toBe(1)
  expect(readdirSync(dir).filter((name) => name.includes('before-0000_first.sql'))).toHaveLength(1)
})

test('a migration that fails or orphans rows changes nothing', () => {
  migrate(db, [first])
  const orphan = { name: '0001_orphan.sql', statements: ['DELETE FROM parent'] }
  expect(() => migrate(db, [first, orphan])).toThrow('2 rows without their parent')
  const broken = { name: '0001_broken.sql', statements: ['DELETE FROM child', 'NONSENSE'] }
  expect(() => migrate(db, [first, broken])).toThrow(/NONSENSE/)
  expect([count('parent'), count('child'), count('migrations')]).toEqual([1, 2, 1])
})

test('a newer database is refused', () => {
  migrate(db, [first, rebuild])
  expect(() => migrate(db, [first])).toThrow('0001_rebuild.sql')
})

test('commits are durable and transactions whole', () => {
  expect(db.$client.pragma('synchronous', { simple: true })).toBe(2)
  expect(db.$client.pragma('journal_mode', { simple: true })).toBe('wal')
  migrate(db, [first])
  const failing = (): never => {
    db.$client.exec('DELETE FROM child')
    throw new Error('no')
  }
  expect(() => inTransaction(db, failing)).toThrow('no')
  expect(count('child')).toBe(2)
})

test('a second process cannot take the data dir until the first gives it back', async () => {
  const lock = lockDataDir(dir)
  const script = `import { lockDataDir } from ${JSON.stringify(join(import.meta.dirname, 'open.ts'))}
    try { lockDataDir(${JSON.stringify(dir)}) } catch (error) { process.stdout.write(error.code) }`
  const second = () => run([process.execPath, '--input-type=module', '-e', script])
  expect((await second()).stdout.toString()).toBe('data_dir_locked')
  lock.release()
  expect((await second()).stdout.toString()).toBe('')
})
