/**
 * @module
 * Handlers of apps, their config, processes and domains.
 */
import { createApp, destroyApp, findApp, mustBeActive } from '../../core/apps.ts'
import { requestDeployment } from '../../core/deployments.ts'
import { addDomain, listDomains, removeDomain } from '../../core/domains.ts'
import { listEnv, setEnv, unsetEnv } from '../../core/env.ts'
import { listOverviews, overviewOf } from '../../core/overview.ts'
import { scaleProcesses } from '../../core/processes.ts'
import { HeliosError, show } from '../../lib/errors.ts'
import { pageOf, readPage, rowsToRead } from '../page.ts'
import type { Handlers } from '../routes.ts'
import type { APP_ENDPOINTS } from '../schemas/apps.ts'
import { appStatus, liveOrNone, processesOf } from '../status.ts'
import { appBody, defaultDomainBody, deploymentBody, domainBody } from '../views.ts'

type Names = Exclude<keyof typeof APP_ENDPOINTS, 'getLogs' | 'followLogs'>

/** Handlers of apps, their config, processes and domains. */
export const appHandlers: Handlers<Names> = {
  listApps({ deps, actor, query }) {
    const page = readPage('apps', query)
    const rows = listOverviews(deps.db, actor, {
      limit: rowsToRead(page),
      ...(page.after === undefined ? {} : { after: page.after }),
    })
    return pageOf('apps', page, rows, {
      key: (row) => row.app.name,
      items: (shown) => shown.map((row) => appBody(row, deps.address)),
    })
  },

  createApp({ deps, actor, body, now }) {
    const app = createApp(deps.db, { scope: actor, name: body.name, now })
    return appBody(overviewOf(deps.db, app), deps.address)
  },

  getApp({ deps, actor, params }) {
    const app = findApp(deps.db, actor, params.app)
    return appBody(overviewOf(deps.db, app), deps.address)
  },

  destroyApp({ deps, actor, params, query, now }) {
    const { name } = findApp(deps.db, actor, params.app)
    if (query.confirm !== name) {
      throw new HeliosError('confirm_required', `${show(query.confirm)} is not the app's name`, {
        field: 'confirm',
        hint: `Everything of the app will be gone. To confirm, give its name: ${name}`,
      })
    }
    destroyApp(deps.db, actor, name, now)
    return { name }
  },

  getStatus: ({ deps, actor, params }) => appStatus(deps, findApp(deps.db, actor, params.app)),

  getEnv: ({ deps, actor, params }) => ({
    env: listEnv(deps.db, findApp(deps.db, actor, params.app)),
  }),

  changeEnv({ deps, actor, params, body, now }) {
    const { db } = deps
    const app = findApp(db, actor, params.app)
    mustBeActive(db, app)
    const set = body.set ?? {}
    const unset = body.unset ?? []
    const before = listEnv(db, app)
    setEnv(db, app, set)
    unsetEnv(db, app, unset)
    const env = listEnv(db, app)
    const changed = JSON.stringify(env) !== JSON.stringify(before)
    if (!changed || !liveOrNone(db, app)) return { env, deployment: null }
    const description = describeChange(Object.keys(set), unset)
    const row = requestDeployment(db, { app, actor, reason: 'config', description, now })
    return { env, deployment: deploymentBody({ ...row, release: null }, app) }
  },

  listProcesses({ deps, actor, params }) {
    return { items: processesOf(deps.db, findApp(deps.db, actor, params.app)) }
  },

  scale({ deps, actor, params, body, now }) {
    const app = findApp(deps.db, actor, params.app)
    const release = liveOrNone(deps.db, app)
    if (!release) throw nothingRuns(app)
    return { formation: scaleProcesses(deps.db, app, { wanted: body.formation, release, now }) }
  },

  listDomains({ deps, actor, params }) {
    const app = findApp(deps.db, actor, params.app)
    const own = listDomains(deps.db, app).map((row) => domainBody(row, deps.address))
    return { items: [defaultDomainBody(app, deps.address), ...own] }
  },

  addDomain({ deps, actor, params, body, now }) {
    const app = findApp(deps.db, actor, params.app)
    mustBeActive(deps.db, app)
    const { baseDomain } = deps.address
    return domainBody(addDomain(deps.db, app, { host: body.host, baseDomain, now }), deps.address)
  },

  removeDomain({ deps, actor, params }) {
    const app = findApp(deps.db, actor, params.app)
    return domainBody(removeDomain(deps.db, app, params.host), deps.address)
  },
}

/** What to say where something has to run first. */
export function nothingRuns(app: { name: string }): HeliosError {
  return new HeliosError('HX14', `Nothing of ${app.name} runs: no release is live`, {
    hint: 'Deploy it first: git push helios main',
  })
}

const MAX_NAMED = 5

function describeChange(set: readonly string[], unset: readonly string[]): string {
  const names = (verb: string, keys: readonly string[]): string[] => {
    if (keys.length === 0) return []
    const more = keys.length > MAX_NAMED ? ` and ${keys.length - MAX_NAMED} more` : ''
    return [`${verb} ${keys.slice(0, MAX_NAMED).join(', ')}${more}`]
  }
  return [...names('Set', set), ...names('Unset', unset)].join('; ').slice(0, 200)
}
