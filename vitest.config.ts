import { defineConfig } from 'vitest/config'

const ROOMS = ['core', 'engine', 'queue', 'manifest', 'router', 'runtime', 'builders']

const oxc = { jsx: { runtime: 'automatic', importSource: 'hono/jsx' } } as const

export default defineConfig({
  test: {
    coverage: {
      provider: 'v8',
      include: ROOMS.map((room) => `src/${room}/**/*.ts`),
      exclude: ['**/*.test.ts', '**/types.ts'],
      reporter: ['text-summary', 'json-summary'],
      thresholds: Object.fromEntries(ROOMS.map((room) => [`src/${room}/**`, { lines: 90 }])),
    },
    projects: [
      {
        oxc,
        test: {
          name: 'unit',
          include: ['src/**/*.test.{ts,tsx}', 'test/*.test.ts'],
          testTimeout: 20_000,
        },
      },
      {
        oxc,
        test: { name: 'api', include: ['test/api/**/*.test.ts'], testTimeout: 30_000 },
      },
      {
        oxc,
        test: {
          name: 'e2e',
          include: ['test/{docker,router,git,e2e}/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          fileParallelism: false,
          // Rollouts and their timings deserve the machine for themselves.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
