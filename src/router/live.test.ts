import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createLiveStates } from './live.ts'

let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'live-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

const first = { app: 'app_1', release: 'rel_1', addresses: ['10.0.0.1:80'] }
const second = { app: 'app_1', release: 'rel_2', addresses: ['10.0.0.2:80', '10.0.0.3:80'] }

test('a state is there until the next one, and one file says it', async () => {
  const live = createLiveStates(dir)
  expect(await live.getLive('app_1')).toBeUndefined()
  expect(await live.listLive()).toEqual([])
  for (const state of [first, first, second, { ...second, addresses: [] }]) {
    await live.setLive(state)
    expect(await live.getLive('app_1')).toEqual(state)
    expect(readdirSync(join(dir, 'app_1'))).toHaveLength(1)
  }
})

test('another reader of the same folder sees the same', async () => {
  await createLiveStates(dir).setLive(first)
  await createLiveStates(dir).setLive({ ...second, app: 'app_2' })
  const live = createLiveStates(dir)
  expect((await live.listLive()).sort()).toEqual(['app_1', 'app_2'])
  await live.removeLive('app_1')
  await live.removeLive('app_1')
  expect(await live.listLive()).toEqual(['app_2'])
  expect(await live.getLive('app_2')).toEqual({ ...second, app: 'app_2' })
})

test('strangers in an app folder go with the next switch', async () => {
  const live = createLiveStates(dir)
  await live.setLive(first)
  writeFileSync(join(dir, 'app_1', 'a-stranger'), '')
  writeFileSync(join(dir, 'app_1', 'z-stranger'), '')
  expect(await live.getLive('app_1')).toEqual(first)
  await live.setLive(first)
  expect(readdirSync(join(dir, 'app_1'))).toHaveLength(1)
  expect(await live.getLive('app_1')).toEqual(first)
})

test('a folder without a state is not a live app', async () => {
  mkdirSync(join(dir, 'app_3'))
  writeFileSync(join(dir, 'notes'), '')
  expect(await createLiveStates(dir).listLive()).toEqual([])
})

test('a bad state changes nothing', async () => {
  const live = createLiveStates(dir)
  await live.setLive(first)
  await expect(live.setLive({ ...second, addresses: ['nowhere'] })).rejects.toThrow('"nowhere"')
  await expect(live.setLive({ ...second, app: '../x' })).rejects.toThrow('"../x"')
  await expect(live.removeLive('..')).rejects.toThrow('".."')
  expect(await live.getLive('app_1')).toEqual(first)
})
