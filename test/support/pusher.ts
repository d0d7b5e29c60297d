import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Settings } from '../../src/config/settings.ts'
import { run } from '../../src/lib/exec.ts'
import { call, makePusher } from './helios.ts'

/** How a `git push` ended, and what git printed. */
export type Pushed = { code: number | null; text: string; ms: number }

/** A person with a key, who works in folders and pushes them. */
export type Person = {
  /** A git repository with these files, from an example and more. */
  work(name: string, from?: string, files?: Record<string, string>): Work
}

/** A working folder that can be changed, committed and pushed. */
export type Work = {
  dir: string
  git(...args: string[]): Promise<{ code: number | null; out: string; err: string }>
  /** Replace text in a file. */
  edit(file: string, from: string | RegExp, to: string): void
  write(file: string, text: string): void
  /** Commit everything and push it to an app. */
  push(app: string, ...args: string[]): Promise<Pushed>
}

/** Make a person whose key the server knows. */
export async function newPerson(settings: Settings, token: string): Promise<Person> {
  const home = join(settings.dataDir, 'person')
  const { env, publicKey } = await makePusher(home)
  await call(settings, token, 'POST', '/keys', { key: publicKey, name: 'test' })
  const url = (app: string) => `ssh://git@${settings.ssh.host}:${settings.ssh.port}/${app}.git`
  return {
    work: (name, from, files = {}) => {
      const dir = join(home, name)
      mkdirSync(dir, { recursive: true })
      if (from) cpSync(from, dir, { recursive: true })
      const write = (file: string, text: string): void => {
        mkdirSync(join(dir, file, '..'), { recursive: true })
        writeFileSync(join(dir, file), text)
      }
      for (const [file, text] of Object.entries(files)) write(file, text)
      const git = async (...args: string[]) => {
        const result = await run(['git', '-C', dir, ...args], {
          env,
          okCodes: [0, 1, 2, 128, 129],
        })
        return { code: result.code, out: result.stdout.toString(), err: result.stderr }
      }
      return {
        dir,
        git,
        write,
        edit: (file, what, to) =>
          write(file, readFileSync(join(dir, file), 'utf8').replace(what, to)),
        push: async (app, ...args) => {
          await git('init', '-q', '-b', 'main')
          await git('add', '-A')
          await git('commit', '-q', '--allow-empty', '-m', 'change')
          const began = performance.now()
          const { code, err } = await git('push', ...args, url(app), 'main')
          const text = err.replace(/[ \t]+$/gm, '').replaceAll('\u001b[K', '')
          return { code, text, ms: performance.now() - began }
        },
      }
    },
  }
}
