/**
 * @module
 * Open an app in the browser.
 */
import { deadline } from '../../lib/async.ts'
import { HeliosError, show } from '../../lib/errors.ts'
import { run } from '../../lib/exec.ts'
import { forApp } from '../app-name.ts'

/** Print the URL of an app and, where there is a desktop, open it. */
export const open = forApp(async ({ api, app, env, out }) => {
  const { url, state } = await api.call('get /apps/:app', { params: { app } })
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '')) {
    throw new HeliosError('internal', `The server names no URL for ${app}: ${show(url)}`)
  }
  out.result({ url }, url)
  if (state === 'new') out.note('Nothing was deployed yet. Next: helios deploy')
  const opener = openerOf(env.desktop)
  if (opener === undefined || !out.interactive || out.json) return 0
  const opened = await run([opener, url], { env: env.desktop, signal: deadline(10_000) }).then(
    () => true,
    () => false,
  )
  if (!opened) out.note(`${opener} could not open it`)
  return 0
})

function openerOf({ DISPLAY, WAYLAND_DISPLAY }: Record<string, string>): string | undefined {
  if (process.platform === 'darwin') return 'open'
  return DISPLAY || WAYLAND_DISPLAY ? 'xdg-open' : undefined
}
