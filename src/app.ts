/**
 * @module
 * A Helios from its settings, and the commands that run in its process.
 */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { assemble } from './assemble.ts'
import { readEnv } from './config/env.ts'
import { parseSettings, type Settings } from './config/settings.ts'
import type { PublicAddress } from './core/address.ts'
import { serverId } from './core/settings.ts'
import { newOwnerToken } from './core/users.ts'
import { migrate, readMigrations } from './db/migrate.ts'
import { type Db, lockDataDir, openDatabase } from './db/open.ts'
import { systemClock } from './lib/clock.ts'
import { HeliosError } from './lib/errors.ts'
import { type Running, runParts } from './lib/lifecycle.ts'
import { createLogger, type Logger } from './lib/log.ts'

/** The rest of the 10 s after which the process is gone is for its end. */
const STOP_DEADLINE_MS = 9500

/** A Helios that can be started once. */
export type Helios = {
  /** Start every part. @throws the first failure, with all that was started undone */
  start(): Promise<void>
  /** Stop in reverse within 10 s; apps keep running. */
  stop(): Promise<void>
  states(): ReturnType<Running['states']>
  /** Where it is reached. */
  address: PublicAddress
  serverId: string
  db: Db
}

type State = { db: Db; applied: string[]; close(): void }

/** Hold the data dir and open its database at the last migration. @throws {HeliosError} data_dir_locked, database_newer */
function openState(dataDir: string): State {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const lock = lockDataDir(dataDir)
  try {
    const db = openDatabase(dataDir)
    const applied = migrate(db, readMigrations(join(import.meta.dirname, '..', 'drizzle')))
    const close = (): void => {
      db.$client.close()
      lock.release()
    }
    return { db, applied, close }
  } catch (error) {
    lock.release()
    throw error
  }
}

function addressOf(settings: Settings): PublicAddress {
  const open = (host: string): boolean => host === '0.0.0.0' || host === '::'
  const reach = (host: string): string => (open(host) ? settings.baseDomain : host)
  return {
    baseDomain: settings.baseDomain,
    httpPort: settings.http.port,
    apiUrl: `http://${reach(settings.api.host)}:${settings.api.port}`,
    sshHost: reach(settings.ssh.host),
    sshPort: settings.ssh.port,
  }
}

/** Assemble a Helios; the data dir is held from here on until it stops. */
export function createHelios(settings: Settings, log: Logger): Helios {
  const state = openState(settings.dataDir)
  const stopping = new AbortController()
  let running: Running | undefined
  const base = {
    settings,
    log,
    clock: systemClock,
    db: state.db,
    id: serverId(state.db, systemClock()),
    address: addressOf(settings),
    closeDatabase: state.close,
    stopping: stopping.signal,
    states: () => running?.states() ?? {},
  }
  try {
    const parts = assemble(base)
    return {
      address: base.address,
      serverId: base.id,
      db: base.db,
      states: base.states,
      start: async () => {
        const { signal } = stopping
        running = await runParts(parts, { log, stopDeadlineMs: STOP_DEADLINE_MS, signal })
      },
      stop: async () => {
        stopping.abort()
        await running?.stop()
      },
    }
  } catch (error) {
    state.close()
    throw error
  }
}

/** Run the server until a signal; gives the exit code. */
export async function serve(): Promise<number> {
  // Nothing of a server's data dir is anybody else's to read.
  process.umask(0o077)
  // What requests leave behind is collected in small portions: the heap's young part would grow to
  // 64 MiB and stay so, for a server that is idle most of the time.
  setFlagsFromString('--semi-space-growth-factor=1')
  const settings = parseSettings(readEnv())
  const log = createLogger({ level: settings.logLevel })
  const helios = createHelios(settings, log)
  const asked = new Promise<string>((resolve) => {
    const once = (signal: NodeJS.Signals): void => {
      // The next signal finds no listener and ends the process at once.
      process.removeListener('SIGINT', once)
      process.removeListener('SIGTERM', once)
      resolve(signal)
    }
    process.on('SIGINT', once)
    process.on('SIGTERM', once)
  })
  const started = helios.start()
  const first = await Promise.race([asked, started])
  if (first === undefined) {
    log.info({ api: helios.address.apiUrl, ssh: helios.address.sshPort }, 'ready')
    log.info({ signal: await asked }, 'stopping; apps keep running')
  }
  await helios.stop()
  return 0
}

/** Provision or update the database, holding the data dir; gives its file and the migrations applied. */
export function migrateDatabase(): { file: string; applied: string[] } {
  const { dataDir } = parseSettings(readEnv())
  const state = openState(dataDir)
  const result = { file: state.db.$client.name, applied: state.applied }
  state.close()
  return result
}

/** Make another token for the owner; the server may run meanwhile. @throws {HeliosError} not_found before the first start */
export function ownerToken(): { token: string } {
  const { dataDir } = parseSettings(readEnv())
  if (!existsSync(join(dataDir, 'helios.db'))) {
    throw new HeliosError('not_found', `${dataDir} has no database`, {
      hint: 'Name the data dir of the server with HELIOS_DATA_DIR, or start it: helios serve',
    })
  }
  const db = openDatabase(dataDir)
  try {
    const token = newOwnerToken(db, systemClock())
    if (token !== undefined) return { token }
    throw new HeliosError('not_found', 'The server has no owner yet', {
      hint: 'Start it once: helios serve',
    })
  } finally {
    db.$client.close()
  }
}
