/**
 * @module
 * From rows to the bodies of the API.
 */
import type { z } from 'zod'
import { appHost, gitUrl, hostUrl, type PublicAddress } from '../core/address.ts'
import type { App } from '../core/apps.ts'
import type { Domain } from '../core/domains.ts'
import type { SeenInstance } from '../core/instances.ts'
import type { AppOverview, NumberedDeployment } from '../core/overview.ts'
import type { Formation } from '../core/processes.ts'
import type { ListedRelease, Release } from '../core/releases.ts'
import type * as shapes from './schemas/shapes.ts'

/** Bodies of the API. */
export type AppBody = z.output<typeof shapes.App>
export type DeploymentBody = z.output<typeof shapes.Deployment>
type ReleaseBody = z.output<typeof shapes.Release>
type ProcessBody = z.output<typeof shapes.Process>
type InstanceBody = z.output<typeof shapes.Instance>
type DomainBody = z.output<typeof shapes.Domain>

const time = (ms: number): string => new Date(ms).toISOString()
const timeOrNull = (ms: number | null): string | null => (ms === null ? null : time(ms))

/** How an app is, in a word. */
function appState(overview: AppOverview): AppBody['state'] {
  if (overview.app.state === 'destroying') return 'destroying'
  if (overview.busy) return 'deploying'
  if (overview.release === null) return 'new'
  if (overview.wanted === 0) return 'stopped'
  return overview.healthy < overview.wanted ? 'degraded' : 'running'
}

/** An app in a list. */
export function appBody(overview: AppOverview, at: PublicAddress): AppBody {
  const { app, last } = overview
  return {
    id: app.id,
    name: app.name,
    state: appState(overview),
    url: hostUrl(appHost(app.name, at), at),
    gitUrl: gitUrl(app.name, at),
    release: overview.release,
    instances: { wanted: overview.wanted, healthy: overview.healthy },
    lastDeployment: last && deploymentBody(last, app),
    createdAt: time(app.createdAt),
  }
}

/** A deployment. */
export function deploymentBody(row: NumberedDeployment, app: Pick<App, 'name'>): DeploymentBody {
  return {
    id: row.id,
    app: app.name,
    reason: row.reason,
    description: row.description,
    actor: row.actor,
    state: row.state,
    release: row.release,
    error: row.error,
    createdAt: time(row.createdAt),
    finishedAt: timeOrNull(row.finishedAt),
  }
}

/** A release; the live one is not one to go back to. */
export function releaseBody(
  row: ListedRelease,
  live: Pick<Release, 'id'> | undefined,
): ReleaseBody {
  const isLive = row.id === live?.id
  return {
    number: row.number,
    description: row.description,
    deployment: row.deploymentId,
    state: row.state,
    live: isLive,
    available: !isLive && row.state === 'succeeded' && row.prunedAt === null,
    commit: row.commit,
    createdAt: time(row.createdAt),
  }
}

/** Processes of a release with what was seen of them, and those only older instances still have. */
export function processBodies(
  release: Pick<Release, 'spec'> | undefined,
  formation: Formation,
  seen: readonly SeenInstance[],
): ProcessBody[] {
  const specs = release?.spec.processes ?? {}
  const names = new Set([...Object.keys(specs), ...seen.map((each) => each.process)])
  return [...names].map((name) => ({
    name,
    command: specs[name]?.command ?? null,
    wanted: formation[name] ?? 0,
    instances: seen.filter((each) => each.process === name).map(instanceBody),
  }))
}

function instanceBody(row: SeenInstance): InstanceBody {
  return {
    name: `${row.process}.${row.index}`,
    process: row.process,
    release: row.release,
    state: row.state,
    healthy: row.healthy,
    startedAt: timeOrNull(row.startedAt),
    restarts: row.restarts,
    exitCode: row.exitCode,
    oomKilled: row.oomKilled,
    memoryBytes: row.memoryBytes,
  }
}

/** A host name an app owns. */
export function domainBody(row: Pick<Domain, 'host' | 'createdAt'>, at: PublicAddress): DomainBody {
  return {
    host: row.host,
    url: hostUrl(row.host, at),
    default: false,
    createdAt: time(row.createdAt),
  }
}

/** The host name every app has. */
export function defaultDomainBody(app: Pick<App, 'name'>, at: PublicAddress): DomainBody {
  const host = appHost(app.name, at)
  return { host, url: hostUrl(host, at), default: true, createdAt: null }
}

/** A key in a list. */
export function keyBody(key: { id: string; name: string; fingerprint: string; createdAt: number }) {
  const { id, name, fingerprint, createdAt } = key
  return { id, name, fingerprint, createdAt: time(createdAt) }
}
