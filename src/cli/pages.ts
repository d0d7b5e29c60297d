/**
 * @module
 * Gather the items of a list over its pages.
 */

const MOST_A_PAGE = 200

/** Up to `most` items, page after page; `more` tells that there are others. */
export async function gather<T>(
  most: number,
  page: (query: { limit: number; cursor?: string }) => Promise<{ items: T[]; next: string | null }>,
): Promise<{ items: T[]; more: boolean }> {
  const items: T[] = []
  let cursor: string | null | undefined
  do {
    const limit = Math.min(MOST_A_PAGE, most - items.length)
    const got = await page({ limit, ...(cursor ? { cursor } : {}) })
    items.push(...got.items)
    cursor = got.items.length === 0 ? null : got.next
  } while (cursor && items.length < most)
  return { items: items.slice(0, most), more: Boolean(cursor) }
}
