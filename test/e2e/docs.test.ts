import { spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

const { HELIOS_TEST_DOCKER } = process.env
const engine = HELIOS_TEST_DOCKER ?? 'unix:///var/run/docker.sock'
// Short, for the paths of sockets.
const root = mkdtempSync('/tmp/hd-')
const quickstartDir = join(root, 'q')
const work = join(root, 'work')
const env = {
  ...process.env,
  ...(HELIOS_TEST_DOCKER ? { HELIOS_DOCKER_SOCKET: engine.replace('unix://', '') } : {}),
  TMPDIR: root,
}

type Ran = { code: number | null; out: string; all: string; seconds: number }

/** Run words, or text in a shell that stops at the first failure, in the folder of the reader. */
function ran(words: string[], cwd = work): Promise<Ran> {
  const [program = '', ...args] = words
  const began = performance.now()
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let all = ''
  child.stdout.on('data', (chunk) => {
    out += chunk
    all += chunk
  })
  child.stderr.on('data', (chunk) => {
    all += chunk
  })
  return new Promise((done, fail) => {
    child.once('error', fail)
    child.once('close', (code) =>
      done({ code, out, all, seconds: (performance.now() - began) / 1000 }),
    )
  })
}
const shell = (text: string) => ran(['bash', '-euo', 'pipefail', '-c', text])
const quickstart = (...args: string[]) =>
  ran([resolve('scripts/quickstart'), '--dir', quickstartDir, ...args])
const urlOf = ({ out }: Ran) => /http:\/\/hello-node\.\S+/.exec(out)?.[0] ?? ''

async function labelled(kind: string, ...words: string[]): Promise<string[]> {
  const label = `label=helios.server=${serverId}`
  const { out } = await ran(['docker', '--host', engine, kind, ...words, '-q', '--filter', label])
  return out.split('\n').filter(Boolean)
}

let first: Ran
let serverId = ''

beforeAll(async () => {
  mkdirSync(work)
  // The folder a reader stands in: the repository, but with a quickstart of its own.
  for (const name of ['scripts', 'examples', 'docs']) symlinkSync(resolve(name), join(work, name))
  symlinkSync(quickstartDir, join(work, '.quickstart'))
  first = await quickstart()
})

afterAll(async () => {
  if (existsSync(quickstartDir)) await quickstart('--stop')
  rmSync(root, { recursive: true, force: true })
})

test('the quickstart puts an app live and says where', async () => {
  expect(first, first.all).toMatchObject({ code: 0 })
  serverId = readFileSync(join(quickstartDir, 'data/server-id'), 'utf8').trim()
  expect(first.all).toMatch(/it says: Hello from hello-node v1/)
  expect(urlOf(first)).toMatch(/^http:\/\/hello-node\.localhost:\d+\/$/)
})

test('the second run keeps everything and takes less than 30 s', async () => {
  const second = await quickstart()
  expect(second, second.all).toMatchObject({ code: 0 })
  expect(second.seconds).toBeLessThan(30)
  expect(urlOf(second)).toBe(urlOf(first))
})

test('the commands it prints work as they stand', async () => {
  const [, commands = ''] = /Try next[^\n]*\n\n([\s\S]*?)\n\n/.exec(first.out) ?? []
  expect(commands.split('\n')).toHaveLength(4)
  const done = await shell(commands)
  expect(done, done.all).toMatchObject({ code: 0 })
  expect(done.all).toMatch(/v2.* live at http[\s\S]*v3.* live at http/)
  expect((await ran(['curl', '-s', urlOf(first)])).out).toBe('Hello from hello-node v1\n')
})

const pages = ['README.md', ...readdirSync('docs').map((name) => `docs/${name}`)]
  .map((path) => ({
    path,
    blocks: [...readFileSync(path, 'utf8').matchAll(/^```sh run\n([\s\S]*?)^```$/gm)].map(
      ([, block = '']) => block,
    ),
  }))
  .filter(({ blocks }) => blocks.length > 0)

test.each(pages)('the commands of $path work from top to bottom', async ({ blocks }) => {
  const text = blocks
    .join('\n')
    .replaceAll('./scripts/quickstart', `./scripts/quickstart --dir ${quickstartDir}`)
  const done = await shell(text)
  expect(done, `${text}\n${done.all}`).toMatchObject({ code: 0 })
})

test('after a kill -9, --stop leaves nothing', async () => {
  const pid = Number(readFileSync(join(quickstartDir, 'helios.pid'), 'utf8'))
  process.kill(pid, 'SIGKILL')
  expect(await labelled('container', 'ls', '-a')).not.toEqual([])
  const stopped = await quickstart('--stop')
  expect(stopped, stopped.all).toMatchObject({ code: 0 })
  expect(existsSync(quickstartDir)).toBe(false)
  expect(await labelled('container', 'ls', '-a')).toEqual([])
  expect(await labelled('network', 'ls')).toEqual([])
  expect(await labelled('volume', 'ls')).toEqual([])
  expect(await labelled('image', 'ls', '-a')).toEqual([])
  const { out } = await ran(['ps', '-eo', 'args'])
  expect(out.split('\n').filter((line) => line.includes(quickstartDir))).toEqual([])
})
