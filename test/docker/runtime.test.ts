import { randomInt } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../../src/lib/async.ts'
import type { EngineEvent, Instance, WorkloadSpec } from '../../src/runtime/types.ts'
import { BASE, buildOf, docker, MIB, mortalEngine, newRun, runtimeOf, soon } from './engine.ts'

const { run, labels } = newRun()
const runtime = runtimeOf()
const network = { name: `helios-test-${run}`, subnet: `10.214.${randomInt(256)}.0/24`, labels }

function spec(name: string, command: string[], more: Partial<WorkloadSpec> = {}): WorkloadSpec {
  return {
    name: `helios-test-${run}-${name}`,
    image: BASE,
    command,
    env: {},
    labels: { ...labels, 'helios.part': name },
    network: network.name,
    memoryBytes: 64 * MIB,
    cpus: 0.5,
    stopSignal: 'SIGTERM',
    stopGraceMs: 1000,
    restart: 'never',
    ...more,
  }
}

async function running(workload: WorkloadSpec): Promise<Instance> {
  const id = await runtime.createInstance(workload, soon())
  await runtime.startInstance(id)
  const instance = await runtime.inspectInstance(id)
  if (instance === undefined) throw new Error('it is gone')
  return instance
}

beforeAll(() => runtime.ensureNetwork(network))

afterAll(async () => {
  for (const { id } of await runtime.listInstances(labels)) await runtime.removeInstance(id)
  for (const { id } of await runtime.listImages(labels))
    await docker.getImage(id).remove({ force: true })
  await runtime.removeNetwork(network.name)
})

test('many instances are listed at once, in any state', async () => {
  const names = Array.from({ length: 20 }, (_, i) => `many${i}`)
  const ids = await Promise.all(
    names.map((name) => runtime.createInstance(spec(name, ['true']), soon())),
  )
  const list = (await runtime.listInstances(labels)).filter((i) => i.name.includes('-many'))
  expect(list.map((instance) => instance.id).sort()).toEqual(ids.sort())
  await Promise.all(ids.map((id) => runtime.removeInstance(id)))
})

test('what listens in an instance is told with its address', async () => {
  const server =
    'const n=require("net");for(const [p,h] of [[3000,"127.0.0.1"],[8080,"0.0.0.0"],[9090,"::"]])n.createServer().listen(p,h)'
  const instance = await running(spec('listen', ['node', '-e', server], { image: 'node:24-slim' }))
  const sockets = await until(
    async () => {
      const found = await runtime.listeningSockets(instance)
      return found.length === 3 ? found.sort() : undefined
    },
    { everyMs: 50, signal: soon(20_000) },
  )
  expect(sockets).toEqual(['0.0.0.0:8080', '127.0.0.1:3000', '[::]:9090'])
  const { pid: _, ...stopped } = instance
  expect(await runtime.listeningSockets(stopped)).toEqual([])
})

test('memory in use is near what the program took', async () => {
  const hold = 'const b=Buffer.alloc(100<<20,1);setInterval(()=>b[0]++,1000)'
  const instance = await running(
    spec('memory', ['node', '-e', hold], { image: 'node:24-slim', memoryBytes: 256 * MIB }),
  )
  const bytes = await until(
    async () => {
      const now = (await runtime.memoryInUse(instance)) ?? 0
      return now > 100 * MIB ? now : undefined
    },
    { everyMs: 100, signal: soon(20_000) },
  )
  expect(bytes).toBeLessThan(256 * MIB)
  await runtime.removeInstance(instance.id)
  expect(await runtime.memoryInUse(instance)).toBeUndefined()
})

describe('one-offs', () => {
  test('pipes: input goes in, output and errors come out apart, the code is the program’s', async () => {
    const script = 'while read -r line; do echo "got $line"; done; echo bad >&2; exit 7'
    const attached = await runtime.attach(
      spec('pipes', ['bash', '-c', script], { stdin: true }),
      undefined,
      soon(),
    )
    attached.stdin.write('one\n')
    attached.stdin.end('two\n')
    const [out, err, code] = await Promise.all([
      text(attached.stdout),
      attached.stderr ? text(attached.stderr) : '',
      attached.wait(soon()),
    ])
    expect([out, err, code]).toEqual(['got one\ngot two\n', 'bad\n', 7])
    await runtime.removeInstance(attached.id)
    await expect(attached.wait(soon())).rejects.toMatchObject({ code: 'engine_error' })
  })

  test('a lot of output waits for a slow reader and arrives whole', async () => {
    const attached = await runtime.attach(
      spec('flood', ['head', '-c', '5000000', '/dev/zero']),
      undefined,
      soon(),
    )
    await delay(300)
    let bytes = 0
    for await (const chunk of attached.stdout) bytes += chunk.length
    expect([bytes, await attached.wait(soon())]).toEqual([5_000_000, 0])
  })

  test('a terminal has its size, can be resized and killed', async () => {
    const script =
      'stty size; trap "stty size" WINCH; read -r name; echo "hello $name"; while :; do sleep 0.1; done'
    const workload = spec('tty', ['bash', '-c', script], { tty: true, stdin: true })
    const attached = await runtime.attach(workload, { columns: 101, rows: 41 }, soon())
    expect(attached.stderr).toBeUndefined()
    let seen = ''
    const reading = (async () => {
      for await (const chunk of attached.stdout) seen += String(chunk)
    })()
    const shows = (what: string): Promise<unknown> =>
      until(() => (seen.includes(what) ? true : undefined), { everyMs: 20, signal: soon(10_000) })
    attached.stdin.write('you\n')
    await shows('hello you')
    await attached.resize(80, 24)
    await shows('24 80')
    await attached.kill('SIGKILL')
    expect(await attached.wait(soon())).toBe(137)
    await reading
    await attached.kill('SIGKILL')
    await attached.resize(10, 10)
  })

  test('what cannot start leaves nothing behind', async () => {
    const broken = spec('broken', ['true'], { network: `helios-test-${run}-none` })
    await expect(runtime.attach(broken, undefined, soon())).rejects.toMatchObject({
      code: 'engine_error',
    })
    expect(await runtime.inspectInstance(broken.name)).toBeUndefined()
  })

  test('an abort ends the streams; a stream that broke is no exit code', async () => {
    const mortal = await mortalEngine(`${run}-attach`)
    const fragile = runtimeOf({ socketPath: mortal.socketPath })
    const given = new AbortController()
    const quiet = await fragile.attach(spec('quiet', ['sleep', '60']), undefined, given.signal)
    given.abort()
    expect(await text(quiet.stdout)).toBe('')

    const attached = await fragile.attach(
      spec('cut', ['bash', '-c', 'sleep 2; exit 5']),
      undefined,
      soon(),
    )
    const code = attached.wait(soon())
    await mortal.die()
    expect(await text(attached.stdout)).toBe('')
    await delay(300)
    await mortal.live()
    expect(await code).toBe(5)
    await mortal.die()
    await expect(quiet.wait(AbortSignal.timeout(300))).rejects.toThrow(/timeout/)
  })
})

test('events come first with connected, also after the engine was away', async () => {
  const mortal = await mortalEngine(`${run}-events`)
  const fragile = runtimeOf({ socketPath: mortal.socketPath })
  const given = new AbortController()
  const seen: EngineEvent[] = []
  const watched = { ...labels, 'helios.part': 'event' }
  const ended = (async () => {
    for await (const event of fragile.events(watched, given.signal)) seen.push(event)
  })()
  const types = (): string => seen.map((event) => event.type).join(' ')
  const shows = (what: RegExp): Promise<unknown> =>
    until(() => (what.test(types()) ? true : undefined), { everyMs: 20, signal: soon(60_000) })

  await shows(/^connected$/)
  const one = await running(spec('event', ['sleep', '60']))
  await runtime.removeInstance(one.id)
  await shows(/^connected start die destroy$/)
  expect(seen[1]).toMatchObject({ type: 'start', id: one.id, labels: watched })

  await mortal.die()
  await delay(500)
  await mortal.live()
  await shows(/destroy connected$/)
  await runtime.createInstance(spec('other', ['true']), soon())
  const hungry = await running(spec('event', ['bash', '-c', 'head -c 200m /dev/zero | tail']))
  // The engine may tell of the lack of memory before the end, after it, several times, or not at all.
  await shows(/connected start (?=.*\bdie\b)(?:(?:oom|die) ?)+$/)
  expect(seen.at(-1)?.id).toBe(hungry.id)

  given.abort()
  await ended
  await mortal.die()
  for await (const event of fragile.events(labels, AbortSignal.timeout(400))) {
    throw new Error(`an engine that is away told ${event.type}`)
  }
})

describe('images', () => {
  test('they are named, listed and removed', async () => {
    const request = buildOf(run, { Dockerfile: `FROM ${BASE}\nENV RUN=${run}\n` })
    const { id } = await runtime.build(request, () => undefined, soon())
    const names = [`helios-test/${run}:second`, `helios-test/${run}/third`]
    for (const name of names) await runtime.tagImage(id, name)
    const tags = [request.tag, names[0], `${names[1]}:latest`].sort()
    const [image] = await runtime.listImages({ ...labels })
    expect(image).toMatchObject({ id, createdAt: expect.stringMatching(/^\d{4}-.*Z$/) })
    expect(image?.tags.sort()).toEqual(tags)
    for (const tag of tags) await runtime.removeImage(tag ?? '')
    await runtime.removeImage(id)
    expect(await runtime.inspectImage(id)).toBeUndefined()
    await expect(runtime.tagImage(id, 'x:1')).rejects.toMatchObject({ code: 'engine_error' })
  })

  test('a local image needs no registry; one that nobody has is named', async () => {
    const lines: string[] = []
    const base = await runtime.pullImage(BASE, (line) => lines.push(line), soon())
    expect(base.id).toMatch(/^sha256:/)
    const name = `helios.invalid/${run}:1`
    await expect(runtime.pullImage(name, () => undefined, soon())).rejects.toMatchObject({
      code: 'HX30',
      message: expect.stringContaining(`The image "${name}" could not be pulled`),
    })
    await runtime.tagImage(base.id, name)
    // A name of its own hides the label of base images.
    const { id } = await runtime.build(
      buildOf(run, { Dockerfile: `FROM ${BASE}\nLABEL helios.base-image=\n` }, { tag: name }),
      () => undefined,
      soon(),
    )
    expect((await runtime.pullImage(name, (line) => lines.push(line), soon())).id).toBe(id)
    await runtime.removeImage(name)
    await expect(
      runtime.pullImage(name, () => undefined, AbortSignal.abort(new Error('given up'))),
    ).rejects.toThrow('given up')
  })

  test('the cache of builds can be dropped', async () => {
    expect(await runtime.pruneBuildCache?.(2 ** 40)).toBe(0)
  })
})
