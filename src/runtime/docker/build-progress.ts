/**
 * @module
 * What a builder tells while it works, as lines a person can read.
 */
import { StringDecoder } from 'node:string_decoder'
import { printSize } from '../../lib/size.ts'
import type { BuildStatus, Vertex } from './buildkit-messages.ts'

/** Lines of the failing step that an error repeats. */
const TAIL_LINES = 20
const MAX_LINE = 8 * 1024
const MAX_NAME = 200

/** The step that failed, with its last lines. */
export type FailedStep = { name: string; error: string; tail: string[] }

/** Collects the progress of one build. */
export type BuildProgress = {
  /** Take a message of BuildKit. */
  status(status: BuildStatus): void
  /** Take a piece of output of the classic builder. */
  classic(text: string): void
  /** Print what is left of unfinished lines. */
  end(): void
  /** The step that failed; the classic builder does not say, so it is the last one there. */
  failed(): FailedStep | undefined
  /** Whether a command of the Dockerfile ran (was not in the cache). */
  ranCommand(): boolean
}

type Step = {
  name: string
  number?: number
  ended: boolean
  error: string
  tail: string[]
  text: LineBuffer
}

/** Make a collector that prints to `onLine`: `#2 [2/4] COPY . .`, `#2 output`, `#2 DONE 0.3s`, `#2 CACHED`. */
export function createBuildProgress(onLine: (line: string) => void): BuildProgress {
  const steps = new Map<string, Step>()
  const classic = classicReader(onLine)
  let numbers = 0
  let ran = false

  const stepOf = (digest: string): Step => {
    const known = steps.get(digest)
    if (known !== undefined) return known
    const step: Step = { name: '', ended: false, error: '', tail: [], text: lineBuffer() }
    steps.set(digest, step)
    return step
  }
  const print = (step: Step, text: string): void => onLine(`#${step.number ?? 0} ${text}`)
  const open = (step: Step): void => {
    if (step.number !== undefined) return
    step.number = ++numbers
    print(step, step.name)
  }
  const output = (step: Step, line: string): void => {
    remember(step.tail, line)
    open(step)
    print(step, line)
  }

  const vertex = (seen: Vertex): void => {
    const step = stepOf(seen.digest)
    step.name ||= oneLine(withoutMounts(seen.name)).replace(/^\[stage-\d+ /, '[')
    // Another step's failure cancels the rest: not theirs to report.
    if (seen.error !== '' && !/context canceled/.test(seen.error)) step.error = seen.error
    if (seen.started === undefined || step.ended) return
    if (isShown(step)) open(step)
    if (seen.completed !== undefined) close(step, seen)
  }
  const close = (step: Step, seen: Vertex): void => {
    step.ended = true
    for (const line of step.text.end()) output(step, line)
    if (isShown(step)) print(step, outcome(seen, step.error))
    if (!seen.cached && /^\[.*\] RUN\b/.test(step.name)) ran = true
  }

  return {
    status: ({ vertexes, statuses, logs, warnings }) => {
      for (const each of vertexes) vertex(each)
      for (const each of statuses) {
        const step = stepOf(each.vertex)
        if (!each.completed || each.total <= 0 || !isShown(step)) continue
        open(step)
        print(step, `${oneLine(each.id)} ${printSize(each.total)}`)
      }
      for (const { vertex: digest, msg } of logs) {
        const step = stepOf(digest)
        for (const line of step.text.push(msg)) output(step, line)
      }
      for (const { vertex: digest, short } of warnings) output(stepOf(digest), `WARNING: ${short}`)
    },
    classic: classic.push,
    end: () => {
      for (const step of steps.values()) {
        for (const line of step.text.end()) output(step, line)
      }
      classic.end()
    },
    failed: () => {
      const step = [...steps.values()].find((each) => each.error !== '')
      return step === undefined ? classic.last() : { ...step, tail: [...step.tail] }
    },
    ranCommand: () => ran,
  }
}

/** A stream of text as whole lines; of a progress bar drawn with carriage returns only the last state. */
type LineBuffer = { push(piece: Buffer): string[]; end(): string[] }

/** Make a {@link LineBuffer}; a line longer than 8 KiB is cut into several. */
export function lineBuffer(): LineBuffer {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  const clean = (line: string): string => {
    const text = line.replace(/\r+$/, '')
    return text.slice(text.lastIndexOf('\r') + 1)
  }
  return {
    push: (piece) => {
      const lines = (rest + decoder.write(piece)).split('\n')
      rest = lines.pop() ?? ''
      const whole = lines.map(clean)
      while (rest.length > MAX_LINE) {
        whole.push(clean(rest.slice(0, MAX_LINE)))
        rest = rest.slice(MAX_LINE)
      }
      return whole
    },
    end: () => {
      const last = clean(rest + decoder.end())
      rest = ''
      return last === '' ? [] : [last]
    },
  }
}

/** Pass lines on until they make `maxBytes`, then say so once and drop the rest. */
export function boundedLines(
  onLine: (line: string) => void,
  maxBytes: number,
): (line: string) => void {
  let left = maxBytes
  return (line) => {
    if (left <= 0) return
    left -= Buffer.byteLength(line) + 1
    onLine(left > 0 ? line : `[output cut: the build printed more than ${printSize(maxBytes)}]`)
  }
}

// The classic builder prints `Step 2/3 : RUN x`, ` ---> Using cache` and ids nobody needs.
function classicReader(onLine: (line: string) => void): {
  push(text: string): void
  end(): void
  last(): FailedStep | undefined
} {
  const text = lineBuffer()
  let step: FailedStep | undefined
  let number = '0'
  const line = (each: string): void => {
    const start = /^Step ((\d+)\/\d+) : (.*)$/.exec(each)
    if (start) {
      number = start[2] ?? '0'
      step = { name: oneLine(`[${start[1]}] ${start[3]}`), error: '', tail: [] }
      onLine(`#${number} ${step.name}`)
    } else if (/^ ---> Using cache$/.test(each)) {
      onLine(`#${number} CACHED`)
    } else if (!/^( ---> |Removing intermediate|Successfully (built|tagged) )/.test(each)) {
      if (step) remember(step.tail, each)
      if (each !== '') onLine(`#${number} ${each}`)
    }
  }
  return {
    push: (piece) => text.push(Buffer.from(plain(piece))).forEach(line),
    end: () => text.end().forEach(line),
    last: () => step,
  }
}

// It colours what a step writes to stderr.
function plain(text: string): string {
  return text.replaceAll('\u001b[91m', '').replaceAll('\u001b[0m', '')
}

// Loading the context and the frontend's own look-ups are noise unless they fail.
function isShown(step: Step): boolean {
  return step.error !== '' || !/^(\[internal\]|copy \/context|$)/.test(step.name)
}

function outcome(vertex: Vertex, error: string): string {
  if (vertex.error !== '') return error === '' ? 'CANCELED' : `ERROR: ${oneLine(error)}`
  if (vertex.cached) return 'CACHED'
  return `DONE ${Math.max(0, (vertex.completed ?? 0) - (vertex.started ?? 0)).toFixed(1)}s`
}

function remember(tail: string[], line: string): void {
  tail.push(line)
  if (tail.length > TAIL_LINES) tail.shift()
}

// Mounts are long and say nothing of what a step does.
function withoutMounts(name: string): string {
  return name.replace(/(?<= )--mount=\S+ /g, '')
}

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length > MAX_NAME ? `${line.slice(0, MAX_NAME)}…` : line
}
