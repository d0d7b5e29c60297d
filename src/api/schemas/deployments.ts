/**
 * @module
 * Routes of deployments and releases.
 */
import { z } from 'zod'
import { AppPath, DeploymentPath, one } from './endpoint.ts'
import { Deployment, DeploymentLogLine, PageQuery, page, Release } from './shapes.ts'

/** Routes of deployments and releases. */
export const DEPLOYMENT_ENDPOINTS = {
  restart: one({
    method: 'post',
    path: '/apps/:app/restart',
    summary: 'Replace every instance, without a failed request',
    permission: 'app.deploy',
    params: AppPath,
    status: 202,
    response: Deployment,
  }),
  listReleases: one({
    method: 'get',
    path: '/apps/:app/releases',
    summary: 'Releases, newest first',
    permission: 'app.read',
    params: AppPath,
    query: PageQuery,
    response: page(Release),
  }),
  rollback: one({
    method: 'post',
    path: '/apps/:app/rollback',
    summary: 'Go back to a release (without a number: the last good one before)',
    permission: 'app.deploy',
    params: AppPath,
    body: z.strictObject({ release: z.number().int().min(1).optional() }),
    status: 202,
    response: Deployment,
  }),
  listDeployments: one({
    method: 'get',
    path: '/apps/:app/deployments',
    summary: 'Deployments, newest first',
    permission: 'app.read',
    params: AppPath,
    query: PageQuery,
    response: page(Deployment),
  }),
  upload: one({
    method: 'post',
    path: '/apps/:app/deployments',
    summary: 'Deploy a tar archive (plain or gzip)',
    permission: 'app.deploy',
    params: AppPath,
    query: z.object({ description: z.string().max(200).optional() }),
    takes: 'tar',
    status: 202,
    response: Deployment,
  }),
  deployImage: one({
    method: 'post',
    path: '/apps/:app/deployments/image',
    summary: 'Deploy an image as it is',
    permission: 'app.deploy',
    params: AppPath,
    body: z.strictObject({ image: z.string().max(500) }),
    status: 202,
    response: Deployment,
  }),
  getDeployment: one({
    method: 'get',
    path: '/apps/:app/deployments/:deployment',
    summary: 'One deployment',
    permission: 'app.read',
    params: DeploymentPath,
    response: Deployment,
  }),
  cancelDeployment: one({
    method: 'post',
    path: '/apps/:app/deployments/:deployment/cancel',
    summary: 'Stop a deployment that waits or runs',
    permission: 'app.deploy',
    params: DeploymentPath,
    status: 202,
    response: Deployment,
  }),
  deploymentLog: one({
    method: 'get',
    path: '/apps/:app/deployments/:deployment/log',
    summary:
      'The log of a deployment as events: `line` each with its seq as id, at the end `end` with the deployment; goes on after Last-Event-ID',
    permission: 'logs.read',
    params: DeploymentPath,
    gives: 'sse',
    response: DeploymentLogLine,
  }),
} as const
