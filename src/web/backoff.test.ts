import { expect, test } from 'vitest'
import { createBackoff } from './backoff.ts'

test('waits double from the fifth miss on, up to a minute', () => {
  let now = 0
  const backoff = createBackoff(() => now)
  const waits = Array.from({ length: 13 }, () => {
    backoff.miss('10.0.0.1')
    const wait = backoff.waitOf('10.0.0.1')
    now += wait
    return wait / 1000
  })
  expect(waits).toEqual([0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60])
  expect(backoff.waitOf('10.0.0.2')).toBe(0)
  backoff.miss('10.0.0.1')
  now += 15 * 60_000
  expect(backoff.waitOf('10.0.0.1')).toBe(0)
  backoff.miss('10.0.0.1')
  expect(backoff.waitOf('10.0.0.1')).toBe(0)
})

test('addresses of one network of IPv6 count together', () => {
  const backoff = createBackoff(() => 1)
  for (let n = 0; n < 5; n++) backoff.miss(`2001:db8:1:2::${n}`)
  expect([backoff.waitOf('2001:db8:1:2:3::9'), backoff.waitOf('2001:db8:1:3::1')]).toEqual([
    1000, 0,
  ])
  for (let n = 0; n < 5; n++) backoff.miss(`::ffff:10.0.0.${n}`)
  expect(backoff.waitOf('::ffff:10.0.0.1')).toBe(0)
  backoff.forget('2001:db8:1:2::1')
  expect(backoff.waitOf('2001:db8:1:2::1')).toBe(0)
})

test('it remembers no more than so many addresses', () => {
  const backoff = createBackoff(() => 1)
  for (let n = 0; n < 5; n++) backoff.miss('first')
  for (let n = 0; n < 10_000; n++) backoff.miss(`a${n}`)
  expect(backoff.waitOf('first')).toBe(0)
})
