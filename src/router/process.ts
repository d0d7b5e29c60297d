/**
 * @module
 * Caddy as a process of its own that outlives Helios: start it, see whether it is there, stop it for good.
 */
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { deadline, sleep, until } from '../lib/async.ts'
import { HeliosError, messageOf, show } from '../lib/errors.ts'
import { run, spawnDetached } from '../lib/exec.ts'
import { type RouterPaths, routerPaths } from './paths.ts'

/** The Caddy to start, and what it gets as its environment. */
export type CaddyProgram = { caddy: string; env: Record<string, string> }

/** The first whose in-flight counts hold for addresses that left the live state. */
const NEEDED = [2, 11, 2]
/** Exit code of flock when another process holds the lock. */
const HELD = 75
const START_MS = 10_000
const CONNECT_MS = 1000
const STOP_MS = 5000
const MAX_OUTPUT_BYTES = 1024 * 1024

/** Refuse a Caddy that is missing or too old. @throws {HeliosError} config_invalid saying what to do */
export async function checkCaddy({ caddy, env }: CaddyProgram, signal: AbortSignal): Promise<void> {
  const hint =
    'Set HELIOS_CADDY to a Caddy of 2.11.2 or newer; scripts/caddy prints the path of one.'
  const answer = await run([caddy, 'version'], { env, signal: deadline(START_MS, signal) }).catch(
    (cause: unknown) => {
      signal.throwIfAborted()
      throw new HeliosError('config_invalid', `HP52: no Caddy runs as ${show(caddy)}`, {
        hint,
        cause,
      })
    },
  )
  const text = answer.stdout.toString().trim()
  const version = /^v?(\d+)\.(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number) ?? []
  if (isAtLeast(version, NEEDED)) return
  throw new HeliosError(
    'config_invalid',
    `HP52: ${show(caddy)} is Caddy ${show(text.split(' ')[0])}, which is older than ${NEEDED.join('.')}`,
    { hint },
  )
}

function isAtLeast(version: number[], needed: number[]): boolean {
  for (const [i, part] of needed.entries()) {
    const have = version[i] ?? -1
    if (have !== part) return have > part
  }
  return true
}

/** What is wrong with a configuration by Caddy's own judgement, without loading it; nothing when it is fine. */
export async function judge(
  program: CaddyProgram,
  trialFile: string,
  config: object,
  signal: AbortSignal,
): Promise<string | undefined> {
  writeAside(trialFile, JSON.stringify(config))
  const argv = [program.caddy, 'validate', '--config', trialFile]
  const opts = { env: program.env, signal: deadline(START_MS, signal), okCodes: [0, 1] }
  const { code, stderr } = await run(argv, opts)
  rmSync(trialFile, { force: true })
  if (code === 0) return undefined
  return (stderr.trim().split('\n').at(-1) ?? '').slice(0, 500)
}

/** Write a file so that a reader finds the old or the new text, also after a crash. */
export function writeAside(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600, flush: true })
  renameSync(`${file}.new`, file)
}

/** Something that changes when another Caddy takes the admin socket; nothing when nobody accepts there. */
export async function adminIdentity(adminSocket: string): Promise<string | undefined> {
  const accepted = await new Promise<boolean>((resolve) => {
    const socket = connect(adminSocket)
    const end = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(CONNECT_MS, () => end(false))
    socket.once('connect', () => end(true)).once('error', () => end(false))
  })
  const found = accepted ? statSync(adminSocket, { throwIfNoEntry: false }) : undefined
  return found && `${found.ino} ${found.ctimeMs}`
}

/**
 * Start Caddy from its configuration file and wait until it serves. `asked` is a question it can only
 * answer then: the admin socket alone opens before the ports. @throws {HeliosError} HP52 with what it printed
 */
export async function startCaddy(
  program: CaddyProgram,
  paths: RouterPaths,
  asked: (signal: AbortSignal) => Promise<unknown>,
  signal: AbortSignal,
): Promise<void> {
  const size = statSync(paths.output, { throwIfNoEntry: false })?.size ?? 0
  if (size > MAX_OUTPUT_BYTES) renameSync(paths.output, `${paths.output}.1`)
  const from = Math.min(size, size > MAX_OUTPUT_BYTES ? 0 : size)
  const lock = ['flock', '--nonblock', '--conflict-exit-code', String(HELD), '--no-fork']
  const caddy = [program.caddy, 'run', '--config', paths.config]
  const { ended } = await spawnDetached([...lock, paths.lock, ...caddy], {
    cwd: paths.dir,
    env: program.env,
    outputFile: paths.output,
  }).catch((cause: unknown) => {
    throw new HeliosError('HP52', `Router could not be started: ${messageOf(cause)}`, {
      hint: 'Check that flock (package util-linux) is installed.',
      cause,
    })
  })
  const enough = new AbortController()
  const waiting = deadline(START_MS, signal, enough.signal)
  const ask = (): Promise<true | undefined> =>
    asked(waiting).then(
      () => true,
      () => undefined,
    )
  const serves = until(ask, { everyMs: 20, signal: waiting }).then(() => undefined)
  serves.catch(() => undefined)
  const end = await Promise.race([serves, ended])
  enough.abort()
  if (end === undefined) return notePid(paths)
  if (end.code === HELD) {
    throw new HeliosError('HP52', 'Another Caddy holds the lock of the router and does not answer')
  }
  const printed = readFileSync(paths.output, 'utf8').slice(from).trim().split('\n').at(-1) ?? ''
  throw new HeliosError('HP52', `Caddy ended at once: ${printed.slice(-500)}`, {
    hint: `Read ${paths.output}; a port in use is named there.`,
  })
}

/** Stop the Caddy of this folder for good, at most 5 s gracefully; apps stop answering. Does nothing if none runs. */
export async function stopCaddy(dir: string, signal: AbortSignal): Promise<void> {
  const paths = routerPaths(dir)
  const forceAt = performance.now() + STOP_MS
  for (let pid = runningPid(paths); pid !== undefined; pid = runningPid(paths)) {
    tell(pid, performance.now() < forceAt ? 'SIGTERM' : 'SIGKILL')
    await sleep(50, signal)
  }
  rmSync(paths.pid, { force: true })
}

function tell(pid: number, what: NodeJS.Signals): void {
  try {
    process.kill(pid, what)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

/** Note the process id of the Caddy of this folder in its pid file, for whoever wants to stop it. */
export function notePid(paths: RouterPaths): void {
  const pid = runningPid(paths)
  if (pid !== undefined) writeAside(paths.pid, `${pid}\n`)
}

/** Found by its command line: a number in a file may be that of another process by now. */
function runningPid(paths: RouterPaths): number | undefined {
  const found = readdirSync('/proc').find((name) => {
    if (!/^\d+$/.test(name)) return false
    const words = commandLine(name)
    return words.includes('run') && words.includes(paths.config)
  })
  return found === undefined ? undefined : Number(found)
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    // It ended since the folder was read.
    return []
  }
}
