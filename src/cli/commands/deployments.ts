/**
 * @module
 * Deployments of an app: list, log, cancel.
 */
import { HeliosError } from '../../lib/errors.ts'
import { type AppContext, forApp } from '../app-name.ts'
import { wholeNumber } from '../args.ts'
import type { Answer } from '../client.ts'
import { followDeployment } from '../follow.ts'
import { gather } from '../pages.ts'
import { ago } from '../times.ts'

type Deployment = Answer<'get /apps/:app/deployments/:deployment'>

/** List deployments. */
export const deployments = forApp(async ({ api, app, options, out }) => {
  const most = wholeNumber(options, 'lines', { min: 1, max: 1000, otherwise: 20 })
  const { items, more } = await gather(most, (query) =>
    api.call('get /apps/:app/deployments', { params: { app }, query }),
  )
  out.result({ items, more }, () =>
    items.length === 0
      ? `${app} has no deployments yet`
      : out.table(
          ['ID', 'STATE', 'RELEASE', 'WHEN', 'BY', 'WHAT', 'ERROR'],
          items.map((one) => [
            one.id,
            one.state,
            one.release && `v${one.release}`,
            ago(one.createdAt, Date.now()),
            one.actor,
            one.description || one.reason,
            one.error?.code,
          ]),
        ),
  )
  if (items.length === 0) out.note(`Next: helios deploy -a ${app}`)
  if (more) out.note(`There are more: helios deployments -n ${Math.min(1000, most * 5)} -a ${app}`)
  return 0
})

/** Show the log of a deployment until it ends. */
export const deploymentLog = forApp(async (context) => {
  const id = context.args[0] ?? (await newest(context)).id
  return followDeployment(context, id)
})

/** Stop a deployment. */
export const cancelDeployment = forApp(async (context) => {
  const { api, app, args, out } = context
  const deployment = args[0] ?? (await underWay(context)).id
  const params = { app, deployment }
  const stopped = await api.call('post /apps/:app/deployments/:deployment/cancel', { params })
  out.result(stopped, `Stopping ${stopped.id} (${stopped.state})`)
  out.note(`What runs now stays as it is: helios status ${app}`)
  return 0
})

async function newest({ api, app }: AppContext): Promise<Deployment> {
  const query = { limit: 1 }
  const { items } = await api.call('get /apps/:app/deployments', { params: { app }, query })
  if (items[0]) return items[0]
  throw new HeliosError('deployment_not_found', `${app} has no deployments yet`, {
    hint: `helios deploy -a ${app}`,
  })
}

async function underWay({ api, app }: AppContext): Promise<Deployment> {
  const query = { limit: 50 }
  const { items } = await api.call('get /apps/:app/deployments', { params: { app }, query })
  const going = items.filter(({ state }) => /^(queued|building|deploying)$/.test(state))
  const [only, another] = going
  if (only && !another) return only
  if (!only) {
    throw new HeliosError('deployment_not_found', `No deployment of ${app} is under way`)
  }
  throw new HeliosError('usage', `${going.length} deployments of ${app} are under way`, {
    hint: `Name one: ${going.map(({ id }) => id).join(', ')}`,
  })
}
