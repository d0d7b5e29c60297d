/**
 * @module
 * The files pages load: served under their hash, so that a browser asks for each only once.
 */
import type { Door } from '../api/door.ts'
import { sha256 } from '../lib/crypto.ts'
import type { AssetUrls } from './pages.tsx'
import { SCRIPT } from './script.ts'
import { STYLE } from './style.ts'

const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><g stroke="#e58a00" stroke-width="2.6" stroke-linecap="round"><path d="M16 2.5v4M16 25.5v4M2.5 16h4M25.5 16h4M6.45 6.45l2.85 2.85M22.7 22.7l2.85 2.85M6.45 25.55l2.85-2.85M22.7 9.3l2.85-2.85"/></g><circle cx="16" cy="16" r="6.6" fill="#f5a623"/></svg>`

const FILES = {
  style: { path: '/assets/style.css', type: 'text/css; charset=utf-8', text: STYLE },
  script: { path: '/assets/status.js', type: 'text/javascript; charset=utf-8', text: SCRIPT },
  icon: { path: '/assets/icon.svg', type: 'image/svg+xml', text: ICON },
} as const

/** Mount the files; gives their addresses. */
export function mountAssets(door: Door): AssetUrls {
  const mount = ({ path, type, text }: (typeof FILES)[keyof typeof FILES]): string => {
    const version = sha256(text).slice(0, 16)
    door.mount('GET', path, 'public', (c) => {
      c.set('route', 'asset')
      const known = c.req.query('v') === version
      const cache = known ? 'public, max-age=31536000, immutable' : 'no-cache'
      return new Response(text, { headers: { 'Content-Type': type, 'Cache-Control': cache } })
    })
    return `${path}?v=${version}`
  }
  return { style: mount(FILES.style), script: mount(FILES.script), icon: mount(FILES.icon) }
}
