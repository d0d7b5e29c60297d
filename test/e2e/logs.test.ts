import { request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../src/lib/exec.ts'
import { type ChildHelios, spawnHelios } from '../support/child.ts'
import { ENGINE_SOCKET, startHelios, type TestHelios } from '../support/helios.ts'
import { newPerson, type Work } from '../support/pusher.ts'

type Line = {
  id: string
  at: string
  process: string
  instance: string
  stream: string
  text: string
}
type Deployment = { id: string; state: string }
type Server = Pick<TestHelios | ChildHelios, 'api' | 'ask' | 'settings' | 'token' | 'serverId'>

/**
 * Prints `web BOOT N` every 5 ms, each tenth on stderr, and `web BOOT end N` when it is told to stop;
 * `/burst?n=N` prints N more at once. Its worker prints `tick BOOT N` every 50 ms.
 */
const PRINTER = {
  'package.json': '{ "main": "server.js" }',
  Procfile: 'web: node server.js web 5\nworker: node server.js tick 50\n',
  'server.js': `
const { createServer } = require('node:http')
const [, , name, every] = process.argv
const boot = Math.random().toString(36).slice(2, 10)
let n = 0
const print = (more = 1) => {
  for (let i = 0; i < more; i++) {
    n += 1
    const out = name === 'web' && n % 10 === 0 ? process.stderr : process.stdout
    out.write(name + ' ' + boot + ' ' + n + '\\n')
  }
}
setInterval(print, Number(every), 1)
process.on('SIGTERM', () => process.stdout.write(name + ' ' + boot + ' end ' + n + '\\n', () => process.exit(0)))
if (name === 'web') createServer((req, res) => {
  print(Number(new URL(req.url, 'http://app').searchParams.get('n') ?? 0))
  res.end(boot)
}).listen(process.env.PORT)
// v1
`,
}

/** Numbers each boot of `web` printed; those of one stream must be in their order. */
function boots(lines: readonly Line[]): Map<string, number[]> {
  const found = new Map<string, number[]>()
  const last = new Map<string, number>()
  for (const { text, stream } of lines) {
    const [name, boot = '', n = ''] = text.split(' ')
    if (name !== 'web' || !/^\d+$/.test(n)) continue
    const numbers = found.get(boot) ?? []
    numbers.push(Number(n))
    found.set(boot, numbers)
    expect(Number(n)).toBeGreaterThan(last.get(boot + stream) ?? 0)
    last.set(boot + stream, Number(n))
  }
  return found
}

/** Numbers that are missing between the first and the last, and those there more than once. */
function faults(numbers: readonly number[]): { lost: number[]; doubled: number[] } {
  const seen = new Set<number>()
  const doubled = numbers.filter((n) => seen.has(n) || void seen.add(n))
  const [from, to] = [Math.min(...numbers), Math.max(...numbers)]
  const lost = Array.from({ length: to - from + 1 }, (_, i) => from + i).filter((n) => !seen.has(n))
  return { lost, doubled }
}

/** Of the numbers of a boot none is lost or doubled. */
function expectWhole(numbers: readonly number[] | undefined, from?: number): void {
  expect(numbers?.length).toBeGreaterThan(10)
  expect(faults(numbers ?? [])).toEqual({ lost: [], doubled: [] })
  if (from !== undefined) expect(Math.min(...(numbers ?? []))).toBe(from)
}

type Follower = { lines: Line[]; connects: number; stop(): Promise<Line[]> }

/** Follow an app's log as a browser does: again and again, each time after the last line that came. */
function follow(at: Server, app: string, query = 'lines=0'): Follower {
  const lines: Line[] = []
  const going = new AbortController()
  const once = (): Promise<void> =>
    new Promise((done) => {
      const last = lines.at(-1)?.id
      const sent = request(
        {
          ...at.settings.api,
          path: `/api/v1/apps/${app}/logs/stream?${query}`,
          agent: false,
          signal: going.signal,
          headers: {
            authorization: `Bearer ${at.token}`,
            ...(last === undefined ? {} : { 'last-event-id': last }),
          },
        },
        (answer) => {
          if (answer.statusCode === 200) follower.connects += 1
          let rest = ''
          answer.setEncoding('utf8').on('data', (chunk: string) => {
            const events = `${rest}${chunk}`.split('\n\n')
            rest = events.pop() ?? ''
            for (const event of events) {
              const data = /^data: ?(.*)$/m.exec(event)?.[1]
              if (/^event: ?line$/m.test(event) && data) lines.push(JSON.parse(data))
            }
          })
          answer.on('error', () => done()).on('close', done)
        },
      )
      sent.on('error', () => done()).end()
    })
  const all = (async () => {
    while (!going.signal.aborted) {
      await once()
      await delay(50)
    }
  })()
  const follower: Follower = {
    lines,
    connects: 0,
    stop: async () => {
      going.abort()
      await all
      return lines
    },
  }
  return follower
}

async function stored(at: Server, app: string, query = 'lines=10000'): Promise<Line[]> {
  const { status, body } = await at.api<{ items: Line[] }>('GET', `/apps/${app}/logs?${query}`)
  expect(status).toBe(200)
  return body.items
}

async function container(at: Server, process: string): Promise<string> {
  const labels = [`helios.server=${at.serverId}`, `helios.process=${process}`]
  const filters = labels.flatMap((label) => ['--filter', `label=${label}`])
  const docker = ['docker', '--host', `unix://${ENGINE_SOCKET}`]
  const { stdout } = await run([...docker, 'ps', '--quiet', '--no-trunc', ...filters])
  const ids = stdout.toString().split('\n').filter(Boolean)
  expect(ids.length).toBe(1)
  const format = '{{.Id}} {{.State.StartedAt}} {{.RestartCount}}'
  const seen = await run([...docker, 'inspect', '--format', format, ...ids])
  return seen.stdout.toString().trim()
}

/** Wait until the log has the last number that this boot printed, as far as it can tell. */
async function caughtUp(at: Server, app: string): Promise<void> {
  const { body: boot } = await at.ask(app, '/?n=1')
  const before = Math.max(...(boots(await stored(at, app)).get(boot) ?? [0]))
  for (const until = Date.now() + 20_000; Date.now() < until; await delay(50)) {
    const now = Math.max(...(boots(await stored(at, app)).get(boot) ?? [0]))
    if (now > before + 20) return
  }
  throw new Error('the log does not go on')
}

async function succeeded(at: Server, app: string, { id }: Deployment): Promise<void> {
  for (;;) {
    const { body } = await at.api<Deployment>('GET', `/apps/${app}/deployments/${id}`)
    if (body.state === 'succeeded') return
    expect(['queued', 'building', 'deploying']).toContain(body.state)
    await delay(50)
  }
}

describe('in one process', () => {
  let at: TestHelios
  let work: Work
  beforeAll(async () => {
    at = await startHelios()
    work = (await newPerson(at.settings, at.token)).work('printer', undefined, PRINTER)
    expect(await work.push('printer')).toMatchObject({ code: 0 })
    await at.api('PATCH', '/apps/printer/processes', { formation: { worker: 1 } })
    await caughtUp(at, 'printer')
  })
  afterAll(() => at.remove())

  test('a follower and the log miss and double nothing over two restarts of Helios', async () => {
    const before = await container(at, 'web')
    const follower = follow(at, 'printer')
    await delay(1000)
    await at.restart()
    await delay(500)
    await at.stop()
    await delay(1500)
    await at.restart()
    await caughtUp(at, 'printer')
    const { body: boot } = await at.ask('printer')
    const followed = boots(await follower.stop()).get(boot)
    const kept = boots(await stored(at, 'printer')).get(boot)
    console.log('restart', { connects: follower.connects, followed: followed?.length })
    expect(await container(at, 'web')).toBe(before)
    expect(follower.connects).toBeGreaterThanOrEqual(3)
    expectWhole(followed)
    expectWhole(kept, 1)
  })

  test('lines of instances that are gone stay, to their last one', async () => {
    const { body: first } = await at.ask('printer')
    const follower = follow(at, 'printer')
    work.edit('server.js', '// v1', '// v2')
    expect(await work.push('printer')).toMatchObject({ code: 0 })
    const { body: second } = await at.ask('printer')
    const restart = await at.api<Deployment>('POST', '/apps/printer/restart')
    await succeeded(at, 'printer', restart.body)
    const { body: third } = await at.ask('printer')
    expect(new Set([first, second, third]).size).toBe(3)
    const ends = async (): Promise<string[]> =>
      (await stored(at, 'printer')).flatMap(({ text }) =>
        text.startsWith('web') && text.includes(' end ') ? [text] : [],
      )
    for (const until = Date.now() + 60_000; (await ends()).length < 2; await delay(100)) {
      expect(Date.now()).toBeLessThan(until)
    }
    const lines = await stored(at, 'printer')
    const followed = boots(await follower.stop())
    for (const boot of [first, second]) {
      const numbers = boots(lines).get(boot)
      expectWhole(numbers, boot === first ? undefined : 1)
      const [end] = (await ends()).filter((text) => text.includes(boot))
      expect(end).toBe(`web ${boot} end ${Math.max(...(numbers ?? []))}`)
      expectWhole(followed.get(boot))
    }
    expectWhole(boots(lines).get(third), 1)
  })

  test('lines, since and process choose', async () => {
    const ten = await stored(at, 'printer', 'lines=10')
    expect(ten.length).toBe(10)
    expect(await stored(at, 'printer', 'lines=0')).toEqual([])
    const web = await stored(at, 'printer', 'lines=500&process=web')
    expect(new Set(web.map(({ process }) => process))).toEqual(new Set(['web']))
    expect(new Set(web.map(({ stream }) => stream))).toEqual(new Set(['stdout', 'stderr']))
    const worker = await stored(at, 'printer', 'lines=50&process=worker.1')
    expect(new Set(worker.map(({ instance }) => instance))).toEqual(new Set(['worker.1']))
    expect(worker.length).toBe(50)
    const since = new Date(Date.now() - 1000).toISOString()
    const recent = await stored(at, 'printer', `lines=10000&since=${encodeURIComponent(since)}`)
    expect(recent.length).toBeGreaterThan(0)
    expect(recent.every((line) => line.at >= since.slice(0, -1))).toBe(true)
    expect(recent.length).toBeLessThan((await stored(at, 'printer')).length)
    const follower = follow(at, 'printer', 'lines=5&process=worker')
    await delay(1000)
    const followed = await follower.stop()
    expect(followed.length).toBeGreaterThan(5)
    expect(new Set(followed.map(({ process }) => process))).toEqual(new Set(['worker']))
    expect(followed.map(({ at }) => at)).toEqual(followed.map(({ at }) => at).toSorted())
  })
})

describe('in a process that is killed', () => {
  let at: ChildHelios
  beforeAll(async () => {
    at = await spawnHelios()
    const person = await newPerson(at.settings, at.token)
    expect(await person.work('p', undefined, PRINTER).push('printer')).toMatchObject({ code: 0 })
    await caughtUp(at, 'printer')
  })
  afterAll(() => at.remove())

  test('a follower and the log miss and double nothing over three kills', async () => {
    const before = await container(at, 'web')
    const follower = follow(at, 'printer')
    await delay(500)
    for (const pause of [0, 700, 1500]) {
      // Killed in the middle of a burst, which goes on while it is away.
      const burst = at.ask('printer', '/?n=1500')
      await delay(Math.random() * 60)
      await at.kill()
      await burst
      await delay(pause)
      expect((await at.ask('printer', '/?n=100')).status).toBe(200)
      await at.start()
      await delay(500)
    }
    await caughtUp(at, 'printer')
    const { body: boot } = await at.ask('printer')
    const followed = boots(await follower.stop()).get(boot)
    const kept = boots(await stored(at, 'printer')).get(boot)
    console.log('kill', { connects: follower.connects, followed: followed?.length })
    expect(await container(at, 'web')).toBe(before)
    expect(follower.connects).toBeGreaterThanOrEqual(4)
    expectWhole(followed)
    expectWhole(kept)
    expect(kept?.length).toBeGreaterThan(5000)
  })
})
