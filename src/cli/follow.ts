/**
 * @module
 * Show the log of a deployment until it ends.
 */
import { HeliosError, messageOf } from '../lib/errors.ts'
import type { AppContext } from './app-name.ts'
import type { Answer } from './client.ts'
import { printable } from './columns.ts'
import { EXIT, isErrorCode } from './exit-codes.ts'
import { onInterrupt } from './interrupt.ts'

type Deployment = Answer<'get /apps/:app/deployments/:deployment'>
type Line = Answer<'get /apps/:app/deployments/:deployment/log'>

/** Show the log of a deployment from its start; ctrl-C leaves it to itself. Gives the exit code: 7 when it failed. */
export async function followDeployment(context: AppContext, id: string): Promise<number> {
  const { app, out } = context
  const detaching = new AbortController()
  const release = onInterrupt(() => detaching.abort())
  try {
    const ended = await showLog(context, id, AbortSignal.any([detaching.signal, out.closed]))
    return await conclude(context, ended)
  } catch (error) {
    if (out.closed.aborted) return EXIT.ok
    if (!detaching.signal.aborted) throw stillGoing(error, app, id)
    out.note(`Detached: the deployment goes on.\n${howToGoOn(app, id)}`)
    return EXIT.interrupted
  } finally {
    release()
  }
}

/** Say where to look at a deployment that nobody waits for. */
export function tellDetached({ app, out }: AppContext, deployment: Deployment): number {
  out.result(deployment, `Deployment ${deployment.id} is ${deployment.state}`)
  out.note(howToGoOn(app, deployment.id))
  return EXIT.ok
}

function howToGoOn(app: string, id: string): string {
  return `Follow it: helios deployments:log ${id} -a ${app}\nStop it:   helios deployments:cancel ${id} -a ${app}`
}

function stillGoing(error: unknown, app: string, id: string): unknown {
  if (!(error instanceof HeliosError) || error.code !== 'api_unreachable') return error
  return new HeliosError(error.code, `${messageOf(error)}; the deployment may go on`, {
    hint: howToGoOn(app, id),
    cause: error,
  })
}

async function showLog(
  { api, app, out }: AppContext,
  id: string,
  signal: AbortSignal,
): Promise<Deployment> {
  const params = { app, deployment: id }
  const events = api.events(
    'get /apps/:app/deployments/:deployment/log',
    { params },
    {
      signal,
      onLost: () => out.progress('The connection broke; trying again…'),
    },
  )
  for await (const { event, data } of events) {
    if (event === 'end') return data as unknown as Deployment
    if (event === 'line') out.event({ type: 'line', ...data }, lineText(data, out))
  }
  return api.call('get /apps/:app/deployments/:deployment', { params })
}

function lineText({ stream, text }: Line, out: AppContext['out']): string {
  const safe = printable(text, { colours: out.colours })
  return stream === 'step' ? out.style('bold', safe) : safe
}

async function conclude({ api, app, out }: AppContext, ended: Deployment): Promise<number> {
  if (out.json) out.event({ type: 'end', deployment: ended }, '')
  if (ended.state === 'succeeded') {
    const { url } = await api.call('get /apps/:app', { params: { app } })
    const what = ended.release === null ? 'done' : `v${ended.release} is live`
    if (!out.json) out.result(undefined, out.style('green', `${app}: ${what} at ${url}`))
    return EXIT.ok
  }
  out.error(failure(app, ended))
  return EXIT.deployFailed
}

function failure(app: string, { id, state, error }: Deployment): HeliosError {
  const code = isErrorCode(error?.code) ? error.code : 'deploy_failed'
  const why = error === null ? '' : `: ${error.message}${code === error.code ? ` (${code})` : ''}`
  const hint =
    error?.hint ??
    (state === 'superseded'
      ? 'A newer deployment took its place'
      : `Its log: helios deployments:log ${id} -a ${app}`)
  return new HeliosError(
    code,
    `The deployment ${state === 'failed' ? 'failed' : `was ${state}`}${why}`,
    {
      hint,
    },
  )
}
