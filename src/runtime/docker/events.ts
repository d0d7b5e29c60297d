/**
 * @module
 * What happens to instances, told as it happens; survives an engine that goes away and comes back.
 */
import type Docker from 'dockerode'
import { sleep, withDeadline } from '../../lib/async.ts'
import type { Logger } from '../../lib/log.ts'
import type { EngineEvent } from '../types.ts'
import { engineCall } from './engine-call.ts'
import { jsonLines } from './json-lines.ts'

const TYPES = ['start', 'die', 'oom', 'destroy'] as const
const MIN_WAIT_MS = 100
const MAX_WAIT_MS = 5000
/** What the engine mixes among the labels. */
const ATTRIBUTES = new Set(['image', 'name', 'exitCode', 'signal', 'execID', 'execDuration'])

type Message = { Action?: string; Actor?: { ID?: string; Attributes?: Record<string, string> } }

/** Events of containers with all these labels, `connected` first after each connect; ends when aborted. */
export async function* containerEvents(
  docker: Docker,
  labels: Record<string, string>,
  log: Logger,
  signal: AbortSignal,
): AsyncGenerator<EngineEvent> {
  let wait = MIN_WAIT_MS
  while (!signal.aborted) {
    const closing = new AbortController()
    const abortSignal = AbortSignal.any([signal, closing.signal])
    try {
      const stream = await open(docker, labels, abortSignal, signal)
      wait = MIN_WAIT_MS
      yield { type: 'connected' }
      for await (const message of jsonLines<Message>(stream)) {
        const event = eventOf(message)
        if (event !== undefined) yield event
      }
    } catch (error) {
      if (signal.aborted) return
      log.warn({ err: error, waitMs: wait }, 'no events from the engine, connecting again')
    } finally {
      closing.abort()
    }
    await sleep(wait, signal).catch(() => undefined)
    wait = Math.min(MAX_WAIT_MS, wait * 2)
  }
}

async function open(
  docker: Docker,
  labels: Record<string, string>,
  abortSignal: AbortSignal,
  signal: AbortSignal,
): Promise<AsyncIterable<Buffer>> {
  const label = Object.entries(labels).map(([key, value]) => `${key}=${value}`)
  const filters = JSON.stringify({ type: ['container'], event: TYPES, label })
  // Only the answer has a deadline: the stream behind it stays open for days.
  const query = { filters, abortSignal }
  const stream = await engineCall(
    'tell its events',
    (limit) => withDeadline(docker.getEvents(query), limit),
    { signal },
  )
  return stream as AsyncIterable<Buffer>
}

function eventOf({ Action, Actor }: Message): EngineEvent | undefined {
  const type = TYPES.find((each) => each === Action)
  if (type === undefined || Actor?.ID === undefined) return undefined
  const labels = Object.entries(Actor.Attributes ?? {}).filter(([key]) => !ATTRIBUTES.has(key))
  return { type, id: Actor.ID, labels: Object.fromEntries(labels) }
}
