/**
 * @module
 * Every route of the API with its shapes: the server mounts nothing else, the OpenAPI document and the command line are made from it.
 */
import { ACCOUNT_ENDPOINTS } from './account.ts'
import { APP_ENDPOINTS } from './apps.ts'
import { DEPLOYMENT_ENDPOINTS } from './deployments.ts'

/** Every route of the API by its name. */
export const ENDPOINTS = {
  ...ACCOUNT_ENDPOINTS,
  ...APP_ENDPOINTS,
  ...DEPLOYMENT_ENDPOINTS,
} as const

/** Name of a route. */
export type EndpointName = keyof typeof ENDPOINTS
