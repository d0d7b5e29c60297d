/**
 * @module
 * The help of the command line, printed from the table of commands.
 */
import { layOut, widthOf } from './columns.ts'
import { COMMON_OPTIONS, type Command, GROUPS, type Option, optionsOf, usageOf } from './command.ts'
import type { Output } from './output.ts'

/** Every command under its heading. */
export function overview(commands: readonly Command[], out: Output): string {
  const width = Math.max(...commands.map(({ name }) => widthOf(name)))
  const groups = GROUPS.map((group) => {
    const lines = commands
      .filter((command) => command.group === group)
      .map(({ name, about }) => `  ${name.padEnd(width)}  ${about}`)
    return [out.style('bold', group), ...lines].join('\n')
  })
  return [
    'helios: git push, and the app is live.',
    ...groups,
    `${out.style('bold', 'With every command')}\n${listOptions(COMMON_OPTIONS)}`,
    out.style('dim', 'helios COMMAND --help shows its options and examples.'),
  ].join('\n\n')
}

/** One command: how to write it, its options, examples. */
export function commandHelp(command: Command, out: Output): string {
  const { about, details, examples } = command
  return [
    `${out.style('bold', 'Usage')}  ${usageOf(command)}`,
    details ? `${about}.\n${details}` : `${about}.`,
    `${out.style('bold', 'Options')}\n${listOptions(optionsOf(command))}`,
    `${out.style('bold', 'Examples')}\n${examples.map((line) => `  ${line}`).join('\n')}`,
  ].join('\n\n')
}

function listOptions(options: readonly Option[]): string {
  const rows = options.map(({ name, short, value, about }) => [
    `  ${short ? `-${short}, ` : '    '}--${name}${value ? ` ${value}` : ''}`,
    about,
  ])
  return layOut(['', ''], rows).split('\n').slice(1).join('\n')
}
