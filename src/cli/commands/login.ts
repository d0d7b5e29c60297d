/**
 * @module
 * Sign in, sign out, and who one is.
 */
import { readFileSync } from 'node:fs'
import { HeliosError, messageOf, show } from '../../lib/errors.ts'
import { connect } from '../app-name.ts'
import { textOf } from '../args.ts'
import { createApi } from '../client.ts'
import type { Context, Run } from '../command.ts'
import { parseServer } from '../http.ts'
import { ask, canAsk, readInput } from '../prompt.ts'
import { forgetSignIn, LOCAL_SERVER, readSignIn, saveSignIn } from '../sign-in.ts'

/** Check a token with the server and keep both. */
export const login: Run = async (context) => {
  const { args, env, out } = context
  const server = parseServer(args[0] ?? env.server ?? savedServer(context) ?? LOCAL_SERVER)
  const token = (await readToken(context, server)).trim()
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new HeliosError('usage', token === '' ? 'No token was given' : 'That is no token', {
      hint: 'A token is printed at the first start of the server, and by: helios token',
    })
  }
  const who = await createApi({ server, token }).call('get /whoami')
  const file = saveSignIn(env, { server, token })
  out.result(
    { server, user: who.user, team: who.team, role: who.role, file },
    `Signed in to ${server} as ${who.user} (${who.role} of ${who.team})`,
  )
  const { hostname, protocol } = new URL(server)
  if (protocol === 'http:' && !/^(localhost|127\.[\d.]+|\[::1\])$/.test(hostname)) {
    out.note(
      'Warning: over http:// the token can be read on the way; use https:// or an SSH tunnel',
    )
  }
  if (env.server !== undefined || env.token !== undefined) {
    out.note('HELIOS_SERVER and HELIOS_TOKEN are set, and win over what was saved')
  }
  out.note('Next: helios apps:create NAME   and, to push with git: helios keys:add')
  return 0
}

function savedServer({ env }: Context): string | undefined {
  try {
    return readSignIn(env)?.server
  } catch {
    // A broken file is about to be replaced.
    return undefined
  }
}

async function readToken({ options }: Context, server: string): Promise<string> {
  const file = textOf(options, 'token-file')
  if (file !== undefined && file !== '-') {
    try {
      return readFileSync(file, 'utf8')
    } catch (error) {
      throw new HeliosError('usage', `Cannot read ${show(file)}: ${messageOf(error)}`)
    }
  }
  if (file === undefined && canAsk()) return ask(`Token for ${server}: `, { hidden: true })
  return (await readInput()).toString()
}

/** Forget the saved token. */
export const logout: Run = async ({ env, out }) => {
  const had = forgetSignIn(env)
  out.result({ signedOut: had }, had ? 'Signed out' : 'You were not signed in')
  if (env.token !== undefined) out.note('HELIOS_TOKEN is still set')
  return 0
}

/** Show who one is to the server. */
export const whoami: Run = async (context) => {
  const api = connect(context)
  const who = await api.call('get /whoami')
  context.out.result(who, () =>
    [
      `${who.user}, ${who.role} of ${who.team}, by ${who.via}`,
      `Server  ${api.target.server} (helios ${who.server.version})`,
      `Apps    *.${who.server.baseDomain}`,
      `Git     ssh://git@${who.server.sshHost}:${who.server.sshPort}/APP.git (host key ${who.server.sshFingerprint})`,
    ].join('\n'),
  )
  return 0
}
