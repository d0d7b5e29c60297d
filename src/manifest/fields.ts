/**
 * @module
 * The kinds of values a manifest is made of; each problem says what would be allowed instead.
 */
import { z } from 'zod'
import { HeliosError } from '../lib/errors.ts'
import { parseDuration, parseSize } from '../lib/size.ts'
import { splitCommand } from './command.ts'

/** Marks a problem whose message is a sentence of its own, with the value in it. */
export const SENTENCE = 'sentence'

/** A map with these keys and no others. */
export function keys<T extends z.core.$ZodLooseShape>(shape: T) {
  return z.strictObject(shape, { error: A_MAP })
}

/** A map from any key of one kind to values of one kind. */
export function mapOf<K extends z.core.$ZodRecordKey, V extends z.ZodType>(key: K, value: V) {
  return z.record(key, value, { error: A_MAP })
}

const A_MAP = 'write a map of keys and values'

/** A part of the file that may be missing or empty, and then has every default. */
export function section<T extends z.ZodType>(schema: T) {
  return z.preprocess((value) => value ?? {}, schema).prefault({})
}

/** Text of one form. */
export function matching(pattern: RegExp, allowed: string) {
  return z.string({ error: allowed }).regex(pattern, { error: allowed })
}

/** A whole number, both ends included. */
export function whole(min: number, max: number) {
  const error = `write a whole number from ${min} to ${max}`
  return z.int({ error }).min(min, { error }).max(max, { error })
}

/** A share of a machine's CPUs. */
export function cpus() {
  const error = 'write a number of CPUs from 0.01 to 256, as in 0.5'
  return z.number({ error }).min(0.01, { error }).max(256, { error })
}

/** A size with its unit, as bytes. */
export function size(min: string, max: string) {
  return measured(parseSize, min, max, 'a size', 'KiB, MiB or GiB')
}

/** A duration with its unit, as milliseconds. */
export function duration(min: string, max: string) {
  return measured((text) => parseDuration(text, ''), min, max, 'a duration', 'ms, s, m, h or d')
}

function measured(
  read: (text: string) => number,
  min: string,
  max: string,
  what: string,
  units: string,
) {
  const allowed = `write ${what} from ${min} to ${max} with a unit (${units})`
  const [least, most] = [read(min), read(max)]
  return z.string({ error: allowed }).transform((text, ctx) => {
    const value = attempt(() => read(text))
    if (typeof value === 'number' && value >= least && value <= most) return value
    ctx.issues.push({ code: 'custom', input: text, message: allowed })
    return z.NEVER
  })
}

/** Text that a parser of lib/names.ts takes; its error is the problem. */
export function parsed(read: (text: string) => string, allowed: string) {
  return z.string({ error: allowed }).transform((text, ctx) => {
    const value = attempt(() => read(text))
    if (!(value instanceof HeliosError)) return value
    const { message } = value
    ctx.issues.push({ code: 'custom', input: text, message, params: { [SENTENCE]: true } })
    return z.NEVER
  })
}

/** A command as words. */
export function command() {
  const error = 'write a command as text or as a list of words, as in [node, server.js]'
  return z
    .union([z.string(), z.array(z.string()).min(1, { error })], { error })
    .transform((given, ctx) => {
      if (typeof given !== 'string') return given
      const split = splitCommand(given)
      if ('words' in split) return split.words
      const message = `${split.problem}; write a list of words, or name the shell: [sh, -c, "..."]`
      ctx.issues.push({ code: 'custom', input: given, message })
      return z.NEVER
    })
}

function attempt<T>(read: () => T): T | HeliosError {
  try {
    return read()
  } catch (error) {
    if (error instanceof HeliosError) return error
    throw error
  }
}
