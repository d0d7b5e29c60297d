/**
 * @module
 * Switch one app many times under load by HTTP/1.1, HTTP/2 and websockets, and count what failed on it and beside it.
 *
 * Run: node bench/switches.ts [--switches N] [--json FILE]. Needs the Caddy of scripts/caddy.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { backend, get, h1Load, h2Load, type Load, stage, wsLoad } from '../test/router/stage.ts'

/** What one kind of client saw. */
export type SwitchBenchRow = {
  clients: string
  good: number
  failed: number
  /** Connections opened over the whole run. */
  connections: number | undefined
}

/** Median times of a switch and of the draining after it, in milliseconds, and what the clients saw. */
export type SwitchBench = {
  switches: number
  switchMs: number
  drainMs: number
  rows: SwitchBenchRow[]
}

/** Switch an app `switches` times; each old instance is killed as soon as it has drained. */
export async function benchSwitches(switches: number): Promise<SwitchBench> {
  const on = await stage()
  await on.router.start(on.signal)
  const names = ['one', 'two']
  const hosts = names.map((name) => ({ host: `${name}.test`, app: `app_${name}` }))
  await on.router.applyTable({ hosts }, on.signal)
  const [first, beside] = [await backend('one 0'), await backend('two')]
  await on.router.setLive({ app: 'app_one', release: 'v0', addresses: [first.address] })
  await on.router.setLive({ app: 'app_two', release: 'v0', addresses: [beside.address] })
  const { port } = on
  const [one, two] = [/^one \d+$/, /^two$/]
  const loads: Record<string, Load> = {
    'switched app, HTTP/1.1 kept, 8': h1Load(port, 'one.test', one, 8),
    'switched app, HTTP/1.1 new, 4': h1Load(port, 'one.test', one, 4, false),
    'switched app, HTTP/2, 3 x 3': h2Load(port, 'one.test', one, 3),
    'switched app, websocket, 4': await wsLoad(port, 'one.test', 4),
    'other app, HTTP/1.1 kept, 4': h1Load(port, 'two.test', two, 4),
    'other app, HTTP/2, 1 x 3': h2Load(port, 'two.test', two, 1),
    'other app, websocket, 4': await wsLoad(port, 'two.test', 4),
  }
  const times = { switchMs: [] as number[], drainMs: [] as number[] }
  let old = first
  for (let i = 1; i <= switches; i += 1) {
    const next = await backend(`one ${i}`)
    const before = performance.now()
    await on.router.setLive({ app: 'app_one', release: `v${i}`, addresses: [next.address] })
    const after = performance.now()
    times.switchMs.push(after - before)
    const { body } = await get(port, 'one.test')
    if (body !== `one ${i}`) throw new Error(`after switch ${i} the answer is ${body}`)
    // The first instance holds the websockets until the end.
    if (i > 1) {
      if (!(await on.router.drain([old.address], 10_000, on.signal))) throw new Error('not drained')
      times.drainMs.push(performance.now() - after)
      await old.kill()
    }
    old = next
  }
  await Promise.all(Object.values(loads).map((load) => load.stop()))
  const rows = Object.entries(loads).map(([clients, load]) => ({
    clients,
    good: load.good,
    failed: load.failed.length,
    connections: clients.includes('new') ? undefined : load.opened,
  }))
  await on.close()
  await Promise.all([first, beside, old].map((made) => made.kill().catch(() => undefined)))
  return { switches, switchMs: median(times.switchMs), drainMs: median(times.drainMs), rows }
}

function median(values: number[]): number {
  const middle = values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
  return Math.round(middle * 100) / 100
}

/** The outcome as lines for a person. */
export function switchBenchTable({ switches, switchMs, drainMs, rows }: SwitchBench): string {
  const lines = rows.map(({ clients, good, failed, connections }) =>
    [
      clients.padEnd(32),
      String(good).padStart(8),
      String(failed).padStart(7),
      connections ?? '',
    ].join(' '),
  )
  const head = `${'clients'.padEnd(32)} ${'good'.padStart(8)} ${'failed'.padStart(7)} connections`
  return [
    `${switches} switches, ${switchMs} ms each, drained in ${drainMs} ms`,
    head,
    ...lines,
  ].join('\n')
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { switches: { type: 'string', default: '60' }, json: { type: 'string' } },
  })
  const result = await benchSwitches(Number(values.switches))
  console.log(switchBenchTable(result))
  const text = JSON.stringify({ bench: 'switches', ...result })
  if (values.json) writeFileSync(values.json, `${text}\n`)
  else console.log(text)
}
