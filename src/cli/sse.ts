/**
 * @module
 * Read a stream of server-sent events.
 */

/** One event; `id` is where to go on after it. */
export type SseEvent = { id: string | undefined; event: string; data: string }

const MOST_LINE = 4 * 1024 * 1024

/** Events of a stream of bytes as they are complete; ends where the stream ends. Comments count as nothing. */
export async function* readEvents(bytes: AsyncIterable<Buffer>): AsyncGenerator<SseEvent> {
  const decoder = new TextDecoder()
  const next = eventReader()
  let rest = ''
  for await (const chunk of bytes) {
    rest += decoder.decode(chunk, { stream: true })
    if (rest.length > MOST_LINE) throw new Error('a line of the stream is too long')
    // A lone CR at the end may be half of a CRLF.
    const lines = rest.split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const event = next(line)
      if (event) yield event
    }
  }
}

function eventReader(): (line: string) => SseEvent | undefined {
  let id: string | undefined
  let event = ''
  let data: string[] = []
  return (line) => {
    if (line === '') {
      const whole =
        data.length > 0 ? { id, event: event || 'message', data: data.join('\n') } : undefined
      event = ''
      data = []
      return whole
    }
    const [, field = '', value = ''] = /^([^:]*)(?:: ?([\s\S]*))?$/.exec(line) ?? []
    if (field === 'data') data.push(value)
    else if (field === 'event') event = value
    else if (field === 'id' && !value.includes('\0')) id = value
    return undefined
  }
}
