import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'

/** How a command ended. */
export type Ended = { code: number | null; out: string; err: string }

/** A command that runs. */
export type Going = {
  ended: Promise<Ended>
  /** Wait until stdout or stderr has this. */
  shows(text: string): Promise<void>
  type(text: string): void
  closeInput(): void
  signal(name: NodeJS.Signals): void
}

/** The command line of a person with a home and a folder of their own. */
export type Cli = {
  home: string
  folder: string
  env: Record<string, string>
  start(
    args: readonly string[],
    opts?: { cwd?: string; env?: Record<string, string>; tty?: boolean },
  ): Going
  run(...args: string[]): Promise<Ended>
  /** Run a line of bash in which `helios` is this command line. */
  shell(script: string): Going
  /** Run with this as standard input. */
  feed(input: string | Buffer, ...args: string[]): Promise<Ended>
  /** Run with `--json` and read what it printed; errors are read from stderr. */
  json<T = Record<string, unknown>>(...args: string[]): Promise<{ code: number | null; value: T }>
  remove(): void
}

const WAIT_MS = 60_000

// Gives the program a terminal of its own, as a person has: what it prints goes on, what is typed comes in.
const TERMINAL = `
import os, pty, sys, fcntl, termios, struct
pid, fd = pty.fork()
if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 30, 100, 0, 0))
import select
open_in = True
while True:
    ready = select.select([fd] + ([0] if open_in else []), [], [])[0]
    if 0 in ready:
        typed = os.read(0, 65536)
        if typed: os.write(fd, typed)
        else: open_in = False
    if fd in ready:
        try: shown = os.read(fd, 65536)
        except OSError: break
        if not shown: break
        os.write(1, shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`

/** Build the command line as it is shipped; gives the file, and what removes it. */
export async function buildCli(): Promise<{ file: string; remove(): void }> {
  // Below the repository, where its packages are found.
  mkdirSync('node_modules/.cache', { recursive: true })
  const outdir = mkdtempSync(resolve('node_modules/.cache/helios-cli-'))
  await build({
    entryPoints: { main: 'src/main.ts' },
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    packages: 'external',
    jsx: 'automatic',
    jsxImportSource: 'hono/jsx',
    logLevel: 'error',
  })
  return {
    file: join(outdir, 'main.js'),
    remove: () => rmSync(outdir, { recursive: true, force: true }),
  }
}

/** Make a command line with an empty home. */
export function newCli(file: string, more: Record<string, string> = {}): Cli {
  const program = [process.execPath, file]
  const home = mkdtempSync(join(tmpdir(), 'helios-cli-'))
  const folder = join(home, 'work')
  mkdirSync(folder)
  const { PATH = '' } = process.env
  const env: Record<string, string> = {
    PATH,
    HOME: home,
    TERM: 'xterm',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CEILING_DIRECTORIES: home,
    ...more,
  }
  const cli: Cli = {
    home,
    folder,
    env,
    start: (args, opts = {}) => {
      const argv = [...(opts.tty ? ['python3', '-c', TERMINAL] : []), ...program, ...args]
      return follow(argv, { cwd: opts.cwd ?? cli.folder, env: { ...env, ...opts.env } })
    },
    run: (...args) => {
      const going = cli.start(args)
      going.closeInput()
      return going.ended
    },
    shell: (script) => {
      const helios = `helios() { ${program.map((word) => `'${word}'`).join(' ')} "$@"; }`
      return follow(['bash', '-c', `${helios}\n${script}`], { cwd: cli.folder, env })
    },
    feed: (input, ...args) => {
      const going = cli.start(args)
      going.type(input.toString())
      going.closeInput()
      return going.ended
    },
    json: async (...args) => {
      const { code, out, err } = await cli.run('--json', ...args)
      return { code, value: JSON.parse(code === 0 ? out : err) }
    },
    remove: () => rmSync(home, { recursive: true, force: true }),
  }
  return cli
}

function follow(argv: string[], opts: { cwd: string; env: Record<string, string> }): Going {
  const [program = '', ...args] = argv
  const child = spawn(program, args, { ...opts, timeout: WAIT_MS })
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  child.stderr.on('data', (chunk) => {
    err += chunk
  })
  child.stdin.on('error', () => undefined)
  const ended = new Promise<Ended>((done, fail) => {
    child.once('error', fail)
    child.once('close', (code) => done({ code, out, err }))
  })
  return {
    ended,
    shows: async (text) => {
      const until = Date.now() + WAIT_MS
      while (!`${out}${err}`.includes(text)) {
        if (child.exitCode !== null || Date.now() > until)
          throw new Error(`no ${text} in ${out}${err}`)
        await new Promise((done) => setTimeout(done, 20))
      }
    },
    type: (text) => void child.stdin.write(text),
    closeInput: () => void child.stdin.end(),
    signal: (name) => void child.kill(name),
  }
}
