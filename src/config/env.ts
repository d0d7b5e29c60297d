/**
 * @module
 * The only reader of the environment: every variable Helios knows, as strings.
 */

/** Variables as they stand in the environment; absent ones are undefined. */
export type RawEnv = {
  dataDir: string | undefined
  logLevel: string | undefined
}

/** Read the variables of Helios. */
export function readEnv(): RawEnv {
  const { HELIOS_DATA_DIR, HELIOS_LOG_LEVEL } = process.env
  return { dataDir: HELIOS_DATA_DIR, logLevel: HELIOS_LOG_LEVEL }
}
