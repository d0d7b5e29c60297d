/**
 * @module
 * Handlers of deployments and releases.
 */
import { type App, findApp } from '../../core/apps.ts'
import {
  cancelDeployment,
  type Deployment,
  findDeployment,
  listDeployments,
  type NewDeployment,
  requestDeployment,
} from '../../core/deployments.ts'
import { numbered } from '../../core/overview.ts'
import { listReleases, rollbackTarget } from '../../core/releases.ts'
import type { Db } from '../../db/open.ts'
import { parseImageRef } from '../../lib/names.ts'
import { pageOf, readPage, rowsToRead } from '../page.ts'
import type { Call, Handlers } from '../routes.ts'
import type { DEPLOYMENT_ENDPOINTS } from '../schemas/deployments.ts'
import { liveOrNone } from '../status.ts'
import { type DeploymentBody, deploymentBody, releaseBody } from '../views.ts'
import { nothingRuns } from './apps.ts'

type Names = Exclude<keyof typeof DEPLOYMENT_ENDPOINTS, 'deploymentLog'>

/** Handlers of deployments and releases. */
export const deploymentHandlers: Handlers<Names> = {
  restart(call) {
    const app = appOf(call)
    if (!liveOrNone(call.deps.db, app)) throw nothingRuns(app)
    return begin(call, app, { reason: 'restart', description: 'Restart' })
  },

  listReleases(call) {
    const { deps, query } = call
    const app = appOf(call)
    const list = `releases ${app.id}`
    const page = readPage(list, query)
    const before = page.after === undefined ? {} : { before: Number(page.after) }
    const rows = listReleases(deps.db, app, { limit: rowsToRead(page), ...before })
    const live = liveOrNone(deps.db, app)
    return pageOf(list, page, rows, {
      key: (row) => String(row.number),
      items: (shown) => shown.map((row) => releaseBody(row, live)),
    })
  },

  rollback(call) {
    const app = appOf(call)
    const target = rollbackTarget(call.deps.db, app, call.body.release)
    const description = `Roll back to v${target.number}`
    return begin(call, app, { reason: 'rollback', description, fromReleaseId: target.id })
  },

  listDeployments(call) {
    const { deps, query } = call
    const app = appOf(call)
    const list = `deployments ${app.id}`
    const page = readPage(list, query)
    const before = page.after === undefined ? {} : { before: page.after }
    const rows = listDeployments(deps.db, app, { limit: rowsToRead(page), ...before })
    return pageOf(list, page, rows, {
      key: (row) => row.id,
      items: (shown) => numbered(deps.db, shown).map((row) => deploymentBody(row, app)),
    })
  },

  upload(call) {
    const app = appOf(call)
    const description = oneLine(call.query.description ?? '') || 'Deploy an archive'
    const source = { kind: 'archive', id: call.archive.id } as const
    return begin(call, app, { reason: 'upload', description, source })
  },

  deployImage(call) {
    const app = appOf(call)
    const image = parseImageRef(call.body.image)
    const source = { kind: 'image', rev: image } as const
    return begin(call, app, {
      reason: 'image',
      description: `Deploy ${image}`.slice(0, 200),
      source,
    })
  },

  getDeployment(call) {
    const app = appOf(call)
    return body(call.deps.db, app, findDeployment(call.deps.db, app, call.params.deployment))
  },

  cancelDeployment(call) {
    const app = appOf(call)
    const { db } = call.deps
    const found = findDeployment(db, app, call.params.deployment)
    return body(db, app, cancelDeployment(db, found, call.now))
  },
}

type AppCall = Pick<Call, 'deps' | 'actor' | 'now'> & { params: { app: string } }

function appOf(call: AppCall): App {
  return findApp(call.deps.db, call.actor, call.params.app)
}

function begin(
  call: AppCall,
  app: App,
  what: Omit<NewDeployment, 'app' | 'actor' | 'now'>,
): DeploymentBody {
  const { deps, actor, now } = call
  return body(deps.db, app, requestDeployment(deps.db, { app, actor, now, ...what }))
}

function body(db: Db, app: App, row: Deployment): DeploymentBody {
  const [first = { ...row, release: null }] = numbered(db, [row])
  return deploymentBody(first, app)
}

function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').trim()
}
