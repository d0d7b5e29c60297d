/**
 * @module
 * Lay rows out in columns that fit a width, and make strangers' text safe to print; pure.
 */

/** Printed cells of one row. */
export type Row = readonly (string | number | null | undefined)[]

const GAP = 2
const NARROWEST = 8

/** Rows as aligned lines under their headings; with a width, the widest columns are cut to fit it. */
export function layOut(
  headings: readonly string[],
  rows: readonly Row[],
  opts: { width?: number | undefined; heading?: (text: string) => string } = {},
): string {
  const cells = rows.map((row) => headings.map((_, at) => printable(String(row[at] ?? '-'))))
  const widths = headings.map((heading, at) =>
    Math.max(...[heading, ...cells.map((row) => row[at] ?? '')].map(widthOf)),
  )
  if (opts.width !== undefined) shrink(widths, opts.width)
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) =>
        at === row.length - 1 ? cut(cell, widths[at] ?? 0) : fill(cell, widths[at] ?? 0),
      )
      .join(' '.repeat(GAP))
      .trimEnd()
  const style = opts.heading ?? ((text: string) => text)
  return [style(line(headings)), ...cells.map(line)].join('\n')
}

function shrink(widths: number[], width: number): void {
  const room = width - GAP * (widths.length - 1)
  for (let over = widths.reduce((sum, one) => sum + one, 0) - room; over > 0; over--) {
    const widest = widths.indexOf(Math.max(...widths))
    const now = widths[widest] ?? 0
    if (now <= NARROWEST) return
    widths[widest] = now - 1
  }
}

function fill(text: string, width: number): string {
  const fitting = cut(text, width)
  return fitting + ' '.repeat(Math.max(0, width - widthOf(fitting)))
}

/** Text that takes at most `width` cells, its end replaced by … when it is longer. */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text
  let kept = ''
  let used = 0
  for (const char of text) {
    used += widthOf(char)
    if (used > width - 1) break
    kept += char
  }
  return `${kept}…`
}

const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/gu
const ZERO = /[\p{Mn}\p{Me}\p{Cf}]/gu

/** How many cells of a terminal a text takes. */
export function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  const seen = text.replace(ZERO, '')
  return [...seen].length + (seen.match(WIDE)?.length ?? 0)
}

// What can steer a terminal: OSC and other strings up to their end, CSI, escapes of two characters, and single controls.
const CONTROLS =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what has to go
  /\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|$)|\x1b\[[0-?]*[ -/]*[@-~]?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0a-\x1f\x7f-\x9f]/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: the form of a colour
const COLOUR = /^\x1b\[[\d;]*m$/

/** One line of text without what could steer a terminal; colours stay when asked to, and end with the line. */
export function printable(text: string, opts: { colours?: boolean } = {}): string {
  let coloured = false
  const kept = text.replace(CONTROLS, (control) => {
    const keeps = opts.colours === true && COLOUR.test(control)
    coloured ||= keeps
    return keeps ? control : ''
  })
  return coloured ? `${kept}\x1b[0m` : kept
}
