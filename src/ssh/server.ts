/**
 * @module
 * The SSH server as a part: its thread, watched and begun again when it hangs, and git behind it.
 */
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { actorOfKey } from '../core/access.ts'
import type { Db } from '../db/open.ts'
import { deadline, sleep, withDeadline } from '../lib/async.ts'
import { HeliosError, messageOf } from '../lib/errors.ts'
import type { Part } from '../lib/lifecycle.ts'
import type { Logger } from '../lib/log.ts'
import { ensureHostKey, type HostKey } from './host-key.ts'
import { errorLine } from './http.ts'
import type { Farewell, FromThread, Limits, ThreadData, ToThread } from './messages.ts'
import { createPortStream } from './port-stream.ts'
import type { GitDoor } from './push.ts'

/** What the SSH server is made of. */
export type SshServerOptions = {
  db: Db
  log: Logger
  door: GitDoor
  /** Holds the host key. */
  dataDir: string
  /** Port 0 for a free one. */
  listen: { host: string; port: number }
  limits?: Partial<Limits>
  /** Program of the thread, where it is not the one beside this file. */
  program?: URL
}

/** The SSH server; port and fingerprint are known once it has started. */
export type SshServer = Part & {
  port(): number
  /** Of the host key, as OpenSSH shows it at the first connection. */
  fingerprint(): string
}

const LIMITS: Limits = {
  loginMs: 20_000,
  idleMs: 10 * 60_000,
  loginTries: 6,
  unauthenticated: 50,
  unauthenticatedPerAddress: 20,
  connections: 300,
  sessionsPerConnection: 8,
  hungMs: 20_000,
}
// One file beside this one: as it is in the source, or as it is bundled.
const PROGRAM = import.meta.url.endsWith('.ts') ? './worker.ts' : './ssh-worker.js'
const START_MS = 30_000
/** Questions without an answer after which the thread hangs. */
const MAX_UNANSWERED = 5
const AGAIN_MS = 1000
const FAREWELL_MS = 3000

/** Make the SSH server. */
export function createSshServer(opts: SshServerOptions): SshServer {
  let hostKey: HostKey = { privateKey: '', fingerprint: '' }
  let port = opts.listen.port
  let thread: Thread | undefined
  let stopped = false
  const sessions = new Set<Promise<void>>()
  const handle = (message: FromThread, from: Thread): void => {
    if (message.kind === 'whose') {
      const { question, fingerprint } = message
      from.post({ kind: 'person', question, name: nameOfKey(opts, fingerprint) })
    } else if (message.kind === 'run') {
      const session = runGit(opts, message).finally(() => sessions.delete(session))
      sessions.add(session)
    }
  }
  const begin = async (): Promise<void> => {
    const limits = { ...LIMITS, ...opts.limits }
    thread = await startThread(
      opts.program ?? new URL(PROGRAM, import.meta.url),
      { ...opts.listen, port, hostKey: hostKey.privateKey, limits },
      { handle, lost: (why) => void again(why) },
    )
    port = thread.port
  }
  const again = async (why: string): Promise<void> => {
    if (stopped) return
    thread = undefined
    opts.log.error({ why }, 'the SSH thread ended; it is begun again')
    await sleep(AGAIN_MS)
    if (!stopped) await begin().catch((error: unknown) => again(messageOf(error)))
  }
  return {
    name: 'ssh',
    start: async () => {
      hostKey = await ensureHostKey(join(opts.dataDir, 'ssh_host_ed25519_key'))
      await begin()
      opts.log.info({ port, fingerprint: hostKey.fingerprint }, 'ssh listens')
    },
    stop: async () => {
      stopped = true
      opts.door.stop()
      await Promise.race([Promise.allSettled(sessions), sleep(FAREWELL_MS)])
      await thread?.end()
    },
    state: () => (thread ? { ok: true } : { ok: false, detail: 'its thread is being started' }),
    port: () => port,
    fingerprint: () => hostKey.fingerprint,
  }
}

function nameOfKey({ db, log }: SshServerOptions, fingerprint: string): string | undefined {
  try {
    return actorOfKey(db, fingerprint)?.name
  } catch (error) {
    log.warn({ reason: messageOf(error), fingerprint }, 'key refused')
    return undefined
  }
}

async function runGit(
  { db, log, door }: SshServerOptions,
  { fingerprint, service, path, protocol, port }: Extract<FromThread, { kind: 'run' }>,
): Promise<void> {
  const { stream, send } = createPortStream<Farewell>(port)
  const gone = new AbortController()
  stream.on('error', () => undefined).once('close', () => gone.abort())
  let said = ''
  let code = 1
  try {
    const actor = actorOfKey(db, fingerprint)
    if (!actor) throw new HeliosError('unauthenticated', 'This key was removed')
    const run = service === 'git-receive-pack' ? door.receive : door.upload
    const result = await run(actor, path, {
      input: stream,
      output: stream,
      signal: gone.signal,
      complain: (text) => {
        said = `${said}${text}`.slice(0, 4096)
      },
      ...(protocol === undefined ? {} : { protocol }),
    })
    code = result.code ?? 1
  } catch (error) {
    if (error instanceof HeliosError) stream.write(errorLine(error))
    else {
      log.error({ err: error, service, path }, 'git over SSH failed')
      said ||= 'Helios failed inside; its log says why\n'
    }
  }
  if (stream.destroyed) return
  send({ code, said })
  stream.end()
}

type Thread = { port: number; post(message: ToThread): void; end(): Promise<void> }

/** Start the thread and watch it; `lost` is told once when it ends or hangs. @throws {HeliosError} config_invalid when it cannot listen */
async function startThread(
  program: URL,
  data: ThreadData,
  on: { handle(message: FromThread, from: Thread): void; lost(why: string): void },
): Promise<Thread> {
  const worker = new Worker(program, {
    workerData: data,
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: 192 },
  })
  // Counted, not timed: this thread may have been the one that did not run, and then answers wait unread.
  let unanswered = 0
  let pulse: NodeJS.Timeout | undefined
  let expected = false
  const stopped = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
  const post = (message: ToThread): void => worker.postMessage(message)
  const end = async (): Promise<void> => {
    expected = true
    clearInterval(pulse)
    post({ kind: 'stop' })
    await Promise.race([stopped, sleep(FAREWELL_MS / 3)])
    await worker.terminate()
  }
  const thread: Thread = { port: data.port, post, end }
  let failure: Error | undefined
  worker.on('error', (error: Error) => {
    failure = error
  })
  const listening = new Promise<void>((resolve, reject) => {
    worker.on('message', (message: FromThread) => {
      unanswered = 0
      if (message.kind === 'listening') {
        thread.port = message.port
        resolve()
      } else if (message.kind === 'failed') {
        reject(
          new HeliosError('config_invalid', `SSH cannot listen: ${message.message}`, {
            hint: 'Choose another address for git over SSH: HELIOS_SSH_ADDRESS',
          }),
        )
      } else on.handle(message, thread)
    })
    void stopped.then(() => reject(failure ?? new Error('The SSH thread ended at once')))
  })
  try {
    await withDeadline(listening, deadline(START_MS))
  } catch (error) {
    await end()
    throw error
  }
  pulse = setInterval(() => {
    if (unanswered === MAX_UNANSWERED) return void worker.terminate()
    unanswered += 1
    post({ kind: 'ping' })
  }, data.limits.hungMs / MAX_UNANSWERED)
  void stopped.then(() => {
    clearInterval(pulse)
    if (!expected) on.lost(failure?.message ?? 'it did not answer')
  })
  return thread
}
