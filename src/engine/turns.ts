/**
 * @module
 * Who changes what runs of an app right now, and whether anything changed since one looked.
 */
import { keyedMutex } from '../lib/async.ts'

/** Turns at the apps; in memory, as everyone who takes one is in this process. */
export type Turns = {
  /** Do a job that changes what runs of an app. */
  change<T>(appId: string, work: () => Promise<T>): Promise<T>
  /** Such a job is under way. */
  busy(appId: string): boolean
  /** When such a job failed last, unless one succeeded since. */
  failedAt(appId: string): number | undefined
  /** Look at an app after those who look already. */
  look<T>(appId: string, work: () => Promise<T>): Promise<T>
  /** Say that somebody sees an app as it is now: what was seen before is old. */
  saw(appId: string): void
  /** A number that differs once a job began or ended, or somebody saw the app. */
  mark(appId: string): number
  /**
   * Instances that have shown that they are healthy, by name, each with the start since which that holds
   * (milliseconds); no traffic goes to others while there are such.
   */
  proven: Map<string, number>
}

type State = { mark: number; busy: number; failedAt: number | undefined }

/** Make the turns of a server. */
export function createTurns(clock: () => number): Turns {
  const states = new Map<string, State>()
  const one = keyedMutex()
  const of = (appId: string): State => {
    const state = states.get(appId) ?? { mark: 0, busy: 0, failedAt: undefined }
    states.set(appId, state)
    return state
  }
  return {
    change: async (appId, work) => {
      const state = of(appId)
      state.busy += 1
      state.mark += 1
      try {
        const result = await work()
        state.failedAt = undefined
        return result
      } catch (error) {
        state.failedAt = clock()
        throw error
      } finally {
        state.busy -= 1
        state.mark += 1
      }
    },
    busy: (appId) => of(appId).busy > 0,
    failedAt: (appId) => of(appId).failedAt,
    look: one,
    saw: (appId) => {
      of(appId).mark += 1
    },
    mark: (appId) => of(appId).mark,
    proven: new Map(),
  }
}
