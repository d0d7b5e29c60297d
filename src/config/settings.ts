/**
 * @module
 * From raw variables to frozen settings: defaults, checks, all problems in one message.
 */
import { isAbsolute } from 'node:path'
import { HeliosError, show } from '../lib/errors.ts'
import type { RawEnv } from './env.ts'

/** What Helios runs with. */
export type Settings = Readonly<{ dataDir: string; logLevel: string }>

const LEVELS = ['debug', 'info', 'warn', 'error', 'silent']

/** Check the variables and fill in defaults. @throws {HeliosError} config_invalid naming every problem */
export function parseSettings(raw: RawEnv): Settings {
  const dataDir = raw.dataDir ?? '/var/lib/helios'
  const logLevel = raw.logLevel ?? 'info'
  const problems = [
    isAbsolute(dataDir) ? '' : `HELIOS_DATA_DIR is ${show(dataDir)}: give an absolute path`,
    LEVELS.includes(logLevel)
      ? ''
      : `HELIOS_LOG_LEVEL is ${show(logLevel)}: give one of ${LEVELS.join(', ')}`,
  ].filter((problem) => problem !== '')
  if (problems.length > 0) throw new HeliosError('config_invalid', problems.join('\n'))
  return Object.freeze({ dataDir, logLevel })
}
