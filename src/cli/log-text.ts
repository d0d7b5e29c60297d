/**
 * @module
 * A line an instance wrote, as it is shown.
 */
import type { Answer } from './client.ts'
import { printable } from './columns.ts'
import type { Look, Output } from './output.ts'

type LogLine = Answer<'get /apps/:app/logs'>['items'][number]

const LOOKS: readonly Look[] = ['cyan', 'green', 'yellow', 'magenta', 'blue']

/** Time, instance and text; each instance keeps its colour. */
export function logText(line: LogLine, out: Output): string {
  const sum = [...line.instance].reduce((total, char) => total + char.charCodeAt(0), 0)
  const who = out.style(
    LOOKS[sum % LOOKS.length] ?? 'cyan',
    `${printable(line.at).replace(/(\.\d{3})\d*/, '$1')} ${printable(line.instance)}:`,
  )
  return `${who} ${printable(line.text, { colours: out.colours })}`
}
