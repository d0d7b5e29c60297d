import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildCli, type Cli, newCli } from '../support/cli.ts'
import { startHelios, type TestHelios } from '../support/helios.ts'

let at: TestHelios
let built: Awaited<ReturnType<typeof buildCli>>
let cli: Cli
beforeAll(async () => {
  built = await buildCli()
  at = await startHelios()
  cli = newCli(built.file, { HELIOS_DATA_DIR: at.settings.dataDir, HELIOS_LOG_LEVEL: 'silent' })
  cpSync('examples/hello-node', cli.folder, { recursive: true })
})
afterAll(async () => {
  cli.remove()
  built.remove()
  await at.remove()
})
const url = (): string => `http://${at.settings.api.host}:${at.settings.api.port}`
const edit = (text: string): void => writeFileSync(join(cli.folder, 'server.js'), text)
const answering = (text: string): string =>
  `import { createServer } from 'node:http'\ncreateServer((q, s) => { console.log('asked ' + q.url); s.end(${JSON.stringify(text)} + process.env.MOOD) }).listen(process.env.PORT)`

test('the owner who lost the token makes another on the server, and signs in with it', async () => {
  const { code, out, err } = await cli.shell(`helios token | helios login ${url()}`).ended
  expect({ code, out }).toEqual({ code: 0, out: expect.stringContaining('Signed in to http') })
  expect(err).toContain('not shown again')
})

test('a folder goes live, and status, logs and doctor say so', async () => {
  expect((await cli.run('apps:create', 'shop')).code).toBe(0)
  const deployed = await cli.run('deploy', '-a', 'shop')
  expect(deployed).toMatchObject({ code: 0 })
  expect(deployed.out).toContain(
    `shop: v1 is live at http://shop.localhost:${at.settings.http.port}/`,
  )
  expect((await at.ask('shop')).body).toContain('Hello from hello-node v1')
  const status = await cli.run('status', 'shop')
  expect(status.out).toMatch(/^shop +running +http/)
  expect(status.out).toMatch(/^web\.1 +healthy +v1/m)
  expect((await cli.run('doctor')).out).toMatch(/^ok +router /m)
})

test('a second deploy, a config var and a rollback change what answers; a broken one ends with 7', async () => {
  edit(answering('two '))
  expect((await cli.run('config:set', 'MOOD=sunny', '-a', 'shop')).code).toBe(0)
  expect((await cli.run('deploy', '-a', 'shop')).code).toBe(0)
  expect((await at.ask('shop')).body).toBe('two sunny')
  edit('process.exit(3)')
  const broken = await cli.run('deploy', '-a', 'shop')
  expect(broken).toMatchObject({ code: 7, err: expect.stringContaining('(HX10)') })
  expect((await at.ask('shop')).body).toBe('two sunny')
  expect((await cli.run('status', 'shop')).out).toContain('Last error HX10')
  expect((await cli.run('rollback', 'v1', '-a', 'shop')).code).toBe(0)
  expect((await at.ask('shop')).body).toContain('v1')
  expect(await cli.json('config', '-a', 'shop')).toMatchObject({ value: { env: {} } })
  expect((await cli.run('rollback', 'v99', '-a', 'shop')).code).toBe(4)
  const { value } = await cli.json<{ items: { number: number }[] }>('releases', '-a', 'shop')
  expect(value.items.length).toBeGreaterThanOrEqual(3)
})

test('logs follow what is asked', async () => {
  edit(answering('three '))
  expect((await cli.run('deploy', '-a', 'shop')).code).toBe(0)
  const going = cli.start(['logs', 'shop', '-f', '-n', '0'])
  for (let n = 0; n < 3; n++) {
    // Asked again until it is shown: nobody can tell when the stream is open.
    const shown = going.shows(`asked /page-${n}`)
    const again = setInterval(() => at.ask('shop', `/page-${n}`), 1000)
    await shown.finally(() => clearInterval(again))
  }
  going.signal('SIGINT')
  await going.ended
  expect((await cli.run('logs', 'shop', '-n', '1')).out).toMatch(/^\S+ web\.1: asked \/page-2\n$/)
})

test('scale and restart', async () => {
  expect((await cli.run('ps:scale', 'web=2', '-a', 'shop')).code).toBe(0)
  for (let n = 0; n < 60 && !(await cli.run('ps', '-a', 'shop')).out.includes('web: 2 of 2'); n++);
  expect((await cli.run('ps', '-a', 'shop')).out).toMatch(/^web\.2 +healthy/m)
  expect((await cli.run('config:set', 'MOOD=sunny', '-d', '-a', 'shop')).code).toBe(0)
  expect((await cli.run('ps:restart', '-a', 'shop')).code).toBe(0)
})

test('run: pipes, exit code, and a real terminal with its size', async () => {
  const piped = await cli.feed(
    'in',
    'run',
    '-a',
    'shop',
    '--',
    'sh',
    '-c',
    'cat; echo " $MOOD" >&2; exit 9',
  )
  expect(piped).toMatchObject({ code: 9, out: 'in', err: expect.stringContaining('sunny') })
  const going = cli.start(['run', '-a', 'shop', '--', 'sh'], { tty: true })
  going.type('stty size; echo "at $(whoami)"\r')
  await going.shows('30 100')
  going.type('sleep 100\r')
  await new Promise((done) => setTimeout(done, 500))
  going.type('\x03')
  going.type('exit 5\r')
  expect((await going.ended).code).toBe(5)
})

test('a destroyed app is gone', async () => {
  expect((await cli.run('apps:destroy', 'shop', '--confirm', 'shop')).code).toBe(0)
  for (let n = 0; n < 60 && (await cli.run('status', 'shop')).code === 0; n++);
  expect((await cli.run('status', 'shop')).code).toBe(4)
})
