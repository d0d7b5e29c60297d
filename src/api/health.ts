/**
 * @module
 * Whether Helios lives, and whether all of it is ready.
 */
import type { ApiDeps } from './context.ts'
import { answer, type Door } from './door.ts'

/** Mount `/healthz` (lives) and `/readyz` (each part's state; 503 when one is not well). */
export function mountHealth(door: Door, deps: Pick<ApiDeps, 'states'>): void {
  door.mount('GET', '/healthz', 'public', (c) => {
    c.set('route', 'healthz')
    return answer(200, JSON.stringify({ ok: true }))
  })
  door.mount('GET', '/readyz', 'public', (c) => {
    c.set('route', 'readyz')
    const parts = deps.states()
    const ok = Object.values(parts).every((part) => part.ok)
    return answer(ok ? 200 : 503, JSON.stringify({ ok, parts }))
  })
}
