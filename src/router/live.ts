/**
 * @module
 * Live states on disk: one folder per app with one file in it, whose name the router reads at each request.
 */
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkId, liveName, parseLiveName } from './live-name.ts'
import type { LiveState, Router } from './types.ts'

/** The part of the router that needs only the disk. */
type LiveStates = Pick<Router, 'setLive' | 'getLive' | 'removeLive' | 'listLive'>

/** Not an id, so it is never taken for an app. */
const ASIDE = '.aside'

/** Live states below `upDir`, the folder the configuration was made with. */
export function createLiveStates(upDir: string): LiveStates {
  const folder = (app: string): string => {
    checkId('app', app)
    return join(upDir, app)
  }
  return {
    setLive: async (state) => put(upDir, folder(state.app), state),
    getLive: async (app) => {
      for (const name of namesIn(folder(app))) {
        const state = parseLiveName(app, name)
        if (state !== undefined) return state
      }
      return undefined
    },
    removeLive: async (app) => rmSync(folder(app), { recursive: true, force: true }),
    listLive: async () =>
      namesIn(upDir).filter((app) => app !== ASIDE && namesIn(join(upDir, app)).some(isLive)),
  }
}

/** Synchronous, so that two switches of one app cannot mix; it takes well under a millisecond. */
function put(upDir: string, folder: string, state: LiveState): void {
  const name = liveName(state)
  const [old, ...extra] = namesIn(folder)
  if (old === name && extra.length === 0) return
  mkdirSync(folder, { recursive: true })
  const aside = join(upDir, ASIDE)
  mkdirSync(aside, { recursive: true })
  const from = old === undefined ? join(aside, state.app) : join(folder, old)
  if (old === undefined) writeFileSync(from, '')
  renameSync(from, join(folder, name))
  for (const stray of extra) {
    if (stray !== name) rmSync(join(folder, stray), { recursive: true, force: true })
  }
}

function isLive(name: string): boolean {
  return parseLiveName('', name) !== undefined
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path).sort()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}
