/**
 * @module
 * Host names an app owns beside its default one.
 */
import { and, asc, eq } from 'drizzle-orm'
import { type Db, inTransaction } from '../db/open.ts'
import { domains } from '../db/schema.ts'
import { HeliosError, show } from '../lib/errors.ts'
import { newId } from '../lib/ids.ts'
import { parseHost } from '../lib/names.ts'
import type { App } from './apps.ts'

/** A host name an app owns. */
export type Domain = typeof domains.$inferSelect

const MAX_DOMAINS = 100

/**
 * Add a host name to an app; one it has already is given back.
 * @throws {HeliosError} invalid_domain, domain_taken, domain_reserved (below the server's own domain), over_quota
 */
export function addDomain(
  db: Db,
  app: App,
  input: { host: string; baseDomain: string; now: number },
): Domain {
  const host = parseHost(input.host)
  if (host === input.baseDomain || host.endsWith(`.${input.baseDomain}`)) {
    throw new HeliosError(
      'domain_reserved',
      `${show(host)} belongs to the server, which gives every app a name below ${input.baseDomain}`,
      { field: 'host', hint: 'Use a domain of your own' },
    )
  }
  return inTransaction(db, () => {
    const known = db.select().from(domains).where(eq(domains.host, host)).get()
    if (known?.appId === app.id) return known
    if (known) {
      throw new HeliosError('domain_taken', `${show(host)} belongs to another app`, {
        field: 'host',
        hint: 'Remove it there first, or prove that you own it to the operator of this server',
      })
    }
    if (listDomains(db, app).length >= MAX_DOMAINS) {
      throw new HeliosError('over_quota', `${app.name} has ${MAX_DOMAINS} domains already`, {
        hint: 'Remove one first: helios domains:remove HOST',
      })
    }
    return db
      .insert(domains)
      .values({ id: newId('dom', input.now), appId: app.id, host, createdAt: input.now })
      .returning()
      .get()
  })
}

/** The host names of an app, at most 100. */
export function listDomains(db: Db, app: Pick<App, 'id'>): Domain[] {
  return db
    .select()
    .from(domains)
    .where(eq(domains.appId, app.id))
    .orderBy(asc(domains.host))
    .limit(MAX_DOMAINS)
    .all()
}

/** Every host name with its app's id, for the router. */
export function allDomains(db: Db): { host: string; appId: string }[] {
  return db.select({ host: domains.host, appId: domains.appId }).from(domains).all()
}

/** Remove a host name from an app. @throws {HeliosError} domain_not_found */
export function removeDomain(db: Db, app: App, text: string): Domain {
  const host = parseHost(text)
  const gone = db
    .delete(domains)
    .where(and(eq(domains.appId, app.id), eq(domains.host, host)))
    .returning()
    .get()
  if (gone) return gone
  throw new HeliosError('domain_not_found', `${app.name} has no domain ${show(text)}`, {
    hint: `See its domains: helios domains -a ${app.name}`,
  })
}
