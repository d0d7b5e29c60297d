/**
 * @module
 * Which app a command is about, and its run with the API at hand.
 */
import { deadline } from '../lib/async.ts'
import { HeliosError } from '../lib/errors.ts'
import { run } from '../lib/exec.ts'
import { textOf } from './args.ts'
import { type Api, createApi } from './client.ts'
import type { Context, Run } from './command.ts'
import { targetOf } from './sign-in.ts'

/** What a command about one app is given; `args` are without the app. */
export type AppContext = Context & { api: Api; app: string }

/** The API of the server in force. @throws {HeliosError} unauthenticated */
export function connect(context: Context): Api {
  return createApi(targetOf(context.env))
}

/** Make a command about one app; an app that is not there is answered with the near one. */
export function forApp(work: (context: AppContext) => Promise<number>): Run {
  return async (context) => {
    const { app, args } = await findApp(context)
    const api = connect(context)
    try {
      return await work({ ...context, args, api, app })
    } catch (error) {
      throw await withNearApp(api, app, error)
    }
  }
}

async function findApp(context: Context): Promise<{ app: string; args: readonly string[] }> {
  const { args, command, options } = context
  const given = textOf(options, 'app')
  const [first, ...rest] = args
  if (command.args?.[0]?.name === 'APP' && first !== undefined) {
    if (given === undefined || given === first) return { app: first, args: rest }
    throw new HeliosError('usage', `Two apps are named: ${first} and ${given}`)
  }
  const app = given ?? (await appOfFolder(context))
  if (app !== undefined) return { app, args }
  throw new HeliosError('app_required', 'Which app? This folder has no git remote "helios"', {
    hint: `Name it: helios ${command.name} -a APP   Or, once for this folder: helios git:remote -a APP   Your apps: helios apps`,
  })
}

/** Run git in this folder; undefined when it fails or is missing. */
export async function git(
  { env }: Pick<Context, 'env'>,
  ...args: string[]
): Promise<string | undefined> {
  const result = await run(['git', ...args], {
    env: env.desktop,
    signal: deadline(10_000),
    maxBytes: 1 << 20,
  }).catch(() => undefined)
  return result?.stdout.toString().trim()
}

/** The app that the git remote `helios` of this folder names. */
export async function appOfFolder(context: Pick<Context, 'env'>): Promise<string | undefined> {
  const url = await git(context, 'remote', 'get-url', 'helios')
  return url === undefined ? undefined : appOfUrl(url)
}

/** The app that a git URL ends with: `ssh://git@host:2222/shop.git` names `shop`. */
export function appOfUrl(url: string): string | undefined {
  return /[/:]([^/:]+?)(?:\.git)?\/?$/.exec(url.trim())?.[1]
}

async function withNearApp(api: Api, app: string, error: unknown): Promise<unknown> {
  if (!(error instanceof HeliosError) || error.code !== 'app_not_found') return error
  const apps = await api.call('get /apps', { query: { limit: 200 } }).catch(() => undefined)
  const { near } = await import('./near.ts')
  const name = near(app, apps?.items.map((one) => one.name) ?? [])
  const hint =
    name === undefined ? 'Your apps: helios apps' : `Did you mean ${name}?   Your apps: helios apps`
  return new HeliosError('app_not_found', error.message, { hint, field: error.field })
}
