/**
 * @module
 * Apps: list, create, show, destroy, and the git remote of a folder.
 */
import { HeliosError, show } from '../../lib/errors.ts'
import { connect, forApp, git } from '../app-name.ts'
import { isSet, textOf } from '../args.ts'
import type { Answer, Api } from '../client.ts'
import type { Context, Run } from '../command.ts'
import { gather } from '../pages.ts'
import { ask, canAsk } from '../prompt.ts'
import { ago } from '../times.ts'

type App = Answer<'get /apps/:app'>

/** List the apps. */
export const apps: Run = async (context) => {
  const { out } = context
  const api = connect(context)
  const { items, more } = await gather(1000, (query) => api.call('get /apps', { query }))
  out.result({ items, more }, () =>
    items.length === 0
      ? 'You have no apps yet'
      : out.table(
          ['NAME', 'STATE', 'RELEASE', 'INSTANCES', 'LAST DEPLOY', 'URL'],
          items.map((app) => [
            app.name,
            app.state,
            app.release && `v${app.release}`,
            `${app.instances.healthy}/${app.instances.wanted}`,
            app.lastDeployment &&
              `${app.lastDeployment.state} ${ago(app.lastDeployment.createdAt, Date.now())}`,
            app.url,
          ]),
        ),
  )
  if (items.length === 0) out.note('Create one: helios apps:create NAME')
  if (more) out.note(`Only the first ${items.length} are shown`)
  return 0
}

/** Create an app, and the git remote where that is wanted. */
export const createApp: Run = async (context) => {
  const { args, options, out } = context
  const app = await connect(context).call('post /apps', { body: { name: args[0] ?? '' } })
  const branch = isSet(options, 'no-remote') ? undefined : await branchWithoutRemote(context)
  const pushes =
    branch !== undefined &&
    (await git(context, 'remote', 'add', 'helios', app.gitUrl)) !== undefined
  out.result(app, `Created ${app.name}\nURL  ${app.url}\nGit  ${app.gitUrl}`)
  out.note(
    pushes
      ? `The git remote "helios" was added. Next: git push helios ${branch}`
      : `Next, in the folder of the app: helios deploy -a ${app.name}   or: helios git:remote -a ${app.name}`,
  )
  return 0
}

async function branchWithoutRemote(context: Context): Promise<string | undefined> {
  const branch = await git(context, 'symbolic-ref', '--short', 'HEAD')
  if (branch === undefined) return undefined
  return (await git(context, 'remote', 'get-url', 'helios')) === undefined ? branch : undefined
}

/** Show one app. */
export const appInfo = forApp(async ({ api, app: name, out }) => {
  const app = await api.call('get /apps/:app', { params: { app: name } })
  out.result(app, () => describe(app))
  return 0
})

function describe(app: App): string {
  const last = app.lastDeployment
  const rows = [
    ['State', app.state],
    ['URL', app.url],
    ['Git', app.gitUrl],
    ['Release', app.release === null ? '-' : `v${app.release}`],
    ['Instances', `${app.instances.healthy} of ${app.instances.wanted} healthy`],
    [
      'Last deploy',
      last
        ? `${last.state}, ${last.reason} by ${last.actor}, ${ago(last.createdAt, Date.now())}`
        : '-',
    ],
    ['Created', ago(app.createdAt, Date.now())],
    ['Id', app.id],
  ] as const
  return [app.name, ...rows.map(([name, value]) => `${name.padEnd(12)} ${value}`)].join('\n')
}

/** Destroy an app, after its name was typed. */
export const destroyApp = forApp(async (context) => {
  const { api, app, out } = context
  // First whether it is there at all: nobody should type the name of nothing.
  await api.call('get /apps/:app', { params: { app } })
  const confirm = await confirmed(context)
  await api.call('delete /apps/:app', { params: { app }, query: { confirm } })
  out.result({ name: app }, `Destroying ${app}: its instances, releases, config, domains and logs`)
  return 0
})

async function confirmed(context: Context & { app: string }): Promise<string> {
  const { app, options } = context
  const given = textOf(options, 'confirm')
  if (given === app) return given
  if (given !== undefined) {
    throw new HeliosError('confirm_required', `--confirm is ${show(given)}, but the app is ${app}`)
  }
  const hint = `helios apps:destroy ${app} --confirm ${app}`
  if (!canAsk() || context.out.json) {
    throw new HeliosError('confirm_required', `Destroying ${app} cannot be undone`, { hint })
  }
  const question = `This destroys ${app} with its releases, config, domains and logs, for good.\nType its name to go on: `
  if ((await ask(question, { hidden: false })) === app) return app
  throw new HeliosError('confirm_required', `That is not the name: ${app} is as it was`)
}

/** Make the git remote of this folder push to an app. */
export const gitRemote = forApp(async (context) => {
  const { api, app, options, out } = context
  const remote = textOf(options, 'remote') ?? 'helios'
  if (!/^[a-zA-Z0-9_][\w.-]*$/.test(remote)) {
    throw new HeliosError('usage', `${show(remote)} is no name of a git remote`)
  }
  const { gitUrl } = await gitUrlOf(api, app)
  if ((await git(context, 'rev-parse', '--git-dir')) === undefined) {
    throw new HeliosError('usage', 'This folder is no git repository, or git is not installed', {
      hint: 'git init   or deploy without git: helios deploy',
    })
  }
  const had = await git(context, 'remote', 'get-url', remote)
  const done = await git(context, 'remote', had === undefined ? 'add' : 'set-url', remote, gitUrl)
  if (done === undefined) throw new HeliosError('usage', `git could not set the remote ${remote}`)
  const before = had === undefined || had === gitUrl ? '' : ` (before: ${had})`
  out.result({ remote, url: gitUrl, app }, `The git remote ${remote} is ${gitUrl}${before}`)
  const branch = (await git(context, 'symbolic-ref', '--short', 'HEAD')) ?? 'main'
  out.note(`Next: git push ${remote} ${branch}`)
  return 0
})

async function gitUrlOf(api: Api, app: string): Promise<App> {
  const found = await api.call('get /apps/:app', { params: { app } })
  if (/^(ssh|https?):\/\//.test(found.gitUrl)) return found
  throw new HeliosError('internal', `The server names no git URL for ${app}: ${show(found.gitUrl)}`)
}
