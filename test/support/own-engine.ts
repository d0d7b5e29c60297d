import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { run } from '../../src/lib/exec.ts'

/** A Docker Engine of a test's own, which it may stop and kill. */
export type OwnEngine = {
  socket: string
  /** Stop it as the system does; its containers end. */
  stop(): Promise<void>
  /** End it as a power cut would; its containers go on until it is back. */
  kill(): Promise<void>
  /** Start it again. */
  start(): Promise<void>
  /** Stop it and remove all it had. */
  remove(): Promise<void>
}

const GONE_MS = 60_000

/** Start an engine with these base images. */
export async function startOwnEngine(images: readonly string[]): Promise<OwnEngine> {
  const dir = mkdtempSync(join(tmpdir(), 'hel-engine-'))
  const socket = join(dir, 'docker.sock')
  const env = { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '/root' }
  const script = (...words: string[]) => run(words, { env, maxBytes: 64 * 1024 * 1024 })
  const start = async (): Promise<void> => {
    await script('scripts/engine', 'start', '--dir', dir)
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const pid = Number(readFileSync(join(dir, 'dockerd.pid'), 'utf8'))
    process.kill(pid, signal)
    for (const until = Date.now() + GONE_MS; runs(pid); await delay(20)) {
      if (Date.now() > until) throw new Error(`the engine ${pid} does not end`)
    }
  }
  const remove = async (): Promise<void> => {
    await script('scripts/engine', 'stop', '--dir', dir)
    endRest(dir)
    rmSync(dir, { recursive: true, force: true })
  }
  try {
    await start()
    await script('scripts/base-images', '--docker-host', `unix://${socket}`, ...images)
  } catch (error) {
    await remove()
    throw error
  }
  return { socket, stop: () => end('SIGTERM'), kill: () => end('SIGKILL'), start, remove }
}

/** An engine that was killed may leave the keepers of its containers; they name its folder. */
function endRest(dir: string): void {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      if (words.some((word) => word.startsWith(`${dir}/`))) process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It ended since the folder was read.
    }
  }
}

/** One that nobody has waited for yet is gone all the same. */
function runs(pid: number): boolean {
  const file = `/proc/${pid}/stat`
  if (!existsSync(file)) return false
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(file, 'utf8'))
  } catch {
    return false
  }
}
