/**
 * @module
 * The thread of the SSH server: whatever a client does to it, the rest of Helios goes on.
 */
import { createServer, type Server as NetServer, type Socket } from 'node:net'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import ssh2, { type Connection } from 'ssh2'
import { guard } from './guard.ts'
import { awaitLogin, type Person } from './login.ts'
import type { FromThread, ThreadData, ToThread } from './messages.ts'
import { serveSession } from './session.ts'

const WHOSE_MS = 10_000

function serve(main: MessagePort, { host, port, hostKey, limits }: ThreadData): void {
  const post = (message: FromThread, transfer: MessagePort[] = []): void =>
    main.postMessage(message, transfer)
  const questions = createQuestions(post)
  const gate = createGate(limits)
  const ssh = new ssh2.Server({
    hostKeys: [hostKey],
    ident: 'Helios',
    keepaliveInterval: 15_000,
    keepaliveCountMax: 3,
    algorithms: {
      kex: [
        'curve25519-sha256',
        'curve25519-sha256@libssh.org',
        'ecdh-sha2-nistp256',
        'ecdh-sha2-nistp384',
        'ecdh-sha2-nistp521',
        'diffie-hellman-group14-sha256',
        'diffie-hellman-group16-sha512',
      ],
      cipher: [
        'aes128-gcm@openssh.com',
        'aes256-gcm@openssh.com',
        'aes128-ctr',
        'aes192-ctr',
        'aes256-ctr',
      ],
      hmac: [
        'hmac-sha2-256-etm@openssh.com',
        'hmac-sha2-512-etm@openssh.com',
        'hmac-sha2-256',
        'hmac-sha2-512',
      ],
      // Compression lets a client ask for a lot of memory with a few bytes.
      compress: ['none'],
    },
  })
  ssh.on('connection', (connection) => {
    connection.on('error', () => undefined)
    const guarded = guard(connection)
    awaitLogin(connection, {
      tries: limits.loginTries,
      whose: questions.ask,
      done: (person) => {
        gate.loggedIn(connection)
        serveConnection(connection, person, { guarded, post, limits })
      },
    })
  })
  // Small packets matter here: without noDelay a push waits for the timers of TCP.
  const listener = createServer({ noDelay: true, keepAlive: true }, (socket) => {
    socket.on('error', () => undefined)
    if (gate.admit(socket)) ssh.injectSocket(socket)
    else socket.destroy()
  })
  listen(listener, { host, port }, post)
  main.on('message', (message: ToThread) => {
    if (message.kind === 'person') questions.answer(message.question, message.name)
    else if (message.kind === 'ping') post({ kind: 'pong' })
    else {
      gate.close()
      listener.close(() => post({ kind: 'stopped' }))
    }
  })
}

function listen(
  listener: NetServer,
  at: { host: string; port: number },
  post: (message: FromThread) => void,
): void {
  listener.once('error', (error) => post({ kind: 'failed', message: error.message }))
  listener.listen(at.port, at.host, 128, () => {
    const address = listener.address()
    post({ kind: 'listening', port: typeof address === 'object' ? (address?.port ?? 0) : 0 })
  })
}

/** Questions to the main thread; one that is not answered in time is a no. */
function createQuestions(post: (message: FromThread) => void): {
  ask(fingerprint: string): Promise<string | undefined>
  answer(question: number, name: string | undefined): void
} {
  const open = new Map<number, (name: string | undefined) => void>()
  let last = 0
  return {
    ask: (fingerprint) =>
      new Promise((resolve) => {
        const question = ++last
        const settle = (name: string | undefined): void => {
          open.delete(question)
          clearTimeout(timer)
          resolve(name)
        }
        const timer = setTimeout(settle, WHOSE_MS, undefined)
        open.set(question, settle)
        post({ kind: 'whose', question, fingerprint })
      }),
    answer: (question, name) => open.get(question)?.(name),
  }
}

type Gate = {
  admit(socket: Socket): boolean
  loggedIn(connection: Connection): void
  close(): void
}

/** How many may be here, and how long a stranger may take to log in. */
function createGate(limits: ThreadData['limits']): Gate {
  const all = new Set<Socket>()
  const strangers = new Map<Socket, { address: string; timer: NodeJS.Timeout }>()
  const forget = (socket: Socket): void => {
    clearTimeout(strangers.get(socket)?.timer)
    strangers.delete(socket)
  }
  return {
    admit: (socket) => {
      const address = socket.remoteAddress ?? ''
      const same = [...strangers.values()].filter((stranger) => stranger.address === address)
      if (
        all.size >= limits.connections ||
        strangers.size >= limits.unauthenticated ||
        same.length >= limits.unauthenticatedPerAddress
      ) {
        return false
      }
      all.add(socket)
      strangers.set(socket, { address, timer: setTimeout(() => socket.destroy(), limits.loginMs) })
      socket.once('close', () => {
        forget(socket)
        all.delete(socket)
      })
      return true
    },
    loggedIn: (connection) => forget((connection as unknown as { _sock: Socket })._sock),
    close: () => {
      for (const socket of all) socket.destroy()
    },
  }
}

function serveConnection(
  connection: Connection,
  person: Person,
  {
    guarded,
    post,
    limits,
  }: {
    guarded: ReturnType<typeof guard>
    post(message: FromThread, transfer: MessagePort[]): void
    limits: ThreadData['limits']
  },
): void {
  let sessions = 0
  const idle = setTimeout(() => void (sessions === 0 && connection.end()), limits.idleMs)
  connection.on('session', (accept, reject) => {
    if (sessions >= limits.sessionsPerConnection) return void reject()
    sessions += 1
    let open = true
    const over = (): void => {
      if (!open) return
      open = false
      sessions -= 1
      idle.refresh()
    }
    serveSession(accept(), { person, guarded, post, over })
  })
  connection.once('close', () => clearTimeout(idle))
}

if (parentPort) serve(parentPort, workerData as ThreadData)
