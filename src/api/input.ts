/**
 * @module
 * Check what came in against a schema, with a message that names the value and the rule.
 */
import { z } from 'zod'
import { HeliosError, show } from '../lib/errors.ts'

/** Check a body. @throws {HeliosError} invalid_value */
export function checkBody(schema: z.ZodObject | undefined, value: unknown): unknown {
  return check(schema ?? z.strictObject({}), value)
}

/** Check a query; unknown and repeated names are refused, for a slip would silently do something else. @throws {HeliosError} invalid_value */
export function checkQuery<T extends z.ZodObject>(
  schema: T | undefined,
  given: URLSearchParams,
): z.output<T> | undefined {
  const known = Object.keys(schema?.shape ?? {})
  for (const name of given.keys()) {
    if (!known.includes(name)) {
      throw new HeliosError('invalid_value', `There is no query parameter ${show(name)} here`, {
        field: name.slice(0, 80),
        hint: known.length === 0 ? 'Leave it out' : `Known here: ${known.join(', ')}`,
      })
    }
    if (given.getAll(name).length > 1) {
      throw new HeliosError('invalid_value', `${name} is given more than once`, { field: name })
    }
  }
  if (schema === undefined) return undefined
  return check(
    schema,
    Object.fromEntries(known.map((name) => [name, given.get(name) ?? undefined])),
  )
}

/** Check the parts of a path; those that can name nothing are not found. @throws {HeliosError} not_found */
export function checkParams<T extends z.ZodObject>(
  schema: T | undefined,
  given: Record<string, string>,
): z.output<T> | undefined {
  const result = schema?.safeParse(given)
  if (result?.success === false) {
    throw new HeliosError('not_found', 'There is nothing at this address')
  }
  return result?.data
}

function check<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value, { reportInput: true })
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const field = issue?.path.join('.')
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined
  throw new HeliosError('invalid_value', messageOf(issue, field), {
    field: unknown ?? (field || undefined),
  })
}

function messageOf(issue: z.core.$ZodIssue | undefined, field: string | undefined): string {
  if (issue === undefined) return 'The body is not as described'
  if (issue.code === 'unrecognized_keys') return `There is no field ${show(issue.keys[0])} here`
  const name = field || 'The body'
  if (issue.input === undefined) return `${name} is missing`
  const value = typeof issue.input === 'object' ? '' : ` is ${show(issue.input)}`
  return `${name}${value}: ${issue.message}`
}
