/**
 * @module
 * The files of the router's folder, each named once.
 */
import { join } from 'node:path'
import { HeliosError, show } from '../lib/errors.ts'

/** Absolute paths below the router's folder. */
export type RouterPaths = {
  dir: string
  /** Live states, one folder per app. */
  upDir: string
  adminSocket: string
  /** What Caddy starts from: the last configuration it accepted. */
  config: string
  /** Held by the running Caddy. */
  lock: string
  pid: string
  /** Caddy's own log. */
  log: string
  /** What Caddy prints before it has its configuration, and when it falls. */
  output: string
  /** A configuration that is only looked at. */
  trial: string
}

/** A unix socket's path may have 107 bytes; the longest name here is `admin.sock`. */
const MAX_DIR = 107 - '/admin.sock'.length
/** Other characters mean something in Caddy's placeholders and patterns. */
const PLAIN = /^\/[A-Za-z0-9._/@+,~ -]*$/

/** The paths below `dir`. @throws {HeliosError} config_invalid when Caddy cannot use such a folder */
export function routerPaths(dir: string): RouterPaths {
  if (!PLAIN.test(dir) || Buffer.byteLength(dir) > MAX_DIR) {
    throw new HeliosError('config_invalid', `${show(dir)} cannot be the folder of the router`, {
      hint: `Choose a data dir so that this is an absolute path of at most ${MAX_DIR} letters, digits, "-", "_" and ".".`,
    })
  }
  return {
    dir,
    upDir: join(dir, 'up'),
    adminSocket: join(dir, 'admin.sock'),
    config: join(dir, 'caddy.json'),
    lock: join(dir, 'caddy.lock'),
    pid: join(dir, 'caddy.pid'),
    log: join(dir, 'caddy.log'),
    output: join(dir, 'caddy.out'),
    trial: join(dir, 'trial.json'),
  }
}
