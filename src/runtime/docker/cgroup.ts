/**
 * @module
 * The files in which the kernel keeps limits and use of memory and CPU, in both versions of cgroups.
 */
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Length of the period in which a CPU quota is given, as the engine has it. */
const CPU_PERIOD_US = 100_000
const PEAK_SLACK = 2 * 1024 * 1024

/** A limit for everything in one cgroup. */
export type CgroupLimit = { memoryBytes: number; cpus: number; pids: number }

/** What a cgroup went through so far; undefined where the kernel does not tell. */
export type CgroupCounters = {
  /** CPU time used. */
  cpuTime: number | undefined
  /** Processes killed for memory; version 1 does not count those of ended children. */
  oomKills: number | undefined
}

/** Where cgroups are mounted, and which version. */
export type CgroupMount = { root: string; version: 1 | 2 }

/** Folder of a cgroup (a path from the root of the hierarchy) for one controller. */
export function cgroupFolder(mount: CgroupMount, path: string, controller: string): string {
  return mount.version === 2 ? join(mount.root, path) : join(mount.root, controller, path)
}

/** Limit a cgroup. @throws the system's error when a file is missing or may not be written. */
export function writeLimit(mount: CgroupMount, path: string, limit: CgroupLimit): void {
  const quota = Math.max(1000, Math.round(limit.cpus * CPU_PERIOD_US))
  const file = (controller: string, name: string): string =>
    join(cgroupFolder(mount, path, controller), name)
  if (mount.version === 2) {
    writeText(file('memory', 'memory.max'), `${limit.memoryBytes}`)
    writeIfThere(file('memory', 'memory.swap.max'), '0')
    writeText(file('cpu', 'cpu.max'), `${quota} ${CPU_PERIOD_US}`)
    writeIfThere(file('pids', 'pids.max'), `${limit.pids}`)
    return
  }
  // The kernel holds memory+swap >= memory at every moment, so the order depends on the way.
  const memory = (): void =>
    writeText(file('memory', 'memory.limit_in_bytes'), `${limit.memoryBytes}`)
  const swap = (): void =>
    writeIfThere(file('memory', 'memory.memsw.limit_in_bytes'), `${limit.memoryBytes}`)
  const raise = limit.memoryBytes > readNumber(file('memory', 'memory.limit_in_bytes'))
  for (const step of raise ? [swap, memory] : [memory, swap]) step()
  writeText(file('cpu', 'cpu.cfs_quota_us'), `${quota}`)
  writeIfThere(file('pids', 'pids.max'), `${limit.pids}`)
}

/** Make a cgroup and, in version 2, let its parents pass down the controllers that limit. @throws the system's error. */
export function makeCgroup(mount: CgroupMount, path: string): void {
  const controllers = mount.version === 2 ? [''] : ['memory', 'cpu', 'cpuacct', 'pids']
  for (const controller of controllers) {
    // Without a mounted hierarchy there this would make plain folders.
    statSync(join(cgroupFolder(mount, '/', controller), 'cgroup.procs'))
    mkdirSync(cgroupFolder(mount, path, controller), { recursive: true })
  }
  if (mount.version === 1) return
  for (let parent = dirname(path), done = false; !done; parent = dirname(parent)) {
    writeText(join(mount.root, parent, 'cgroup.subtree_control'), '+memory +cpu +pids')
    done = parent === '/'
  }
}

/** Read what a cgroup went through. */
export function readCounters(mount: CgroupMount, path: string): CgroupCounters {
  if (mount.version === 2) {
    const { usage_usec } = keyed(textOf(join(mount.root, path, 'cpu.stat')))
    const { oom_kill } = keyed(textOf(join(mount.root, path, 'memory.events')))
    return { cpuTime: usage_usec, oomKills: oom_kill }
  }
  const usage = textOf(join(cgroupFolder(mount, path, 'cpuacct'), 'cpuacct.usage'))
  return { cpuTime: usage === '' ? undefined : Number(usage), oomKills: undefined }
}

/** Begin to measure the most memory a cgroup uses; version 1 only. */
export function resetPeak(mount: CgroupMount, path: string): void {
  if (mount.version === 1) writeIfThere(peakFile(mount, path), '0')
}

/** Whether a cgroup reached its limit since {@link resetPeak}; version 1 only. */
export function reachedLimit(mount: CgroupMount, path: string): boolean | undefined {
  const limit = textOf(join(cgroupFolder(mount, path, 'memory'), 'memory.limit_in_bytes'))
  const peak = textOf(peakFile(mount, path))
  // Memory is charged in batches: the last one that did not fit is missing in the peak.
  return limit === '' || peak === '' ? undefined : Number(peak) >= Number(limit) - PEAK_SLACK
}

function peakFile(mount: CgroupMount, path: string): string {
  return join(cgroupFolder(mount, path, 'memory'), 'memory.max_usage_in_bytes')
}

/** Memory a process' cgroup uses, without file cache that can go at once; undefined when it cannot be told. */
export async function memoryOfProcess(
  pid: number,
  proc = '/proc',
  root = '/sys/fs/cgroup',
): Promise<number | undefined> {
  try {
    const { path, v2 } = memoryCgroup(await readFile(`${proc}/${pid}/cgroup`, 'utf8'))
    const folder = v2 ? join(root, path) : join(root, 'memory', path)
    const [usage, stat] = await Promise.all([
      readFile(join(folder, v2 ? 'memory.current' : 'memory.usage_in_bytes'), 'latin1'),
      readFile(join(folder, 'memory.stat'), 'latin1'),
    ])
    const cache = keyed(stat)[v2 ? 'inactive_file' : 'total_inactive_file'] ?? 0
    return Math.max(0, Number(usage) - cache)
  } catch {
    return undefined
  }
}

/** Find the cgroup that accounts memory in the text of `/proc/PID/cgroup`. @throws when there is none. */
export function memoryCgroup(text: string): { path: string; v2: boolean } {
  const lines = text.split('\n').map((line) => /^\d+:([^:]*):(.*)$/.exec(line))
  const v1 = lines.find((line) => line?.[1]?.split(',').includes('memory'))
  const line = v1 ?? lines.find((each) => each?.[1] === '')
  if (line?.[2] === undefined) throw new Error('no memory cgroup')
  return { path: line[2], v2: v1 === undefined }
}

function keyed(text: string): Record<string, number> {
  const entries = text.split('\n').map((line) => line.split(' '))
  return Object.fromEntries(entries.map(([key = '', value]) => [key, Number(value)]))
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim()
  } catch {
    return ''
  }
}

function readNumber(path: string): number {
  return Number(readFileSync(path, 'latin1'))
}

// Never makes a file: what is not there is not the kernel's.
function writeText(path: string, text: string): void {
  writeFileSync(path, text, { flag: 'r+' })
}

// Kernels without swap accounting or the pids controller lack these files.
function writeIfThere(path: string, text: string): void {
  try {
    writeText(path, text)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
