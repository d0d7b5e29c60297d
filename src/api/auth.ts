/**
 * @module
 * From the credential of a request to the actor, and what the actor may.
 */
import { type Actor, actorOfToken } from '../core/access.ts'
import { can, mustBeAllowed, type Permission } from '../core/roles.ts'
import { HeliosError } from '../lib/errors.ts'
import type { ApiDeps } from './context.ts'

type Auth = Pick<ApiDeps, 'db' | 'clock'>

/** The actor of `Authorization: Bearer TOKEN`. @throws {HeliosError} unauthenticated */
export function bearerActor(deps: Auth, header: string | undefined): Actor {
  const token = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1]
  if (token === undefined) throw signIn('This needs a token')
  return actorOfToken(deps.db, token, deps.clock())
}

/** The actor of `Authorization: Basic`, whose password is a token; the name does not matter. @throws {HeliosError} unauthenticated */
export function basicActor(deps: Auth, header: string | undefined): Actor {
  const encoded = /^Basic +(\S+)$/i.exec(header ?? '')?.[1]
  const text = Buffer.from(encoded ?? '', 'base64').toString()
  const token = text.slice(text.indexOf(':') + 1)
  if (encoded === undefined || token === '') throw signIn('Git needs a token as password')
  return actorOfToken(deps.db, token, deps.clock())
}

function signIn(message: string): HeliosError {
  return new HeliosError('unauthenticated', message, {
    hint: 'Send it as "Authorization: Bearer TOKEN", or sign in: helios login',
  })
}

/** Who may do what, asked once at the start and again while a stream is open. */
export type Standing = { actor: Actor; stillHolds(): boolean }

/** Find who acts and refuse without the permission. @throws {HeliosError} unauthenticated, missing_permission */
export function standing(find: () => Actor, permission: Permission): Standing {
  const actor = find()
  mustBeAllowed(actor, permission)
  const stillHolds = (): boolean => {
    try {
      const now = find()
      return now.userId === actor.userId && now.teamId === actor.teamId && can(now, permission)
    } catch {
      return false
    }
  }
  return { actor, stillHolds }
}
