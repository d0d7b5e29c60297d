/**
 * @module
 * What the API is given, and what a request carries.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import type { Actor } from '../core/access.ts'
import type { PublicAddress } from '../core/address.ts'
import type { App } from '../core/apps.ts'
import type { Db } from '../db/open.ts'
import type { Clock } from '../lib/clock.ts'
import type { Logger } from '../lib/log.ts'
import type { AppLogs } from '../observability/app-logs.ts'
import type { JobLogs } from '../queue/job-log.ts'
import type { Attached } from '../runtime/types.ts'

/** A request of git's smart HTTP protocol; `path` is as `/shop.git/info/refs`. */
export type GitRequest = {
  method: string
  path: string
  query: string
  headers: Record<string, string>
  body: Readable
  actor: Actor
  /** Aborts when the client is gone. */
  signal: AbortSignal
}

/** Its answer. */
export type GitResponse = { status: number; headers: Record<string, string>; body: Readable }

/** What the API is given by the one who starts it. */
export type ApiDeps = {
  db: Db
  clock: Clock
  log: Logger
  address: PublicAddress
  version: string
  sshFingerprint(): string
  /** Tell the workers that there may be new jobs. */
  wake(): void
  jobLogs: Pick<JobLogs, 'read' | 'follow'>
  appLogs: Pick<AppLogs, 'tail' | 'follow'>
  /** Where uploaded archives go, each as `<source id>.tar`. */
  sourcesDir: string
  /** @throws {HeliosError} archive_rejected */
  checkArchive(file: string, signal: AbortSignal): Promise<void>
  git(request: GitRequest): Promise<GitResponse>
  runOneOff(
    input: {
      app: App
      actor: Actor
      command: string[]
      tty?: { columns: number; rows: number }
    },
    signal: AbortSignal,
  ): Promise<Attached>
  states(): Record<string, { ok: boolean; detail?: string }>
  /** Version of the engine. @throws {HeliosError} HP51 when it does not answer */
  engineVersion(signal: AbortSignal): Promise<string>
  /** Apps or domains changed: the router must learn of it. */
  routesChanged(): void
}

/** What hono carries through a request; bindings are absent where no socket is. */
export type ApiEnv = {
  Bindings: { incoming?: IncomingMessage; outgoing?: ServerResponse }
  Variables: { requestId: string; actor?: Actor; route?: string }
}
