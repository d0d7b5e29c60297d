import { randomBytes, randomInt } from 'node:crypto'
import { rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Docker from 'dockerode'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../src/lib/async.ts'
import {
  createContainer,
  inspectContainer,
  listContainers,
  removeContainer,
  startContainer,
  stopContainer,
} from '../../src/runtime/docker/containers.ts'
import { containerLogs } from '../../src/runtime/docker/logs.ts'
import { ensureNetwork, removeNetwork } from '../../src/runtime/docker/networks.ts'
import type { LogLine, WorkloadSpec } from '../../src/runtime/types.ts'

const { HELIOS_TEST_DOCKER: engine = 'unix:///var/run/docker.sock' } = process.env
const docker = new Docker({ socketPath: engine.replace(/^unix:\/\//, '') })
const run = randomBytes(6).toString('hex')
const labels = { 'helios.test': run }
const network = {
  name: `helios-test-${run}`,
  subnet: `10.213.${randomInt(256)}.0/24`,
  labels,
}
const soon = (): AbortSignal => AbortSignal.timeout(60_000)

function spec(name: string, command: string[], more: Partial<WorkloadSpec> = {}): WorkloadSpec {
  return {
    name: `helios-test-${run}-${name}`,
    image: 'debian:bookworm-slim',
    command,
    env: { GREETING: 'hello' },
    labels: { ...labels, 'helios.part': name },
    network: network.name,
    memoryBytes: 64 * 1024 * 1024,
    cpus: 0.5,
    stopSignal: 'SIGTERM',
    stopGraceMs: 5000,
    restart: 'never',
    ...more,
  }
}

async function started(workload: WorkloadSpec): Promise<string> {
  const id = await createContainer(docker, workload, soon())
  await startContainer(docker, id)
  return id
}

const exited = (id: string) =>
  until(
    async () => {
      const instance = await inspectContainer(docker, id)
      return instance?.state === 'exited' ? instance : undefined
    },
    { everyMs: 100, signal: soon() },
  )

beforeAll(() => ensureNetwork(docker, network))

afterAll(async () => {
  for (const { id } of await listContainers(docker, labels)) await removeContainer(docker, id)
  await removeNetwork(docker, network.name)
})

test('a network is made once and keeps its subnet', async () => {
  await ensureNetwork(docker, network)
  await expect(
    ensureNetwork(docker, { ...network, subnet: '10.213.255.248/29' }),
  ).rejects.toMatchObject({ code: 'engine_error' })
  await removeNetwork(docker, `${network.name}-none`)
})

test('an instance lives from create to remove', async () => {
  const workload = spec('life', ['sleep', '300'], { restart: 'always' })
  const id = await createContainer(docker, workload, soon())
  expect(await createContainer(docker, workload, soon())).toBe(id)
  const others = { ...workload, labels: { ...workload.labels, 'helios.part': 'another' } }
  await expect(createContainer(docker, others, soon())).rejects.toThrow('already in use')
  expect(await inspectContainer(docker, workload.name)).toMatchObject({ id, state: 'created' })

  await startContainer(docker, id)
  await startContainer(docker, id)
  const running = await inspectContainer(docker, id)
  expect(running).toMatchObject({
    id,
    name: workload.name,
    labels: workload.labels,
    state: 'running',
    oomKilled: false,
    restarts: 0,
    memoryBytes: workload.memoryBytes,
  })
  expect(running?.address).toMatch(/^10\.213\.\d+\.\d+$/)
  expect(running?.pid).toBeGreaterThan(0)
  expect((await listContainers(docker, workload.labels)).map((each) => each.id)).toEqual([id])

  expect(await stopContainer(docker, id, 5000)).toEqual({ killed: false })
  expect(await stopContainer(docker, id, 5000)).toEqual({ killed: false })
  const after = await inspectContainer(docker, id)
  expect(after).toMatchObject({ state: 'exited', exitCode: 143 })
  expect(after).not.toHaveProperty('address')

  await removeContainer(docker, id)
  await removeContainer(docker, id)
  expect(await inspectContainer(docker, id)).toBeUndefined()
  expect(await stopContainer(docker, id, 1000)).toEqual({ killed: false })
})

test('an instance that ignores its stop signal is killed', async () => {
  const id = await started(
    spec('deaf', ['bash', '-c', 'trap "" TERM; touch /tmp/deaf; while :; do sleep 1; done']),
  )
  await until(async () => (await docker.getContainer(id).changes())?.length || undefined, {
    everyMs: 100,
    signal: soon(),
  })
  expect(await stopContainer(docker, id, 1000)).toEqual({ killed: true })
})

test('an instance holds only the short list of rights', async () => {
  const id = await started(spec('caps', ['cat', '/proc/self/status']))
  expect(await exited(id)).toMatchObject({ exitCode: 0 })
  const status = String(await docker.getContainer(id).logs({ stdout: true, follow: false }))
  expect(status).toMatch(/CapEff:\s+00000000000004eb\n/)
  expect(status).toMatch(/CapBnd:\s+00000000000004eb\n/)
  expect(status).toMatch(/NoNewPrivs:\s+1\n/)
})

async function lines(
  id: string,
  opts: { since?: string; follow: boolean; tail?: number },
  enough = Number.POSITIVE_INFINITY,
): Promise<LogLine[]> {
  const seen: LogLine[] = []
  for await (const line of containerLogs(docker, id, opts, soon())) {
    if (seen.push(line) >= enough) break
  }
  return seen
}

test('output is read with its times, from a time on, and by its end', async () => {
  // The engine may end a live stream before the last write of a process that exits at once.
  const script =
    'echo one; sleep 0.2; echo two >&2; sleep 0.2; head -c 40000 /dev/zero | tr "\\0" x; echo; sleep 0.5'
  const id = await started(spec('logs', ['bash', '-c', script]))
  const followed = await lines(id, { follow: true })
  expect(followed.map((l) => [l.stream, l.text.length])).toEqual([
    ['stdout', 3],
    ['stderr', 3],
    ['stdout', 40_000],
  ])
  expect(followed[0]?.at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/)
  await exited(id)
  expect(await lines(id, { follow: false })).toEqual(followed)
  const since = followed[1]?.at ?? ''
  expect(await lines(id, { follow: false, since })).toEqual(followed.slice(1))
  expect((await lines(id, { follow: false, tail: 1 })).at(-1)?.stream).toBe('stdout')
})

test('following ends when the reader has enough or gives up', async () => {
  const id = await started(spec('tick', ['bash', '-c', 'while :; do echo tick; sleep 0.1; done']))
  expect((await lines(id, { follow: true }, 2)).map((l) => l.text)).toEqual(['tick', 'tick'])
  const given = new AbortController()
  let seen = 0
  for await (const line of containerLogs(docker, id, { follow: true }, given.signal)) {
    expect(line.stream).toBe('stdout')
    seen += 1
    given.abort()
  }
  expect(seen).toBeGreaterThan(0)
  await removeContainer(docker, id)
  await expect(lines(id, { follow: true })).rejects.toMatchObject({ code: 'engine_error' })
})

test('output of a terminal is plain lines', async () => {
  const id = await started(spec('tty', ['bash', '-c', 'echo one; echo two'], { tty: true }))
  await exited(id)
  const seen = await lines(id, { follow: false })
  expect(seen.map((l) => [l.stream, l.text])).toEqual([
    ['stdout', 'one'],
    ['stdout', 'two'],
  ])
})

test('an engine that refuses and an engine that is away are told apart', async () => {
  await expect(
    createContainer(docker, spec('odd', ['true'], { image: 'helios.invalid/none:1' }), soon()),
  ).rejects.toMatchObject({ code: 'engine_error' })
  const away = new Docker({ socketPath: join(tmpdir(), `helios-${run}-none.sock`) })
  await expect(listContainers(away, labels)).rejects.toMatchObject({ code: 'HP51' })
})

test('a caller that gives up gets its own reason', async () => {
  const path = join(tmpdir(), `helios-${run}.sock`)
  const mute = createServer((socket) => socket.on('error', () => undefined))
  await new Promise<void>((resolve) => mute.listen(path, resolve))
  const given = new AbortController()
  const waiting = createContainer(
    new Docker({ socketPath: path }),
    spec('mute', ['true']),
    given.signal,
  )
  const reason = new Error('given up')
  mute.once('connection', () => given.abort(reason))
  await expect(waiting).rejects.toBe(reason)
  mute.close()
  rmSync(path, { force: true })
})
