/**
 * @module
 * Which server to talk to and with which token: from the environment, or saved by `helios login`.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { HeliosError } from '../lib/errors.ts'
import type { ClientEnv } from './command.ts'
import { parseServer, type Target } from './http.ts'

/** Where a server on this machine answers unless told otherwise. */
export const LOCAL_SERVER = 'http://127.0.0.1:3000'

/** The file of the saved sign-in. @throws {HeliosError} usage without a home folder */
export function signInFile(env: ClientEnv): string {
  const base = env.configHome ?? (env.home === undefined ? undefined : join(env.home, '.config'))
  if (base !== undefined) return join(base, 'helios', 'login.json')
  throw new HeliosError('usage', 'There is no home folder to keep the sign-in in', {
    hint: 'Set HOME, or give HELIOS_SERVER and HELIOS_TOKEN',
  })
}

/** The saved sign-in, if there is one. */
export function readSignIn(env: ClientEnv): { server: string; token: string } | undefined {
  if (env.home === undefined && env.configHome === undefined) return undefined
  const file = signInFile(env)
  try {
    const { server, token } = JSON.parse(readFileSync(file, 'utf8'))
    if (typeof server === 'string' && typeof token === 'string') return { server, token }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new HeliosError('config_invalid', `${file} is not a sign-in that helios wrote`, {
    hint: 'Sign in again: helios login',
  })
}

/** Keep a sign-in, for its owner's eyes only; the old one stays whole until the new one is. */
export function saveSignIn(env: ClientEnv, signIn: { server: string; token: string }): string {
  const file = signInFile(env)
  const dir = join(file, '..')
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const aside = `${file}.${process.pid}`
  writeFileSync(aside, `${JSON.stringify(signIn, null, 2)}\n`, { mode: 0o600 })
  chmodSync(aside, 0o600)
  renameSync(aside, file)
  return file
}

/** Forget the saved sign-in; tells whether there was one. */
export function forgetSignIn(env: ClientEnv): boolean {
  const had = env.home !== undefined || env.configHome !== undefined
  try {
    if (had) rmSync(signInFile(env))
    return had
  } catch {
    return false
  }
}

/** The server and token in force. The saved token is for its own server alone. @throws {HeliosError} unauthenticated */
export function targetOf(env: ClientEnv): Target & { token: string } {
  const saved = env.server === undefined || env.token === undefined ? readSignIn(env) : undefined
  const server = parseServer(env.server ?? saved?.server ?? LOCAL_SERVER)
  const token = env.token ?? (saved?.server === server ? saved.token : undefined)
  if (token !== undefined) return { server, token }
  throw new HeliosError('unauthenticated', `You are not signed in to ${server}`, {
    hint: 'helios login URL   (a token is printed at the first start of the server, and by: helios token)',
  })
}
