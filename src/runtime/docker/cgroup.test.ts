import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { until } from '../../lib/async.ts'
import { silentLogger } from '../../lib/log.ts'
import { type BuildLimits, createBuildLimits } from './build-limits.ts'
import { memoryCgroup, memoryOfProcess } from './cgroup.ts'

const MIB = 2 ** 20
let root = ''

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'helios-cgroup-'))
})
afterEach(() => rmSync(root, { recursive: true }))

function put(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text)
}
// The kernel reads a write as a whole; a plain file keeps the end of a longer text.
const read = (path: string): string => readFileSync(join(root, path), 'latin1').trimEnd()

function limitsOf(driver: string, version: string, parent?: string): BuildLimits {
  const made = createBuildLimits({ engine: { driver, version }, parent, root, log: silentLogger() })
  if ('why' in made) throw new Error(made.why)
  return made
}

function version2(path: string): void {
  put(`${path}/memory.max`, 'max')
  put(`${path}/memory.swap.max`, 'max')
  put(`${path}/cpu.max`, 'max 100000')
  put(`${path}/pids.max`, 'max')
}

describe('one parent, version 2', () => {
  beforeEach(() => {
    put('cgroup.procs', '')
    put('cgroup.subtree_control', '')
    put('docker/cgroup.subtree_control', '')
    version2('docker/buildkit')
    put('docker/buildkit/cpu.stat', 'usage_usec 5\nuser_usec 3\n')
    put('docker/buildkit/memory.events', 'low 0\noom 0\noom_kill 1\n')
  })

  test('it gets the sum of what the running builds may use', () => {
    const limits = limitsOf('cgroupfs', '2')
    expect(read('docker/cgroup.subtree_control')).toBe('+memory +cpu +pids')
    const one = limits.hold({ memoryBytes: 100 * MIB, cpus: 1 })
    expect(read('docker/buildkit/memory.max')).toMatch(/^104857600/)
    expect(read('docker/buildkit/memory.swap.max')).toMatch(/^0/)
    expect(read('docker/buildkit/cpu.max')).toMatch(/^100000 100000/)
    const two = limits.hold({ memoryBytes: 200 * MIB, cpus: 0.5 })
    expect(read('docker/buildkit/memory.max')).toMatch(/^314572800/)
    expect(read('docker/buildkit/cpu.max')).toMatch(/^150000 100000/)
    expect([one.memoryBytes(), two.memoryBytes()]).toEqual([300 * MIB, 300 * MIB])
    one.release()
    expect(two.memoryBytes()).toBe(200 * MIB)
    two.release()
  })

  test('what happens meanwhile is seen', () => {
    const hold = limitsOf('cgroupfs', '2').hold({ memoryBytes: MIB, cpus: 1 })
    expect([hold.stepSeen(), hold.memoryRanOut()]).toEqual([false, false])
    put('docker/buildkit/cpu.stat', 'usage_usec 9\n')
    put('docker/buildkit/memory.events', 'oom_kill 2\n')
    expect([hold.stepSeen(), hold.memoryRanOut()]).toEqual([true, true])
    rmSync(join(root, 'docker/buildkit/cpu.stat'))
    expect(hold.stepSeen()).toBeUndefined()
  })
})

test('one parent, version 1, without swap accounting', () => {
  for (const controller of ['memory', 'cpu', 'cpuacct', 'pids'])
    put(`${controller}/cgroup.procs`, '')
  put('memory/p/buildkit/memory.limit_in_bytes', '9223372036854771712')
  put('memory/p/buildkit/memory.max_usage_in_bytes', '0')
  put('cpu/p/buildkit/cpu.cfs_quota_us', '-1')
  put('cpuacct/p/buildkit/cpuacct.usage', '7')
  const hold = limitsOf('cgroupfs', '1', '/p').hold({ memoryBytes: 100 * MIB, cpus: 2 })
  put('memory/p/buildkit/memory.limit_in_bytes', `${100 * MIB}`)
  expect(read('cpu/p/buildkit/cpu.cfs_quota_us')).toMatch(/^200000/)
  expect([hold.stepSeen(), hold.memoryRanOut()]).toEqual([false, false])
  put('memory/p/buildkit/memory.max_usage_in_bytes', `${100 * MIB - 4096}`)
  put('cpuacct/p/buildkit/cpuacct.usage', '8')
  expect([hold.stepSeen(), hold.memoryRanOut()]).toEqual([true, true])
})

test('steps that are scopes of their own get the largest limit as they appear', async () => {
  put('system.slice/memory.events', 'oom_kill 0\n')
  const limits = limitsOf('systemd', '2')
  const step = `system.slice/docker-${'a1'.repeat(12)}z.scope`
  const container = `system.slice/docker-${'a1'.repeat(32)}.scope`
  const hold = limits.hold({ memoryBytes: 100 * MIB, cpus: 1 })
  const other = limits.hold({ memoryBytes: 50 * MIB, cpus: 2 })
  expect(hold.stepSeen()).toBe(false)
  for (const path of [container, step]) version2(path)
  await until(() => read(`${step}/memory.max`).startsWith('104857600') || undefined, {
    everyMs: 5,
    signal: AbortSignal.timeout(5000),
  })
  expect(read(`${container}/memory.max`)).toBe('max')
  expect([hold.stepSeen(), hold.memoryRanOut(), other.memoryBytes()]).toEqual([
    true,
    false,
    100 * MIB,
  ])
  put('system.slice/memory.events', 'oom_kill 1\n')
  expect(hold.memoryRanOut()).toBe(true)
  hold.release()
  other.release()
})

test.each([
  ['cgroupfs', '1'],
  ['cgroupfs', '2'],
  ['systemd', '1'],
  ['systemd', '2'],
  ['none', '2'],
])('driver %s, version %s: nothing to write on is said', (driver, version) => {
  expect(
    createBuildLimits({ engine: { driver, version }, root, log: silentLogger() }),
  ).toMatchObject({ why: expect.stringMatching(/./) })
})

test.each([
  ['12:pids:/a\n4:cpu,memory:/b\n0::/c\n', { path: '/b', v2: false }],
  ['0::/system.slice/docker-x.scope\n', { path: '/system.slice/docker-x.scope', v2: true }],
])('%j is read', (text, expected) => {
  expect(memoryCgroup(text)).toEqual(expected)
})

test.each([
  [
    '4:memory:/a',
    'memory/a/memory.usage_in_bytes',
    'memory/a/memory.stat',
    'total_inactive_file 10\ninactive_file 5',
  ],
  ['0::/a', 'a/memory.current', 'a/memory.stat', 'anon 1\ninactive_file 10'],
])('memory in use of %s leaves out file cache', async (cgroup, usage, stat, text) => {
  put('proc/7/cgroup', cgroup)
  put(usage, '100\n')
  put(stat, text)
  expect(await memoryOfProcess(7, join(root, 'proc'), root)).toBe(90)
  expect(await memoryOfProcess(8, join(root, 'proc'), root)).toBeUndefined()
})
