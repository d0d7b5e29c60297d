/**
 * @module
 * From the start of a `git push` to the new version answering, against the same steps by hand.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../src/lib/exec.ts'
import { createFloor, type Parts } from './floor.ts'
import { median, print, type Row, SOCKET, startServer, untilAnswers } from './support.ts'

const ROUNDS = Number(process.env['ROUNDS'] ?? 12)

/** What one would write by hand: on `base`, the source in one layer. */
const byHand = (base: string): string =>
  `FROM ${base}\nWORKDIR /app\nCOPY . .\nUSER node\nCMD ["node", "server.js"]\n`

/** An image with an example's dependencies, as the layer of the install would be after the first build. */
async function withDependencies(example: string): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'floor-deps-'))
  const docker = ['docker', '--host', `unix://${SOCKET}`]
  try {
    for (const file of ['package.json', 'package-lock.json']) {
      cpSync(join('examples', example, file), join(dir, file))
    }
    await run(['npm', 'ci', '--omit=dev', '--no-audit', '--no-fund'], { cwd: dir, env: ownEnv() })
    writeFileSync(
      join(dir, 'Dockerfile'),
      `FROM node:24-slim\nCOPY node_modules /app/node_modules\n`,
    )
    await run([...docker, 'build', '--quiet', '--tag', 'floor:deps', dir], {
      env: { ...ownEnv(), DOCKER_BUILDKIT: '0' },
    })
    return 'floor:deps'
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** npm here is set up by this process's own environment. */
function ownEnv(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([key, value]) =>
      value === undefined ? [] : [[key, value]],
    ),
  )
}

/** Measure one example both ways, in turns. */
async function measure(example: string, dockerfile: string): Promise<Row[]> {
  const dir = mkdtempSync(join(tmpdir(), 'floor-'))
  const work = join(dir, 'work')
  const key = join(dir, 'key')
  cpSync(join('examples', example), work, { recursive: true })
  await run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key])
  const env = {
    HOME: dir,
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_AUTHOR_NAME: 'a',
    GIT_AUTHOR_EMAIL: 'a@b',
    GIT_COMMITTER_NAME: 'a',
    GIT_COMMITTER_EMAIL: 'a@b',
    GIT_SSH_COMMAND: `ssh -F /dev/null -i ${key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=${join(dir, 'known')} -o LogLevel=ERROR`,
  }
  const git = (...args: string[]) => run(['git', '-C', work, ...args], { env })
  await git('init', '-q', '-b', 'main')
  const server = await startServer()
  const floor = await createFloor(join(dir, 'floor'), dockerfile)
  try {
    await server.call('POST', '/keys', { key: readFileSync(`${key}.pub`, 'utf8').trim() })
    const ours = `ssh://git@127.0.0.1:${server.ssh}/${example}.git`
    const mine: number[] = []
    const pushes: number[] = []
    const hand: Parts[] = []
    for (let round = 0; round <= ROUNDS; round++) {
      const version = `r${round}`
      change(work, version)
      await git('add', '-A')
      await git('commit', '-q', '-m', version)
      const began = performance.now()
      await git('push', '-q', ours, 'main')
      const pushed = performance.now()
      await untilAnswers(server.http, `${example}.localhost`, version)
      if (round > 0) {
        mine.push(performance.now() - began)
        pushes.push(pushed - began)
      }
      const parts = await floor.deploy(
        async () => void (await git('push', '-q', floor.url, 'main')),
        version,
      )
      if (round > 0) hand.push(parts)
    }
    const floorMs = median(hand.map((parts) => parts.total))
    const part = (name: keyof Parts) => `${name} ${median(hand.map((p) => p[name])).toFixed(0)}`
    return [
      {
        what: `${example}: source-only change, push to answer`,
        value: `${median(mine).toFixed(0)} ms (push ends at ${median(pushes).toFixed(0)})`,
        baseline: `${floorMs.toFixed(0)} ms (${(['push', 'build', 'create', 'start', 'answer', 'switch'] as const).map(part).join(', ')})`,
        ratio: median(mine) / floorMs,
        target: example === 'hello-node' ? '<= 1.25 and under 1 s' : '<= 1.25',
      },
    ]
  } finally {
    await floor.remove()
    await server.remove()
    rmSync(dir, { recursive: true, force: true })
  }
}

function change(work: string, version: string): void {
  const file = join(work, 'server.js')
  writeFileSync(
    file,
    readFileSync(file, 'utf8').replace(/const VERSION = '[^']*'/, `const VERSION = '${version}'`),
  )
}

const rows = [
  ...(await measure('hello-node', byHand('node:24-slim'))),
  ...(await measure('hello-express', byHand(await withDependencies('hello-express')))),
]
print('deploy', rows)
