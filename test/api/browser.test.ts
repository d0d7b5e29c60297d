import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { createApiServer } from '../../src/api/server.ts'
import { requestDeployment, setDeploymentState } from '../../src/core/deployments.ts'
import { HeliosError } from '../../src/lib/errors.ts'
import { createPages } from '../../src/web/routes.tsx'
import { makeApi, type TestApi } from './support.ts'

const CHROMIUM = '/usr/bin/chromium'
const FLAGS =
  '--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync'

let t: TestApi
let server: ReturnType<typeof createApiServer>
let browser: Browser
let base: string

describe.skipIf(!existsSync(CHROMIUM))('in a browser', { timeout: 120_000 }, () => {
  beforeAll(async () => {
    t = makeApi()
    const listen = { host: '127.0.0.1', port: 0 }
    server = createApiServer(t.deps, { listen, pages: createPages(t.deps) })
    await server.start(new AbortController().signal)
    base = `http://127.0.0.1:${server.address().port}`
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS.split(' ') })
  }, 120_000)
  afterAll(async () => {
    await browser?.close()
    await server.stop(AbortSignal.timeout(3000))
    t.close()
  })

  const open = async (width: number, colorScheme: 'light' | 'dark') => {
    const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme })
    const said: string[] = []
    page.on('console', (message) => message.type() === 'error' && said.push(message.text()))
    page.on('pageerror', (error) => said.push(error.message))
    await page.goto(base)
    await page.getByLabel('Token').fill(t.tokens.owner)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.waitForURL(`${base}/`)
    return { page, said }
  }

  test.each([
    [1280, 'light'],
    [390, 'dark'],
  ] as const)('the list follows what happens, at %d pixels in the %s', async (width, scheme) => {
    const { page, said } = await open(width, scheme)
    const hostile = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`
    const app = t.newApp(`shop-${width}`)
    const row = page.locator('li', { hasText: `shop-${width}.localhost` })
    await row.getByText('Not deployed yet').waitFor()
    t.deploy(app.name)
    await row.getByText('Running').waitFor()
    await row.getByRole('link').focus()
    const actor = { userId: 'u', name: 'ada', via: 'key', credential: hostile } as const
    const asked = { app, actor, reason: 'push', description: hostile, now: Date.now() } as const
    const { id } = requestDeployment(t.db, asked)
    const error = new HeliosError('HX30', `${hostile} ${'long'.repeat(200)}`)
    setDeploymentState(t.db, id, { state: 'failed', error }, Date.now())
    await row.getByText('Failed').waitFor()
    expect(await row.locator('.error').textContent()).toBe(error.message)
    expect(await page.title()).toBe('Apps · Helios')
    expect(await page.locator('li img, li script').count()).toBe(0)
    // A row that is replaced keeps the focus that was in it, and nothing is wider than the window.
    expect(await page.evaluate('document.activeElement.textContent')).toContain(app.name)
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
    expect(await page.locator('#live').textContent()).toBe('Live')
    expect(said).toEqual([])
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.waitForURL(`${base}/login`)
    await page.close()
  })

  test('a browser without scripts sees the same list', async () => {
    const context = await browser.newContext({ javaScriptEnabled: false })
    const page = await context.newPage()
    await page.goto(base)
    await page.getByLabel('Token').fill(t.tokens.viewer)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await vi.waitFor(async () => expect(await page.locator('li.app').count()).toBeGreaterThan(0))
    await context.close()
  })

  test('another tab that signs out ends the page', async () => {
    const { page } = await open(800, 'light')
    await page.locator('#live.on').waitFor()
    t.db.$client.prepare('DELETE FROM sessions').run()
    await page.waitForURL(`${base}/login`)
    await page.close()
  })
})
