import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HeliosError } from '../lib/errors.ts'
import { pageOf, readPage, rowsToRead } from './page.ts'

const all = (count: number) => Array.from({ length: count }, (_, n) => String(n).padStart(4, '0'))

test('pages of any length give each item once, in order', () => {
  fc.assert(
    fc.property(fc.nat(450), fc.integer({ min: 1, max: 500 }), (count, limit) => {
      const seen: string[] = []
      let cursor: string | undefined
      for (let n = 0; n < 1000; n++) {
        const page = readPage('x', { limit, cursor })
        const rows = all(count).filter((each) => each > (page.after ?? ''))
        const got = pageOf('x', page, rows.slice(0, rowsToRead(page)), {
          key: (row) => row,
          items: (shown) => [...shown],
        })
        expect(got.items.length).toBeLessThanOrEqual(200)
        seen.push(...got.items)
        if (got.next === null) break
        cursor = got.next
      }
      expect(seen).toEqual(all(count))
    }),
    { numRuns: 50 },
  )
})

test('no other text is a cursor', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), (cursor) => {
      expect(() => readPage('x', { cursor })).toThrow(HeliosError)
    }),
  )
})
