import { expect, test } from 'vitest'
import { readEnv } from './env.ts'
import { parseSettings } from './settings.ts'

test('defaults are filled in and the result is frozen', () => {
  const settings = parseSettings({ ...readEnv(), dataDir: undefined, logLevel: undefined })
  expect(settings).toEqual({ dataDir: '/var/lib/helios', logLevel: 'info' })
  expect(Object.isFrozen(settings)).toBe(true)
})

test('every problem is reported at once', () => {
  const bad = () => parseSettings({ dataDir: 'here', logLevel: 'loud' })
  expect(bad).toThrow(/HELIOS_DATA_DIR is "here"[\s\S]*HELIOS_LOG_LEVEL is "loud"/)
})
