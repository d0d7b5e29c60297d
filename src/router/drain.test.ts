import { expect, test } from 'vitest'
import { HeliosError } from '../lib/errors.ts'
import { drain } from './drain.ts'

const { signal } = new AbortController()

/** A router that says these numbers of requests at `a`, one after the other, the last for ever. */
function saying(...answers: (number | 'away')[]) {
  let asked = 0
  const upstreams = async () => {
    const now = answers[Math.min(asked, answers.length - 1)]
    asked += 1
    if (now === 'away') throw new HeliosError('HP52', 'away')
    return [
      { address: 'a', requests: now ?? 0 },
      { address: 'other', requests: 9 },
    ]
  }
  return { upstreams, asked: () => asked }
}

test.each([
  [[0], true, 2],
  [[1, 1, 0], true, 4],
  [['away', 0], true, 3],
  // One free moment between two requests is not enough.
  [[0, 1, 0], true, 4],
] as const)('requests %j: drained is %s after %i looks', async (answers, drained, looks) => {
  const router = saying(...answers)
  expect(await drain(router, ['a'], 5000, signal)).toBe(drained)
  expect(router.asked()).toBe(looks)
})

test.each([[[1]], [['away']]] as const)(
  'requests %j: gives up at the deadline',
  async (answers) => {
    const before = performance.now()
    expect(await drain(saying(...answers), ['a'], 150, signal)).toBe(false)
    expect(performance.now() - before).toBeLessThan(2000)
  },
)

test('nothing to drain is drained, a cancel is thrown', async () => {
  expect(await drain(saying(1), [], 0, signal)).toBe(true)
  expect(await drain(saying(0), ['a'], 0, signal)).toBe(false)
  const stop = AbortSignal.abort(new Error('stop'))
  await expect(drain(saying(1), ['a'], 5000, stop)).rejects.toThrow('stop')
})
