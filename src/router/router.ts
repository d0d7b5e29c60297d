/**
 * @module
 * The router: Caddy as a process of its own, its configuration, and the live states it reads.
 */
import { mkdirSync, readFileSync } from 'node:fs'
import { HeliosError, messageOf } from '../lib/errors.ts'
import type { Part } from '../lib/lifecycle.ts'
import type { Logger } from '../lib/log.ts'
import { type CaddyClient, createCaddyClient } from './caddy-client.ts'
import { caddyConfig, generationOf, isSamePlace } from './caddy-config.ts'
import { drain } from './drain.ts'
import { createKeeper } from './keeper.ts'
import { createLiveStates } from './live.ts'
import { type RouterPaths, routerPaths } from './paths.ts'
import {
  adminIdentity,
  type CaddyProgram,
  checkCaddy,
  judge,
  notePid,
  startCaddy,
  stopCaddy,
  writeAside,
} from './process.ts'
import { createSync, type RejectedHost } from './sync.ts'
import type { Router } from './types.ts'

/** What the router runs with. */
export type RouterOptions = {
  /** Path of a Caddy of 2.11.2 or newer, or its name on the PATH. */
  caddy: string
  /** The router's own folder, made with mode 0700. */
  dir: string
  /** Addresses for visitors, such as `:80` or `127.0.0.1:8080`. */
  listen: readonly string[]
  log: Logger
  /** Added to Caddy's environment, such as another `GOGC`. */
  env?: Record<string, string>
  /** How long an app may take to send the first byte of its answer (default 30 s). */
  answerWithinMs?: number
  /** How often the running configuration is compared with the right one (default 10 s). */
  compareEveryMs?: number
}

/** The router as a part of the process; stopping it leaves Caddy serving. */
export type RouterPart = Router &
  Required<Part> & {
    /** Hosts of the last table that Caddy refused; all others were loaded. */
    rejectedHosts(): RejectedHost[]
  }

/** A router; nothing happens before it is started, except that live states can be read and written. */
export function createRouter(opts: RouterOptions): RouterPart {
  const paths = routerPaths(opts.dir)
  const program = { caddy: opts.caddy, env: environment(paths, opts.env) }
  const stopping = new AbortController()
  const { signal } = stopping
  const client = createCaddyClient({ adminSocket: paths.adminSocket })
  const config = {
    ...paths,
    listen: opts.listen,
    logFile: paths.log,
    answerWithinMs: opts.answerWithinMs ?? 30_000,
  }
  const sync = createSync({
    client,
    build: (table, generation) => caddyConfig(table, config, generation),
    generationOf: (running) => generationOf(running, paths.adminSocket),
    judge: (trial, until) => judge(program, paths.trial, trial, until),
    keep: (accepted) => keepConfig(paths, accepted),
    log: opts.log,
    signal,
  })
  const keeper = createKeeper({
    identity: () => adminIdentity(paths.adminSocket),
    start: (until) => start({ program, paths, asked: client.config }, sync.current(), until),
    stop: (until) => stopCaddy(paths.dir, until),
    met: () => notePid(paths),
    restore: sync.restore,
    log: opts.log,
    signal,
    compareEveryMs: opts.compareEveryMs ?? 10_000,
    now: () => performance.now(),
  })
  let running = Promise.resolve()
  return {
    name: 'router',
    start: async (until) => {
      for (const dir of [paths.dir, paths.upDir]) mkdirSync(dir, { recursive: true, mode: 0o700 })
      await usable(program, paths, opts.log, until)
      await keeper.look()
      running = keeper.run()
    },
    stop: async () => {
      stopping.abort(new HeliosError('cancelled', 'Router is stopping'))
      await running
    },
    state: () => stateOf(keeper.trouble(), sync.rejected()),
    rejectedHosts: sync.rejected,
    applyTable: sync.apply,
    drain: (addresses, deadlineMs, until) => drain(client, addresses, deadlineMs, until),
    ...createLiveStates(paths.upDir),
  }
}

function stateOf(trouble: HeliosError | undefined, rejected: RejectedHost[]) {
  if (trouble !== undefined) return { ok: false, detail: `${trouble.code}: ${trouble.message}` }
  if (rejected.length === 0) return { ok: true }
  const hosts = rejected.slice(0, 5).map(({ host }) => host)
  return { ok: true, detail: `${rejected.length} hosts left out: ${hosts.join(', ')}` }
}

/** Larger steps of the collector buy a quarter of throughput for some megabytes. */
function environment(paths: RouterPaths, more: Record<string, string> = {}) {
  return {
    HOME: paths.dir,
    XDG_DATA_HOME: paths.dir,
    XDG_CONFIG_HOME: paths.dir,
    GOGC: '400',
    ...more,
  }
}

/** A Caddy that already serves is kept whatever the program is now. */
async function usable(
  program: CaddyProgram,
  paths: RouterPaths,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const serves = (await adminIdentity(paths.adminSocket)) !== undefined
  await checkCaddy(program, signal).catch((error: unknown) => {
    if (!serves) throw error
    log.warn({ err: error }, 'the Caddy that runs could not be started again')
  })
}

/** Caddy starts from the last configuration it accepted, unless that is gone, spoiled or for another place. */
async function start(
  on: { program: CaddyProgram; paths: RouterPaths; asked: CaddyClient['config'] },
  fresh: object,
  signal: AbortSignal,
): Promise<void> {
  const { program, paths, asked } = on
  const kept = keptConfig(paths)
  if (kept === undefined || !isSamePlace(kept, fresh)) {
    writeAside(paths.config, JSON.stringify(fresh))
  }
  try {
    await startCaddy(program, paths, asked, signal)
  } catch (error) {
    const reason = kept && (await judge(program, paths.trial, kept, signal))
    if (reason === undefined) throw error
    writeAside(paths.config, JSON.stringify(fresh))
    await startCaddy(program, paths, asked, signal)
  }
}

function keptConfig(paths: RouterPaths): object | undefined {
  try {
    const kept: unknown = JSON.parse(readFileSync(paths.config, 'utf8'))
    return typeof kept === 'object' && kept !== null ? kept : undefined
  } catch {
    return undefined
  }
}

function keepConfig(paths: RouterPaths, accepted: object): void {
  const text = JSON.stringify(accepted)
  try {
    if (readFileSync(paths.config, 'utf8') === text) return
  } catch (error) {
    if (!messageOf(error).includes('ENOENT')) throw error
  }
  writeAside(paths.config, text)
}
