/**
 * @module
 * Shapes of what the API tells and takes.
 */
import { z } from 'zod'

const Time = z.iso.datetime().describe('RFC 3339, UTC')
/** Name of an app in a path or a body. */
export const Name = z.string().max(200).describe('Name of an app')

/** What every refusal looks like. */
export const ErrorBody = z
  .object({
    code: z.string().describe('Stable code of a closed list'),
    message: z.string().describe('What was wrong with which value'),
    field: z.string().optional().describe('The input at fault'),
    hint: z.string().optional().describe('What to do next'),
    docs: z.string().optional().describe('Where to read more'),
    requestId: z.string().optional().describe('Names this request in the log of the server'),
  })
  .meta({ id: 'Error' })

/** Query of every list. */
export const PageQuery = z.object({
  limit: z.coerce.number().int().min(1).optional().describe('At most this many; capped at 200'),
  cursor: z.string().max(200).optional().describe('`next` of the page before'),
})

/** A page of a list. */
export const page = <T extends z.ZodType>(item: T) =>
  z.object({
    items: z.array(item),
    next: z.string().nullable().describe('Cursor of the next page; null at the end'),
  })

/** One running container of a process. */
export const Instance = z
  .object({
    name: z.string().describe('As `web.1`'),
    process: z.string(),
    release: z.number().int(),
    state: z.enum(['created', 'running', 'restarting', 'exited']),
    healthy: z.boolean(),
    startedAt: Time.nullable(),
    restarts: z.number().int(),
    exitCode: z.number().int().nullable(),
    oomKilled: z.boolean(),
    memoryBytes: z.number().int().describe('Its limit'),
  })
  .meta({ id: 'Instance' })

/** Why a deployment failed. */
const DeploymentError = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string().optional(),
})

/** The whole journey from a source, or from a release, to live. */
export const Deployment = z
  .object({
    id: z.string(),
    app: z.string(),
    reason: z.enum(['push', 'upload', 'image', 'rollback', 'config', 'restart']),
    description: z.string(),
    actor: z.string(),
    state: z.enum([
      'queued',
      'building',
      'deploying',
      'succeeded',
      'failed',
      'cancelled',
      'superseded',
    ]),
    release: z.number().int().nullable().describe('Number of the release it made'),
    error: DeploymentError.nullable(),
    createdAt: Time,
    finishedAt: Time.nullable(),
  })
  .meta({ id: 'Deployment' })

/** An immutable numbered outcome of a deployment. */
export const Release = z
  .object({
    number: z.number().int(),
    description: z.string(),
    deployment: z.string(),
    state: Deployment.shape.state,
    live: z.boolean(),
    available: z.boolean().describe('A rollback can go back to it'),
    commit: z.string().nullable(),
    createdAt: Time,
  })
  .meta({ id: 'Release' })

/** An app in a list. */
export const App = z
  .object({
    id: z.string(),
    name: z.string(),
    state: z
      .enum(['new', 'running', 'deploying', 'degraded', 'stopped', 'destroying'])
      .describe('new: nothing was deployed yet; degraded: fewer healthy instances than wanted'),
    url: z.string(),
    gitUrl: z.string().describe('What to push to'),
    release: z.number().int().nullable(),
    instances: z.object({ wanted: z.number().int(), healthy: z.number().int() }),
    lastDeployment: Deployment.nullable(),
    createdAt: Time,
  })
  .meta({ id: 'App' })

/** A line an instance wrote, or the platform about it. */
export const LogLine = z
  .object({
    id: z.string().describe('Position, to go on from'),
    at: z.string(),
    process: z.string(),
    instance: z.string().describe('As `web.1`'),
    stream: z.enum(['stdout', 'stderr']),
    text: z.string(),
  })
  .meta({ id: 'LogLine' })

/** A line of a deployment's log; `seq` goes up by one. */
export const DeploymentLogLine = z
  .object({
    seq: z.number().int(),
    at: z.string(),
    stream: z.enum(['out', 'err', 'step']),
    text: z.string(),
  })
  .meta({ id: 'DeploymentLogLine' })

/** How many are wanted of a process, and what runs of it. */
export const Process = z
  .object({
    name: z.string(),
    command: z.array(z.string()).nullable().describe("null: the image's own"),
    wanted: z.number().int(),
    instances: z.array(Instance),
  })
  .meta({ id: 'Process' })

/** Everything one wants to know of an app at a glance. */
export const AppStatus = z
  .object({
    app: App,
    release: Release.nullable(),
    rollout: Deployment.nullable().describe('The deployment that is under way'),
    processes: z.array(Process),
    lastError: DeploymentError.extend({ deployment: z.string() }).nullable(),
    log: z.array(LogLine).describe('The newest lines'),
  })
  .meta({ id: 'AppStatus' })

/** A host name an app owns. */
export const Domain = z
  .object({ host: z.string(), url: z.string(), default: z.boolean(), createdAt: Time.nullable() })
  .meta({ id: 'Domain' })

/** A public key that may push. */
export const Key = z
  .object({ id: z.string(), name: z.string(), fingerprint: z.string(), createdAt: Time })
  .meta({ id: 'Key' })

/** Who asks, and where. */
export const WhoAmI = z
  .object({
    user: z.string(),
    team: z.string(),
    role: z.string(),
    via: z.string(),
    server: z.object({
      version: z.string(),
      url: z.string(),
      baseDomain: z.string(),
      sshHost: z.string(),
      sshPort: z.number().int(),
      sshFingerprint: z.string(),
    }),
  })
  .meta({ id: 'WhoAmI' })

/** How the parts of the server are. */
export const ServerState = z
  .object({
    version: z.string(),
    ok: z.boolean(),
    parts: z.record(z.string(), z.object({ ok: z.boolean(), detail: z.string().optional() })),
    engine: z.string().describe('Version of the engine, or why it does not answer'),
    apps: z.number().int(),
    queue: z.object({ waiting: z.number().int(), running: z.number().int() }),
  })
  .meta({ id: 'ServerState' })

/** Config vars of an app. */
export const Env = z.object({ env: z.record(z.string(), z.string()) }).meta({ id: 'Env' })

/** A change of config vars, and the deployment that brings it to the instances (null before the first deploy). */
export const EnvChanged = Env.extend({ deployment: Deployment.nullable() }).meta({
  id: 'EnvChanged',
})
