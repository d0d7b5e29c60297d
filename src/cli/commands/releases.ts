/**
 * @module
 * Releases of an app, and going back to one.
 */
import { HeliosError, show } from '../../lib/errors.ts'
import { forApp } from '../app-name.ts'
import { isSet, wholeNumber } from '../args.ts'
import { followDeployment, tellDetached } from '../follow.ts'
import { gather } from '../pages.ts'
import { ago } from '../times.ts'

/** List releases. */
export const releases = forApp(async ({ api, app, options, out }) => {
  const most = wholeNumber(options, 'lines', { min: 1, max: 1000, otherwise: 20 })
  const { items, more } = await gather(most, (query) =>
    api.call('get /apps/:app/releases', { params: { app }, query }),
  )
  out.result({ items, more }, () =>
    items.length === 0
      ? `${app} has no releases yet`
      : out.table(
          ['RELEASE', 'STATE', 'WHEN', 'WHAT', 'COMMIT', 'ROLLBACK'],
          items.map((one) => [
            `v${one.number}`,
            one.live ? 'live' : one.state,
            ago(one.createdAt, Date.now()),
            one.description,
            one.commit?.slice(0, 7),
            one.available ? 'possible' : 'no',
          ]),
        ),
  )
  if (items.length === 0) out.note(`Next: helios deploy -a ${app}`)
  if (more) out.note(`There are more: helios releases -n ${Math.min(1000, most * 5)} -a ${app}`)
  return 0
})

/** Go back to a release. */
export const rollback = forApp(async (context) => {
  const { api, app, args, options } = context
  const release = args[0] === undefined ? undefined : releaseNumber(args[0])
  const body = release === undefined ? {} : { release }
  const deployment = await api.call('post /apps/:app/rollback', { params: { app }, body })
  return isSet(options, 'detach')
    ? tellDetached(context, deployment)
    : followDeployment(context, deployment.id)
})

function releaseNumber(text: string): number {
  if (/^v?[1-9]\d{0,8}$/i.test(text)) return Number(text.replace(/^v/i, ''))
  throw new HeliosError('usage', `${show(text)} is no release: write it as v12`, {
    hint: 'Releases: helios releases',
  })
}
