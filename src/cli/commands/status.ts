/**
 * @module
 * Everything one wants to know of an app at a glance.
 */
import { type AppContext, forApp } from '../app-name.ts'
import type { Answer } from '../client.ts'
import { printable } from '../columns.ts'
import { instanceTable } from '../instances.ts'
import { logText } from '../log-text.ts'
import type { Look, Output } from '../output.ts'
import { ago } from '../times.ts'

type Status = Answer<'get /apps/:app/status'>

const LOOK_OF_STATE: Record<Status['app']['state'], Look> = {
  new: 'dim',
  running: 'green',
  deploying: 'yellow',
  degraded: 'red',
  stopped: 'dim',
  destroying: 'red',
}

/** Show the state of an app. */
export const status = forApp(async ({ api, app, out }) => {
  const all = await api.call('get /apps/:app/status', { params: { app } })
  out.result(all, () => describe(all, out))
  const next = nextStep(all)
  if (next !== undefined) out.note(next)
  return 0
})

function describe(all: Status, out: AppContext['out']): string {
  const now = Date.now()
  const { app, release, rollout, processes, lastError, log } = all
  const instances = processes.flatMap((one) => one.instances)
  const facts = [
    [
      'Release',
      release
        ? `v${release.number}, ${release.description}, ${ago(release.createdAt, now)}`
        : 'none yet',
    ],
    [
      'Rollout',
      rollout
        ? `${rollout.state}: ${rollout.description || rollout.reason} by ${rollout.actor}, ${ago(rollout.createdAt, now)}`
        : 'none under way',
    ],
    [
      'Instances',
      processes.map((one) => `${one.name} ${healthyOf(one)} of ${one.wanted}`).join(', ') || 'none',
    ],
  ] as const
  return [
    `${out.style('bold', app.name)}  ${out.style(LOOK_OF_STATE[app.state] ?? 'bold', app.state)}  ${app.url}`,
    ...facts.map(([name, text]) => `${name.padEnd(10)} ${printable(text)}`),
    ...(instances.length > 0 ? ['', instanceTable(instances, out)] : []),
    ...(lastError ? ['', ...errorLines(lastError, out)] : []),
    ...(log.length > 0
      ? ['', out.style('bold', 'Newest lines'), ...log.map((line) => logText(line, out))]
      : []),
  ].join('\n')
}

function healthyOf({ instances }: Status['processes'][number]): number {
  return instances.filter((one) => one.healthy).length
}

function errorLines(error: NonNullable<Status['lastError']>, out: Output): string[] {
  const head = `${out.style('red', 'Last error')} ${error.code} in ${error.deployment}`
  const text = [error.message, ...(error.hint ? [error.hint] : [])]
  return [head, ...text.flatMap((part) => part.split('\n')).map((line) => `  ${printable(line)}`)]
}

function nextStep({ app, rollout, lastError }: Status): string | undefined {
  if (app.state === 'new') return `Next: helios deploy -a ${app.name}   or: git push helios main`
  if (rollout) return `Follow it: helios deployments:log ${rollout.id} -a ${app.name}`
  if (lastError) return `Its log: helios deployments:log ${lastError.deployment} -a ${app.name}`
  if (app.state === 'degraded') return `See why: helios logs ${app.name}`
  return undefined
}
