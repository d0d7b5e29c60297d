import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startHelios, type TestHelios } from '../support/helios.ts'
import { newPerson, type Person, type Pushed, type Work } from '../support/pusher.ts'
import { docker, type Poll, poll, rows, tinyApp, urlOf } from '../support/sound.ts'

type Deployment = { id: string; state: string; release: number | null }

const SLOW_BUILD = { Dockerfile: 'FROM node:24-slim\nRUN sleep 60\n' }
/** It listens only after some seconds. */
const SLOW_START = 'const end = Date.now() + 4000; while (Date.now() < end);'
const NEVER_STARTS = 'setInterval(() => {}, 1000); return'

let at: TestHelios
let person: Person
let asked: Poll
/** What the app of the test answers, and may answer soon. */
let right: string[] = []

beforeAll(async () => {
  at = await startHelios()
  person = await newPerson(at.settings, at.token)
})
afterAll(() => at?.remove())

/** An app whose first release is live, asked from now on. */
async function live(app: string): Promise<Work> {
  right = [`${app} 1`]
  const work = person.work(app, undefined, tinyApp(`${app} 1`))
  expect(await work.push(app)).toMatchObject({ code: 0 })
  asked = poll(at, app, () => right)
  return work
}

function change(work: Work, files: Record<string, string>): void {
  for (const [file, text] of Object.entries(files)) work.write(file, text)
}

async function newest(app: string): Promise<Deployment | undefined> {
  const { body } = await at.api<{ items?: Deployment[] }>('GET', `/apps/${app}/deployments`)
  return body.items?.[0]
}

async function until(app: string, state: string, ms = 60_000): Promise<Deployment> {
  for (const limit = Date.now() + ms; ; await delay(10)) {
    const found = await newest(app)
    if (found?.state === state) return found
    if (Date.now() > limit) throw new Error(`the deployment is ${found?.state}, not ${state}`)
  }
}

async function cancel(app: string, { id }: Deployment): Promise<void> {
  const { status } = await at.api('POST', `/apps/${app}/deployments/${id}/cancel`)
  expect(status).toBe(202)
}

/** Nothing of the app is left over or under way, and its branch is at what is live. */
async function settled(app: string, work: Work, instances = 1): Promise<void> {
  const { body } = await at.api<{ id: string }>('GET', `/apps/${app}`)
  const look = async () => ({
    jobs: rows(
      at.settings.dataDir,
      `SELECT kind FROM jobs WHERE state IN ('queued', 'running') AND key = '${body.id}'`,
    ),
    open: rows(
      at.settings.dataDir,
      `SELECT state FROM deployments WHERE state IN ('queued', 'building', 'deploying')`,
    ),
    containers: (await docker(at, 'ps', '-aq', '--filter', `label=helios.app=${body.id}`)).length,
    branch: (await work.git('ls-remote', urlOf(at, app), 'refs/heads/main')).out.slice(0, 40),
  })
  const [release] = rows<{ commit: string }>(
    at.settings.dataDir,
    `SELECT rel."commit" FROM apps a JOIN rollouts r ON r.id = a.live_rollout_id
     JOIN releases rel ON rel.id = r.release_id WHERE a.id = '${body.id}'`,
  )
  const wanted = { jobs: [], open: [], containers: instances, branch: release?.commit }
  for (const limit = Date.now() + 30_000; ; await delay(100)) {
    const found = await look()
    if (JSON.stringify(found) === JSON.stringify(wanted)) break
    if (Date.now() > limit) expect(found).toEqual(wanted)
  }
  expect(await asked.stop()).toEqual([])
}

const isRejected = { code: 1, text: expect.stringContaining('[remote rejected]') }

test('a build is cancelled', async () => {
  const work = await live('building')
  change(work, SLOW_BUILD)
  const pushing = work.push('building')
  await until('building', 'building')
  await delay(1000)
  await cancel('building', (await newest('building')) as Deployment)
  expect(await pushing).toMatchObject(isRejected)
  await until('building', 'cancelled', 1000)
  await settled('building', work)
})

test('a rollout is cancelled, and its instances go', async () => {
  const work = await live('starting')
  change(work, tinyApp('starting 2', NEVER_STARTS))
  const pushing = work.push('starting')
  await until('starting', 'deploying')
  await delay(1000)
  await cancel('starting', (await newest('starting')) as Deployment)
  expect(await pushing).toMatchObject(isRejected)
  await settled('starting', work)
})

test('deployments that wait are cancelled or superseded, and the newest wins', async () => {
  const work = await live('waiting')
  right = ['waiting 1', 'waiting 2']
  change(work, tinyApp('waiting 2', SLOW_START))
  const pushing = work.push('waiting')
  await until('waiting', 'deploying')
  // Its build is over at once; its rollout has to wait for the one that is under way.
  const restarts: Deployment[] = []
  for (let n = 0; n < 3; n++) {
    const { body } = await at.api<Deployment>('POST', '/apps/waiting/restart')
    restarts.push(body)
  }
  const [first, second, last] = restarts as [Deployment, Deployment, Deployment]
  await cancel('waiting', last)
  expect(await pushing).toMatchObject({ code: 0 })
  const states = async () => {
    const { body } = await at.api<{ items: Deployment[] }>('GET', '/apps/waiting/deployments')
    return [first, second, last].map(({ id }) => body.items.find((row) => row.id === id)?.state)
  }
  for (const limit = Date.now() + 30_000; Date.now() < limit; await delay(50)) {
    if (
      (await states()).every((state) => !['queued', 'building', 'deploying'].includes(`${state}`))
    )
      break
  }
  // The first may have begun before the second came; then it is not superseded.
  expect(await states()).toEqual([
    expect.stringMatching(/^(superseded|succeeded)$/),
    'superseded',
    'cancelled',
  ])
  await settled('waiting', work)
  expect((await at.ask('waiting')).body).toBe('waiting 2')
})

test('a change of config made while new code starts goes on top of it', async () => {
  const work = await live('config')
  right = ['config 1', 'config 2', 'config 2 blue']
  const files = tinyApp('config 2', SLOW_START)
  const server = (files['server.js'] ?? '').replace(
    '"config 2"',
    '"config 2" + (process.env.MORE ?? "")',
  )
  change(work, { ...files, 'server.js': server })
  const pushing = work.push('config')
  await until('config', 'deploying')
  const { status } = await at.api('PATCH', '/apps/config/env', { set: { MORE: ' blue' } })
  expect(status).toBe(200)
  expect(await pushing).toMatchObject({ code: 0 })
  await until('config', 'succeeded')
  await settled('config', work)
  expect((await at.ask('config')).body).toBe('config 2 blue')
})

test('a rollback right after a push wins', async () => {
  const work = await live('back')
  right = ['back 1', 'back 2', 'back 3']
  change(work, tinyApp('back 2'))
  expect(await work.push('back')).toMatchObject({ code: 0 })
  change(work, tinyApp('back 3', SLOW_START))
  const pushing = work.push('back')
  await until('back', 'deploying')
  const { status } = await at.api('POST', '/apps/back/rollback', { release: 1 })
  expect(status).toBe(202)
  expect(await pushing).toMatchObject({ code: 0 })
  await until('back', 'succeeded')
  for (const limit = Date.now() + 10_000; (await at.ask('back')).body !== 'back 1'; ) {
    if (Date.now() > limit) throw new Error('v1 is not back')
  }
  expect(await asked.stop()).toEqual([])
  const filter = 'SELECT number FROM releases GROUP BY app_id, number HAVING count(*) > 1'
  expect(rows(at.settings.dataDir, filter)).toEqual([])
})

test.each([
  ['while it builds', SLOW_BUILD, 'building'],
  ['while it starts', tinyApp('new', NEVER_STARTS), 'deploying'],
] as const)('an app that is destroyed %s is gone with everything', async (when, files, state) => {
  const app = `gone-${when.replace('while it ', '')}`
  const work = await live(app)
  const { body } = await at.api<{ id: string }>('GET', `/apps/${app}`)
  change(work, files)
  const pushing: Promise<Pushed> = work.push(app)
  await until(app, state)
  await delay(1000)
  await asked.stop()
  expect(await at.api('DELETE', `/apps/${app}?confirm=${app}`)).toMatchObject({ status: 202 })
  expect((await pushing).code).not.toBe(0)
  for (const limit = Date.now() + 30_000; ; await delay(50)) {
    if ((await at.api('GET', `/apps/${app}`)).status === 404) break
    if (Date.now() > limit) throw new Error('the app is still there')
  }
  expect((await at.ask(app)).status).toBe(404)
  const label = `label=helios.app=${body.id}`
  expect(await docker(at, 'ps', '--all', '--quiet', '--filter', label)).toEqual([])
  expect(await docker(at, 'images', '--quiet', '--filter', label)).toEqual([])
  const left = `SELECT name FROM addresses a WHERE NOT EXISTS
    (SELECT 1 FROM rollouts r WHERE a.name LIKE 'helios-' || r.id || '-%')`
  expect(rows(at.settings.dataDir, left)).toEqual([])
})
