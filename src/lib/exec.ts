/**
 * @module
 * Run a program without a shell: fixed argv, an environment that is given whole, bounded output, abortable.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import type { Duplex, Readable, Writable } from 'node:stream'
import { HeliosError } from './errors.ts'

/** How a program ended. */
export type ExecResult = {
  code: number | null
  signal: string | null
  stdout: Buffer
  stderr: string
}

/** Options of {@link run}; `env` is the whole environment of the program. */
export type ExecOptions = {
  cwd?: string
  env?: Record<string, string>
  input?: string | Uint8Array
  /** Most bytes of stdout kept; more ends the program with an error (default 16 MiB). */
  maxBytes?: number
  signal?: AbortSignal
  /** Exit codes that are not an error (default 0 only). */
  okCodes?: readonly number[]
}

const BASE_ENV = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
}

/** Start a program with streams of the caller's own choosing; the caller ends it. */
function start(argv: readonly string[], opts: SpawnOptions = {}): ChildProcess {
  const [program = '', ...args] = argv
  return spawn(program, args, { ...opts, shell: false, env: { ...BASE_ENV, ...opts.env } })
}

/** Run a program to its end. @throws {HeliosError} internal when it cannot start, fails or prints too much. */
export async function run(argv: readonly string[], opts: ExecOptions = {}): Promise<ExecResult> {
  const child = start(argv, {
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(opts.cwd ? { cwd: opts.cwd } : {}),
    ...(opts.env ? { env: opts.env } : {}),
    ...(opts.signal ? { signal: opts.signal } : {}),
  })
  const limit = opts.maxBytes ?? 16 * 1024 * 1024
  const stdout: Buffer[] = []
  let bytes = 0
  let stderr = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > limit) child.kill('SIGKILL')
    else stdout.push(chunk)
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr = `${stderr}${chunk}`.slice(-64 * 1024)
  })
  // A program may close its input early; its exit code tells what matters.
  child.stdin?.on('error', () => undefined)
  child.stdin?.end(opts.input ?? '')
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (exitCode, exitSignal) => resolve([exitCode, exitSignal]))
  }).catch((error: unknown) => {
    if (opts.signal?.aborted) throw opts.signal.reason
    throw new HeliosError('internal', `Run ${argv[0]}`, { cause: error })
  })
  const failed = code === null || !(opts.okCodes ?? [0]).includes(code)
  if (bytes > limit || failed) {
    const why = bytes > limit ? `printed more than ${limit} bytes` : `ended with ${code ?? signal}`
    throw new HeliosError(
      'internal',
      `${argv[0]} ${argv[1] ?? ''} ${why}: ${stderr.trim().slice(-500)}`,
    )
  }
  return { code, signal, stdout: Buffer.concat(stdout), stderr }
}

/** A program whose streams the caller reads and writes. */
export type Piped = {
  stdin: Writable
  stdout: Readable
  stderr: Readable
  /** Pipes that go both ways, from file descriptor 3 on. */
  extra: Duplex[]
  /** How it ended; what it still printed may be read after this. @throws {HeliosError} internal when it could not start */
  ended: Promise<{ code: number | null; signal: string | null }>
  /** Ask it to end, and make it end 5 seconds later. */
  kill(): void
}

/** Start a program and hand its streams to the caller; an aborted signal ends it. */
export function spawnPiped(
  argv: readonly string[],
  opts: { cwd?: string; env?: Record<string, string>; extraPipes?: number; signal?: AbortSignal },
): Piped {
  const extraPipes = Array.from({ length: opts.extraPipes ?? 0 }, () => 'pipe' as const)
  const child = start(argv, {
    stdio: ['pipe', 'pipe', 'pipe', ...extraPipes],
    ...(opts.cwd ? { cwd: opts.cwd } : {}),
    ...(opts.env ? { env: opts.env } : {}),
  })
  const { stdin, stdout, stderr } = child
  if (!stdin || !stdout || !stderr) throw new HeliosError('internal', `${argv[0]} got no pipes`)
  let force: NodeJS.Timeout | undefined
  const kill = (): void => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    force ??= setTimeout(() => child.kill('SIGKILL'), 5000)
  }
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.once('error', (cause) => reject(new HeliosError('internal', `Run ${argv[0]}`, { cause })))
    child.once('exit', (code, signal) => resolve({ code, signal }))
  }).finally(() => {
    clearTimeout(force)
    opts.signal?.removeEventListener('abort', kill)
  })
  // Whoever waits for it hears of a failure; nobody has to.
  ended.catch(() => undefined)
  if (opts.signal?.aborted) kill()
  else opts.signal?.addEventListener('abort', kill, { once: true })
  const extra = child.stdio.slice(3) as Duplex[]
  // A program may close its ends early; its exit code tells what matters.
  for (const stream of [stdin, ...extra]) stream.on('error', () => undefined)
  return { stdin, stdout, stderr, extra, ended, kill }
}

/** A program that goes on when this process ends; `ended` settles only while this process still runs. */
export type Detached = { pid: number; ended: Promise<{ code: number | null }> }

/** Start a program in a session of its own, its output appended to a file. @throws {HeliosError} internal when it cannot start */
export async function spawnDetached(
  argv: readonly string[],
  opts: { cwd: string; env: Record<string, string>; outputFile: string },
): Promise<Detached> {
  const output = openSync(opts.outputFile, 'a', 0o600)
  const child = start(argv, {
    cwd: opts.cwd,
    env: opts.env,
    detached: true,
    stdio: ['ignore', output, output],
  })
  closeSync(output)
  const ended = once(child, 'exit').then(([code]: (number | null)[]) => ({ code: code ?? null }))
  ended.catch(() => undefined)
  await once(child, 'spawn').catch((cause: unknown) => {
    throw new HeliosError('internal', `Run ${argv[0]}`, { cause })
  })
  // This process need not wait for it.
  child.unref()
  if (child.pid === undefined) throw new HeliosError('internal', `${argv[0]} got no process id`)
  return { pid: child.pid, ended }
}
