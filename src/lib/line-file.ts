/**
 * @module
 * Files of lines that only grow: append whole lines, read them from any offset in either direction.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'

const CHUNK = 64 * 1024
/** No writer makes longer lines; what has no end within it is no line. */
const MAX_LINE = 1024 * 1024
const NEWLINE = 0x0a

/** A line without its end, and the offset behind that end. */
export type LineAt = { text: string; end: number }

/** A file open for appending. */
export type LineFile = {
  size(): number
  /** Write these lines at once, each without its end; all of them are in the file afterwards, or none. */
  append(lines: readonly string[]): void
  close(): void
}

/**
 * Open a file for appending, readable by its owner only, and drop what a crash left at its end:
 * a line without an end, and lines that are not sound.
 */
export function openLineFile(path: string, isSound: (text: string) => boolean): LineFile {
  const fd = openSync(path, 'a+', 0o600)
  let size = fstatSync(fd).size
  const sound = soundEnd(fd, size, isSound)
  if (sound < size) ftruncateSync(fd, sound)
  size = sound
  return {
    size: () => size,
    append: (lines) => {
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
      try {
        for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done)
      } catch (error) {
        // Part of a line would tear the next one.
        ftruncateSync(fd, size)
        throw error
      }
      size += bytes.length
    },
    close: () => closeSync(fd),
  }
}

/** Whole lines from an offset on, about 64 KiB of them; none when there is no more yet. */
export function linesFrom(fd: number, offset: number): LineAt[] {
  for (let length = CHUNK; length <= MAX_LINE * 2; length *= 2) {
    const bytes = readAt(fd, offset, length)
    const last = bytes.lastIndexOf(NEWLINE)
    if (last >= 0) return split(bytes.subarray(0, last + 1), offset)
    if (bytes.length < length) return []
  }
  return [{ text: '', end: offset + MAX_LINE }]
}

/**
 * Whole lines that end at or before an offset, about 64 KiB of them, the oldest first.
 * `start` is the offset of the first of them, to go on from; 0 means that there are no more.
 */
export function linesBefore(fd: number, offset: number): { lines: LineAt[]; start: number } {
  for (let length = CHUNK; ; length *= 2) {
    const from = Math.max(0, offset - length)
    const bytes = readAt(fd, from, offset - from)
    const first = from === 0 ? 0 : bytes.indexOf(NEWLINE) + 1
    const last = bytes.lastIndexOf(NEWLINE) + 1
    if (from === 0 || (first > 0 && last > first)) {
      return {
        lines: split(bytes.subarray(first, Math.max(first, last)), from + first),
        start: from + first,
      }
    }
    if (length >= MAX_LINE) return { lines: [], start: from }
  }
}

function soundEnd(fd: number, size: number, isSound: (text: string) => boolean): number {
  for (let before = size; before > 0; ) {
    const { lines, start } = linesBefore(fd, before)
    const last = lines.findLast(({ text }) => isSound(text))
    if (last !== undefined) return last.end
    before = start
  }
  return 0
}

function split(bytes: Buffer, offset: number): LineAt[] {
  const lines: LineAt[] = []
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(NEWLINE, from)
    lines.push({ text: bytes.toString('utf8', from, end), end: offset + end + 1 })
    from = end + 1
  }
  return lines
}

function readAt(fd: number, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  const read = readSync(fd, bytes, 0, length, offset)
  return bytes.subarray(0, read)
}
