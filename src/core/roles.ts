/**
 * @module
 * Who may do what: one pure table.
 */
import { HeliosError } from '../lib/errors.ts'
import type { Actor, Role } from './access.ts'

/** Everything that can be allowed. */
export type Permission =
  | 'app.read'
  | 'app.create'
  | 'app.delete'
  | 'app.deploy'
  | 'logs.read'
  | 'env.read'
  | 'env.write'
  | 'exec.run'
  | 'domain.manage'
  | 'key.manage'
  | 'self.read'
  | 'server.read'

const VIEWER: readonly Permission[] = ['app.read', 'logs.read', 'self.read', 'key.manage']
const DEVELOPER: readonly Permission[] = [
  ...VIEWER,
  'app.create',
  'app.deploy',
  'env.read',
  'env.write',
  'exec.run',
  'domain.manage',
  'server.read',
]
const ADMIN: readonly Permission[] = [...DEVELOPER, 'app.delete']

const TABLE: Readonly<Record<Role, readonly Permission[]>> = {
  viewer: VIEWER,
  developer: DEVELOPER,
  admin: ADMIN,
  owner: ADMIN,
}

/** Tell whether text names a permission; a route with any other is a mistake. */
export function isPermission(text: string): text is Permission {
  return (ADMIN as readonly string[]).includes(text)
}

/** Tell whether the actor holds a permission in the actor's team. */
export function can(actor: Actor, permission: Permission): boolean {
  return TABLE[actor.role].includes(permission)
}

/** Refuse an actor who does not hold the permission. @throws {HeliosError} missing_permission */
export function mustBeAllowed(actor: Actor, permission: Permission): void {
  if (can(actor, permission)) return
  throw new HeliosError('missing_permission', `${actor.name} may not do this: ${permission}`, {
    hint: `Ask an owner of the team for a role that has ${permission}`,
  })
}
