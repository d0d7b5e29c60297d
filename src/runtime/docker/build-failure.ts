/**
 * @module
 * Why a build failed, as an error that names the step, the limit or the image at fault.
 */
import { HeliosError, show } from '../../lib/errors.ts'
import { printSize } from '../../lib/size.ts'
import type { FailedStep } from './build-progress.ts'

/** Prefixes that say how BuildKit is built, not what went wrong. */
const WRAPPERS =
  /^(failed to solve(?: with frontend [\w.-]+)?|failed to create LLB definition|failed to read dockerfile|rpc error: code = \w+ desc =|executor failed running|failed to compute cache key)(: ?| )/
const KILLED = 137
const LOAD_METADATA = /^\[internal\] load metadata for (\S+)$/

/** What is known about a failed build. */
export type BuildFailure = {
  /** The engine's message. */
  message: string
  step?: FailedStep | undefined
  /** Limit of this build, bytes. */
  memoryBytes: number
  /** What it and the builds beside it share; the same when it ran alone. */
  sharedBytes: number
  /** Whether the kernel counted memory that ran out; undefined when it does not tell. */
  memoryRanOut: boolean | undefined
}

/** Make the error of a failed build: HX31 when memory ran out, else HX30. */
export function explainFailure(failure: BuildFailure): HeliosError {
  const text = `${failure.message}\n${failure.step?.error ?? ''}`
  const exitCode = exitCodeOf(text)
  if (ranOutOfMemory(failure, exitCode)) return outOfMemory(failure)
  if (isDiskFull([text, ...(failure.step?.tail ?? [])])) return diskFull(failure)
  const image = missingImage(failure)
  if (image !== undefined) return noBaseImage(image, failure)
  const step = failure.step
  if (step !== undefined && exitCode !== undefined) {
    return failed(`Step ${step.name} ended with exit code ${exitCode}.`, step.tail, {
      hint: 'Run the same command on your machine, or look at the lines above it in the log.',
    })
  }
  const where = step && !step.name.startsWith('[internal]') ? ` in step ${step.name}` : ''
  return failed(`The build failed${where}: ${plainMessage(failure.message)}`, [], {
    hint: 'Correct the Dockerfile or the files it names, and deploy again.',
  })
}

/** The engine's message without the layers of the builder in front. */
export function plainMessage(message: string): string {
  let plain = message.trim()
  for (let before = ''; before !== plain; ) {
    before = plain
    plain = plain.replace(WRAPPERS, '')
  }
  return plain
}

function exitCodeOf(text: string): number | undefined {
  const match = /(?:exit code:|non-zero code:) (\d+)/.exec(text)
  return match ? Number(match[1]) : undefined
}

// Nothing but the kernel kills a step: a build that is cancelled ends by its signal's reason.
function ranOutOfMemory(failure: BuildFailure, exitCode: number | undefined): boolean {
  if (exitCode === undefined || failure.memoryRanOut === false) return false
  if (exitCode === KILLED) return true
  // A tool whose child was killed ends with a code of its own, after saying so.
  const said = /\bKilled\b|cannot allocate memory|ENOMEM|out of memory|SIGKILL/i
  return failure.memoryRanOut === true && said.test((failure.step?.tail ?? []).join('\n'))
}

function outOfMemory({ step, memoryBytes, sharedBytes }: BuildFailure): HeliosError {
  const shared =
    sharedBytes > memoryBytes
      ? `; the builds that ran at the same time shared ${printSize(sharedBytes)}`
      : ''
  return new HeliosError(
    'HX31',
    `The build ran out of memory at ${printSize(memoryBytes)}${shared}: step ${step?.name ?? '?'} was killed.`,
    {
      hint: 'Raise the memory of builds under build.limits in oal.yaml, or let the step do less at once.',
    },
  )
}

// The 64 MiB of /dev/shm fill up without the disk being full.
function isDiskFull(lines: string[]): boolean {
  return lines.some((line) => /no space left on device/i.test(line) && !line.includes('/dev/shm'))
}

function diskFull({ step, message }: BuildFailure): HeliosError {
  return failed(
    `Disk full: the build could not write${step ? ` in step ${step.name}` : ''}.`,
    step?.tail.length ? step.tail : [plainMessage(message)],
    {
      hint: 'Free space on the server (helios doctor shows how much there is), then deploy again.',
    },
  )
}

function missingImage({ message, step }: BuildFailure): string | undefined {
  const asked = LOAD_METADATA.exec(step?.name ?? '')?.[1]
  if (asked !== undefined) return asked.replace(/^docker\.io\/(library\/)?/, '')
  const from = /^\[(?:\S+ )?\d+\/\d+\] FROM (\S+)/.exec(step?.name ?? '')?.[1]
  const pulling =
    /pull access denied|manifest unknown|not found|Get "?https?:|dial tcp|TLS|timeout/i
  return from !== undefined && pulling.test(message) ? from : undefined
}

function noBaseImage(image: string, { message }: BuildFailure): HeliosError {
  return failed(
    `The base image ${show(image)} is not on this server and no registry gave it: ${plainMessage(message)}`,
    [],
    {
      hint: 'Check the name after FROM; on a server without a registry make base images with scripts/base-images.',
    },
  )
}

function failed(message: string, tail: string[], details: { hint: string }): HeliosError {
  const lines = tail.filter((line) => line.trim() !== '')
  return new HeliosError('HX30', [message, ...lines.map((line) => `  ${line}`)].join('\n'), details)
}
