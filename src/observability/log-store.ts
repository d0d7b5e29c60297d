/**
 * @module
 * The lines of one app on disk: numbered segments within a budget, and how far each source was stored.
 */
import { closeSync, fstatSync, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type LineFile, linesBefore, openLineFile } from '../lib/line-file.ts'

/** How far a stream of a source is stored: the time of its last line, and how many have just this time. */
export type Cursor = { at: string; sameAt: number }

/** The cursors of a source by stream. */
export type Cursors = { stdout?: Cursor; stderr?: Cursor }

/** A line as it is stored. */
export type StoredLine = {
  at: string
  process: string
  instance: string
  source: string
  stream: 'stdout' | 'stderr'
  text: string
}

/** The segments of one app. */
export type LogStore = {
  append(lines: readonly StoredLine[]): void
  cursorsOf(source: string): Cursors | undefined
  /** Numbers of the segments there are, ascending; never empty. */
  segments(): readonly number[]
  /** Where the next line will go. */
  end(): { segment: number; offset: number }
  close(): void
}

const SEGMENTS = 8
/** A snapshot of the cursors is written at least this often, so that no more is read to have them again. */
const SNAPSHOT_BYTES = 256 * 1024
const MAX_SOURCES = 200
const SNAPSHOT = '{"cursors":'

/** Path of a segment. */
export function segmentPath(dir: string, segment: number): string {
  return join(dir, `${segment}.ndjson`)
}

/** A stored line; undefined for what is none. */
export function storedLine(text: string): StoredLine | undefined {
  if (!text.startsWith('{"at":')) return undefined
  return parse<StoredLine>(text)
}

/** Open or make the segments of an app below a folder; what a crash tore is dropped. */
export function openLogStore(dir: string, budgetBytes: number): LogStore {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const found = segmentsIn(dir)
  const segments = found.length === 0 ? [1] : found
  let current = openSegment(dir, segments.at(-1) ?? 1)
  const cursors = recoverCursors(dir, segments)
  let sinceSnapshot = 0

  const snapshot = (): string => {
    forgetOldest(cursors)
    sinceSnapshot = 0
    return `${SNAPSHOT}${JSON.stringify(Object.fromEntries(cursors))}}`
  }
  const rotate = (): void => {
    const next = (segments.at(-1) ?? 0) + 1
    const file = openSegment(dir, next)
    current.close()
    current = file
    segments.push(next)
    for (const old of segments.splice(0, Math.max(0, segments.length - SEGMENTS))) {
      rmSync(segmentPath(dir, old), { force: true })
    }
  }

  return {
    append: (lines) => {
      const texts = lines.map((line) => textOf(line))
      const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text) + 1, 0)
      if (current.size() > 0 && current.size() + bytes > budgetBytes / SEGMENTS) rotate()
      const due = current.size() === 0 || sinceSnapshot > SNAPSHOT_BYTES
      current.append(due ? [snapshot(), ...texts] : texts)
      for (const line of lines) advance(cursors, line)
      sinceSnapshot += bytes
    },
    cursorsOf: (source) => cursors.get(source),
    segments: () => segments,
    end: () => ({ segment: segments.at(-1) ?? 0, offset: current.size() }),
    close: () => current.close(),
  }
}

/** The keys in one order, `at` first: readers tell lines from snapshots by their beginning. */
function textOf({ at, process, instance, source, stream, text }: StoredLine): string {
  return JSON.stringify({ at, process, instance, source, stream, text })
}

function openSegment(dir: string, segment: number): LineFile {
  return openLineFile(segmentPath(dir, segment), (text) => parse(text) !== undefined)
}

/** Numbers of the segments in a folder, ascending. */
function segmentsIn(dir: string): number[] {
  return readdirSync(dir)
    .flatMap((name) => /^(\d{1,15})\.ndjson$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
}

/** The newest snapshot, and the lines after it. */
function recoverCursors(dir: string, segments: readonly number[]): Map<string, Cursors> {
  const after: string[] = []
  for (const segment of segments.toReversed()) {
    const fd = openSync(segmentPath(dir, segment), 'r')
    try {
      const snapshot = readBack(fd, after)
      if (snapshot !== undefined) return replay(snapshot, after)
    } finally {
      closeSync(fd)
    }
  }
  return replay({}, after)
}

/** Put the lines after the last snapshot of a segment in front of `after`; undefined when it has none. */
function readBack(fd: number, after: string[]): Record<string, Cursors> | undefined {
  for (let before = fstatSync(fd).size; before > 0; ) {
    const { lines, start } = linesBefore(fd, before)
    const texts = lines.map(({ text }) => text)
    const last = texts.findLastIndex((text) => text.startsWith(SNAPSHOT))
    after.unshift(...texts.slice(last + 1))
    if (last >= 0) return parse<{ cursors: Record<string, Cursors> }>(texts[last] ?? '')?.cursors
    before = start
  }
  return undefined
}

function replay(snapshot: Record<string, Cursors>, lines: readonly string[]): Map<string, Cursors> {
  const cursors = new Map(Object.entries(snapshot))
  for (const text of lines) {
    const line = storedLine(text)
    if (line !== undefined) advance(cursors, line)
  }
  return cursors
}

function advance(cursors: Map<string, Cursors>, { source, stream, at }: StoredLine): void {
  const known = cursors.get(source) ?? {}
  const before = known[stream]
  known[stream] = { at, sameAt: before?.at === at ? before.sameAt + 1 : 1 }
  cursors.set(source, known)
}

function forgetOldest(cursors: Map<string, Cursors>): void {
  if (cursors.size <= MAX_SOURCES) return
  const lastAt = ({ stdout, stderr }: Cursors): string =>
    [stdout?.at ?? '', stderr?.at ?? ''].sort().at(-1) ?? ''
  const oldest = [...cursors].sort(([, a], [, b]) => (lastAt(a) < lastAt(b) ? -1 : 1))
  for (const [source] of oldest.slice(0, cursors.size - MAX_SOURCES)) cursors.delete(source)
}

function parse<T>(text: string): T | undefined {
  if (!text.startsWith('{') || !text.endsWith('}')) return undefined
  try {
    return JSON.parse(text) as T
  } catch {
    return undefined
  }
}
