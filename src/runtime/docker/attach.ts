/**
 * @module
 * One-offs: a container whose terminal or pipes are in the caller's hands.
 */
import { once } from 'node:events'
import { type Duplex, PassThrough } from 'node:stream'
import type Docker from 'dockerode'
import { sleep } from '../../lib/async.ts'
import { HeliosError } from '../../lib/errors.ts'
import type { Attached, WorkloadSpec } from '../types.ts'
import { createContainer, inspectContainer, removeContainer, startContainer } from './containers.ts'
import { engineCall, engineStatus } from './engine-call.ts'
import { openUpgrade } from './engine-http.ts'
import { framesOf } from './logs.ts'

const ASK_AGAIN_MS = 250
const RESIZE_TRIES = 20
const QUERY = 'stream=1&stdin=1&stdout=1&stderr=1'

/** What attaching needs of the client. */
type AttachDeps = { docker: Docker; socketPath: string }

/** Create, attach, start; the container is removed again when one of these fails. The signal also ends the streams. */
export async function attachContainer(
  { docker, socketPath }: AttachDeps,
  spec: WorkloadSpec,
  size: { columns: number; rows: number } | undefined,
  signal: AbortSignal,
): Promise<Attached> {
  const id = await createContainer(docker, spec, signal)
  try {
    const path = `/containers/${id}/attach?${QUERY}`
    const socket = await engineCall(
      `attach to the instance ${spec.name}`,
      (limit) => openUpgrade(socketPath, path, { Upgrade: 'tcp' }, limit),
      { signal },
    )
    endWith(socket, signal)
    const output = outputOf(socket, spec.tty === true)
    await startContainer(docker, id)
    const attached = controls(docker, id)
    if (spec.tty === true && size !== undefined) await attached.resize(size.columns, size.rows)
    return { id, stdin: socket, ...output, ...attached }
  } catch (error) {
    await removeContainer(docker, id).catch(() => undefined)
    throw error
  }
}

// What breaks here breaks off the output; the exit code is asked of the engine.
function endWith(socket: Duplex, signal: AbortSignal): void {
  const end = (): void => {
    socket.destroy()
  }
  socket.on('error', () => undefined)
  signal.addEventListener('abort', end, { once: true })
  socket.once('close', () => signal.removeEventListener('abort', end))
  if (signal.aborted) end()
}

function outputOf(socket: Duplex, tty: boolean): Pick<Attached, 'stdout' | 'stderr'> {
  const stdout = new PassThrough()
  const stderr = tty ? undefined : new PassThrough()
  const copy = async (): Promise<void> => {
    if (stderr === undefined) {
      for await (const chunk of socket) await write(stdout, chunk)
      return
    }
    for await (const { stream, data } of framesOf(socket)) {
      await write(stream === 'stderr' ? stderr : stdout, data)
    }
  }
  copy()
    .catch(() => undefined)
    .finally(() => {
      stdout.end()
      stderr?.end()
      socket.destroy()
    })
  return stderr === undefined ? { stdout } : { stdout, stderr }
}

async function write(target: PassThrough, data: Buffer): Promise<void> {
  if (target.destroyed || target.write(data)) return
  await Promise.race([once(target, 'drain'), once(target, 'close')])
}

function controls(docker: Docker, id: string): Pick<Attached, 'resize' | 'kill' | 'wait'> {
  return {
    resize: (columns, rows) => resize(docker, id, columns, rows),
    kill: async (signal) => {
      try {
        await engineCall(`send ${signal} to the instance ${id}`, (abortSignal) =>
          docker.getContainer(id).kill({ signal, abortSignal }),
        )
      } catch (error) {
        // 409: it has ended already.
        if (![404, 409].includes(engineStatus(error) ?? 0)) throw error
      }
    },
    wait: (signal) => exitCode(docker, id, signal),
  }
}

// A program that has just started has no terminal yet, one that ended has none any more.
async function resize(docker: Docker, id: string, columns: number, rows: number): Promise<void> {
  for (let left = RESIZE_TRIES; ; left -= 1) {
    try {
      await engineCall(`resize the terminal of ${id}`, (abortSignal) =>
        docker.getContainer(id).resize({ w: columns, h: rows, abortSignal }),
      )
      return
    } catch (error) {
      if (engineStatus(error) === undefined) throw error
      const state = (await inspectContainer(docker, id))?.state
      if (state !== 'running') return
      if (left === 0) throw error
      await sleep(25)
    }
  }
}

async function exitCode(docker: Docker, id: string, signal: AbortSignal): Promise<number> {
  for (;;) {
    signal.throwIfAborted()
    // Waiting may break off for many reasons; only what the engine says of the container counts.
    await docker
      .getContainer(id)
      .wait({ abortSignal: signal })
      .catch(() => undefined)
    signal.throwIfAborted()
    const code = await endedWith(docker, id)
    if (code !== undefined) return code
    await sleep(ASK_AGAIN_MS, signal)
  }
}

async function endedWith(docker: Docker, id: string): Promise<number | undefined> {
  try {
    const instance = await inspectContainer(docker, id)
    if (instance !== undefined) return instance.exitCode
  } catch (error) {
    // The engine may be back in a moment; the caller's signal is the deadline.
    if (error instanceof HeliosError && error.code === 'HP51') return undefined
    throw error
  }
  throw new HeliosError('engine_error', `The instance ${id} is gone, with its exit code.`, {
    hint: 'Somebody removed it while it ran; run the command again.',
  })
}
