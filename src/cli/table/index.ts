/**
 * @module
 * The table of commands, in the order of the overview.
 */
import type { Command } from '../command.ts'
import { ACCESS_COMMANDS, SERVER_COMMANDS } from './account.ts'
import { APP_COMMANDS, CONFIG_COMMANDS, PROCESS_COMMANDS } from './apps.ts'
import { DEPLOY_COMMANDS } from './deploys.ts'

/** Every command. */
export const COMMANDS: readonly Command[] = [
  ...APP_COMMANDS,
  ...DEPLOY_COMMANDS,
  ...CONFIG_COMMANDS,
  ...PROCESS_COMMANDS,
  ...ACCESS_COMMANDS,
  ...SERVER_COMMANDS,
]
