/**
 * @module
 * The log of a deployment: append to it and follow it, over restarts of Helios.
 */
import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { type Bell, createBell } from '../lib/bell.ts'
import { HeliosError, messageOf, show } from '../lib/errors.ts'
import { isId } from '../lib/ids.ts'
import {
  type LineAt,
  type LineFile,
  linesBefore,
  linesFrom,
  openLineFile,
} from '../lib/line-file.ts'

/** A line of a log; `step` is what Helios says itself. `seq` counts from 1 without gaps, `at` is RFC 3339. */
export type Entry = { seq: number; at: string; stream: 'out' | 'err' | 'step'; text: string }

/** The logs of deployments by the id of each; an id of another form throws `not_found`. */
export type JobLogs = {
  /** Write a line; it is in the file when this returns. Nothing happens once the log has ended or is full. @throws {HeliosError} HP50 */
  append(id: string, line: Pick<Entry, 'stream' | 'text'>): void
  /** Lines after a seq, at most `limit` (1,000). */
  read(id: string, afterSeq?: number, limit?: number): Entry[]
  /** Lines after a seq as they come, until the log has ended, is removed, or the signal aborts. */
  follow(id: string, afterSeq: number, signal: AbortSignal): AsyncIterable<Entry>
  /** No more lines will come; may be repeated. */
  end(id: string): void
  /** Delete a log; one that is gone is fine. */
  remove(id: string): void
}

const MAX_BYTES = 10 * 1024 * 1024
/** Kept free for what Helios says itself: how a deployment ended must not be lost to a talkative build. */
const STEP_BYTES = 256 * 1024
/** A log below this has not become full: no line takes more than the difference. */
const NEARLY_FULL = 9 * 1024 * 1024
const MAX_TEXT = 64 * 1024
const MAX_READ = 1000
/** Looks again when no ring came, should another process have written. */
const LOOK_AGAIN_MS = 1000
const FULL = 'The log has reached 10 MiB: later output is not kept.'

type Open = { file: LineFile; seq: number; ended: boolean; full: boolean }
type Log = { bell: Bell; open: Open | undefined; removed: boolean; followers: number }

/** Make the logs below a folder, which is made when it is missing. */
export function createJobLogs(dir: string): JobLogs {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const logs = new Map<string, Log>()

  const logOf = (id: string): Log => {
    const log = logs.get(id) ?? {
      bell: createBell(),
      open: undefined,
      removed: false,
      followers: 0,
    }
    logs.set(id, log)
    return log
  }
  const letGo = (id: string, log: Log): void => {
    if (!log.open && log.followers === 0 && logs.get(id) === log) logs.delete(id)
  }
  const write = (id: string, change: (open: Open) => void): void => {
    const path = pathOf(dir, id)
    const log = logOf(id)
    try {
      log.open ??= openLog(path)
      change(log.open)
    } catch (error) {
      throw new HeliosError('HP50', `The log of ${id} cannot be written: ${messageOf(error)}`, {
        cause: error,
      })
    } finally {
      if (log.open?.ended) {
        log.open.file.close()
        log.open = undefined
      }
      log.bell.ring()
      letGo(id, log)
    }
  }

  return {
    append: (id, line) => write(id, (open) => appendLine(open, line)),
    end: (id) => write(id, endLog),
    read: (id, afterSeq = 0, limit = MAX_READ) => readLog(pathOf(dir, id), afterSeq, limit),
    async *follow(id, afterSeq, signal) {
      const path = pathOf(dir, id)
      const log = logOf(id)
      log.followers += 1
      try {
        yield* followLog(path, log, afterSeq, signal)
      } finally {
        log.followers -= 1
        letGo(id, log)
      }
    },
    remove: (id) => {
      const path = pathOf(dir, id)
      const log = logs.get(id)
      log?.open?.file.close()
      logs.delete(id)
      rmSync(path, { force: true })
      if (log === undefined) return
      log.removed = true
      log.bell.ring()
    },
  }
}

function pathOf(dir: string, id: string): string {
  if (isId('dep', id) || isId('job', id) || isId('bld', id)) return join(dir, `${id}.ndjson`)
  throw new HeliosError('not_found', `There is no log ${show(id)}`)
}

function openLog(path: string): Open {
  const file = openLineFile(path, (text) => recordOf(text) !== undefined)
  const fd = openSync(path, 'r')
  try {
    const { lines } = linesBefore(fd, file.size())
    const last = recordOf(lines.at(-1)?.text ?? '')
    const full = file.size() > NEARLY_FULL && hasFullMark(fd, file.size())
    return { file, seq: last?.seq ?? 0, ended: last?.end === true, full }
  } finally {
    closeSync(fd)
  }
}

function appendLine(open: Open, { stream, text }: Pick<Entry, 'stream' | 'text'>): void {
  if (open.ended) return
  const cut = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
  const line = recordText(open.seq + 1, { stream, text: cut })
  const size = open.file.size() + Buffer.byteLength(line) + 1
  if (
    size <= MAX_BYTES - (stream === 'step' ? 0 : STEP_BYTES) &&
    !(open.full && stream !== 'step')
  ) {
    open.file.append([line])
    open.seq += 1
    return
  }
  if (open.full || stream === 'step') return
  open.full = true
  open.file.append([recordText(open.seq + 1, { stream: 'step', text: FULL, full: true })])
  open.seq += 1
}

function endLog(open: Open): void {
  if (open.ended) return
  open.file.append([recordText(open.seq + 1, { end: true })])
  open.seq += 1
  open.ended = true
}

function readLog(path: string, afterSeq: number, limit: number): Entry[] {
  const fd = openToRead(path)
  if (fd === undefined) return []
  const entries: Entry[] = []
  const wanted = Math.min(Math.max(0, limit), MAX_READ)
  try {
    for (let offset = 0; entries.length < wanted; ) {
      const lines = linesFrom(fd, offset)
      const last = lines.at(-1)
      if (last === undefined) break
      offset = last.end
      entries.push(...lines.flatMap(({ text }) => entriesOf(text, afterSeq)))
    }
    return entries.slice(0, wanted)
  } finally {
    closeSync(fd)
  }
}

async function* followLog(
  path: string,
  log: Log,
  afterSeq: number,
  signal: AbortSignal,
): AsyncGenerator<Entry> {
  for await (const { text } of followLines(path, log, signal)) {
    if (isEnd(text)) return
    for (const entry of entriesOf(text, afterSeq)) yield entry
    if (signal.aborted) return
  }
}

async function* followLines(path: string, log: Log, signal: AbortSignal): AsyncGenerator<LineAt> {
  let fd: number | undefined
  try {
    for (let offset = 0; !signal.aborted && !log.removed; ) {
      const seen = log.bell.count()
      fd ??= openToRead(path)
      const lines = fd === undefined ? [] : linesFrom(fd, offset)
      yield* lines
      offset = lines.at(-1)?.end ?? offset
      if (lines.length === 0) await log.bell.wait(seen, LOOK_AGAIN_MS, signal)
      else await setImmediate()
    }
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

function openToRead(path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch {
    return undefined
  }
}

type Written = Partial<Entry> & { seq: number; end?: true; full?: true }

/** `seq` comes first, so that a reader far behind can pass over lines without parsing them. */
function recordText(seq: number, rest: Omit<Written, 'seq' | 'at'>): string {
  return JSON.stringify({ seq, at: new Date().toISOString(), ...rest })
}

function recordOf(text: string): Written | undefined {
  if (!text.startsWith('{"seq":') || !text.endsWith('}')) return undefined
  try {
    const record: unknown = JSON.parse(text)
    return record as Written
  } catch {
    return undefined
  }
}

function isEnd(text: string): boolean {
  return text.endsWith(',"end":true}') && recordOf(text)?.end === true
}

function entriesOf(text: string, afterSeq: number): Entry[] {
  if (Number.parseInt(text.slice('{"seq":'.length), 10) <= afterSeq) return []
  const { seq, at, stream, text: said } = recordOf(text) ?? {}
  if (seq === undefined || at === undefined || stream === undefined || said === undefined) return []
  return [{ seq, at, stream, text: said }]
}

function hasFullMark(fd: number, size: number): boolean {
  for (let before = size; before > NEARLY_FULL; ) {
    const { lines, start } = linesBefore(fd, before)
    if (lines.some(({ text }) => text.endsWith(',"full":true}') && recordOf(text)?.full))
      return true
    before = start
  }
  return false
}
