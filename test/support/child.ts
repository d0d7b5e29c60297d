import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { SERVER_VARIABLES } from '../../src/config/env.ts'
import type { Settings } from '../../src/config/settings.ts'
import { run } from '../../src/lib/exec.ts'
import { type Answer, ask, call, removeLeftovers, testSettings } from './helios.ts'

/** How a process ended. */
export type Exit = { code: number | null; signal: NodeJS.Signals | null }

/** A Helios in a process of its own, that can be killed and started again on the same data dir. */
export type ChildHelios = {
  settings: Settings
  token: string
  serverId: string
  /** Process id of the one that was started last. */
  readonly pid: number
  /** What all of them printed. */
  output(): string
  api<T = unknown>(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; body: T }>
  ask(app: string, path?: string): Promise<Answer>
  /** Resolves when the process has ended, for whatever reason. */
  ended(): Promise<Exit>
  /** End it as a power cut would. */
  kill(): Promise<Exit>
  /** Ask it to stop. */
  stop(): Promise<Exit>
  /** Start it again, with more variables for this one, and wait until its API answers. */
  start(env?: Record<string, string>): Promise<void>
  /** Start another one on the same data dir and wait until it ends. */
  second(): Promise<{ code: number | null; text: string; ms: number }>
  /** Kill it and remove all that it made. */
  remove(): Promise<void>
}

const READY_MS = 60_000
/** Built servers are kept here, one for each state of the source, so that no other build disturbs a test. */
const BUILT = '.tools/built'
const KEPT_MS = 60 * 60 * 1000

/** Build the server unless its source was built already; gives the program. */
async function build(): Promise<string> {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  const inputs = [
    ...files.map((file) => join('src', file)),
    'scripts/build.ts',
    'package-lock.json',
  ]
  const key = Math.max(...inputs.map((file) => statSync(file).mtimeMs)).toFixed()
  const program = resolve(BUILT, key, 'dist', 'main.js')
  if (existsSync(program)) return program
  mkdirSync(BUILT, { recursive: true })
  for (const name of readdirSync(BUILT)) {
    const dir = join(BUILT, name)
    if (statSync(dir).mtimeMs < Date.now() - KEPT_MS) rmSync(dir, { recursive: true, force: true })
  }
  const own = join(BUILT, `${key}.${process.pid}`)
  mkdirSync(own)
  symlinkSync(resolve('drizzle'), join(own, 'drizzle'))
  await run([process.execPath, 'scripts/build.ts', join(own, 'dist')])
  if (existsSync(program)) rmSync(own, { recursive: true })
  else renameSync(own, join(BUILT, key))
  return program
}

function variables(settings: Settings): Record<string, string> {
  const at = ({ host, port }: { host: string; port: number }): string => `${host}:${port}`
  const values: Partial<Record<keyof typeof SERVER_VARIABLES, string | undefined>> = {
    dataDir: settings.dataDir,
    logLevel: settings.logLevel === 'silent' ? 'info' : settings.logLevel,
    httpAddress: at(settings.http),
    apiAddress: at(settings.api),
    sshAddress: at(settings.ssh),
    baseDomain: settings.baseDomain,
    dockerSocket: settings.dockerSocket,
    caddy: settings.caddy,
    subnetPool: settings.subnetPool,
    buildsAtOnce: String(settings.buildsAtOnce),
    logBudget: `${Math.ceil(settings.logBudgetBytes / 1024)}KiB`,
    buildCaFile: settings.buildCaFile,
    buildNpmrc: settings.buildNpmrc,
    faultAt: settings.faultAt,
  }
  const entries = Object.entries(values).filter((entry) => entry[1] !== undefined)
  return Object.fromEntries(
    entries.map(([key, value]) => [SERVER_VARIABLES[key as keyof typeof values], String(value)]),
  )
}

/** Start a Helios in a process of its own and wait until its API answers. */
export async function spawnHelios(more: Partial<Settings> = {}): Promise<ChildHelios> {
  const program = await build()
  const settings = await testSettings(more)
  let output = ''
  let child: ChildProcess | undefined
  let exit: Promise<Exit> = Promise.resolve({ code: null, signal: null })

  const start = async (env: Record<string, string> = {}): Promise<void> => {
    const began = spawn(process.execPath, [program, 'serve'], {
      env: { PATH: process.env['PATH'] ?? '', ...variables(settings), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child = began
    for (const stream of [began.stdout, began.stderr]) {
      stream.on('data', (chunk) => {
        output = `${output}${chunk}`.slice(-1_000_000)
      })
    }
    exit = once(began, 'exit').then(([code, signal]) => ({ code, signal }))
    const until = Date.now() + READY_MS
    while (!(await answers(settings))) {
      if (began.exitCode !== null || began.signalCode !== null || Date.now() > until) {
        began.kill('SIGKILL')
        throw new Error(`Helios did not start:\n${output.slice(-4000)}`)
      }
      await delay(20)
    }
  }
  const end = async (signal: NodeJS.Signals): Promise<Exit> => {
    child?.kill(signal)
    return await exit
  }
  await start()
  const token = readFileSync(join(settings.dataDir, 'first-token'), 'utf8').trim()
  const serverId = readFileSync(join(settings.dataDir, 'server-id'), 'utf8').trim()
  return {
    settings,
    token,
    serverId,
    get pid() {
      return child?.pid ?? 0
    },
    output: () => output,
    api: (method, path, body) => call(settings, token, method, path, body),
    ask: (app, path) => ask(settings.http.port, `${app}.localhost`, path),
    ended: () => exit,
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    start,
    second: async () => {
      const began = performance.now()
      const env = { PATH: process.env['PATH'] ?? '', ...variables(settings) }
      const opts = { env, okCodes: [0, 1, 2, 5], signal: AbortSignal.timeout(READY_MS) }
      const { code, stderr } = await run([process.execPath, program, 'serve'], opts)
      return { code, text: stderr, ms: performance.now() - began }
    },
    remove: async () => {
      await end('SIGKILL')
      await removeLeftovers(settings, serverId)
    },
  }
}

/** The API starts after every other part. */
async function answers(settings: Settings): Promise<boolean> {
  return await fetch(`http://${settings.api.host}:${settings.api.port}/healthz`, {
    signal: AbortSignal.timeout(1000),
  }).then(
    ({ ok }) => ok,
    () => false,
  )
}
