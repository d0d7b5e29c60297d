import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { expect } from 'vitest'
import { run } from '../../src/lib/exec.ts'
import type { ChildHelios } from './child.ts'
import type { Work } from './pusher.ts'

/** What a server may take after its start until everything is as it should be. */
const CONVERGED_MS = 30_000

/** A tiny Node app without dependencies that answers with a text. */
export function tinyApp(answer: string, more = ''): Record<string, string> {
  return {
    'package.json': '{ "main": "server.js" }',
    'server.js': `${more}
require('http').createServer((q, s) => s.end(${JSON.stringify(answer)})).listen(process.env.PORT)
`,
  }
}

/** Requests to an app that go on until they are stopped. */
export type Poll = {
  /** How often each answer came, in the order of their first coming. */
  answers: Map<string, number>
  /** Stop; gives everything that was not right. */
  stop(): Promise<string[]>
}

/** Ask an app all the time; only these answers are right. */
export function poll(at: Pick<ChildHelios, 'ask'>, app: string, right: () => string[]): Poll {
  const answers = new Map<string, number>()
  const wrong: string[] = []
  let going = true
  const done = (async () => {
    for (; going; await delay(15)) {
      const { status, body } = await at.ask(app).catch((error) => ({ status: 0, body: `${error}` }))
      answers.set(body, (answers.get(body) ?? 0) + 1)
      if (status !== 200 || !right().includes(body)) wrong.push(`${status} ${body.slice(0, 100)}`)
    }
  })()
  return {
    answers,
    stop: async () => {
      going = false
      await done
      return wrong
    },
  }
}

/** Look into the database beside the server. */
export function rows<T extends object>(dataDir: string, query: string): T[] {
  const db = new Database(join(dataDir, 'helios.db'), { readonly: true })
  try {
    return db.prepare<[], T>(query).all()
  } finally {
    db.close()
  }
}

/** Ask the engine of a server; gives the lines in order. */
export async function docker(at: Pick<ChildHelios, 'settings'>, ...args: string[]) {
  const { stdout } = await run(['docker', '--host', `unix://${at.settings.dockerSocket}`, ...args])
  return stdout.toString().split('\n').filter(Boolean).sort()
}

type Processes = {
  items: { instances: { release: number; healthy: boolean; state: string }[] }[]
}
type Live = { id: string; number: number; commit: string }

/** How the server and one app of it are, the live rollout called LIVE; to be compared with {@link sound}. */
async function findings(at: ChildHelios, app: string, work: Work) {
  const all = <T extends object>(query: string): T[] => rows<T>(at.settings.dataDir, query)
  const [live = { id: '?', number: 0, commit: '?' }] = all<Live>(
    `SELECT r.id, rel.number, rel."commit" FROM apps a JOIN rollouts r ON r.id = a.live_rollout_id
     JOIN releases rel ON rel.id = r.release_id WHERE a.name = '${app}'`,
  )
  const named = (name: string): string => name.replace(live.id, 'LIVE')
  const filter = `label=helios.server=${at.serverId}`
  const containers = await docker(at, 'ps', '--all', '--filter', filter, '--format', '{{.Names}}')
  const { body } = await at.api<Processes>('GET', `/apps/${app}/processes`)
  const branch = (await work.git('ls-remote', urlOf(at, app), 'refs/heads/main')).out.slice(0, 40)
  const addresses = all<{ name: string }>('SELECT name FROM addresses ORDER BY name')
  return {
    jobs: all(`SELECT kind, state FROM jobs WHERE state IN ('queued', 'running')`),
    deployments: all(
      `SELECT id, state FROM deployments WHERE state IN ('queued', 'building', 'deploying')`,
    ),
    rollouts: all(
      `SELECT id, state FROM rollouts WHERE state IN ('starting', 'live', 'draining') AND id <> '${live.id}'`,
    ),
    gaps: all<{ number: number }>('SELECT number FROM releases ORDER BY number').filter(
      ({ number }, i) => number !== i + 1,
    ),
    doubled: all('SELECT deployment_id FROM releases GROUP BY deployment_id HAVING count(*) > 1'),
    instances: body.items.flatMap(({ instances }) =>
      instances.map(
        ({ release, healthy, state }) => `${release === live.number} ${healthy} ${state}`,
      ),
    ),
    containers: containers.map(named),
    addresses: addresses.map(({ name }) => named(name)),
    branch: branch === live.commit ? 'at the live commit' : `${branch}, live is ${live.commit}`,
  }
}

function sound(instances: number): Awaited<ReturnType<typeof findings>> {
  const names = Array.from({ length: instances }, (_, i) => `helios-LIVE-0-${i + 1}`)
  return {
    jobs: [],
    deployments: [],
    rollouts: [],
    gaps: [],
    doubled: [],
    instances: names.map(() => 'true true running'),
    containers: names,
    addresses: names,
    branch: 'at the live commit',
  }
}

/** Where an app is pushed to. */
export function urlOf({ settings }: Pick<ChildHelios, 'settings'>, app: string): string {
  return `ssh://git@${settings.ssh.host}:${settings.ssh.port}/${app}.git`
}

/**
 * Wait until a server whose only app is this one is sound: what runs is what is wanted, nothing is left
 * over or under way, the branch is at what is live. Gives how long it took since `began`.
 */
export async function converged(
  at: ChildHelios,
  app: string,
  work: Work,
  opts: { began: number; instances?: number },
): Promise<number> {
  const wanted = sound(opts.instances ?? 1)
  for (;;) {
    const found = await findings(at, app, work)
    const ms = performance.now() - opts.began
    if (JSON.stringify(found) === JSON.stringify(wanted)) return ms
    if (ms > CONVERGED_MS) expect(found).toEqual(wanted)
    await delay(100)
  }
}
