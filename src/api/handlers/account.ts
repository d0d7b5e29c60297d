/**
 * @module
 * Handlers of the one who asks, and of the server.
 */
import { addSshKey, listSshKeys, removeSshKey } from '../../core/access.ts'
import { countApps } from '../../core/overview.ts'
import { teamName } from '../../core/users.ts'
import { deadline, withDeadline } from '../../lib/async.ts'
import { messageOf } from '../../lib/errors.ts'
import { parsePublicKey } from '../../lib/ssh-key.ts'
import { countJobs } from '../../queue/store.ts'
import type { ApiDeps } from '../context.ts'
import type { Handlers } from '../routes.ts'
import type { ACCOUNT_ENDPOINTS } from '../schemas/account.ts'
import { keyBody } from '../views.ts'

const ENGINE_MS = 3000

/** Handlers of the one who asks, and of the server. */
export const accountHandlers: Handlers<keyof typeof ACCOUNT_ENDPOINTS> = {
  whoami: ({ deps, actor }) => ({
    user: actor.name,
    team: teamName(deps.db, actor),
    role: actor.role,
    via: `${actor.via} ${actor.credential}`,
    server: {
      version: deps.version,
      url: deps.address.apiUrl,
      baseDomain: deps.address.baseDomain,
      sshHost: deps.address.sshHost,
      sshPort: deps.address.sshPort,
      sshFingerprint: deps.sshFingerprint(),
    },
  }),

  async server({ deps, actor, signal }) {
    const parts = deps.states()
    return {
      version: deps.version,
      ok: Object.values(parts).every(({ ok }) => ok),
      parts,
      engine: await engine(deps, signal),
      apps: countApps(deps.db, actor),
      queue: countJobs(deps.db),
    }
  },

  listKeys: ({ deps, actor }) => ({ items: listSshKeys(deps.db, actor).map(keyBody) }),

  addKey({ deps, actor, body, now }) {
    const { name, fingerprint, publicKey } = parsePublicKey(body.key)
    const given = body.name?.trim() || name
    return keyBody(addSshKey(deps.db, actor, { name: given, fingerprint, publicKey, now }))
  },

  removeKey: ({ deps, actor, params }) => keyBody(removeSshKey(deps.db, actor, params.key)),
}

async function engine(deps: ApiDeps, signal: AbortSignal): Promise<string> {
  const limit = deadline(ENGINE_MS, signal)
  return withDeadline(deps.engineVersion(limit), limit).catch(messageOf)
}
