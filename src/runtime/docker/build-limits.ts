/**
 * @module
 * Memory and CPU caps on builds: BuildKit knows none, so they are written on the cgroups of its steps.
 *
 * With the driver `cgroupfs` all steps run below one parent, which gets the sum of the limits of the
 * builds that run: together they cannot take more. With `systemd` each step is a scope of its own,
 * which gets the largest of these limits as soon as it appears.
 */
import { type FSWatcher, watch } from 'node:fs'
import { join } from 'node:path'
import { sleep } from '../../lib/async.ts'
import { messageOf } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import {
  type CgroupCounters,
  type CgroupLimit,
  type CgroupMount,
  cgroupFolder,
  makeCgroup,
  reachedLimit,
  readCounters,
  resetPeak,
  writeLimit,
} from './cgroup.ts'

/** Processes of all steps together: enough for any compiler, too few for a fork bomb. */
const MAX_PIDS = 4096
/** A step's name as BuildKit makes it; containers have 64 hexadecimal digits. */
const SCOPE = /^docker-[a-z0-9]{25}\.scope$/
const WRITE_TRIES = 20

/** What one build may use. */
type BuildShare = { memoryBytes: number; cpus: number }

/** The hold on one running build. */
export type BuildHold = {
  /** Memory that all running builds share now. */
  memoryBytes(): number
  /** Whether memory ran out since the build began; undefined when the kernel does not tell. */
  memoryRanOut(): boolean | undefined
  /** Whether a step was seen under the limit; undefined when it cannot be told. */
  stepSeen(): boolean | undefined
  release(): void
}

/** Caps the builds of one engine. */
export type BuildLimits = { hold(share: BuildShare): BuildHold }

/** What the engine says about its cgroups. */
type EngineCgroups = { driver: string; version: string }

/** Make the caps, or say why they cannot work on this engine and machine. */
export function createBuildLimits(opts: {
  engine: EngineCgroups
  /** Parent of the engine's containers, its own default when absent. */
  parent?: string | undefined
  root: string
  log: Logger
}): BuildLimits | { why: string } {
  const { driver } = opts.engine
  const mount: CgroupMount = { root: opts.root, version: opts.engine.version === '2' ? 2 : 1 }
  try {
    if (driver === 'cgroupfs') return underParent(mount, opts.parent ?? 'docker', opts.log)
    if (driver === 'systemd') return perStep(mount, opts.parent ?? 'system.slice', opts.log)
    return { why: `the engine's cgroup driver is ${driver}` }
  } catch (error) {
    return { why: messageOf(error) }
  }
}

function underParent(mount: CgroupMount, parent: string, log: Logger): BuildLimits {
  const path = join('/', parent, 'buildkit')
  makeCgroup(mount, path)
  // Proves the right to write; no build runs yet.
  writeLimit(mount, path, { memoryBytes: 2 ** 40, cpus: 1024, pids: MAX_PIDS })
  const shares = new Set<BuildShare>()
  const apply = (): void => writeLimit(mount, path, sumOf(shares))
  return {
    hold: (share) => {
      if (shares.size === 0) attempt(() => resetPeak(mount, path), log)
      shares.add(share)
      const before = readCounters(mount, path)
      attempt(apply, log)
      return {
        memoryBytes: () => sumOf(shares).memoryBytes,
        memoryRanOut: () => killed(before, readCounters(mount, path)) ?? reachedLimit(mount, path),
        stepSeen: () => grew(before, readCounters(mount, path)),
        release: () => {
          shares.delete(share)
          // Memory of ended steps may still be charged: then the old limit stays until the next build.
          if (shares.size > 0) attempt(apply, log)
        },
      }
    },
  }
}

function perStep(mount: CgroupMount, slice: string, log: Logger): BuildLimits {
  const folder = cgroupFolder(mount, slice, 'memory')
  const shares = new Set<BuildShare>()
  let watcher: FSWatcher | undefined
  let seen = 0
  const found = (name: string | null): void => {
    if (name === null || !SCOPE.test(name)) return
    seen += 1
    limitStep(mount, join(slice, name), largestOf(shares)).catch((error: unknown) =>
      log.warn({ err: error, step: name }, 'a build step runs without limits'),
    )
  }
  const start = (): FSWatcher =>
    watch(folder, (_, name) => found(name)).on('error', (error) =>
      log.warn({ err: error }, 'build steps are not watched'),
    )
  // Proves that the folder is there and can be watched.
  start().close()
  return {
    hold: (share) => {
      shares.add(share)
      watcher ??= start()
      const before = { seen, counters: readCounters(mount, slice) }
      return {
        memoryBytes: () => largestOf(shares).memoryBytes,
        memoryRanOut: () => killed(before.counters, readCounters(mount, slice)),
        stepSeen: () => seen > before.seen,
        release: () => {
          shares.delete(share)
          if (shares.size > 0) return
          watcher?.close()
          watcher = undefined
        },
      }
    },
  }
}

// The files of a new cgroup may come a moment after its folder; a step that ended needs no limit.
async function limitStep(mount: CgroupMount, path: string, limit: CgroupLimit): Promise<void> {
  for (let left = WRITE_TRIES; ; left -= 1) {
    try {
      writeLimit(mount, path, limit)
      return
    } catch (error) {
      if (left === 0 && (error as NodeJS.ErrnoException).code === 'ENOENT') return
      if (left === 0) throw error
      await sleep(5)
    }
  }
}

function sumOf(shares: Set<BuildShare>): CgroupLimit {
  const all = [...shares]
  return {
    memoryBytes: all.reduce((sum, each) => sum + each.memoryBytes, 0),
    cpus: all.reduce((sum, each) => sum + each.cpus, 0),
    pids: MAX_PIDS,
  }
}

function largestOf(shares: Set<BuildShare>): CgroupLimit {
  const all = [...shares]
  return {
    memoryBytes: Math.max(...all.map((each) => each.memoryBytes)),
    cpus: Math.max(...all.map((each) => each.cpus)),
    pids: MAX_PIDS,
  }
}

function killed(before: CgroupCounters, after: CgroupCounters): boolean | undefined {
  if (before.oomKills === undefined || after.oomKills === undefined) return undefined
  return after.oomKills > before.oomKills
}

function grew(before: CgroupCounters, after: CgroupCounters): boolean | undefined {
  if (after.cpuTime === undefined) return undefined
  return after.cpuTime > (before.cpuTime ?? 0)
}

function attempt(write: () => void, log: Logger): void {
  try {
    write()
  } catch (error) {
    log.warn({ err: error }, 'the limits of builds could not be changed')
  }
}
