import { randomBytes } from 'node:crypto'
import { readFileSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import Docker from 'dockerode'
import { pack } from 'tar-stream'
import { createLogger } from '../../src/lib/log.ts'
import { createDockerRuntime } from '../../src/runtime/docker/client.ts'
import type { BuildRequest, Runtime } from '../../src/runtime/types.ts'

const { HELIOS_TEST_DOCKER: engine = 'unix:///var/run/docker.sock' } = process.env

/** Socket of the engine under test. */
const socketPath = engine.replace(/^unix:\/\//, '')
export const docker = new Docker({ socketPath })
export const MIB = 1024 * 1024
export const BASE = 'debian:bookworm-slim'

/** A mark for everything one test file makes. */
export function newRun(): { run: string; labels: Record<string, string> } {
  const run = randomBytes(6).toString('hex')
  return { run, labels: { 'helios.test': run } }
}

export const soon = (ms = 60_000): AbortSignal => AbortSignal.timeout(ms)

/** The parent of the engine's containers, which an engine may have been given. */
export async function cgroupParent(): Promise<string> {
  const made = await docker.createContainer({ Image: BASE, Cmd: ['sleep', '60'] })
  try {
    await made.start()
    const { State } = await made.inspect()
    const line = /^(?:\d+:memory|0:):(.*)$/m.exec(readFileSync(`/proc/${State.Pid}/cgroup`, 'utf8'))
    return (line?.[1] ?? '').replace(/^\/?(.*)\/[^/]+$/, '$1')
  } finally {
    await made.remove({ force: true })
  }
}

export function runtimeOf(more: Partial<Parameters<typeof createDockerRuntime>[0]> = {}): Runtime {
  return createDockerRuntime({ socketPath, log: createLogger({ level: 'fatal' }), ...more })
}

/** Text by path; a folder, a link or a mode where an object says so. */
export type Files = Record<
  string,
  string | Buffer | { link: string } | { hardlink: string } | { mode: number; text: string }
>

/** A request to build these files. */
export function buildOf(run: string, files: Files, more: Partial<BuildRequest> = {}): BuildRequest {
  return {
    tag: `helios-test/${run}:${randomBytes(6).toString('hex')}`,
    context: () => tarOf(files),
    dockerfile: 'Dockerfile',
    args: {},
    labels: { 'helios.test': run },
    memoryBytes: 256 * MIB,
    cpus: 1,
    ...more,
  }
}

function tarOf(files: Files): NodeJS.ReadableStream {
  const tar = pack()
  const mtime = new Date(1_000_000_000)
  for (const [name, file] of Object.entries(files)) {
    if (typeof file === 'string' || Buffer.isBuffer(file)) tar.entry({ name, mtime }, file)
    else if ('link' in file) tar.entry({ name, mtime, type: 'symlink', linkname: file.link })
    else if ('hardlink' in file) tar.entry({ name, mtime, type: 'link', linkname: file.hardlink })
    else tar.entry({ name, mtime, mode: file.mode }, file.text)
  }
  tar.finalize()
  return Readable.from(tar)
}

/** An engine that can die and come back: a socket in front of the real one. */
export async function mortalEngine(run: string): Promise<{
  socketPath: string
  die(): Promise<void>
  live(): Promise<void>
}> {
  const path = join(tmpdir(), `helios-${run}.sock`)
  const open = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (front) => {
    const back = connect({ path: socketPath, allowHalfOpen: true })
    for (const [socket, other] of [
      [front, back],
      [back, front],
    ] as const) {
      open.add(socket)
      socket.on('error', () => other.destroy())
      socket.on('close', () => open.delete(socket))
      socket.pipe(other)
    }
  })
  const live = (): Promise<void> => new Promise((resolve) => server.listen(path, resolve))
  await live()
  return {
    socketPath: path,
    live,
    die: () =>
      new Promise((resolve) => {
        server.close(() => {
          rmSync(path, { force: true })
          resolve()
        })
        for (const socket of open) socket.destroy()
      }),
  }
}
