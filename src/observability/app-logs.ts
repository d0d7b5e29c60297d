/**
 * @module
 * What the instances of apps wrote: kept on disk within a budget an app, read back and followed.
 */
import { closeSync, fstatSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { type Bell, createBell } from '../lib/bell.ts'
import { HeliosError, messageOf, show } from '../lib/errors.ts'
import { isId } from '../lib/ids.ts'
import { type LineAt, linesBefore, linesFrom } from '../lib/line-file.ts'
import {
  type Cursors,
  type LogStore,
  openLogStore,
  type StoredLine,
  segmentPath,
  storedLine,
} from './log-store.ts'

/**
 * A line an instance wrote; `at` is RFC 3339 with nanoseconds, `instance` like `web.1`, `source` the
 * container, `id` a place to go on after.
 */
export type AppLine = StoredLine & { id: string }

/** Which lines: of a process (`web`) or one instance (`web.1`), not older than a time (ms since 1970). */
type Which = { process?: string | undefined; sinceMs?: number | undefined }

/** The lines of every app by its id; an id of another form throws `not_found`. */
export type AppLogs = {
  /** Store lines in this order; all are in the file when it returns, or none. @throws {HeliosError} HP50 */
  append(appId: string, lines: readonly StoredLine[]): void
  /** The last `lines` (at most 10,000), the oldest first; looks back through at most 16 MiB. */
  tail(appId: string, opts: Which & { lines: number }): AppLine[]
  /**
   * Lines as they come until the app is removed or the signal aborts: after `after`, or after the last `lines` (none).
   * Lines that left the budget before a slow reader came to them are passed over.
   */
  follow(
    appId: string,
    opts: Which & { after?: string | undefined; lines?: number | undefined },
    signal: AbortSignal,
  ): AsyncIterable<AppLine>
  /** How far the output of a container is stored; undefined when nothing of it is. */
  lastOf(appId: string, source: string): Cursors | undefined
  /** Delete everything of an app; one without lines is fine. */
  removeApp(appId: string): void
  /** Close all files; the next use opens them again. */
  close(): void
}

const MAX_TAIL = 10_000
const MAX_LOOK_BACK_BYTES = 16 * 1024 * 1024
const LOOK_AGAIN_MS = 1000
const DEFAULT_BUDGET_BYTES = 100 * 1024 * 1024

type Place = { segment: number; offset: number }
type App = { dir: string; store: LogStore; bell: Bell; removed: boolean }

/** Make the store below a folder; `budgetBytes` is for each app (100 MiB). */
export function createAppLogs(opts: { dir: string; budgetBytes?: number }): AppLogs {
  const apps = new Map<string, App>()
  const appOf = (appId: string): App => {
    const known = apps.get(appId)
    if (known !== undefined) return known
    if (!isId('app', appId)) throw new HeliosError('not_found', `There are no logs ${show(appId)}`)
    const dir = join(opts.dir, appId)
    const store = openLogStore(dir, opts.budgetBytes ?? DEFAULT_BUDGET_BYTES)
    const app = { dir, store, bell: createBell(), removed: false }
    apps.set(appId, app)
    return app
  }
  return {
    append: (appId, lines) => {
      if (lines.length === 0) return
      try {
        appOf(appId).store.append(lines)
      } catch (cause) {
        if (cause instanceof HeliosError) throw cause
        const message = `The output of ${appId} cannot be stored: ${messageOf(cause)}`
        throw new HeliosError('HP50', message, { cause })
      }
      appOf(appId).bell.ring()
    },
    tail: (appId, which) => {
      return tailOf(appOf(appId), which)
    },
    async *follow(appId, which, signal) {
      yield* followApp(appOf(appId), which, signal)
    },
    lastOf: (appId, source) => appOf(appId).store.cursorsOf(source),
    removeApp: (appId) => {
      const app = appOf(appId)
      apps.delete(appId)
      app.removed = true
      app.store.close()
      rmSync(app.dir, { recursive: true, force: true })
      app.bell.ring()
    },
    close: () => {
      for (const app of apps.values()) app.store.close()
      apps.clear()
    },
  }
}

async function* followApp(
  app: App,
  which: Which & { after?: string | undefined; lines?: number | undefined },
  signal: AbortSignal,
): AsyncGenerator<AppLine> {
  const wanted = filterOf(which)
  const end = app.store.end()
  const after = placeOf(which.after)
  if (after === undefined) yield* tailOf(app, { ...which, lines: which.lines ?? 0 })
  for await (const { text, id } of linesAfter(app, after ?? end, signal)) {
    const line = wanted(text)
    if (line !== undefined) yield { ...line, id }
    if (signal.aborted) return
  }
}

/** Every line behind a place, waiting for more at the end; memory is one piece of a file. */
async function* linesAfter(
  app: App,
  after: Place,
  signal: AbortSignal,
): AsyncGenerator<{ text: string; id: string }> {
  const reader = createReader(app)
  try {
    for (let place = after; !signal.aborted && !app.removed; ) {
      const seen = app.bell.count()
      const { lines, from } = reader.read(place)
      const { segment } = from
      for (const { text, end } of lines) yield { text, id: `${segment}-${end}` }
      place = { segment, offset: lines.at(-1)?.end ?? from.offset }
      const next = app.store.segments().find((one) => one > segment)
      if (lines.length > 0) await setImmediate()
      else if (next !== undefined) place = { segment: next, offset: 0 }
      else await app.bell.wait(seen, LOOK_AGAIN_MS, signal)
    }
  } finally {
    reader.close()
  }
}

/** Keeps the segment it reads open, so that it is read to its end even when it is deleted meanwhile. */
function createReader(app: App): {
  read(place: Place): { lines: LineAt[]; from: Place }
  close(): void
} {
  let open: { segment: number; fd: number } | undefined
  const close = (): void => {
    if (open) closeSync(open.fd)
    open = undefined
  }
  return {
    read: (place) => {
      if (open?.segment === place.segment) {
        return { lines: linesFrom(open.fd, place.offset), from: place }
      }
      close()
      const from = existing(app.store, place)
      const fd = openSync(segmentPath(app.dir, from.segment), 'r')
      open = { segment: from.segment, fd }
      return { lines: linesFrom(fd, from.offset), from }
    },
    close,
  }
}

/** The place itself, or the nearest after it that still exists; a place nobody gave out is the end. */
function existing(store: LogStore, place: Place): Place {
  const end = store.end()
  const segment = store.segments().find((one) => one >= place.segment)
  if (segment === undefined) return end
  if (segment !== place.segment) return { segment, offset: 0 }
  return segment === end.segment && place.offset > end.offset ? end : place
}

function placeOf(id: string | undefined): Place | undefined {
  const [, segment, offset] = /^(\d{1,15})-(\d{1,15})$/.exec(id ?? '') ?? []
  return segment === undefined ? undefined : { segment: Number(segment), offset: Number(offset) }
}

function tailOf(app: App, which: Which & { lines: number }): AppLine[] {
  const limit = Math.min(which.lines, MAX_TAIL)
  const wanted = filterOf(which)
  const found: AppLine[] = []
  if (limit <= 0) return found
  for (const { text, id } of linesBack(app)) {
    const line = wanted(text)
    if (line !== undefined) found.push({ ...line, id })
    if (found.length === limit) break
  }
  return found.reverse()
}

/** The newest line first, as far back as a look may go. */
function* linesBack(app: App): Generator<{ text: string; id: string }> {
  let left = MAX_LOOK_BACK_BYTES
  for (const segment of app.store.segments().toReversed()) {
    const fd = openSync(segmentPath(app.dir, segment), 'r')
    try {
      for (let before = fstatSync(fd).size; before > 0 && left > 0; ) {
        const { lines, start } = linesBefore(fd, before)
        for (const { text, end } of lines.toReversed()) yield { text, id: `${segment}-${end}` }
        left -= before - start
        before = start
      }
    } finally {
      closeSync(fd)
    }
  }
}

/** Parses only lines that can be wanted: most of a file is passed over by a look at its text. */
function filterOf({ process, sinceMs }: Which): (text: string) => StoredLine | undefined {
  const since = sinceMs === undefined ? '' : new Date(sinceMs).toISOString().slice(0, -1)
  const name = process === undefined ? undefined : JSON.stringify(process)
  return (text) => {
    if (name !== undefined && !text.includes(name)) return undefined
    const line = storedLine(text)
    if (line === undefined || line.at < since) return undefined
    return process === undefined || line.process === process || line.instance === process
      ? line
      : undefined
  }
}
