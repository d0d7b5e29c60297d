/**
 * @module
 * Read a command line by the table: which command, its arguments and its options; pure.
 */
import { parseArgs } from 'node:util'
import { HeliosError, show } from '../lib/errors.ts'
import { type Command, type Options, optionsOf, usageOf } from './command.ts'

/** Split off the name of the command: the first word that is neither an option nor the value of `-a`. */
export function splitCommand(argv: readonly string[]): {
  name: string | undefined
  rest: string[]
} {
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? ''
    if (word === '-a' || word === '--app') at++
    else if (!word.startsWith('-') || word === '-') {
      return { name: word, rest: [...argv.slice(0, at), ...argv.slice(at + 1)] }
    }
  }
  return { name: undefined, rest: [...argv] }
}

type Token = {
  kind: string
  index: number
  name?: string
  rawName?: string
  value?: unknown
  inlineValue?: unknown
}

/** Read arguments and options of a command. @throws {HeliosError} usage */
export function parseLine(
  command: Command,
  argv: readonly string[],
): { args: string[]; options: Options } {
  const config = Object.fromEntries(
    optionsOf(command).map(({ name, short, value }) => [
      name,
      { type: value === undefined ? 'boolean' : 'string', ...(short ? { short } : {}) } as const,
    ]),
  )
  const { tokens } = parseArgs({
    args: [...argv],
    options: config,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const options: Record<string, string | true> = Object.create(null)
  const args: string[] = []
  for (const token of tokens as Token[]) {
    if (token.kind === 'option') options[token.name ?? ''] = readOption(command, token)
    else if (command.passes) {
      args.push(...argv.slice(token.index + (token.kind === 'positional' ? 0 : 1)))
      break
    } else if (token.kind === 'positional') args.push(String(token.value))
  }
  if (!isSet(options, 'help')) checkCount(command, args)
  return { args, options }
}

function readOption(command: Command, { name, rawName, value, inlineValue }: Token): string | true {
  const option = optionsOf(command).find((one) => one.name === name)
  if (!option) throw misuse(command, `helios ${command.name} has no option ${show(rawName)}`)
  if (option.value === undefined) {
    if (value === undefined) return true
    throw misuse(command, `${rawName} takes no value`)
  }
  if (typeof value !== 'string' || (!inlineValue && /^-./.test(value))) {
    throw misuse(command, `${rawName} needs a value: ${rawName} ${option.value}`)
  }
  return value
}

function checkCount(command: Command, args: readonly string[]): void {
  const wanted = command.args ?? []
  const missing = wanted.find((one, at) => !one.optional && args[at] === undefined)
  if (missing) throw misuse(command, `helios ${command.name} needs ${missing.name}`)
  const extra = args[wanted.length]
  if (extra !== undefined && !wanted.at(-1)?.many) {
    throw misuse(command, `helios ${command.name} does not know what to do with ${show(extra)}`)
  }
}

function misuse(command: Command, message: string): HeliosError {
  return new HeliosError('usage', message, {
    hint: `Usage: ${usageOf(command)}   More: helios ${command.name} --help`,
  })
}

/** A whole number from an option. @throws {HeliosError} usage */
export function wholeNumber(
  options: Options,
  name: string,
  within: { min: number; max: number; otherwise: number },
): number {
  const text = options[name]
  if (text === undefined) return within.otherwise
  const number = Number(text)
  if (/^\d+$/.test(String(text)) && number >= within.min && number <= within.max) return number
  throw new HeliosError(
    'usage',
    `--${name} is ${show(text)}: give a whole number from ${within.min} to ${within.max}`,
  )
}

/** The text of an option that takes one. */
export function textOf(options: Options, name: string): string | undefined {
  const value = options[name]
  return typeof value === 'string' ? value : undefined
}

/** Tell whether a flag is set. */
export function isSet(options: Options, name: string): boolean {
  return options[name] !== undefined
}
