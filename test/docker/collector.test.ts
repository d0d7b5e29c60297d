import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Collector, createCollector } from '../../src/engine/collector.ts'
import { instanceLabels, LABELS } from '../../src/engine/labels.ts'
import { until } from '../../src/lib/async.ts'
import { newId } from '../../src/lib/ids.ts'
import { silentLogger } from '../../src/lib/log.ts'
import { type AppLine, type AppLogs, createAppLogs } from '../../src/observability/app-logs.ts'
import { createDockerRuntime } from '../../src/runtime/docker/client.ts'

const { HELIOS_TEST_DOCKER: engine = 'unix:///var/run/docker.sock' } = process.env
const socketPath = engine.replace(/^unix:\/\//, '')
const log = silentLogger()
const runtime = createDockerRuntime({ socketPath, log })
const server = newId('srv')
const labels = { [LABELS.server]: server }
const dir = mkdtempSync(join(tmpdir(), 'helios-collector-'))
const network = {
  name: `helios-test-${randomBytes(6).toString('hex')}`,
  subnet: `10.214.${randomInt(256)}.0/24`,
  labels,
}
const soon = (ms = 60_000): AbortSignal => AbortSignal.timeout(ms)
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

beforeAll(() => runtime.ensureNetwork(network))

afterAll(async () => {
  for (const { id } of await runtime.listInstances(labels)) await runtime.removeInstance(id)
  await runtime.removeNetwork(network.name)
  rmSync(dir, { recursive: true, force: true })
})

async function started(app: string, index: number, script: string): Promise<string> {
  const who = { app, rollout: 'rol_1', release: 1, process: 'web', index }
  const spec = {
    name: `${network.name}-${app}-${index}`,
    image: 'debian:bookworm-slim',
    command: ['sh', '-c', script],
    env: {},
    labels: instanceLabels(server, who),
    network: network.name,
    memoryBytes: 64 * 2 ** 20,
    cpus: 0.5,
    stopSignal: 'SIGTERM',
    stopGraceMs: 5000,
    restart: 'always' as const,
  }
  const id = await runtime.createInstance(spec, soon())
  await runtime.startInstance(id)
  return id
}

async function collecting(appLogs: AppLogs, socket = socketPath): Promise<Collector> {
  const through = createDockerRuntime({ socketPath: socket, log })
  const collector = createCollector({ runtime: through, appLogs, labels, log })
  await collector.start(soon())
  return collector
}

/** Prints numbered lines, every seventh to stderr, and ends each of three lives with a long line and half a one. */
const THREE_LIVES = `
n=$(cat /tmp/n 2>/dev/null || echo 0)
[ $n -ge 900 ] && { echo over; sleep 1000; }
end=$((n + 300))
while [ $n -lt $end ]; do
  n=$((n + 1))
  if [ $((n % 7)) = 0 ]; then echo "err $n" >&2; else echo "out $n"; fi
  [ $((n % 5)) = 0 ] && sleep 0.01
done
echo $n > /tmp/n
printf '%040000d\\n' $n
printf 'half %s' $n
`

function ofStream(lines: AppLine[], stream: AppLine['stream']): string[] {
  return lines.filter((line) => line.stream === stream).map(({ text }) => text)
}

const numbers = Array.from({ length: 900 }, (_, i) => i + 1)
const EXPECTED_ERR = numbers.filter((n) => n % 7 === 0).map((n) => `err ${n}`)
const EXPECTED_OUT = [
  ...numbers.flatMap((n) => [
    ...(n % 7 === 0 ? [] : [`out ${n}`]),
    ...(n % 300 === 0 ? [`${n}`.padStart(40_000, '0'), `half ${n}`] : []),
  ]),
  'over',
]

async function expectThreeLives(app: string, logsOf: () => AppLogs): Promise<void> {
  const lines = await until(
    () => {
      const found = logsOf().tail(app, { lines: 9000 })
      return ofStream(found, 'stdout').includes('over') ? found : undefined
    },
    { everyMs: 200, signal: soon() },
  )
  // Output and errors go two ways through the engine: each has its own order.
  expect(ofStream(lines, 'stdout')).toEqual(EXPECTED_OUT)
  expect(ofStream(lines, 'stderr')).toEqual(EXPECTED_ERR)
  expect(lines[0]).toMatchObject({ process: 'web', instance: 'web.1', stream: 'stdout' })
}

test('a collector stopped again and again loses and doubles nothing, over restarts of the instance', async () => {
  const app = newId('app')
  const stopped = join(dir, 'stopped')
  let appLogs = createAppLogs({ dir: stopped })
  let collector = await collecting(appLogs)
  await started(app, 1, THREE_LIVES)
  for (const ms of [300, 700, 150, 900]) {
    await pause(ms)
    await collector.stop(soon())
    appLogs.close()
    await pause(200)
    appLogs = createAppLogs({ dir: stopped })
    collector = await collecting(appLogs)
  }
  await expectThreeLives(app, () => appLogs)
  await collector.stop(soon())
})

test('so does one that is killed', async () => {
  const app = newId('app')
  const killed = join(dir, 'killed')
  const file = fileURLToPath(new URL('./collect-process.ts', import.meta.url))
  const start = (): ChildProcess =>
    spawn(process.execPath, [file, socketPath, killed, server], { stdio: 'inherit' })
  const id = await started(app, 1, THREE_LIVES)
  let child = start()
  try {
    for (const ms of [1200, 1000, 1400]) {
      await pause(ms)
      child.kill('SIGKILL')
      child = start()
    }
    await until(() => lastOf(id), { everyMs: 200, signal: soon() })
    await pause(1000)
  } finally {
    child.kill('SIGKILL')
  }
  await expectThreeLives(app, () => createAppLogs({ dir: killed }))
})

/** The end of what the three lives print, once it is there. */
async function lastOf(id: string): Promise<true | undefined> {
  for await (const { text } of runtime.logs(id, { follow: false, tail: 1 }, soon())) {
    if (text === 'over') return true
  }
  return undefined
}

test('what was written before a removal is stored, the last half line too', async () => {
  const app = newId('app')
  const appLogs = createAppLogs({ dir: join(dir, 'flushed') })
  const collector = await collecting(appLogs)
  const script = `trap 'seq 1001 2000; printf bye; exit 0' TERM; seq 1 1000; while :; do sleep 0.05; done`
  const id = await started(app, 3, script)
  await until(() => (appLogs.tail(app, { lines: 1 }).length > 0 ? true : undefined), {
    everyMs: 50,
    signal: soon(),
  })
  await collector.flush(id, 10_000)
  expect(appLogs.tail(app, { lines: 9000, process: 'web.3' })).toHaveLength(1000)
  await runtime.stopInstance(id, 5000)
  await collector.flush(id, 10_000)
  await runtime.removeInstance(id)
  const stored = appLogs.tail(app, { lines: 9000 }).map(({ text }) => text)
  expect(stored).toEqual([...Array.from({ length: 2000 }, (_, i) => `${i + 1}`), 'bye'])
  await collector.flush(id, 10_000)
  await collector.stop(soon())
})

test('an engine that goes away and comes back is waited for', async () => {
  const app = newId('app')
  const appLogs = createAppLogs({ dir: join(dir, 'gone') })
  const proxy = await engineProxy(join(dir, 'engine.sock'))
  const collector = await collecting(appLogs, proxy.path)
  await started(app, 1, THREE_LIVES)
  for (const ms of [600, 1500]) {
    await pause(ms)
    await proxy.down()
    await pause(500)
    await proxy.up()
  }
  await expectThreeLives(app, () => appLogs)
  await collector.stop(soon())
  await proxy.down()
})

/** A socket before the engine's own that can be taken away. */
async function engineProxy(path: string) {
  const open = new Set<Socket>()
  const proxy = createServer((client) => {
    const upstream = connect(socketPath)
    for (const one of [client, upstream]) {
      open.add(one)
      one.on('error', () => undefined)
      one.on('close', () => open.delete(one))
    }
    client.pipe(upstream).pipe(client)
  })
  const up = () => new Promise<void>((resolve) => proxy.listen(path, resolve))
  const down = async (): Promise<void> => {
    const closed = new Promise((resolve) => proxy.close(resolve))
    for (const one of open) one.destroy()
    await closed
  }
  await up()
  return { path, up, down }
}
