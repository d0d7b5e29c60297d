/**
 * @module
 * Instances as a table.
 */
import type { Answer } from './client.ts'
import type { Output } from './output.ts'
import { span } from './times.ts'

type Instance = Answer<'get /apps/:app/processes'>['items'][number]['instances'][number]

/** One line for each instance: how it is and since when. */
export function instanceTable(instances: readonly Instance[], out: Output): string {
  return out.table(
    ['INSTANCE', 'STATE', 'RELEASE', 'UP', 'RESTARTS', 'LAST EXIT'],
    instances.map((one) => [
      one.name,
      stateOf(one),
      `v${one.release}`,
      one.startedAt && one.state === 'running' ? span(Date.parse(one.startedAt), Date.now()) : '-',
      one.restarts,
      one.oomKilled ? 'out of memory (HR15)' : one.exitCode,
    ]),
  )
}

function stateOf({ state, healthy }: Instance): string {
  if (state !== 'running') return state
  return healthy ? 'healthy' : 'not healthy'
}
