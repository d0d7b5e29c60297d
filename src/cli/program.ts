/**
 * @module
 * The table of commands; only the one that runs is loaded.
 */
import { cac } from 'cac'
import { closest } from 'fastest-levenshtein'
import { HeliosError, show } from '../lib/errors.ts'
import { printError, printResult } from './output.ts'

type Result = { text: string; data: unknown }
type Command = { name: string; about: string; run: () => Promise<Result> | Result }

const VERSION = '0.1.0'

const COMMANDS: Command[] = [
  {
    name: 'version',
    about: 'Print the version',
    run: () => ({ text: `helios ${VERSION}`, data: { version: VERSION } }),
  },
  {
    name: 'db:migrate',
    about: 'Make or update the database of the data dir',
    run: async () => (await import('./commands/server.ts')).dbMigrate(),
  },
]

/** Run one command line; gives the exit code. */
export async function runCli(argv: string[]): Promise<number> {
  const json = argv.includes('--json')
  try {
    const program = cac('helios')
    program.option('--json', 'Print JSON').help()
    for (const { name, about } of COMMANDS) program.command(name, about)
    const { args, options } = program.parse(argv, { run: false })
    const { help } = options
    if (help === true) return 0
    const wanted = program.matchedCommandName ?? args[0]
    if (wanted === undefined) {
      program.outputHelp()
      return 2
    }
    printResult(await find(wanted).run(), { json })
    return 0
  } catch (error) {
    return printError(error, { json })
  }
}

function find(wanted: string): Command {
  const command = COMMANDS.find(({ name }) => name === wanted)
  if (command) return command
  const near = closest(
    wanted,
    COMMANDS.map(({ name }) => name),
  )
  throw new HeliosError('unknown_command', `${show(wanted)} is no command`, {
    hint: `Did you mean: helios ${near}? All commands: helios --help`,
  })
}
