/**
 * @module
 * Collect what every instance writes, once and in order, over restarts of Helios and of the engine.
 */
import { sleep } from '../lib/async.ts'
import type { Part } from '../lib/lifecycle.ts'
import type { Logger } from '../lib/log.ts'
import type { Instance, LogLine, Runtime } from '../runtime/types.ts'
import { identityOf } from './labels.ts'

type Stream = LogLine['stream']
type Cursors = Partial<Record<Stream, { at: string; sameAt: number }>>
type StoredLine = LogLine & { process: string; instance: string; source: string }

/** What the collector works with. */
type CollectorDeps = {
  runtime: Pick<Runtime, 'logs' | 'listInstances' | 'inspectInstance' | 'events'>
  appLogs: {
    append(appId: string, lines: readonly StoredLine[]): void
    lastOf(appId: string, source: string): Cursors | undefined
  }
  /** Labels of what belongs to this server. */
  labels: Record<string, string>
  log: Logger
}

/** The part that stores the output of instances; it finds them by itself. */
export type Collector = Part & {
  /** Follow an instance now rather than when the engine tells of it; twice is fine. */
  watch(instance: Pick<Instance, 'id' | 'labels'>): void
  /** Stop following; what is not stored yet is lost if the instance is removed. */
  forget(instanceId: string): void
  /** Resolves when everything the instance wrote so far is stored, or the deadline has passed; never rejects. */
  flush(instanceId: string, deadlineMs: number): Promise<void>
}

const MIN_WAIT_MS = 200
const MAX_WAIT_MS = 10_000
const BATCH_LINES = 500
const BATCH_BYTES = 64 * 1024
const BATCH_MS = 50
/** More than this is taken a second later, so that a flood of one app leaves time for all others. */
const LINES_A_SECOND = 20_000
/** Output and errors of an instance are timed apart and may be written slightly out of order. */
const OVERLAP_MS = 2000

type Watch = {
  id: string
  app: string
  process: string
  name: string
  stop: AbortController
  /** Ends the current follow, so that it catches up first. */
  interrupt: AbortController
  /** It was started anew since the loop last looked. */
  again: boolean
  flushes: (() => void)[]
  /** Until the next try; grows while the engine or the disk fails. */
  waitMs: number
  task: Promise<void>
}

/** Make the collector; nothing is read before it is started. */
export function createCollector(deps: CollectorDeps): Collector {
  const stopping = new AbortController()
  const watches = new Map<string, Watch>()
  let connected = false
  let running: Promise<void> = Promise.resolve()

  const watch = ({ id, labels }: Pick<Instance, 'id' | 'labels'>): Watch | undefined => {
    const who = identityOf(labels)
    if (who === undefined || stopping.signal.aborted) return undefined
    const known = watches.get(id)
    if (known !== undefined) {
      known.again = true
      return known
    }
    const name = `${who.process}.${who.index}`
    const made = newWatch({ id, app: who.app, process: who.process, name })
    watches.set(id, made)
    const signal = AbortSignal.any([stopping.signal, made.stop.signal])
    made.task = collect(deps, made, signal).finally(() => {
      watches.delete(id)
      for (const done of made.flushes.splice(0)) done()
    })
    return made
  }
  const flush = async (id: string): Promise<void> => {
    const known = watches.get(id) ?? (await adopt(id))
    if (known === undefined) return
    await new Promise<void>((resolve) => {
      known.flushes.push(resolve)
      known.interrupt.abort()
    })
  }
  const adopt = async (id: string): Promise<Watch | undefined> => {
    const instance = await deps.runtime.inspectInstance(id)
    return instance && watch(instance)
  }
  const run = async (signal: AbortSignal): Promise<void> => {
    for await (const event of deps.runtime.events(deps.labels, signal)) {
      if (event.type === 'connected') {
        connected = true
        for (const instance of await listPatiently(deps, signal)) watch(instance)
      } else if (event.type === 'start' && event.id !== undefined) {
        watch({ id: event.id, labels: event.labels ?? {} })
      }
    }
  }

  return {
    name: 'collector',
    start: async () => {
      running = run(stopping.signal).catch((error: unknown) => {
        connected = false
        if (!stopping.signal.aborted) deps.log.error({ err: error }, 'logs are not collected')
      })
    },
    stop: async () => {
      stopping.abort()
      await running
      await Promise.all([...watches.values()].map(({ task }) => task))
    },
    state: () => (connected ? { ok: true } : { ok: false, detail: 'waits for the engine' }),
    watch: (instance) => void watch(instance),
    forget: (id) => watches.get(id)?.stop.abort(),
    flush: async (id, deadlineMs) => {
      const timer = new AbortController()
      const late = sleep(deadlineMs, AbortSignal.any([timer.signal, stopping.signal]))
      await Promise.race([flush(id), late]).catch(() => undefined)
      timer.abort()
    },
  }
}

function newWatch(who: Pick<Watch, 'id' | 'app' | 'process' | 'name'>): Watch {
  return {
    ...who,
    stop: new AbortController(),
    interrupt: new AbortController(),
    again: false,
    flushes: [],
    waitMs: MIN_WAIT_MS,
    task: Promise.resolve(),
  }
}

async function listPatiently(deps: CollectorDeps, signal: AbortSignal): Promise<Instance[]> {
  for (;;) {
    try {
      return await deps.runtime.listInstances(deps.labels)
    } catch (error) {
      deps.log.warn({ err: error }, 'instances cannot be listed to collect their logs')
      await sleep(MAX_WAIT_MS / 2, signal)
    }
  }
}

/** Read on until the instance ended and all it wrote is stored; never rejects. */
async function collect(deps: CollectorDeps, watch: Watch, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    watch.again = false
    watch.interrupt = new AbortController()
    if (await readOn(deps, watch, signal)) return
    const ends = AbortSignal.any([signal, watch.interrupt.signal])
    await sleep(watch.waitMs, ends).catch(() => undefined)
  }
}

/** One follow and what it missed; gives whether no more will come. */
async function readOn(deps: CollectorDeps, watch: Watch, signal: AbortSignal): Promise<boolean> {
  // Only those who asked before the last reading began get what they asked for by it.
  let served: Watch['flushes'] = []
  try {
    if (watch.flushes.length === 0) {
      await read(deps, watch, true, AbortSignal.any([signal, watch.interrupt.signal]))
    }
    served = watch.flushes.splice(0)
    // A followed stream may end before the last write.
    await read(deps, watch, false, signal)
    for (const done of served) done()
    watch.waitMs = MIN_WAIT_MS
    const instance = await deps.runtime.inspectInstance(watch.id)
    if (instance === undefined) return true
    // The engine tells when one that restarts has started.
    return instance.state !== 'running' && !watch.again && watch.flushes.length === 0
  } catch (error) {
    watch.flushes.unshift(...served)
    const found = deps.runtime.inspectInstance(watch.id)
    const gone = await found.then((instance) => instance === undefined).catch(() => false)
    if (signal.aborted || gone) return true
    if (watch.waitMs === MIN_WAIT_MS) {
      deps.log.warn({ err: error, instance: watch.id, app: watch.app }, 'logs wait to be collected')
    }
    watch.waitMs = Math.min(MAX_WAIT_MS, watch.waitMs * 2)
    return false
  }
}

/** Store what came since the last stored line, with `follow` as long as the instance writes. */
async function read(
  deps: CollectorDeps,
  watch: Watch,
  follow: boolean,
  signal: AbortSignal,
): Promise<void> {
  const cursors = deps.appLogs.lastOf(watch.app, watch.id) ?? {}
  const isNew = skipStored(cursors)
  const failed = new AbortController()
  const batch = createBatch((lines) => deps.appLogs.append(watch.app, lines), failed)
  const ends = AbortSignal.any([signal, failed.signal])
  try {
    const opts = { ...sinceOf(cursors), follow }
    for await (const line of deps.runtime.logs(watch.id, opts, ends)) {
      if (!isNew(line)) continue
      const { id: source, process, name: instance } = watch
      if (follow) await batch.pace(ends)
      batch.add({ ...line, process, instance, source })
    }
    failed.signal.throwIfAborted()
    // The last of a followed stream may be half a line: the read without follow has it whole.
    if (!follow && !signal.aborted) batch.store()
  } finally {
    batch.close()
  }
}

function sinceOf(cursors: Cursors): { since?: string } {
  const last = [cursors.stdout?.at ?? '', cursors.stderr?.at ?? ''].sort().at(-1) ?? ''
  if (last === '') return {}
  return { since: new Date(Date.parse(last) - OVERLAP_MS).toISOString() }
}

/** Tell lines that are stored already from new ones, each stream by its own cursor. */
function skipStored(cursors: Cursors): (line: LogLine) => boolean {
  const left: Cursors = structuredClone(cursors)
  return ({ stream, at }) => {
    const cursor = left[stream]
    if (cursor === undefined) return true
    if (at < cursor.at) return false
    if (at === cursor.at && cursor.sameAt > 0) {
      cursor.sameAt -= 1
      return false
    }
    delete left[stream]
    return true
  }
}

type Batch = {
  /** The last line added always waits: the caller may drop it. */
  add(line: StoredLine): void
  store(): void
  pace(signal: AbortSignal): Promise<void>
  close(): void
}

function createBatch(append: (lines: StoredLine[]) => void, failed: AbortController): Batch {
  let waiting: StoredLine[] = []
  let bytes = 0
  let timer: NodeJS.Timeout | undefined
  let second = { began: performance.now(), lines: 0 }
  const close = (): void => {
    clearTimeout(timer)
    timer = undefined
    waiting = []
    bytes = 0
  }
  const store = (): void => {
    const lines = waiting
    close()
    if (lines.length > 0) append(lines)
  }
  const storeLater = (): void => {
    try {
      store()
    } catch (error) {
      failed.abort(error)
    }
  }
  return {
    add: (line) => {
      if (waiting.length >= BATCH_LINES || bytes >= BATCH_BYTES) store()
      waiting.push(line)
      bytes += line.text.length
      second.lines += 1
      timer ??= setTimeout(storeLater, BATCH_MS)
    },
    store,
    pace: async (signal) => {
      if (second.lines < LINES_A_SECOND) return
      const left = second.began + 1000 - performance.now()
      if (left > 0) await sleep(left, signal).catch(() => undefined)
      second = { began: performance.now(), lines: 0 }
    },
    close,
  }
}
