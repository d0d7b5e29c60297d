/**
 * @module
 * Take away what no release needs any more: images beyond the newest, builds that came to nothing.
 */
import { appById } from '../core/apps.ts'
import { DEPLOY_JOB } from '../core/deployments.ts'
import { liveRelease, markPruned, releasesWithImage } from '../core/releases.ts'
import { activeRollouts } from '../core/rollouts.ts'
import { hasOpenJob } from '../queue/store.ts'
import type { EngineDeps } from './deps.ts'
import { LABELS } from './labels.ts'

type Deps = Pick<EngineDeps, 'db' | 'clock' | 'log' | 'runtime' | 'serverId'>

/** Images of an app that are kept to go back to. */
const KEPT = 5

/** Remove the images of an app beyond the newest, except those in use; a change of config has no image of its own. */
export async function collectImages(deps: Deps, appId: string): Promise<void> {
  const app = appById(deps.db, appId)
  if (!app) return
  const all = releasesWithImage(deps.db, appId)
  const active = new Set(activeRollouts(deps.db, appId).map(({ release }) => release.id))
  const live = liveRelease(deps.db, app)
  const newest = new Set([...new Set(all.map(({ image }) => image))].slice(0, KEPT))
  const kept = all.filter(({ id, image }) => newest.has(image) || active.has(id) || id === live?.id)
  const images = new Set(kept.map(({ image }) => image))
  for (const release of all) {
    if (kept.includes(release)) continue
    if (!images.has(release.image)) await remove(deps, release.image)
    markPruned(deps.db, release.id, deps.clock())
  }
  await collectUnused(deps, appId)
}

/** Images that no release has: of builds that were cut off or cancelled, and those that could not go before. */
async function collectUnused(deps: Deps, appId: string): Promise<void> {
  const made = await deps.runtime.listImages({
    [LABELS.server]: deps.serverId,
    [LABELS.app]: appId,
  })
  // A build that is under way has its image before its row.
  if (hasOpenJob(deps.db, { kinds: [DEPLOY_JOB], key: appId })) return
  const kept = new Set(releasesWithImage(deps.db, appId).map(({ image }) => image))
  const names = made.flatMap(({ tags }) => tags).map((tag) => tag.replace(/:latest$/, ''))
  for (const name of names) if (!kept.has(name)) await remove(deps, name)
}

/** Kept of what builders remember: enough for the dependencies of a good number of apps. */
const CACHE_BYTES = 10 * 1024 ** 3
const CACHE_EVERY_MS = 60 * 60 * 1000

/** Cut what builders remember to its budget, at most once an hour. */
export function createCacheCut(deps: Pick<Deps, 'clock' | 'log' | 'runtime'>): () => Promise<void> {
  let next = 0
  return async () => {
    if (deps.clock() < next) return
    next = deps.clock() + CACHE_EVERY_MS
    await deps.runtime.pruneBuildCache(CACHE_BYTES).then(
      (freed) => deps.log.debug({ freed }, 'cut the build cache'),
      (error: unknown) => deps.log.warn({ err: error }, 'could not cut the build cache'),
    )
  }
}

/** Remove every image of an app. */
export async function removeImages(deps: Deps, appId: string): Promise<void> {
  const images = releasesWithImage(deps.db, appId).map(({ image }) => image)
  for (const image of new Set(images)) await remove(deps, image)
  const labelled = await deps.runtime.listImages({
    [LABELS.server]: deps.serverId,
    [LABELS.app]: appId,
  })
  for (const { id } of labelled) await remove(deps, id)
}

/** An image that cannot go now is tried again with the next deploy, so it is no reason to fail. */
async function remove(deps: Deps, image: string): Promise<void> {
  await deps.runtime
    .removeImage(image)
    .catch((error: unknown) => deps.log.warn({ err: error, image }, 'could not remove an image'))
}
