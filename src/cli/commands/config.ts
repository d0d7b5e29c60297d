/**
 * @module
 * Config vars of an app: show, set, unset.
 */
import { readFileSync } from 'node:fs'
import { HeliosError, messageOf, show } from '../../lib/errors.ts'
import { parseEnvKey } from '../../lib/names.ts'
import { type AppContext, forApp } from '../app-name.ts'
import { isSet, textOf } from '../args.ts'
import type { Answer } from '../client.ts'
import { printable } from '../columns.ts'
import { EXIT } from '../exit-codes.ts'
import { followDeployment, tellDetached } from '../follow.ts'
import { readInput } from '../prompt.ts'

type Changed = Answer<'patch /apps/:app/env'>

/** Show every config var. */
export const config = forApp(async ({ api, app, out }) => {
  const { env } = await api.call('get /apps/:app/env', { params: { app } })
  const names = Object.keys(env)
  const width = Math.max(0, ...names.map((name) => name.length)) + 1
  out.result({ env }, () =>
    names.length === 0
      ? `${app} has no config vars`
      : names.map((name) => `${`${name}:`.padEnd(width)} ${valueText(env[name] ?? '')}`).join('\n'),
  )
  if (names.length === 0) out.note(`Set one: helios config:set KEY=VALUE -a ${app}`)
  return EXIT.ok
})

// A value of several lines would look like several vars.
function valueText(value: string): string {
  return printable(value) === value ? value : JSON.stringify(value)
}

/** Print one value as it is. */
export const getConfig = forApp(async ({ api, app, args: [key = ''], out }) => {
  const { env } = await api.call('get /apps/:app/env', { params: { app } })
  const value = Object.hasOwn(env, key) ? env[key] : undefined
  if (value === undefined) {
    throw new HeliosError('not_found', `${app} has no config var ${show(key)}`, {
      hint: `All of them: helios config -a ${app}`,
    })
  }
  out.result({ [key]: value }, value)
  return EXIT.ok
})

/** Set config vars. */
export const setConfig = forApp(async (context) => {
  const { api, app } = context
  const set = await readAssignments(context)
  const changed = await api.call('patch /apps/:app/env', { params: { app }, body: { set } })
  return tellChanged(context, `Set ${Object.keys(set).join(', ')}`, changed)
})

/** Unset config vars. */
export const unsetConfig = forApp(async (context) => {
  const { api, app, args } = context
  const unset = [...args]
  const changed = await api.call('patch /apps/:app/env', { params: { app }, body: { unset } })
  return tellChanged(context, `Unset ${unset.join(', ')}`, changed)
})

async function readAssignments({ args, options }: AppContext): Promise<Record<string, string>> {
  const file = textOf(options, 'from-file')
  const [only = '', dash, extra] = args
  if (file !== undefined || (dash === '-' && extra === undefined)) {
    if (only.includes('=') || (file !== undefined && dash !== undefined)) {
      throw new HeliosError(
        'usage',
        'A value from a file goes to one key: config:set KEY --from-file FILE',
      )
    }
    return { [parseEnvKey(only)]: await readValue(file ?? '-') }
  }
  return Object.fromEntries(args.map(assignment))
}

function assignment(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at > 0) return [parseEnvKey(text.slice(0, at)), text.slice(at + 1)]
  // The whole text may be a secret that lost its key.
  throw new HeliosError('usage', `${show(text.slice(0, 20))} has no =: write KEY=VALUE`, {
    hint: 'Put quotes around values with spaces: helios config:set GREETING="hello world"',
  })
}

async function readValue(file: string): Promise<string> {
  const bytes = file === '-' ? await readInput() : readFile(file)
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (error) {
    throw new HeliosError(
      'invalid_value',
      'The value is not UTF-8 text, so no environment can carry it safely',
      {
        hint: 'Encode it first, as with base64',
        cause: error,
      },
    )
  }
}

function readFile(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new HeliosError('usage', `Cannot read ${show(file)}: ${messageOf(error)}`)
  }
}

async function tellChanged(context: AppContext, what: string, changed: Changed): Promise<number> {
  const { app, options, out } = context
  const { deployment } = changed
  const quiet = deployment === null || isSet(options, 'detach')
  if (!out.json) out.result(undefined, `${what} on ${app}`)
  else if (quiet) out.result(changed, '')
  if (deployment === null) {
    out.note('It holds from the first deploy on')
    return EXIT.ok
  }
  if (!isSet(options, 'detach')) return followDeployment(context, deployment.id)
  return out.json ? EXIT.ok : tellDetached(context, deployment)
}
