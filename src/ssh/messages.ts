/**
 * @module
 * What the main thread and the thread of the SSH server say to each other.
 */
import type { MessagePort } from 'node:worker_threads'
import type { GitService } from './command.ts'

/** What the thread is started with. */
export type ThreadData = {
  host: string
  /** 0 for a free one. */
  port: number
  /** The private key that names this server, as OpenSSH writes it. */
  hostKey: string
  limits: Limits
}

/** How much strangers and clients may take up; times in milliseconds. */
export type Limits = {
  loginMs: number
  /** A client that is logged in and runs nothing. */
  idleMs: number
  loginTries: number
  unauthenticated: number
  unauthenticatedPerAddress: number
  connections: number
  sessionsPerConnection: number
  /** A thread that does not answer for this long is ended and begun again. */
  hungMs: number
}

/** To the thread. */
export type ToThread =
  | { kind: 'person'; question: number; name: string | undefined }
  | { kind: 'ping' }
  | { kind: 'stop' }

/** From the thread. */
export type FromThread =
  | { kind: 'listening'; port: number }
  | { kind: 'failed'; message: string }
  | { kind: 'pong' }
  | { kind: 'stopped' }
  /** Whose key is this? Answered by `person`. */
  | { kind: 'whose'; question: number; fingerprint: string }
  | {
      kind: 'run'
      fingerprint: string
      service: GitService
      path: string
      protocol?: string
      /** The session's bytes, and a {@link Farewell} at their end. */
      port: MessagePort
    }

/** How a session ends, and what is said outside git's protocol. */
export type Farewell = { code: number; said: string }
