import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { migrate, readMigrations } from '../db/migrate.ts'
import { type Db, openDatabase } from '../db/open.ts'
import { HeliosError } from '../lib/errors.ts'
import { defaultProcess, defaultSpec } from '../manifest/defaults.ts'
import { claim, countJobs, findJob, hasOpenJob } from '../queue/store.ts'
import { type Actor, actorOfToken } from './access.ts'
import { type App, appById, createApp, destroyApp, findApp } from './apps.ts'
import {
  cancelDeployment,
  DEPLOY_JOB,
  type Deployment,
  deploymentOfJob,
  findDeployment,
  listDeployments,
  requestDeployment,
  setDeploymentState,
  sourceOf,
} from './deployments.ts'
import { listEnv, setEnv } from './env.ts'
import { recordInstances, type SeenInstance, seenInstances } from './instances.ts'
import { CONVERGE_JOB, formationOf, scaleProcesses } from './processes.ts'
import {
  buildOfDeployment,
  createRelease,
  listReleases,
  liveRelease,
  markPruned,
  type Release,
  recordBuild,
  releaseById,
  releasesWithImage,
  rollbackTarget,
} from './releases.ts'
import {
  activeRollouts,
  createRollout,
  DRAIN_JOB,
  endRollout,
  liveRollouts,
  promoteRollout,
  ROLLOUT_JOB,
  rolloutById,
} from './rollouts.ts'
import { serverId } from './settings.ts'
import {
  addressHolders,
  instanceAddress,
  releaseAddress,
  releaseSubnet,
  teamSubnet,
} from './subnets.ts'
import { ensureOwner } from './users.ts'

let dir: string
let db: Db
let actor: Actor
let app: App
let now = 1000
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'helios-deploys-'))
  db = openDatabase(dir)
  migrate(db, readMigrations('drizzle'))
  actor = actorOfToken(db, ensureOwner(db, now) ?? '', now)
  app = createApp(db, { scope: actor, name: 'shop', now })
})
afterEach(() => {
  db.$client.close()
  rmSync(dir, { recursive: true, force: true })
})

const ask = (reason: Deployment['reason'], more: object = {}): Deployment =>
  requestDeployment(db, { app, actor, reason, description: reason, now: ++now, ...more })
const stateOf = (deployment: Deployment) => deploymentOfJob(db, deployment.id)?.state
const spec = {
  ...defaultSpec(),
  processes: { web: defaultProcess('web'), worker: { ...defaultProcess('worker'), instances: 2 } },
}

/** A deployment carried through to live. */
function deploy(
  image: string,
  more: { env?: Record<string, string>; fail?: boolean } = {},
): Release {
  const deployment = ask('push', {
    source: { kind: 'git', rev: 'a'.repeat(40), ref: 'refs/heads/main' },
  })
  const release = createRelease(db, {
    app,
    deploymentId: deployment.id,
    description: 'Deploy',
    image,
    spec,
    ...(more.env ? { env: more.env } : {}),
    now: ++now,
  })
  const rollout = createRollout(db, { release, deploymentId: deployment.id, now })
  if (more.fail) {
    endRollout(db, rollout.id, 'failed', now)
    setDeploymentState(db, deployment.id, { state: 'failed', error: new Error('x') }, now)
  } else promoteRollout(db, rollout, { now: ++now, drainMs: 500 })
  app = findApp(db, actor, 'shop')
  return release
}

describe('deployments', () => {
  test('asking makes the row, the source and the job at once', () => {
    const one = ask('push', {
      source: { kind: 'git', rev: 'b'.repeat(40), ref: 'refs/heads/main' },
    })
    expect(one).toMatchObject({ state: 'queued', actor: 'owner (token first token)' })
    expect(sourceOf(db, one)).toMatchObject({ kind: 'git', rev: 'b'.repeat(40), appId: app.id })
    expect(findJob(db, one.jobId ?? '')).toMatchObject({
      kind: DEPLOY_JOB,
      key: app.id,
      payload: { deploymentId: one.id },
    })
    expect(sourceOf(db, ask('restart'))).toBeUndefined()
    expect(countJobs(db)).toEqual({ waiting: 2, running: 0 })
  })

  test('new code supersedes what waits; a config change never supersedes new code', () => {
    const [first, config, second] = [ask('push'), ask('config'), ask('upload')]
    expect([first, config, second].map(stateOf)).toEqual(['superseded', 'superseded', 'queued'])
    expect(findJob(db, first.jobId ?? '')?.state).toBe('cancelled')
    const [restart, again] = [ask('restart'), ask('config')]
    expect([second, restart, again].map(stateOf)).toEqual(['queued', 'superseded', 'queued'])
    // A restart alone would bring the old config vars.
    const [changed, once] = [ask('config'), ask('restart')]
    expect([changed, once].map(stateOf)).toEqual(['queued', 'queued'])
  })

  test('one that runs is not superseded, and one that ended keeps its state', () => {
    const running = ask('push')
    expect(setDeploymentState(db, running.id, { state: 'building' }, ++now)).toBe(true)
    ask('push')
    expect(stateOf(running)).toBe('building')
    const error = new HeliosError('HX30', 'no', { hint: 'mend it' })
    setDeploymentState(db, running.id, { state: 'failed', error }, ++now)
    expect(setDeploymentState(db, running.id, { state: 'succeeded' }, ++now)).toBe(false)
    expect(deploymentOfJob(db, running.id)).toMatchObject({
      state: 'failed',
      error: { code: 'HX30', message: 'no', hint: 'mend it' },
      startedAt: expect.any(Number),
      finishedAt: expect.any(Number),
    })
  })

  test('cancel: what waits ends at once, what runs is told, what ended is refused', () => {
    const waiting = ask('push')
    expect(cancelDeployment(db, waiting, ++now).state).toBe('cancelled')
    expect(() => cancelDeployment(db, waiting, ++now)).toThrow('is over: cancelled')
    const running = ask('push')
    const job = claim(db, { kinds: [DEPLOY_JOB], owner: 'w', leaseMs: 1000 }, ++now)
    setDeploymentState(db, running.id, { state: 'building' }, now)
    expect(cancelDeployment(db, running, ++now).state).toBe('building')
    expect(findJob(db, job?.id ?? '')?.cancelRequested).toBe(true)
  })

  test('they are found within their app and listed newest first', () => {
    const ids = [ask('push').id, ask('push').id, ask('push').id]
    const other = createApp(db, { scope: actor, name: 'other', now })
    expect(() => findDeployment(db, other, ids[0] ?? '')).toThrow('other has no deployment')
    expect(() => findDeployment(db, app, '../1')).toThrow('no deployment')
    expect(findDeployment(db, app, ids[0] ?? '').id).toBe(ids[0])
    expect(listDeployments(db, app, { limit: 2 }).map(({ id }) => id)).toEqual([ids[2], ids[1]])
    expect(listDeployments(db, app, { before: ids[1] ?? '' }).map(({ id }) => id)).toEqual([ids[0]])
  })
})

describe('releases', () => {
  test('are numbered, one a deployment, with the config of then', () => {
    setEnv(db, app, { A: '1' })
    const first = deploy('helios/1')
    setEnv(db, app, { A: '2' })
    const second = deploy('helios/2')
    expect([first.number, second.number]).toEqual([1, 2])
    expect([first.env, second.env]).toEqual([{ A: '1' }, { A: '2' }])
    const again = createRelease(db, {
      app,
      deploymentId: second.deploymentId,
      description: 'x',
      image: 'y',
      spec,
      now,
    })
    expect(again.id).toBe(second.id)
    expect(liveRelease(db, app)?.id).toBe(second.id)
    expect(releaseById(db, first.id)?.number).toBe(1)
    expect(listReleases(db, app).map(({ number, state }) => [number, state])).toEqual([
      [2, 'succeeded'],
      [1, 'succeeded'],
    ])
    expect(listReleases(db, app, { before: 2 }).map(({ number }) => number)).toEqual([1])
  })

  test('a rollback finds the last good one, and says why another is not to be had', () => {
    expect(() => rollbackTarget(db, app)).toThrow('no earlier good release')
    const [first, , failed, live] = [
      deploy('helios/1'),
      deploy('helios/2'),
      deploy('helios/3', { fail: true }),
      deploy('helios/4'),
    ]
    expect(rollbackTarget(db, app).number).toBe(2)
    expect(rollbackTarget(db, app, 1).id).toBe(first.id)
    markPruned(db, first.id, now)
    const why = (number: number): unknown => {
      try {
        return rollbackTarget(db, app, number)
      } catch (error) {
        return error
      }
    }
    expect(why(1)).toMatchObject({ code: 'release_unavailable', hint: 'Available: v2' })
    expect(why(failed.number)).toMatchObject({ message: 'v3 did not succeed (failed)' })
    expect(why(live.number)).toMatchObject({ message: 'v4 is live already' })
    expect(why(9)).toMatchObject({ code: 'release_not_found' })
    expect(releasesWithImage(db, app.id).map(({ number }) => number)).toEqual([4, 3, 2])
  })

  test('going back brings the config of then back', () => {
    setEnv(db, app, { A: '1', B: '1' })
    const first = deploy('helios/1')
    setEnv(db, app, { A: '2' })
    deploy('helios/2')
    deploy('helios/1', { env: first.env })
    expect(listEnv(db, app)).toEqual({ A: '1', B: '1' })
  })

  test('a build is remembered once', () => {
    const { id } = ask('push')
    const build = { deploymentId: id, builder: 'node', reason: 'r', image: 'helios/x', spec, now }
    expect(recordBuild(db, build).id).toBe(recordBuild(db, { ...build, image: 'y' }).id)
    expect(buildOfDeployment(db, id)?.image).toBe('helios/x')
  })
})

describe('rollouts', () => {
  test('promoting drains the one before, with a job', () => {
    deploy('helios/1')
    const old = activeRollouts(db, app.id)[0]?.rollout
    deploy('helios/2')
    expect(rolloutById(db, old?.id ?? '')).toMatchObject({
      state: 'draining',
      drainUntil: now + 500,
    })
    expect(hasOpenJob(db, { kinds: [DRAIN_JOB], key: old?.id ?? '' })).toBe(true)
    expect(hasOpenJob(db, { kinds: [ROLLOUT_JOB], key: app.id })).toBe(true)
    expect(liveRollouts(db).map(({ release }) => release.number)).toEqual([2])
    expect(
      activeRollouts(db, app.id)
        .map(({ rollout }) => rollout.state)
        .sort(),
    ).toEqual(['draining', 'live'])
  })

  test('one a deployment', () => {
    const release = deploy('helios/1')
    const { id } = activeRollouts(db, app.id)[0]?.rollout ?? { id: '' }
    expect(createRollout(db, { release, deploymentId: release.deploymentId, now }).id).toBe(id)
  })
})

describe('the formation', () => {
  test('is the release, with what was asked for by hand on top', () => {
    const release = deploy('helios/1')
    expect(formationOf(db, app, release)).toEqual({ web: 1, worker: 2 })
    expect(scaleProcesses(db, app, { wanted: { web: 3 }, release, now })).toEqual({
      web: 3,
      worker: 2,
    })
    expect(scaleProcesses(db, app, { wanted: { web: 0 }, release, now })).toMatchObject({ web: 0 })
    expect(hasOpenJob(db, { kinds: [CONVERGE_JOB], key: app.id })).toBe(true)
  })

  test.each([
    [{ nope: 1 }, 'no process "nope"'],
    [{ web: -1 }, '"-1" is no number'],
    [{ web: 1.5 }, '"1.5" is no number'],
    [{ web: 10_000 }, 'more than the 16'],
    [{ worker: 1, web: -1 }, 'no number'],
  ])('refuses %j', (wanted, message) => {
    const release = deploy('helios/1')
    expect(() => scaleProcesses(db, app, { wanted, release, now })).toThrow(message)
    expect(formationOf(db, app, release)).toEqual({ web: 1, worker: 2 })
  })
})

test('destroying cancels what waits, once, and nothing new begins', () => {
  const waiting = ask('push')
  destroyApp(db, actor, 'shop', ++now)
  destroyApp(db, actor, 'shop', ++now)
  expect(findJob(db, waiting.jobId ?? '')?.state).toBe('cancelled')
  expect(() => ask('push')).toThrow('is being destroyed')
  expect(appById(db, app.id)?.state).toBe('destroying')
})

test('instances are what was seen last', () => {
  const seen: SeenInstance = {
    id: 'c1',
    appId: app.id,
    rolloutId: 'rol_1',
    release: 1,
    process: 'web',
    index: 1,
    state: 'running',
    healthy: true,
    address: '10.0.0.2',
    startedAt: 1,
    restarts: 0,
    exitCode: null,
    oomKilled: false,
    memoryBytes: 1,
    seenAt: 1,
  }
  recordInstances(db, app.id, [seen, { ...seen, id: 'c2', index: 2 }])
  recordInstances(db, app.id, [{ ...seen, id: 'c2', index: 2, state: 'exited' }])
  expect(seenInstances(db, [app.id]).map(({ id, state }) => [id, state])).toEqual([
    ['c2', 'exited'],
  ])
  recordInstances(db, app.id, [])
  expect(seenInstances(db, [app.id])).toEqual([])
})

describe('addresses', () => {
  const net = (teamId: string, avoid: string[] = []) =>
    teamSubnet(db, { teamId, pool: '10.88', avoid, now })

  test('teams have subnets of their own', () => {
    expect([net('t1'), net('t2'), net('t1')]).toEqual([
      '10.88.0.0/22',
      '10.88.4.0/22',
      '10.88.0.0/22',
    ])
    expect(net('t3', ['10.88.8.0/22'])).toBe('10.88.12.0/22')
    releaseSubnet(db, 't1')
    expect(net('t4')).toBe('10.88.0.0/22')
    for (let n = 0; n < 61; n++) net(`more${n}`)
    expect(() => net('last')).toThrow('Every subnet')
  })

  test('instances keep their address, and one given back is not soon taken again', () => {
    net('t1')
    const at = (name: string) => instanceAddress(db, 't1', name)
    expect([at('a'), at('b'), at('a')]).toEqual(['10.88.0.2', '10.88.0.3', '10.88.0.2'])
    releaseAddress(db, 'a')
    expect(at('c')).toBe('10.88.0.4')
    for (let n = 0; n < 1018; n++) at(`n${n}`)
    expect(at('n1017')).toBe('10.88.3.254')
    expect(at('round')).toBe('10.88.0.2')
    expect(() => at('over')).toThrow('All 1021 addresses')
    expect(addressHolders(db)).toHaveLength(1021)
    expect(() => instanceAddress(db, 'none', 'x')).toThrow('no subnet')
  })
})

test('a server keeps its id', () => {
  expect(serverId(db, 1)).toBe(serverId(db, 2))
})
