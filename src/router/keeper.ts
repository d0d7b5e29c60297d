/**
 * @module
 * Keep a Caddy running with the right configuration: look often, start it when it is gone, put back what was changed.
 */
import { sleep } from '../lib/async.ts'
import { HeliosError, messageOf } from '../lib/errors.ts'
import type { Logger } from '../lib/log.ts'

/** What the keeper looks at and does. */
export type KeeperDeps = {
  /** Something that changes when another Caddy answers; nothing when none does. */
  identity(): Promise<string | undefined>
  start(signal: AbortSignal): Promise<void>
  /** End a Caddy that holds the lock of the router but does not answer. */
  stop(signal: AbortSignal): Promise<void>
  /** Called when another Caddy than before answers. */
  met(): void
  /** Load the right configuration if another one runs. */
  restore(): Promise<void>
  log: Logger
  signal: AbortSignal
  /** How often the whole configuration is compared, in milliseconds. */
  compareEveryMs: number
  /** Milliseconds of a clock that only goes on. */
  now(): number
}

/** The keeper of one Caddy. */
export type Keeper = {
  /** Look once: start Caddy unless one answers, compare its configuration when it is time. */
  look(): Promise<void>
  /** Look again and again until the signal aborts. */
  run(): Promise<void>
  /** What is wrong now. */
  trouble(): HeliosError | undefined
}

const LOOK_MS = 250
/** A Caddy that lived shorter than this did not really start. */
const SETTLED_MS = 5000
const MAX_PAUSE_MS = 30_000
/** How long a Caddy may hold the lock without answering. */
const SILENT_MS = 10_000

/** A keeper; it does nothing before {@link Keeper.look}. */
export function createKeeper(deps: KeeperDeps): Keeper {
  let known: string | undefined
  let wrong: HeliosError | undefined
  let startedAt = Number.NEGATIVE_INFINITY
  let answeredAt = deps.now()
  /** Since one of them settled. */
  let starts = 0
  let notBefore = 0
  let compareAt = 0

  const failed = (error: unknown): void => {
    if (deps.signal.aborted) return
    const shown =
      error instanceof HeliosError
        ? error
        : new HeliosError('HP52', messageOf(error), { cause: error })
    if (shown.message !== wrong?.message)
      deps.log.error({ err: shown }, 'router is not as it should be')
    wrong = shown
  }

  const start = async (): Promise<void> => {
    const now = deps.now()
    if (now < notBefore) return
    const pause = Math.min(LOOK_MS * 2 ** starts, MAX_PAUSE_MS)
    notBefore = starts === 0 ? now : now + pause
    starts += 1
    startedAt = now
    if (now - answeredAt > SILENT_MS) await deps.stop(deps.signal)
    await deps.start(deps.signal)
    deps.log.info('router started')
  }

  const compare = async (): Promise<void> => {
    compareAt = deps.now() + deps.compareEveryMs
    await deps.restore()
  }

  const look = async (): Promise<void> => {
    let seen = await deps.identity()
    if (seen === undefined) {
      await start()
      seen = await deps.identity()
      if (seen === undefined) {
        if (wrong === undefined) failed(new HeliosError('HP52', 'Caddy ended, it is started again'))
        return
      }
    }
    answeredAt = deps.now()
    if (answeredAt - startedAt >= SETTLED_MS) {
      starts = 0
      notBefore = 0
    }
    if (seen !== known) {
      deps.met()
      await compare()
      known = seen
    } else if (deps.now() >= compareAt) await compare()
    wrong = undefined
  }

  return {
    look: () => look().catch(failed),
    run: async () => {
      while (!deps.signal.aborted) {
        await sleep(LOOK_MS, deps.signal).catch(() => undefined)
        if (!deps.signal.aborted) await look().catch(failed)
      }
    },
    trouble: () => wrong,
  }
}
