/**
 * @module
 * Run a program without a shell: fixed argv, an environment that is given whole, bounded output, abortable.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
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
