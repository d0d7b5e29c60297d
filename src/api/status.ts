/**
 * @module
 * Everything one wants to know of an app at a glance.
 */
import type { z } from 'zod'
import type { App } from '../core/apps.ts'
import { isOpen, listDeployments } from '../core/deployments.ts'
import { seenInstances } from '../core/instances.ts'
import { type NumberedDeployment, numbered, overviewOf } from '../core/overview.ts'
import { formationOf } from '../core/processes.ts'
import { type ListedRelease, liveRelease, type Release } from '../core/releases.ts'
import { activeRollouts } from '../core/rollouts.ts'
import type { Db } from '../db/open.ts'
import type { AppLine } from '../observability/app-logs.ts'
import type { ApiDeps } from './context.ts'
import type * as shapes from './schemas/shapes.ts'
import { appBody, deploymentBody, processBodies, releaseBody } from './views.ts'

type StatusBody = z.output<typeof shapes.AppStatus>

const RECENT_DEPLOYMENTS = 20
const NEWEST_LINES = 20

/** The live release of an app. */
export function liveOrNone(db: Db, app: App): Release | undefined {
  return liveRelease(db, app)
}

/** The processes of the live release, or of the one that starts, with what was seen of them. */
export function processesOf(db: Db, app: App): StatusBody['processes'] {
  const release = liveRelease(db, app) ?? activeRollouts(db, app.id).at(-1)?.release
  const formation = release ? formationOf(db, app, release) : {}
  return processBodies(release, formation, seenInstances(db, [app.id]))
}

/** The status of an app. */
export function appStatus(deps: Pick<ApiDeps, 'db' | 'address' | 'appLogs'>, app: App): StatusBody {
  const { db } = deps
  const live = liveRelease(db, app)
  const recent = numbered(db, listDeployments(db, app, { limit: RECENT_DEPLOYMENTS }))
  const underWay = recent.findLast(isOpen)
  return {
    app: appBody(overviewOf(db, app), deps.address),
    release: live ? releaseBody(succeeded(live), live) : null,
    rollout: underWay ? deploymentBody(underWay, app) : null,
    processes: processesOf(db, app),
    lastError: lastError(recent),
    log: deps.appLogs.tail(app.id, { lines: NEWEST_LINES }).map(logLine),
  }
}

/** A line without what only the server needs. */
export function logLine({ id, at, process, instance, stream, text }: AppLine) {
  return { id, at, process, instance, stream, text }
}

/** A live release succeeded, whatever a later write says. */
function succeeded(release: Release): ListedRelease {
  return { ...release, state: 'succeeded' }
}

/** The error of the newest deployment that failed, unless one after it succeeded. */
function lastError(recent: readonly NumberedDeployment[]): StatusBody['lastError'] {
  const decided = recent.find((row) => row.state === 'failed' || row.state === 'succeeded')
  return decided?.state === 'failed' && decided.error
    ? { ...decided.error, deployment: decided.id }
    : null
}
