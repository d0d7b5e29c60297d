/**
 * @module
 * Put the routes together: the API, its document, git, health and pages.
 */
import type { ApiDeps } from './context.ts'
import { answer, createDoor, type Door } from './door.ts'
import { mountGit } from './git.ts'
import { HANDLERS } from './handlers/index.ts'
import { mountHealth } from './health.ts'
import { openApiDocument } from './openapi.ts'
import { API, mountEndpoints } from './routes.ts'
import { createRunDoor, type RunDoor } from './run.ts'
import { createStreams, type Streams } from './streams.ts'

/** Mounts pages beside the API. */
export type MountPages = (door: Door, streams: Streams) => void

/** Every route, ready to be served. */
export type Api = { door: Door; streams: Streams; run: RunDoor }

/** Put the routes together. @throws when one does not say who may use it */
export function createApi(deps: ApiDeps, pages?: MountPages): Api {
  const door = createDoor(deps.log)
  const streams = createStreams()
  mountHealth(door, deps)
  mountEndpoints(door, HANDLERS, { deps, streams })
  const run = createRunDoor(door, deps, streams)
  mountOpenApi(door, deps)
  pages?.(door, streams)
  mountGit(door, deps)
  door.seal()
  return { door, streams, run }
}

function mountOpenApi(door: Door, { version, address }: ApiDeps): void {
  let text: string | undefined
  door.mount('GET', `${API}/openapi.json`, 'public', (c) => {
    c.set('route', 'openapi')
    // The port may be known only when the server listens.
    text ??= JSON.stringify(openApiDocument({ version, url: address.apiUrl, api: API }))
    return answer(200, text)
  })
}
