/**
 * @module
 * One command in a fresh instance of the live release, attached to whoever asked.
 */
import type { App } from '../core/apps.ts'
import { liveRelease } from '../core/releases.ts'
import { HeliosError } from '../lib/errors.ts'
import { newId } from '../lib/ids.ts'
import type { Attached } from '../runtime/types.ts'
import type { EngineDeps } from './deps.ts'
import { LABELS } from './labels.ts'
import type { createNetworks } from './network.ts'
import { envOf, processOf, WEB } from './workload.ts'

type Deps = Pick<EngineDeps, 'db' | 'clock' | 'log' | 'runtime' | 'serverId'> & {
  networks: ReturnType<typeof createNetworks>
}

/** What is to run, and on which terminal. */
export type OneOff = {
  app: App
  command: string[]
  tty?: { columns: number; rows: number }
}

/**
 * Start a one-off; its instance is removed when it ended or `signal` aborts.
 * @throws {HeliosError} HX14 when nothing was deployed yet
 */
export async function runOneOff(deps: Deps, input: OneOff, signal: AbortSignal): Promise<Attached> {
  const { app, command, tty } = input
  const release = liveRelease(deps.db, app)
  if (!release) {
    throw new HeliosError('HX14', `${app.name} has no release to run in`, {
      hint: 'Deploy it first: git push helios main',
    })
  }
  const process = release.spec.processes[WEB] ? WEB : (Object.keys(release.spec.processes)[0] ?? '')
  const spec = processOf(release, process)
  const network = await deps.networks.ensure(app.teamId)
  const attached = await deps.runtime.attach(
    {
      name: `helios-${newId('one', deps.clock())}`,
      image: release.image,
      command,
      env: { ...envOf(release, process), HELIOS_PROCESS: 'run' },
      labels: {
        [LABELS.server]: deps.serverId,
        [LABELS.kind]: 'run',
        [LABELS.app]: app.id,
      },
      network,
      memoryBytes: spec.memoryBytes,
      cpus: spec.cpus,
      stopSignal: 'SIGTERM',
      stopGraceMs: 10_000,
      restart: 'never',
      stdin: true,
      ...(tty ? { tty: true } : {}),
    },
    tty,
    signal,
  )
  const removed = (): Promise<void> =>
    deps.runtime
      .removeInstance(attached.id)
      .catch((error: unknown) => deps.log.warn({ err: error }, 'could not remove a one-off'))
  return {
    ...attached,
    wait: async (waitSignal) => {
      try {
        return await attached.wait(waitSignal)
      } finally {
        await removed()
      }
    },
  }
}

/** Remove one-offs that nobody is attached to any more: those of a process that ended. */
export async function removeLostOneOffs(deps: Pick<Deps, 'runtime' | 'serverId'>): Promise<void> {
  const lost = await deps.runtime.listInstances({
    [LABELS.server]: deps.serverId,
    [LABELS.kind]: 'run',
  })
  for (const { id } of lost) await deps.runtime.removeInstance(id)
}
