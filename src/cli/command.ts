/**
 * @module
 * What a command of the command line is made of, and what it is given when it runs.
 */
import type { Output } from './output.ts'

/** An option of a command; without `value` it is a flag. */
export type Option = {
  name: string
  short?: string
  /** What stands for the value in help, as `FILE`. */
  value?: string
  about: string
}

/** An argument of a command by its place. */
export type Argument = { name: string; optional?: true; many?: true; completes?: 'file' | 'folder' }

/** Headings of the overview, in order. */
export const GROUPS = [
  'Apps',
  'Deploys',
  'Config',
  'Processes',
  'Access',
  'Server',
  'More',
] as const

/** One command; `load` gets its code, so that only the one that runs is loaded. */
export type Command = {
  name: string
  group: (typeof GROUPS)[number]
  about: string
  args?: readonly Argument[]
  options?: readonly Option[]
  /** The command is about one app, named with `-a` (or first, where `args` starts with APP). */
  app?: true
  /** Everything from the first argument on belongs to another program. */
  passes?: true
  details?: string
  examples: readonly string[]
  load: () => Promise<Run>
}

/** Values of options: text, or true for a flag. */
export type Options = Readonly<Record<string, string | true | undefined>>

/** What the command line knows of the environment; the entry reads it. */
export type ClientEnv = {
  server: string | undefined
  token: string | undefined
  configHome: string | undefined
  home: string | undefined
  noColor: boolean
  /** Variables that programs started from here need, as PATH and DISPLAY. */
  desktop: Record<string, string>
}

/** What a command is given. */
export type Context = {
  command: Command
  /** The whole table. */
  commands: readonly Command[]
  args: readonly string[]
  options: Options
  env: ClientEnv
  out: Output
}

/** Runs a command; gives the exit code. */
export type Run = (context: Context) => Promise<number>

/** Options every command has. */
export const COMMON_OPTIONS: readonly Option[] = [
  { name: 'json', about: 'Print JSON; one object a line where lines come as they happen' },
  { name: 'no-color', about: 'No colours (so does the variable NO_COLOR)' },
  { name: 'help', short: 'h', about: 'Show help' },
]

const APP_OPTION: Option = {
  name: 'app',
  short: 'a',
  value: 'APP',
  about: 'The app; otherwise that of the git remote "helios" of this folder',
}

/** All options of a command, its own first. */
export function optionsOf(command: Command): Option[] {
  return [...(command.options ?? []), ...(command.app ? [APP_OPTION] : []), ...COMMON_OPTIONS]
}

/** How a command is written, as `helios config:set KEY=VALUE...`. */
export function usageOf(command: Command): string {
  const args = (command.args ?? []).map(({ name, optional, many }) => {
    const text = `${name}${many ? '...' : ''}`
    return optional ? `[${text}]` : text
  })
  return ['helios', command.name, ...(command.passes ? ['--'] : []), ...args].join(' ')
}
