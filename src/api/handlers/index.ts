/**
 * @module
 * The handler of every route.
 */
import type { Handlers } from '../routes.ts'
import { accountHandlers } from './account.ts'
import { appHandlers } from './apps.ts'
import { deploymentHandlers } from './deployments.ts'
import { logHandlers } from './logs.ts'

/** The handler of every route. */
export const HANDLERS: Handlers = {
  ...accountHandlers,
  ...appHandlers,
  ...deploymentHandlers,
  ...logHandlers,
}
