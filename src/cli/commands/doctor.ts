/**
 * @module
 * Check what stands between this machine and a deploy, and say what to do.
 */
import { lookup } from 'node:dns/promises'
import { lstatSync } from 'node:fs'
import { connect as dial } from 'node:net'
import { deadline, withDeadline } from '../../lib/async.ts'
import { HeliosError, messageOf } from '../../lib/errors.ts'
import { appOfFolder, git } from '../app-name.ts'
import { type Answer, type Api, createApi } from '../client.ts'
import type { Context, Run } from '../command.ts'
import type { Output } from '../output.ts'
import { signInFile, targetOf } from '../sign-in.ts'
import { VERSION } from '../version.ts'

/** One thing that was looked at; `warn` hinders nothing yet. */
type Check = { name: string; state: 'ok' | 'warn' | 'bad'; detail: string; hint?: string }

const WAIT_MS = 5000

/** Check this machine and the server. Ends with 1 when something is bad. */
export const doctor: Run = async (context) => {
  const { out } = context
  const checks = [...(await checkMachine(context)), ...(await checkServer(context))]
  const ok = checks.every(({ state }) => state !== 'bad')
  out.result({ ok, checks }, () => checks.map((check) => line(check, out)).join('\n'))
  out.note(ok ? 'Nothing stands in the way of a deploy' : 'Correct what is marked, from the top')
  return ok ? 0 : 1
}

function line({ name, state, detail, hint }: Check, out: Output): string {
  const marks = {
    ok: out.style('green', 'ok  '),
    warn: out.style('yellow', 'note'),
    bad: out.style('red', 'bad '),
  }
  return `${marks[state]} ${name.padEnd(12)} ${detail}${hint ? `\n${' '.repeat(18)}${hint}` : ''}`
}

async function checkMachine(context: Context): Promise<Check[]> {
  const version = await git(context, '--version')
  const app = await appOfFolder(context)
  const found: Check =
    version === undefined
      ? {
          name: 'git',
          state: 'warn',
          detail: 'not found',
          hint: 'Install git to push, or use: helios deploy',
        }
      : { name: 'git', state: 'ok', detail: version }
  const folder: Check =
    app === undefined
      ? {
          name: 'this folder',
          state: 'warn',
          detail: 'has no git remote "helios"',
          hint: 'helios git:remote -a APP   or name the app with -a',
        }
      : { name: 'this folder', state: 'ok', detail: `is of the app ${app}` }
  return [{ name: 'helios', state: 'ok', detail: VERSION }, found, folder, ...signInChecks(context)]
}

function signInChecks({ env }: Context): Check[] {
  try {
    const file = signInFile(env)
    const open = (lstatSync(file).mode & 0o077) !== 0
    return open
      ? [
          {
            name: 'sign-in',
            state: 'warn',
            detail: `others can read ${file}`,
            hint: `chmod 600 ${file}`,
          },
        ]
      : [{ name: 'sign-in', state: 'ok', detail: file }]
  } catch {
    return []
  }
}

async function checkServer(context: Context): Promise<Check[]> {
  try {
    const api = createApi(targetOf(context.env))
    const who = await api.call('get /whoami')
    const { server } = who
    const detail = `${api.target.server}, as ${who.user} (${who.role} of ${who.team})`
    return [
      { name: 'server', state: 'ok', detail },
      ...versionChecks(server.version),
      ...(await partChecks(api)),
      await portCheck(
        'ssh',
        server.sshHost,
        server.sshPort,
        'Pushes over SSH need this port: open it in the firewall',
      ),
      ...(await routeChecks(api, server.baseDomain)),
      await keyCheck(api),
    ]
  } catch (error) {
    return [failed('server', error)]
  }
}

function failed(name: string, error: unknown): Check {
  const hint = error instanceof HeliosError ? serverHint(error) : undefined
  return { name, state: 'bad', detail: messageOf(error), ...(hint ? { hint } : {}) }
}

function serverHint({ code, hint }: HeliosError): string | undefined {
  if (code !== 'api_unreachable') return hint
  return 'On the server: is it running (systemctl status helios, or helios serve), and is this its address (HELIOS_API_ADDRESS)? From elsewhere: is its port open?'
}

function versionChecks(server: string): Check[] {
  if (server === VERSION) return []
  const detail = `the server is helios ${server}, this is ${VERSION}`
  return [
    {
      name: 'version',
      state: 'warn',
      detail,
      hint: 'Most works all the same; update the older one',
    },
  ]
}

async function partChecks(api: Api): Promise<Check[]> {
  try {
    return partsOf(await api.call('get /server'))
  } catch (error) {
    if (error instanceof HeliosError && error.code === 'missing_permission') return []
    return [failed('parts', error)]
  }
}

const ENGINE_HINT = 'Is Docker running? systemctl status docker'
const PART_HINTS: Record<string, string> = {
  router:
    'Apps answer as the router was last told. Does another program hold its port? See the log of the server',
  engine: ENGINE_HINT,
  disk: 'Free some space; old images: docker image prune',
}

function partsOf({ parts, engine, queue, ok }: Answer<'get /server'>): Check[] {
  const bad = Object.entries(parts).filter(([, part]) => !part.ok)
  const good = Object.entries(parts).filter(([, part]) => part.ok)
  return [
    {
      name: 'engine',
      state: /^\d/.test(engine) ? 'ok' : 'bad',
      detail: engine,
      ...(/^\d/.test(engine) ? {} : { hint: ENGINE_HINT }),
    },
    ...good.map(([name, { detail }]): Check => ({ name, state: 'ok', detail: detail ?? 'works' })),
    ...bad.map(
      ([name, { detail }]): Check => ({
        name,
        state: 'bad',
        detail: detail ?? 'does not work',
        hint: PART_HINTS[name] ?? 'The log of the server says more',
      }),
    ),
    {
      name: 'queue',
      state: ok || queue.waiting < 100 ? 'ok' : 'warn',
      detail: `${queue.waiting} waiting, ${queue.running} running`,
    },
  ]
}

async function portCheck(name: string, host: string, port: number, hint: string): Promise<Check> {
  const socket = dial({ host, port })
  try {
    await withDeadline(
      new Promise<void>((resolve, reject) => {
        socket.once('connect', resolve)
        socket.once('error', reject)
      }),
      deadline(WAIT_MS),
    )
    return { name, state: 'ok', detail: `${host}:${port} answers` }
  } catch (error) {
    return { name, state: 'bad', detail: `${host}:${port}: ${messageOf(error)}`, hint }
  } finally {
    socket.destroy()
  }
}

async function routeChecks(api: Api, baseDomain: string): Promise<Check[]> {
  const { items } = await api.call('get /apps', { query: { limit: 1 } })
  const [app] = items
  if (!app)
    return [{ name: 'apps', state: 'ok', detail: `none yet; they will answer at *.${baseDomain}` }]
  const url = new URL(app.url)
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
  // Browsers take every name below localhost for this machine; resolvers may not.
  const local = /(^|\.)localhost$/.test(url.hostname)
  const known =
    local ||
    (await withDeadline(lookup(url.hostname), deadline(WAIT_MS)).then(
      () => true,
      () => false,
    ))
  if (!known) {
    return [
      {
        name: 'dns',
        state: 'bad',
        detail: `${url.hostname} has no address`,
        hint: `Add a record for *.${baseDomain} that points to the server`,
      },
    ]
  }
  const host = local ? '127.0.0.1' : url.hostname
  return [
    await portCheck(
      'http',
      host,
      port,
      'Visitors come by this port: open it in the firewall; is the router up?',
    ),
  ]
}

async function keyCheck(api: Api): Promise<Check> {
  const { items } = await api.call('get /keys')
  if (items.length > 0)
    return { name: 'keys', state: 'ok', detail: items.map(({ name }) => name).join(', ') }
  return {
    name: 'keys',
    state: 'warn',
    detail: 'no SSH key',
    hint: 'To push with git: helios keys:add',
  }
}
