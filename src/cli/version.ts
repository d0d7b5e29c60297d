/**
 * @module
 * The version of this Helios.
 */

/** Version of the command line, as in package.json. */
export const VERSION = '0.1.0'
