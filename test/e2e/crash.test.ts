import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFailed, test } from 'vitest'
import { CHECKPOINTS, type CheckpointName } from '../../src/engine/deps.ts'
import { type ChildHelios, spawnHelios } from '../support/child.ts'
import { newPerson, type Person, type Work } from '../support/pusher.ts'
import { converged, docker, type Poll, poll, rows, tinyApp } from '../support/sound.ts'

const APP = 'shop'
const RANDOM_KILLS = 10

let at: ChildHelios
let person: Person
let work: Work
/** What the pushed app answers. */
let answer = 'push 1'

beforeAll(async () => {
  at = await spawnHelios()
  person = await newPerson(at.settings, at.token)
  work = person.work(APP, undefined, tinyApp(answer))
  expect(await work.push(APP)).toMatchObject({ code: 0 })
  expect((await at.ask(APP)).body).toBe(answer)
})
beforeEach(() => {
  onTestFailed(() => void process.stdout.write(at.output().slice(-10_000)))
})
afterAll(() => at?.remove())

/** Make the working folder one that answers something new; gives that. */
function change(more = ''): string {
  const next = `push ${Number(answer.split(' ')[1]) + 1}`
  for (const [file, text] of Object.entries(tinyApp(next, more))) work.write(file, text)
  return next
}

/** Let the server die of a fault while `act` is done, and start it again; gives when that began. */
async function dieAt(step: string, act: () => Promise<unknown>): Promise<number> {
  await at.stop()
  await at.start({ HELIOS_FAULT_AT: step })
  const acting = act()
  expect(await at.ended()).toEqual({ code: null, signal: 'SIGKILL' })
  await acting.catch(() => undefined)
  return await startAgain()
}

async function startAgain(): Promise<number> {
  const began = performance.now()
  await at.start()
  return began
}

function report(step: string, ms: number): void {
  process.stdout.write(`killed at ${step}: sound ${(ms / 1000).toFixed(1)} s after the start\n`)
}

const lastDeployment = () =>
  rows(
    at.settings.dataDir,
    `SELECT d.state, r.number FROM deployments d LEFT JOIN releases r ON r.deployment_id = d.id
     ORDER BY d.id DESC LIMIT 1`,
  )[0]
const releases = (): number => rows(at.settings.dataDir, 'SELECT id FROM releases').length

type Scenario = (step: CheckpointName) => Promise<void>

const deploy: Scenario = async (step) => {
  const before = answer
  const after = change()
  const count = releases()
  const asked = poll(at, APP, () => [before, after])
  const began = await dieAt(step, () => work.push(APP))
  report(step, await converged(at, APP, work, { began }))
  expect((await at.ask(APP)).body).toBe(after)
  expect(await asked.stop()).toEqual([])
  expect([...asked.answers.keys()]).toEqual([before, after])
  expect(lastDeployment()).toEqual({ state: 'succeeded', number: count + 1 })
  answer = after
}

const failingDeploy: Scenario = async (step) => {
  const count = releases()
  change('process.exit(3)')
  const asked = poll(at, APP, () => [answer])
  const began = await dieAt(step, () => work.push(APP))
  report(step, await converged(at, APP, work, { began }))
  expect(await asked.stop()).toEqual([])
  expect(lastDeployment()).toEqual({ state: 'failed', number: count + 1 })
}

const scale: Scenario = async (step) => {
  const to = (web: number) => at.api('PATCH', `/apps/${APP}/processes`, { formation: { web } })
  const asked = poll(at, APP, () => [answer])
  const began = await dieAt(step, () => to(2))
  report(step, await converged(at, APP, work, { began, instances: 2 }))
  await to(1)
  await converged(at, APP, work, { began: performance.now() })
  expect(await asked.stop()).toEqual([])
}

const destroy: Scenario = async (step) => {
  const gone = `gone-${step.replace(/.*:/, '')}`
  const count = releases()
  const pushed = await person.work(gone, undefined, tinyApp('gone')).push(gone)
  expect(pushed).toMatchObject({ code: 0 })
  const { body } = await at.api<{ id: string }>('GET', `/apps/${gone}`)
  const asked = poll(at, APP, () => [answer])
  const began = await dieAt(step, () => at.api('DELETE', `/apps/${gone}?confirm=${gone}`))
  report(step, await converged(at, APP, work, { began }))
  expect(await asked.stop()).toEqual([])
  expect((await at.ask(gone)).status).toBe(404)
  expect(releases()).toBe(count)
  expect(existsSync(join(at.settings.dataDir, 'repos', `${body.id}.git`))).toBe(false)
  expect(await docker(at, 'images', '--quiet', '--filter', `label=helios.app=${body.id}`)).toEqual(
    [],
  )
}

/** Where the way to a step is another than a push that succeeds. */
const OTHERS: Partial<Record<CheckpointName, Scenario>> = {
  'rollout:failed': failingDeploy,
  'converge:raised': scale,
  'destroy:unrouted': destroy,
  'destroy:retired': destroy,
}

describe('killed at', () => {
  test.each(CHECKPOINTS)('%s, all is well after the restart', async (step) => {
    await (OTHERS[step] ?? deploy)(step)
  })
})

/** The same numbers in every run. */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

test(`killed at ${RANDOM_KILLS} random moments of a deploy, all is well after each restart`, async () => {
  const random = createRandom(20_261)
  const known = new Set([answer])
  const asked: Poll = poll(at, APP, () => [...known])
  let slowest = 0
  for (let n = 0; n < RANDOM_KILLS; n++) {
    const next = change(`// ${n}`)
    known.add(next)
    const pushing = work.push(APP)
    await delay(random() * 1500)
    await at.kill()
    await pushing
    const began = await startAgain()
    slowest = Math.max(slowest, await converged(at, APP, work, { began }))
    // A push that had not come far enough has left nothing.
    const now = (await at.ask(APP)).body
    expect([answer, next]).toContain(now)
    answer = now
  }
  report('random moments, the slowest', slowest)
  expect(await asked.stop()).toEqual([])
})
