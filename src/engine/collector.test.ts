import { afterEach, expect, test } from 'vitest'
import { until } from '../lib/async.ts'
import { HeliosError } from '../lib/errors.ts'
import { silentLogger } from '../lib/log.ts'
import type { EngineEvent, Instance, LogLine, Runtime } from '../runtime/types.ts'
import { type Collector, createCollector } from './collector.ts'
import { instanceLabels } from './labels.ts'

const APP = 'app_1'
const ID = 'c1'
const labels = instanceLabels('srv', {
  app: APP,
  rollout: 'r',
  release: 1,
  process: 'web',
  index: 2,
})
const at = (i: number): string => `2026-01-01T00:00:00.${String(i).padStart(9, '0')}Z`
const line = (i: number, stream: LogLine['stream'] = 'stdout'): LogLine => ({
  at: at(i),
  stream,
  text: `${i}`,
})
const soon = () => ({ everyMs: 5, signal: AbortSignal.timeout(15_000) })

/** An engine with one instance, whose output and faults a test sets. */
function fakeEngine(lines: LogLine[]) {
  const engine = {
    lines,
    /** What a followed stream ends with instead of the last line. */
    torn: undefined as LogLine | undefined,
    state: 'running' as Instance['state'] | 'gone',
    failures: 0,
    reads: [] as { since?: string; follow: boolean }[],
    events: [] as EngineEvent[],
  }
  const more = async (signal: AbortSignal) => {
    await new Promise((resolve) => setTimeout(resolve, 5))
    return !signal.aborted
  }
  const runtime: Pick<Runtime, 'logs' | 'listInstances' | 'inspectInstance' | 'events'> = {
    async *logs(_, opts, signal) {
      engine.reads.push(opts)
      if (engine.failures > 0) {
        engine.failures -= 1
        throw new HeliosError('HP51', 'gone')
      }
      let sent = engine.lines.findIndex((one) => one.at >= (opts.since ?? ''))
      if (sent < 0) sent = engine.lines.length
      do {
        for (; sent < engine.lines.length && !signal.aborted; sent++)
          yield engine.lines[sent] as LogLine
        if (opts.follow && engine.torn) yield engine.torn
      } while (opts.follow && !engine.torn && engine.state === 'running' && (await more(signal)))
    },
    listInstances: async () => [{ id: ID, labels } as Instance],
    inspectInstance: async () =>
      engine.state === 'gone'
        ? undefined
        : ({ id: ID, labels, state: engine.state } as unknown as Instance),
    async *events(_, signal) {
      yield { type: 'connected' }
      do yield* engine.events.splice(0)
      while (await more(signal))
    },
  }
  return { engine, runtime }
}

type Stored = Parameters<Parameters<typeof createCollector>[0]['appLogs']['append']>[1][number]

/** A store that counts as the real one does. */
function fakeStore() {
  const store = { lines: [] as Stored[], failures: 0 }
  return {
    store,
    appLogs: {
      append: (_: string, lines: readonly Stored[]) => {
        if (store.failures > 0) {
          store.failures -= 1
          throw new HeliosError('HP50', 'disk full')
        }
        store.lines.push(...lines)
      },
      lastOf: () => {
        const last = (stream: LogLine['stream']) => {
          const of = store.lines.filter((one) => one.stream === stream)
          const time = of.at(-1)?.at
          if (time === undefined) return {}
          const sameAt = of.length - 1 - of.findLastIndex((one) => one.at !== time)
          return { [stream]: { at: time, sameAt } }
        }
        return { ...last('stdout'), ...last('stderr') }
      },
    },
  }
}

const started: Collector[] = []
afterEach(async () => {
  for (const one of started.splice(0)) await one.stop(AbortSignal.timeout(1000))
})

async function collectorOf(
  runtime: ReturnType<typeof fakeEngine>['runtime'],
  appLogs: ReturnType<typeof fakeStore>['appLogs'],
): Promise<Collector> {
  const collector = createCollector({ runtime, appLogs, labels: {}, log: silentLogger() })
  started.push(collector)
  await collector.start(AbortSignal.timeout(60_000))
  return collector
}

const texts = (lines: Stored[]): string[] => lines.map(({ text }) => text)

test('lines are stored with who wrote them; output and errors are each gone on with after a restart', async () => {
  const lines = [line(1), line(2), line(2), line(3, 'stderr'), line(2), line(5)]
  const { engine, runtime } = fakeEngine([...lines])
  const { store, appLogs } = fakeStore()
  const first = await collectorOf(runtime, appLogs)
  await until(() => (store.lines.length === 6 ? true : undefined), soon())
  expect(store.lines[0]).toEqual({ ...line(1), process: 'web', instance: 'web.2', source: ID })
  expect(first.state?.()).toEqual({ ok: true })
  await first.stop(AbortSignal.timeout(1000))
  engine.lines.push(line(5), line(4, 'stderr'), line(6))
  await collectorOf(runtime, appLogs)
  await until(() => (store.lines.length >= 9 ? true : undefined), soon())
  expect(texts(store.lines)).toEqual(['1', '2', '2', '3', '2', '5', '5', '4', '6'])
  expect(engine.reads.at(-1)).toEqual({ since: '2025-12-31T23:59:58.000Z', follow: true })
})

test('half a line at the end of a followed stream is read again as a whole', async () => {
  const { engine, runtime } = fakeEngine([line(1)])
  const { store, appLogs } = fakeStore()
  engine.torn = { ...line(2), text: 'ha' }
  engine.state = 'exited'
  engine.lines.push({ ...line(2), text: 'half' })
  engine.lines.splice(1, 1)
  const whole = { ...line(2), text: 'half' }
  const logs = runtime.logs
  runtime.logs = (id, opts, signal) => {
    if (!opts.follow) engine.lines = [line(1), whole]
    return logs(id, opts, signal)
  }
  await collectorOf(runtime, appLogs)
  await until(() => (store.lines.length >= 2 ? true : undefined), soon())
  expect(texts(store.lines)).toEqual(['1', 'half'])
})

test('an engine that is gone and a full disk only delay', async () => {
  const { engine, runtime } = fakeEngine([line(1), line(2)])
  const { store, appLogs } = fakeStore()
  engine.failures = 1
  store.failures = 1
  await collectorOf(runtime, appLogs)
  await until(() => (store.lines.length >= 2 ? true : undefined), soon())
  engine.lines.push(line(3))
  await until(() => (store.lines.length >= 3 ? true : undefined), soon())
  expect(texts(store.lines)).toEqual(['1', '2', '3'])
})

test('a flush stores all that was written, of an ended instance too; it ends at its deadline', async () => {
  const { engine, runtime } = fakeEngine([line(1)])
  const { store, appLogs } = fakeStore()
  const collector = await collectorOf(runtime, appLogs)
  await until(() => (store.lines.length === 1 ? true : undefined), soon())
  engine.lines.push(line(2))
  await collector.flush(ID, 5000)
  expect(texts(store.lines)).toEqual(['1', '2'])
  engine.state = 'exited'
  await until(() => (engine.reads.at(-1)?.follow === false ? true : undefined), soon())
  engine.lines.push(line(3))
  await collector.flush(ID, 5000)
  expect(texts(store.lines)).toEqual(['1', '2', '3'])
  engine.failures = 1000
  await collector.flush(ID, 30)
  engine.state = 'gone'
  await collector.flush(ID, 5000)
  await collector.flush('other', 5000)
})

test('an instance started again is followed again; strangers and the forgotten are not', async () => {
  const { engine, runtime } = fakeEngine([line(1)])
  const { store, appLogs } = fakeStore()
  engine.state = 'exited'
  const collector = await collectorOf(runtime, appLogs)
  await until(() => (store.lines.length === 1 ? true : undefined), soon())
  engine.state = 'running'
  engine.lines.push(line(2))
  engine.events.push({ type: 'start', id: ID, labels }, { type: 'start', id: 'x' })
  await until(() => (store.lines.length === 2 ? true : undefined), soon())
  collector.watch({ id: ID, labels })
  collector.watch({ id: 'run', labels: { ...labels, 'helios.kind': 'run' } })
  collector.forget(ID)
  collector.forget('none')
  await new Promise((resolve) => setTimeout(resolve, 20))
  engine.lines.push(line(3))
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(texts(store.lines)).toEqual(['1', '2'])
})

test('a flood is taken in batches and leaves time for others', async () => {
  const { engine, runtime } = fakeEngine(Array.from({ length: 45_000 }, (_, i) => line(i + 1)))
  const { store, appLogs } = fakeStore()
  let largest = 0
  const began = performance.now()
  await collectorOf(runtime, {
    ...appLogs,
    append: (id, lines) => {
      largest = Math.max(largest, lines.length)
      appLogs.append(id, lines)
    },
  })
  await until(() => (store.lines.length === engine.lines.length ? true : undefined), soon())
  expect(performance.now() - began).toBeGreaterThan(1900)
  expect(largest).toBeLessThanOrEqual(500)
})

test('instances that cannot be listed and events that break do not end the process', async () => {
  const { runtime } = fakeEngine([])
  const { appLogs } = fakeStore()
  runtime.listInstances = () => Promise.reject(new HeliosError('HP51', 'gone'))
  const listing = await collectorOf(runtime, appLogs)
  await new Promise((resolve) => setTimeout(resolve, 20))
  await listing.stop(AbortSignal.timeout(1000))
  runtime.events = () => {
    throw new Error('broken')
  }
  const broken = await collectorOf(runtime, appLogs)
  await new Promise((resolve) => setTimeout(resolve, 5))
  expect(broken.state?.()).toEqual({ ok: false, detail: 'waits for the engine' })
})
