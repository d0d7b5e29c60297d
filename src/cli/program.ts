/**
 * @module
 * Find the command of a command line, load only that one, and run it.
 */
import { HeliosError, show } from '../lib/errors.ts'
import { isSet, parseLine, splitCommand } from './args.ts'
import type { ClientEnv } from './command.ts'
import { EXIT } from './exit-codes.ts'
import { createOutput, type Output } from './output.ts'
import { COMMANDS } from './table/index.ts'
import { VERSION } from './version.ts'

/** Run one command line; gives the exit code. */
export async function runCli(argv: readonly string[], env: ClientEnv): Promise<number> {
  const { name, rest } = splitCommand(argv.slice(2))
  const makeOutput = (json: boolean, noColor: boolean): Output =>
    createOutput({
      json,
      colours: !env.noColor && !noColor,
      stdout: process.stdout,
      stderr: process.stderr,
    })
  const words = rest.slice(0, [...rest, '--'].indexOf('--'))
  let out = makeOutput(words.includes('--json'), words.includes('--no-color'))
  try {
    if (name === undefined) return await runNameless(words, out)
    const command = COMMANDS.find((one) => one.name === name) ?? (await unknown(name))
    const { args, options } = parseLine(command, rest)
    // Only now is it known which words are options and which belong to another program.
    out = makeOutput(isSet(options, 'json'), isSet(options, 'no-color'))
    if (isSet(options, 'help')) {
      const { commandHelp } = await import('./help.ts')
      const { load, ...told } = command
      out.result(told, () => commandHelp(command, out))
      return EXIT.ok
    }
    const run = await command.load()
    return await run({ command, commands: COMMANDS, args, options, env, out })
  } catch (error) {
    return out.closed.aborted ? EXIT.ok : out.error(error)
  }
}

async function runNameless(words: readonly string[], out: Output): Promise<number> {
  if (words.includes('--version') || words.includes('-v') || words.includes('-V')) {
    out.result({ version: VERSION }, `helios ${VERSION}`)
    return EXIT.ok
  }
  const { overview } = await import('./help.ts')
  const told = COMMANDS.map(({ load, ...rest }) => rest)
  out.result(told, () => overview(COMMANDS, out))
  return words.includes('--help') || words.includes('-h') ? EXIT.ok : EXIT.usage
}

async function unknown(name: string): Promise<never> {
  const { near } = await import('./near.ts')
  const meant = near(
    name,
    COMMANDS.map((command) => command.name),
  )
  const guess = meant === undefined ? '' : `Did you mean: helios ${meant}? `
  throw new HeliosError('unknown_command', `${show(name)} is no command`, {
    hint: `${guess}All commands: helios help`,
  })
}
