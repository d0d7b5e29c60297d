/**
 * @module
 * The form of a Caddy route, as far as Helios uses it.
 */

/** One route; those of one `group` exclude each other, the first that matches wins. */
export type Route = { group?: string; match?: object[]; handle: object[]; terminal?: true }

/** A route of several routes of its own. */
export function subroute(routes: Route[]): object {
  return { handler: 'subroute', routes }
}
