/**
 * @module
 * Read the processes of a Procfile.
 */
import { HeliosError } from '../lib/errors.ts'
import { parseProcessName } from '../lib/names.ts'
import { shellCommand, splitCommand } from './command.ts'
import { decodeText, type Problem, problemsError } from './text.ts'

/** Commands by process, and what was read in another way than it is written. */
export type Procfile = { commands: Record<string, string[]>; notes: string[] }

/**
 * Parse a Procfile: a line for each process, its name, a colon and its command.
 * A command that needs a shell gets one, as the format promises.
 * @throws {HeliosError} invalid_manifest naming every problem with line and column.
 */
export function parseProcfile(input: string | Uint8Array): Procfile {
  const { text, problem } = decodeText(input)
  if (problem) throw problemsError('Procfile', text, [problem])
  const commands = new Map<string, string[]>()
  const notes: string[] = []
  const problems: Problem[] = []
  let offset = 0
  for (const line of text.split('\n')) {
    const entry = entryOf(line.trim())
    if (entry === undefined) {
      // Nothing stands on this line.
    } else if ('problem' in entry) problems.push({ offset, message: entry.problem })
    else if (commands.has(entry.name)) {
      problems.push({ offset, message: `the process ${entry.name} is there twice` })
    } else if (entry.name === 'release') {
      notes.push('Procfile: the command of release is not run; this Helios does not support it yet')
    } else {
      commands.set(entry.name, entry.command)
      if (entry.note !== undefined) notes.push(entry.note)
    }
    offset += line.length + 1
  }
  if (problems.length > 0) throw problemsError('Procfile', text, problems)
  return { commands: Object.fromEntries(commands), notes }
}

type Entry = { name: string; command: string[]; note?: string } | { problem: string }

function entryOf(line: string): Entry | undefined {
  if (line === '' || line.startsWith('#')) return undefined
  const [, name, text = ''] = /^([^\s:]+)\s*:\s*(.*)$/.exec(line) ?? []
  if (name === undefined) {
    return {
      problem: 'write the name of a process, a colon and its command, as in `web: npm start`',
    }
  }
  const wrong = nameProblem(name)
  if (wrong !== undefined) return { problem: wrong }
  const split = splitCommand(text)
  if ('words' in split) return { name, command: split.words }
  if (!split.shell || text.includes('\0')) return { problem: `${name}: ${split.problem}` }
  const [sign = ''] = split.problem.split(' needs a shell')
  const note = `Procfile: ${name} runs by sh, since ${sign} needs a shell`
  return { name, command: shellCommand(text), note }
}

function nameProblem(name: string): string | undefined {
  if (['constructor', 'prototype'].includes(name)) return `the name ${name} is not allowed`
  try {
    parseProcessName(name)
    return undefined
  } catch (error) {
    if (error instanceof HeliosError) return error.message
    throw error
  }
}
