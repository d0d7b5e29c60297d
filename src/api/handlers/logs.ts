/**
 * @module
 * Handlers of logs: of instances, and of deployments to their end.
 */
import { findApp } from '../../core/apps.ts'
import { deploymentOfJob, findDeployment, isOpen } from '../../core/deployments.ts'
import { numbered } from '../../core/overview.ts'
import { sleep } from '../../lib/async.ts'
import type { Entry } from '../../queue/job-log.ts'
import type { ApiDeps } from '../context.ts'
import type { Handlers } from '../routes.ts'
import { lastSeq, type ServerEvent } from '../sse.ts'
import { logLine } from '../status.ts'
import { deploymentBody } from '../views.ts'

const DEFAULT_LINES = 100
const LOOK_MS = 500
/** A log may get its last lines just after the state of its deployment was written. */
const LAST_LINES_MS = 2000
const STATE_MS = 10_000

/** Handlers of logs. */
export const logHandlers: Handlers<'getLogs' | 'followLogs' | 'deploymentLog'> = {
  getLogs({ deps, actor, params, query }) {
    const app = findApp(deps.db, actor, params.app)
    const lines = deps.appLogs.tail(app.id, {
      lines: query.lines ?? DEFAULT_LINES,
      process: query.process,
      sinceMs: query.since === undefined ? undefined : Date.parse(query.since),
    })
    return { items: lines.map(logLine) }
  },

  followLogs({ deps, actor, params, query, lastEventId, signal }) {
    const app = findApp(deps.db, actor, params.app)
    const opts = {
      after: lastEventId || undefined,
      lines: query.lines ?? DEFAULT_LINES,
      process: query.process,
    }
    return lineEvents(deps, app.id, opts, signal)
  },

  deploymentLog({ deps, actor, params, lastEventId, signal }) {
    const app = findApp(deps.db, actor, params.app)
    const { id } = findDeployment(deps.db, app, params.deployment)
    return deploymentEvents(deps, { id, app: app.name, after: lastSeq(lastEventId) }, signal)
  },
}

async function* lineEvents(
  deps: ApiDeps,
  appId: string,
  opts: Parameters<ApiDeps['appLogs']['follow']>[1],
  signal: AbortSignal,
): AsyncGenerator<ServerEvent> {
  for await (const line of deps.appLogs.follow(appId, opts, signal)) {
    yield { event: 'line', id: line.id, data: JSON.stringify(logLine(line)) }
  }
}

type Asked = { id: string; app: string; after: number }

async function* deploymentEvents(
  deps: ApiDeps,
  asked: Asked,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent> {
  let seq = asked.after
  const event = (line: Entry): ServerEvent => {
    seq = line.seq
    return { event: 'line', id: String(seq), data: JSON.stringify(line) }
  }
  const over = new AbortController()
  const unwatch = watchEnd(deps, asked.id, over)
  const until = AbortSignal.any([signal, over.signal])
  try {
    for await (const line of deps.jobLogs.follow(asked.id, seq, until)) yield event(line)
  } finally {
    unwatch()
  }
  if (signal.aborted) return
  const end = await endOf(deps, asked, signal)
  for (let rest = deps.jobLogs.read(asked.id, seq); rest.length > 0; ) {
    for (const line of rest) yield event(line)
    rest = deps.jobLogs.read(asked.id, seq)
  }
  if (end) yield end
}

/** A deployment that never ran has no log that ends: its state is watched too. */
function watchEnd(deps: ApiDeps, id: string, over: AbortController): () => void {
  let last: NodeJS.Timeout | undefined
  const watch = setInterval(() => {
    const row = deploymentOfJob(deps.db, id)
    if (last !== undefined || (row && isOpen(row))) return
    last = setTimeout(() => over.abort(), LAST_LINES_MS)
  }, LOOK_MS)
  return () => {
    clearInterval(watch)
    clearTimeout(last)
  }
}

/** The event that ends the stream; undefined when the deployment is gone with its app. */
async function endOf(
  deps: ApiDeps,
  asked: Asked,
  signal: AbortSignal,
): Promise<ServerEvent | undefined> {
  for (let waited = 0; waited < STATE_MS && !signal.aborted; waited += LOOK_MS / 10) {
    const row = deploymentOfJob(deps.db, asked.id)
    const [found] = row ? numbered(deps.db, [row]) : []
    if (!found) return undefined
    if (!isOpen(found)) {
      return { event: 'end', data: JSON.stringify(deploymentBody(found, { name: asked.app })) }
    }
    await sleep(LOOK_MS / 10, signal).catch(() => undefined)
  }
  return undefined
}
