/**
 * @module
 * Commands about the command line itself: help, completion.
 */
import { HeliosError, show } from '../../lib/errors.ts'
import type { Run } from '../command.ts'
import { completionFor, isShell, SHELLS } from '../completion.ts'
import { commandHelp, overview } from '../help.ts'
import { near } from '../near.ts'

/** Print every command, or the help of one. */
export const help: Run = async ({ args, commands, out }) => {
  const [name] = args
  if (name === undefined) {
    const told = commands.map(({ load, ...rest }) => rest)
    out.result(told, () => overview(commands, out))
    return 0
  }
  const command = commands.find((one) => one.name === name)
  if (!command) {
    const meant = near(
      name,
      commands.map((one) => one.name),
    )
    throw new HeliosError('unknown_command', `${show(name)} is no command`, {
      hint: meant ? `Did you mean: helios help ${meant}?` : 'All commands: helios help',
    })
  }
  const { load, ...told } = command
  out.result(told, () => commandHelp(command, out))
  return 0
}

/** Print the completion script of a shell. */
export const completion: Run = async ({ args, commands, out }) => {
  const [shell = ''] = args
  if (!isShell(shell)) {
    throw new HeliosError('usage', `${show(shell)} is no shell known here: ${SHELLS.join(', ')}`)
  }
  const script = completionFor(shell, commands)
  out.result({ shell, script }, script)
  return 0
}
