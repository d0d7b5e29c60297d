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
import { ensureNetwork, removeNetwork } from '../../src/runtime/docker/networks.ts'
import type { WorkloadSpec } from '../../src/runtime/types.ts'

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
