/**
 * @module
 * What a git client asks for: from the command of an SSH session, or a path, to a service and an app's name.
 */
import { HeliosError, show } from '../lib/errors.ts'

/** The two things git does with a server. */
export type GitService = 'git-receive-pack' | 'git-upload-pack'

/** Parse the command of a session; undefined when it is not git's. */
export function parseCommand(text: string): { service: GitService; path: string } | undefined {
  const found = /^git[ -](receive-pack|upload-pack) +(\S.*?) *$/.exec(text)
  const path = found?.[2] === undefined ? undefined : unquote(found[2])
  if (!found || path === undefined) return undefined
  return { service: found[1] === 'receive-pack' ? 'git-receive-pack' : 'git-upload-pack', path }
}

/** Undo the quotes of git, of a shell, or none; undefined when it is not one word. */
function unquote(text: string): string | undefined {
  if (/^'(?:[^']|'\\['!]')*'$/.test(text)) return text.slice(1, -1).replace(/'\\(['!])'/g, '$1')
  if (/^"[^"\\$`]*"$/.test(text)) return text.slice(1, -1)
  return /^[^\s'"\\$`;&|<>()]+$/.test(text) ? text : undefined
}

/** The app's name in a path: `/shop.git`, `shop`, `~/shop`. @throws {HeliosError} invalid_name */
export function appOfPath(path: string): string {
  const name = /^(?:~?\/)?([^/]+?)(?:\.git)?\/?$/.exec(path)?.[1]
  if (name !== undefined) return name
  throw new HeliosError('invalid_name', `${show(path)} is no path of an app`, {
    field: 'path',
    hint: 'The path is the name of the app, as in /shop.git',
  })
}
