import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { deadline } from '../lib/async.ts'
import { run } from '../lib/exec.ts'
import { completionFor } from './completion.ts'
import { COMMANDS } from './table/index.ts'

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'helios-completion-'))
  writeFileSync(join(dir, 'bash'), completionFor('bash', COMMANDS))
  writeFileSync(join(dir, 'rc'), RC)
  writeFileSync(join(dir, 'key one.pub'), '')
  mkdirSync(join(dir, 'site'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const RC = `
PS1=''
bind 'set bell-style none' 'set completion-query-items 0' 'set page-completions off'
bind 'set enable-bracketed-paste off' 'set show-all-if-ambiguous on'
helios() { printf '<%s>' "$@"; echo; }
source ./bash
`

// Types each line into a real interactive bash on a terminal, with a tab at its end.
const TYPIST = `
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.chdir(sys.argv[1])
    os.execvpe('bash', ['bash', '--noprofile', '--rcfile', 'rc', '-i'], {'TERM': 'dumb', 'PATH': os.environ['PATH']})
def until(mark):
    seen, end = b'', time.time() + 15
    while time.time() < end and mark not in seen:
        if select.select([fd], [], [], 0.1)[0]: seen += os.read(fd, 65536)
    return seen
os.write(fd, b'echo "STA""RT"\\n')
until(b'START\\r\\n')
for number, line in enumerate(sys.argv[2:]):
    os.write(fd, line.encode() + b'\\t\\necho "EN""D' + str(number).encode() + b'"\\n')
    sys.stdout.write(until(b'END' + str(number).encode()).decode() + '\\0')
os.write(fd, b'exit\\n')
until(b'exit')
os.close(fd)
os.waitpid(pid, 0)
`

const OFFERS = [
  ['helios dep', ['deploy', 'deployments', 'deployments:cancel', 'deployments:log']],
  ['helios deployments:', ['cancel', 'log']],
  ['helios completion ', ['bash', 'fish', 'zsh']],
] as const
const COMPLETES = [
  ['helios rollb', '<rollback>'],
  ['helios config:un', '<config:unset>'],
  ['helios help ps:sc', '<help><ps:scale>'],
  ['helios rollback --det', '<rollback><--detach>'],
  ['helios config:set A=1 --from', '<config:set><A=1><--from-file>'],
  ['helios --json apps:cr', '<--json><apps:create>'],
  ['helios deploy si', '<deploy><site/>'],
  ['helios keys:add ke', '<keys:add><key one.pub>'],
  ['helios completion z', '<completion><zsh>'],
] as const

test('bash takes the script', async () => {
  await run(['bash', '-n', join(dir, 'bash')])
})

test('bash completes commands, options and files, and offers what fits', async () => {
  const lines = [...OFFERS, ...COMPLETES].map(([line]) => line)
  const result = await run(['python3', '-c', TYPIST, dir, ...lines], { signal: deadline(60_000) })
  const seen = result.stdout.toString().split('\0')
  for (const [at, [, offered]] of OFFERS.entries()) {
    for (const word of offered) expect(seen[at]).toMatch(new RegExp(`(^|\\s)${word}(\\s|$)`, 'm'))
    expect(seen[at]).not.toMatch(/(^|\s)rollback(\s|$)/m)
  }
  for (const [at, [, called]] of COMPLETES.entries()) {
    expect(seen[OFFERS.length + at]).toContain(called)
  }
}, 60_000)

const installed = async (shell: string): Promise<boolean> =>
  (await run(['which', shell], { okCodes: [0, 1] })).code === 0

test.each(['zsh', 'fish'] as const)('%s takes the script, where there is one', async (shell) => {
  const script = completionFor(shell, COMMANDS)
  for (const { name, about } of COMMANDS) {
    expect(script).toContain(shell === 'zsh' ? name.replace(/:/g, '\\:') : name)
    expect(script).toContain(about.replace(/'/g, '’'))
  }
  if (!(await installed(shell))) return
  writeFileSync(join(dir, shell), script)
  await run([shell, '-n', join(dir, shell)])
})
