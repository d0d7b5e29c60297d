/**
 * @module
 * One command in a fresh instance of the live release, attached to whoever asked.
 */
import type { App } from '../core/apps.ts'
import { liveRelease } from '../core/releases.ts'
import { addressHolders, instanceAddress, releaseAddress } from '../core/subnets.ts'
import { HeliosError } from '../lib/errors.ts'
import { isId, madeAt, newId } from '../lib/ids.ts'
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
  const name = `helios-${newId('one', deps.clock())}`
  // An address of the engine's choice could be that of an instance which is just being restarted.
  const address = instanceAddress(deps.db, app.teamId, name)
  const attaching = deps.runtime.attach(
    {
      name,
      image: release.image,
      command,
      env: { ...envOf(release, process), HELIOS_PROCESS: 'run' },
      labels: {
        [LABELS.server]: deps.serverId,
        [LABELS.kind]: 'run',
        [LABELS.app]: app.id,
      },
      network,
      address,
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
  const attached = await attaching.catch((error: unknown) => {
    releaseAddress(deps.db, name)
    throw error
  })
  const removed = async (): Promise<void> => {
    try {
      await deps.runtime.removeInstance(attached.id)
      releaseAddress(deps.db, name)
    } catch (error) {
      deps.log.warn({ err: error }, 'could not remove a one-off')
    }
  }
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

/** Remove the one-offs of an app that goes, or those from before a start: nobody is attached to them any more. */
export async function removeOneOffs(
  deps: Pick<Deps, 'db' | 'runtime' | 'serverId'>,
  which: { app: string } | { before: number },
): Promise<void> {
  const found = await deps.runtime.listInstances({
    [LABELS.server]: deps.serverId,
    [LABELS.kind]: 'run',
    ...('app' in which ? { [LABELS.app]: which.app } : {}),
  })
  const isLost = (name: string): boolean => 'app' in which || madeAt(idOf(name)) < which.before
  for (const { id, name } of found.filter((each) => isLost(each.name))) {
    await deps.runtime.removeInstance(id)
    releaseAddress(deps.db, name)
  }
  if ('app' in which) return
  const held = addressHolders(deps.db).filter((name) => isId('one', idOf(name)))
  for (const name of held.filter(isLost)) releaseAddress(deps.db, name)
}

function idOf(name: string): string {
  return name.replace(/^helios-/, '')
}
