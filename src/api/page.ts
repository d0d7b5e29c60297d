/**
 * @module
 * Pages of a list: a limit that is capped, and cursors that only their own list takes back.
 */
import { sha256 } from '../lib/crypto.ts'
import { HeliosError } from '../lib/errors.ts'

const MAX_LIMIT = 200
const DEFAULT_LIMIT = 50

/** How many items a page has, and after what it begins. */
export type Page = { limit: number; after: string | undefined }

type Query = { limit?: number | undefined; cursor?: string | undefined }

/** Read limit and cursor of a list. @throws {HeliosError} cursor_invalid */
export function readPage(list: string, query: Query): Page {
  const limit = Math.min(MAX_LIMIT, query.limit ?? DEFAULT_LIMIT)
  if (query.cursor === undefined) return { limit, after: undefined }
  const text = Buffer.from(query.cursor, 'base64url').toString()
  const after = text.slice(CHECK_LENGTH)
  if (text.slice(0, CHECK_LENGTH) !== check(list, after)) {
    throw new HeliosError('cursor_invalid', 'This cursor does not belong to this list', {
      field: 'cursor',
      hint: 'Use `next` of the page before as it is, or begin without a cursor',
    })
  }
  return { limit, after }
}

/** How many rows to ask for, so as to see whether more come. */
export function rowsToRead(page: Page): number {
  return Math.min(MAX_LIMIT, page.limit + 1)
}

/** Make the answer of a list from {@link rowsToRead} rows. */
export function pageOf<Row, Item>(
  list: string,
  page: Page,
  rows: readonly Row[],
  make: { key: (row: Row) => string; items: (rows: readonly Row[]) => Item[] },
): { items: Item[]; next: string | null } {
  const shown = rows.slice(0, page.limit)
  // The longest page cannot see one row further: its next one may turn out empty.
  const more = rows.length > page.limit || rows.length === MAX_LIMIT
  const last = more ? shown.at(-1) : undefined
  return {
    items: make.items(shown),
    next: last === undefined ? null : cursor(list, make.key(last)),
  }
}

const CHECK_LENGTH = 8

function cursor(list: string, after: string): string {
  return Buffer.from(check(list, after) + after).toString('base64url')
}

/** Finds slips and mix-ups; a forged cursor reaches nothing, for every look-up has its scope. */
function check(list: string, after: string): string {
  return sha256(`cursor ${list} ${after}`).slice(0, CHECK_LENGTH)
}
