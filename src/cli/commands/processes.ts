/**
 * @module
 * Processes of an app: show, scale, restart.
 */
import { HeliosError, show } from '../../lib/errors.ts'
import { printSize } from '../../lib/size.ts'
import { forApp } from '../app-name.ts'
import { isSet } from '../args.ts'
import type { Answer } from '../client.ts'
import { followDeployment, tellDetached } from '../follow.ts'
import { instanceTable } from '../instances.ts'

type Process = Answer<'get /apps/:app/processes'>['items'][number]

/** Show processes and instances. */
export const ps = forApp(async ({ api, app, out }) => {
  const { items } = await api.call('get /apps/:app/processes', { params: { app } })
  out.result({ items }, () => {
    if (items.length === 0) return `${app} has no processes yet`
    const instances = items.flatMap((one) => one.instances)
    return [
      ...items.map(summary),
      ...(instances.length > 0 ? ['', instanceTable(instances, out)] : []),
    ].join('\n')
  })
  if (items.length === 0) out.note(`Next: helios deploy -a ${app}`)
  return 0
})

function summary({ name, wanted, instances, command }: Process): string {
  const healthy = instances.filter((one) => one.healthy).length
  const memory = instances[0] ? `, ${printSize(instances[0].memoryBytes)} each` : ''
  return `${name}: ${healthy} of ${wanted} healthy${memory}${command ? ` (${command.join(' ')})` : ''}`
}

/** Say how many instances to run. */
export const scale = forApp(async ({ api, app, args, out }) => {
  const formation = Object.fromEntries(args.map(parseScale))
  const params = { app }
  const result = await api.call('patch /apps/:app/processes', { params, body: { formation } })
  const all = Object.entries(result.formation).map(([name, count]) => `${name}=${count}`)
  out.result(result, `${app} will run ${all.join(' ')}`)
  out.note(`See it happen: helios ps -a ${app}`)
  return 0
})

function parseScale(text: string): [string, number] {
  const [, name, count] = /^([^=:]+)[=:](\d{1,9})$/.exec(text) ?? []
  if (name !== undefined && count !== undefined) return [name, Number(count)]
  throw new HeliosError('usage', `${show(text)} does not say how many of what`, {
    hint: 'Write it as: helios ps:scale web=2 worker=1',
  })
}

/** Replace every instance. */
export const restart = forApp(async (context) => {
  const { api, app, options } = context
  const deployment = await api.call('post /apps/:app/restart', { params: { app } })
  return isSet(options, 'detach')
    ? tellDetached(context, deployment)
    : followDeployment(context, deployment.id)
})
