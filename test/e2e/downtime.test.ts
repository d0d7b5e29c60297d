import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, onTestFailed, test } from 'vitest'
import { newId } from '../../src/lib/ids.ts'
import { type ChildHelios, type Exit, spawnHelios } from '../support/child.ts'
import { newPerson, type Work } from '../support/pusher.ts'
import { converged, docker, poll, rows, tinyApp } from '../support/sound.ts'

const APP = 'shop'
/** A server that is told to stop is gone after this, whatever it does. */
const STOP_MS = 10_000

let at: ChildHelios
let work: Work
let answer = 'first'

beforeAll(async () => {
  at = await spawnHelios()
  const person = await newPerson(at.settings, at.token)
  work = person.work(APP, undefined, tinyApp(answer))
  expect(await work.push(APP)).toMatchObject({ code: 0 })
  await converged(at, APP, work, { began: performance.now() })
})
beforeEach(() => {
  onTestFailed(() => void process.stdout.write(at.output().slice(-10_000)))
})
afterAll(() => at?.remove())

function write(next: string, more = '', manifest = ''): void {
  work.write('oal.yaml', `oal: 1\n${manifest}`)
  for (const [file, text] of Object.entries(tinyApp(next, more))) work.write(file, text)
}

const grace = (time: string): string => `processes: { web: { stop: { grace: ${time} } } }\n`

async function startAgain(): Promise<number> {
  const began = performance.now()
  await at.start()
  return began
}

async function stopped(): Promise<Exit & { ms: number }> {
  const began = performance.now()
  const exit = await at.stop()
  const ms = performance.now() - began
  expect(ms).toBeLessThan(STOP_MS)
  return { ...exit, ms }
}

/** Wait until the newest deployment is in this state. */
async function until(state: string): Promise<string> {
  const limit = Date.now() + 60_000
  for (;;) {
    const query = 'SELECT id, state FROM deployments ORDER BY id DESC LIMIT 1'
    const [last] = rows<{ id: string; state: string }>(at.settings.dataDir, query)
    if (last?.state === state) return last.id
    if (Date.now() > limit) throw new Error(`the deployment is ${last?.state}, not ${state}`)
    await delay(10)
  }
}

const caddyPid = (): string =>
  readFileSync(join(at.settings.dataDir, 'router', 'caddy.pid'), 'utf8')

test('a second server on the same data dir ends at once and changes nothing', async () => {
  const files = (): string[] =>
    readdirSync(at.settings.dataDir, { recursive: true, encoding: 'utf8' })
      .filter((file) => !file.startsWith('person'))
      .sort()
  const label = `label=helios.server=${at.serverId}`
  const before = [files(), await docker(at, 'ps', '--all', '--quiet', '--filter', label), at.pid]
  const { code, text, ms } = await at.second()
  expect(text).toContain(`${at.settings.dataDir} is in use by another Helios`)
  expect(code).toBe(1)
  process.stdout.write(`the second server ended after ${ms.toFixed(0)} ms\n`)
  const after = [files(), await docker(at, 'ps', '--all', '--quiet', '--filter', label), at.pid]
  expect(after).toEqual(before)
  expect((await at.ask(APP)).body).toBe(answer)
  expect(await at.api('GET', `/apps/${APP}`)).toMatchObject({ status: 200 })
})

test('apps answer while no server runs, by the same Caddy before and after', async () => {
  const pid = caddyPid()
  const asked = poll(at, APP, () => [answer])
  await at.kill()
  await delay(2000)
  const alone = asked.answers.get(answer) ?? 0
  const began = await startAgain()
  await converged(at, APP, work, { began })
  expect(await asked.stop()).toEqual([])
  expect(alone).toBeGreaterThan(10)
  expect(caddyPid()).toBe(pid)
})

test('told to stop while an app starts, it ends, tells the pusher, and goes on when it is back', async () => {
  const before = answer
  answer = 'slow to start'
  write(answer, 'const end = Date.now() + 5000; while (Date.now() < end);')
  const asked = poll(at, APP, () => [before, answer])
  const pushing = work.push(APP)
  await until('deploying')
  await delay(500)
  expect(await stopped()).toMatchObject({ code: 0 })
  const pushed = await pushing
  expect(pushed.code).toBe(1)
  expect(pushed.text).toContain('Helios stops now. The deploy goes on when it is back')
  const began = await startAgain()
  await converged(at, APP, work, { began })
  expect((await at.ask(APP)).body).toBe(answer)
  expect(await asked.stop()).toEqual([])
})

test('told to stop while it builds, it ends, and the build begins anew when it is back', async () => {
  work.write('Dockerfile', 'FROM node:24-slim\nRUN sleep 60\n')
  const pushing = work.push(APP)
  await until('building')
  await delay(1500)
  expect(await stopped()).toMatchObject({ code: 0 })
  expect((await pushing).code).toBe(1)
  await startAgain()
  const id = await until('building')
  const cancelled = await at.api('POST', `/apps/${APP}/deployments/${id}/cancel`)
  expect(cancelled.status).toBe(202)
  await until('cancelled')
  await work.git('rm', '-qf', 'Dockerfile')
  await converged(at, APP, work, { began: performance.now() })
  expect((await at.ask(APP)).body).toBe(answer)
})

test('told to stop while an old instance refuses to end, it ends; that instance is killed after its grace', async () => {
  write('stubborn', `process.on('SIGTERM', () => {})`, grace('6s'))
  expect(await work.push(APP)).toMatchObject({ code: 0 })
  answer = 'after the stubborn one'
  write(answer, '', '')
  expect(await work.push(APP)).toMatchObject({ code: 0 })
  await delay(1000)
  const { code, ms } = await stopped()
  expect(code).toBe(0)
  expect(ms).toBeLessThan(4500)
  const began = await startAgain()
  await converged(at, APP, work, { began })
  expect((await at.ask(APP)).body).toBe(answer)
})

test('an instance that has to be killed is told of', async () => {
  write('stubborn again', `process.on('SIGTERM', () => {})`, grace('1s'))
  expect(await work.push(APP)).toMatchObject({ code: 0 })
  answer = 'after that one'
  write(answer, '', '')
  expect(await work.push(APP)).toMatchObject({ code: 0 })
  await converged(at, APP, work, { began: performance.now() })
  expect(at.output()).toMatch(/"code":"HR12","instance":"helios-rol_/)
})

test('instances of ours that belong to nothing go, and what is not ours is not touched', async () => {
  const { body } = await at.api<{ id: string }>('GET', `/apps/${APP}`)
  const rollout = newId('rol')
  const mine = { server: at.serverId, kind: 'instance', process: 'web', release: '1', index: '1' }
  const start = async (name: string, labels: Record<string, string>): Promise<string> => {
    const flags = Object.entries(labels).flatMap((each) => ['--label', `helios.${each.join('=')}`])
    const command = ['--init', 'node:24-slim', 'sleep', '300']
    const [id = ''] = await docker(at, 'run', '--detach', '--name', name, ...flags, ...command)
    return id
  }
  const ours = [
    await start(`helios-${rollout}-0-1`, { ...mine, app: body.id, rollout }),
    await start(`helios-${rollout}-0-2`, { ...mine, app: newId('app'), rollout }),
  ]
  const [live = ''] = await docker(
    at,
    'ps',
    ...['--filter', `label=helios.server=${at.serverId}`, '--filter', 'name=-0-1'],
    ...['--filter', `label=helios.app=${body.id}`, '--format', '{{.Names}}'],
  )
  const foreign = [
    await start(`${live}-copy`, {}),
    await start(`helios-${newId('rol')}-0-1`, {
      ...mine,
      server: newId('srv'),
      app: body.id,
      rollout,
    }),
  ]
  try {
    await at.kill()
    const began = await startAgain()
    await converged(at, APP, work, { began })
    const left = await docker(at, 'ps', '--no-trunc', '--quiet')
    expect(left.filter((id) => ours.includes(id))).toEqual([])
    expect(left.filter((id) => foreign.includes(id))).toHaveLength(foreign.length)
  } finally {
    await docker(at, 'rm', '--force', ...foreign)
  }
})
