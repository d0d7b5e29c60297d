/**
 * @module
 * What the instances of an app write.
 */
import { type AppContext, forApp } from '../app-name.ts'
import { isSet, textOf, wholeNumber } from '../args.ts'
import { EXIT } from '../exit-codes.ts'
import { logText } from '../log-text.ts'
import { sinceMoment } from '../times.ts'

/** Show the newest lines, and with `-f` go on with those that come. */
export const logs = forApp(async (context) => {
  const { options, out } = context
  const lines = wholeNumber(options, 'lines', { min: 0, max: 10_000, otherwise: 100 })
  const since = textOf(options, 'since')
  if (!isSet(options, 'follow')) {
    const shown = await showLines(context, lines, since)
    if (shown.count === 0) out.note('No lines')
    return EXIT.ok
  }
  // The stream has no `since`: what was before comes from the list, and the stream goes on after it.
  const before = since === undefined ? undefined : await showLines(context, lines, since)
  await followLines(context, before ? 0 : lines, before?.last)
  return EXIT.ok
})

async function showLines(
  { api, app, options, out }: AppContext,
  lines: number,
  since: string | undefined,
): Promise<{ count: number; last: string | undefined }> {
  const process = textOf(options, 'process')
  const { items } = await api.call('get /apps/:app/logs', {
    params: { app },
    query: {
      lines,
      ...(process === undefined ? {} : { process }),
      ...(since === undefined ? {} : { since: sinceMoment(since, Date.now()) }),
    },
  })
  for (const line of items) out.event(line, logText(line, out))
  return { count: items.length, last: items.at(-1)?.id }
}

async function followLines(
  { api, app, options, out }: AppContext,
  lines: number,
  after: string | undefined,
): Promise<void> {
  const process = textOf(options, 'process')
  const query = { lines, ...(process === undefined ? {} : { process }) }
  const events = api.events(
    'get /apps/:app/logs/stream',
    { params: { app }, query },
    {
      signal: out.closed,
      after,
      onLost: () => out.progress('The connection broke; trying again…'),
    },
  )
  for await (const { event, data } of events) {
    if (event === 'line') out.event(data, logText(data, out))
  }
}
