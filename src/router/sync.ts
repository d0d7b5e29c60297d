/**
 * @module
 * Make the configuration of the running Caddy equal to the newest table, and keep it so.
 */
import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { keyedMutex, sleep, until, withDeadline } from '../lib/async.ts'
import { HeliosError, show } from '../lib/errors.ts'
import type { Logger } from '../lib/log.ts'
import type { CaddyClient } from './caddy-client.ts'
import { offenders } from './offenders.ts'
import type { HostRoute, RouteTable } from './types.ts'

/** A host that was left out so that the others could be loaded. */
export type RejectedHost = HostRoute & { reason: string }

/** What keeping the configuration needs. */
export type SyncDeps = {
  client: Pick<CaddyClient, 'load' | 'config'>
  build(table: RouteTable, generation: 0 | 1): object
  generationOf(config: unknown): 0 | 1
  /** What Caddy finds wrong with a configuration, without loading it. */
  judge(config: object, signal: AbortSignal): Promise<string | undefined>
  /** Put on disk what Caddy has accepted. */
  keep(config: object): void
  log: Logger
  /** Ends loads under way. */
  signal: AbortSignal
}

/** The configuration's keeper. */
export type Sync = {
  /** Load the table unless it is loaded; calls close together become one load. */
  apply(table: RouteTable, signal: AbortSignal): Promise<void>
  /** Load the last applied table again if something else runs; nothing before the first {@link Sync.apply}. */
  restore(): Promise<void>
  /** The hosts of the last table that Caddy refused. */
  rejected(): RejectedHost[]
  /** A configuration to start Caddy with: the last applied table, or none. */
  current(): object
}

type Applied = { key: string; table: RouteTable; rejected: RejectedHost[] }
type Batch = { table: RouteTable; key: string; done: Promise<void> }

const DEBOUNCE_MS = 20
/** How long a load waits for a Caddy that is being restarted. */
const REACH_MS = 10_000

/** A keeper of the configuration; see {@link Sync}. */
export function createSync(deps: SyncDeps): Sync {
  const oneByOne = keyedMutex()
  let applied: Applied | undefined
  let waiting: Batch | undefined
  let underWay = 0
  /** Caddy's own text of the configuration when it was last seen to be right. */
  let rightText: string | undefined

  const put = async (table: RouteTable, key: string): Promise<void> => {
    const running = JSON.parse(await deps.client.config(deps.signal))
    const result = await load(deps, table, running)
    deps.keep(result.config)
    for (const { host, app, reason } of result.rejected) {
      deps.log.warn({ host: show(host), app, reason }, 'router refused a host, it is left out')
    }
    applied = { key, table: result.table, rejected: result.rejected }
    rightText = undefined
  }

  const flush = async (): Promise<void> => {
    await sleep(DEBOUNCE_MS, deps.signal)
    const batch = waiting
    waiting = undefined
    if (batch === undefined) return
    underWay += 1
    await untilReached(() => put(batch.table, batch.key), deps.signal).finally(() => {
      underWay -= 1
    })
  }

  return {
    apply: (table, signal) => {
      const key = fingerprint(table)
      const idle = waiting === undefined && underWay === 0
      if (idle && key === applied?.key) return Promise.resolve()
      const done = waiting?.done ?? oneByOne('caddy', flush)
      waiting = { table, key, done }
      return withDeadline(done, signal)
    },
    restore: () =>
      oneByOne('caddy', async () => {
        if (applied === undefined) return
        const text = await deps.client.config(deps.signal)
        if (text === rightText) return
        const running = JSON.parse(text)
        if (!isRunning(deps, applied.table, running)) {
          deps.log.warn('router configuration was changed from outside, it is put back')
          deps.keep((await load(deps, applied.table, running)).config)
          return
        }
        rightText = text
      }),
    rejected: () => applied?.rejected ?? [],
    current: () => deps.build(applied?.table ?? { hosts: [] }, 0),
  }
}

function fingerprint(table: RouteTable): string {
  const lines = table.hosts.map(({ host, app }) => `${host} ${app}`).sort()
  return createHash('sha256').update(lines.join('\n')).digest('base64')
}

function isRunning(deps: SyncDeps, table: RouteTable, running: unknown): boolean {
  return isDeepStrictEqual(running, plain(deps.build(table, deps.generationOf(running))))
}

function plain(config: object): unknown {
  return JSON.parse(JSON.stringify(config))
}

type Loaded = { config: object; table: RouteTable; rejected: RejectedHost[] }

/** Load the table, or what of it Caddy takes; the result says which. */
async function load(deps: SyncDeps, wanted: RouteTable, running: unknown): Promise<Loaded> {
  const generation = deps.generationOf(running)
  const named = wanted.hosts.filter(isHostName)
  const strange = wanted.hosts.filter((route) => !isHostName(route))
  const unfit = strange.map((route) => ({ ...route, reason: 'not a host name' }))
  const attempt = async (hosts: HostRoute[], rejected: RejectedHost[]): Promise<Loaded> => {
    const table = { hosts }
    if (isRunning(deps, table, running)) {
      return { config: deps.build(table, generation), table, rejected }
    }
    const config = deps.build(table, generation === 0 ? 1 : 0)
    await deps.client.load(config, deps.signal)
    return { config, table, rejected }
  }
  try {
    return await attempt(named, unfit)
  } catch (error) {
    if (!(error instanceof HeliosError && error.code === 'router_error')) throw error
    const found = await offenders(named, (hosts) =>
      deps.judge(deps.build({ hosts }, generation), deps.signal),
    )
    if (found.length === 0) throw error
    const bad = new Set(found.map(({ host }) => host))
    return await attempt(
      named.filter(({ host }) => !bad.has(host)),
      [...unfit, ...found],
    )
  }
}

/** Anything else may mean something to Caddy, as braces do. */
function isHostName({ host }: HostRoute): boolean {
  return /^(?:\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/.test(host)
}

/** Repeat while Caddy is away. */
async function untilReached(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
  const giveUp = performance.now() + REACH_MS
  await until(
    async () => {
      try {
        await work()
        return true
      } catch (error) {
        const away = error instanceof HeliosError && error.code === 'HP52'
        if (away && performance.now() < giveUp) return undefined
        throw error
      }
    },
    { everyMs: 100, signal },
  )
}
