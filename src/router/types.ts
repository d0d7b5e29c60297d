/**
 * @module
 * What the router is told: which host is which app, and where each app's live instances are.
 */

/** A host name and the app that answers it; loaded into the router's configuration. */
export type HostRoute = { host: string; app: string }

/** Inputs of the whole router configuration. */
export type RouteTable = { hosts: HostRoute[] }

/** Live state of one app: which release answers at which `ip:port` addresses. No addresses means the 503 page. */
export type LiveState = { app: string; release: string; addresses: string[] }

/** The router as the engine uses it. */
export type Router = {
  /** Make the configuration equal to the table; skipped when unchanged. Resolves when new hosts answer. */
  applyTable(table: RouteTable, signal: AbortSignal): Promise<void>
  /** Switch an app's live state at once, touching no connection of any app. Skipped when equal. */
  setLive(state: LiveState): Promise<void>
  /** What the app's live state is now, read from disk. */
  getLive(app: string): Promise<LiveState | undefined>
  /** Remove an app's live state. */
  removeLive(app: string): Promise<void>
  /** Ids of all apps that have live state. */
  listLive(): Promise<string[]>
  /** Wait until the addresses have no request in flight, at most `deadlineMs`; gives whether they drained. */
  drain(addresses: string[], deadlineMs: number, signal: AbortSignal): Promise<boolean>
}
