import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startHelios, type TestHelios } from '../support/helios.ts'
import { newPerson, type Person } from '../support/pusher.ts'

let at: TestHelios
let person: Person
beforeAll(async () => {
  at = await startHelios()
  person = await newPerson(at.settings, at.token)
})
afterAll(() => at.remove())

describe.each([
  ['hello-node', 'server.js'],
  ['hello-python', 'app.py'],
  ['hello-static', 'index.html'],
  ['hello-dockerfile', 'server.mjs'],
])('%s', (example, file) => {
  test('is live after a push, and a second push changes it', async () => {
    const work = person.work(example, `examples/${example}`)
    const first = await work.push(example)
    expect(first).toMatchObject({ code: 0 })
    expect(first.text).toMatch(
      new RegExp(`remote: -----> v1 .*http://${example}\\.localhost:${at.settings.http.port}/`),
    )
    const one = await at.ask(example)
    expect([one.status, one.body]).toEqual([
      200,
      expect.stringContaining(`Hello from ${example} v1`),
    ])
    work.edit(file, 'v1', 'v2')
    const second = await work.push(example)
    expect(second.text).toContain('v2')
    expect((await at.ask(example)).body).toContain(`Hello from ${example} v2`)
  })
})

describe('a broken push', () => {
  const node = (text: string) => ({ 'package.json': '{"main":"server.js"}', 'server.js': text })
  const good = `require('http').createServer((q, s) => { s.statusCode = q.url === '/' ? 200 : 404; s.end('good') }).listen(process.env.PORT)`
  const oal = (more: string) => `oal: 1\nprocesses:\n  web:\n    ${more}\n`
  const cases: [name: string, files: Record<string, string>, sentence: string][] = [
    [
      'whose build fails',
      { Dockerfile: 'FROM node:24-slim\nRUN echo before && exit 7\n' },
      'HX30: ',
    ],
    [
      'that crashes at its start',
      node('console.log("about to fail"); process.exit(3)'),
      'HX10: web.1 crashed with exit 3 at its start',
    ],
    [
      'that listens on nothing',
      { ...node('setInterval(() => {}, 1000)'), 'oal.yaml': oal('health: { grace: 2s }') },
      'HX20: web.1: nothing listens on $PORT (=8080) within 2 s; listening: nothing',
    ],
    [
      'that listens on its loopback',
      {
        ...node(`require('http').createServer().listen(3000, '127.0.0.1')`),
        'oal.yaml': oal('health: { grace: 2s }'),
      },
      'listening: 127.0.0.1:3000',
    ],
    [
      'whose health path is not there',
      { ...node(good), 'oal.yaml': oal('health: { path: /healthz, grace: 2s }') },
      'HX40: web.1: health path /healthz answered 404 within 2 s',
    ],
    [
      'that needs more memory than it has',
      {
        ...node('const a = []; setInterval(() => a.push(Buffer.alloc(1e7, 1)), 1)'),
        'oal.yaml': oal('memory: 64MiB'),
      },
      'HR15: web.1 ran out of memory at 64 MiB',
    ],
    ['without anything known', { 'notes.txt': 'nothing' }, 'HX34: no builder fits'],
    [
      'with a wrong manifest',
      { ...node(good), 'oal.yaml': 'oal: 1\nprocesses:\n  web:\n    replica: 2\n' },
      'invalid_manifest: ',
    ],
    [
      'whose Dockerfile reaches out',
      { Dockerfile: 'FROM node:24-slim\nADD http://127.0.0.1:2019/config /c\n' },
      'HX34: Dockerfile line 2: ADD from the remote',
    ],
  ]

  beforeAll(async () => {
    const pushed = await person.work('good', undefined, node(good)).push('broken')
    expect(pushed.text).toContain('v1')
  })

  test.each(cases)(
    '%s is rejected with the reason, and the old version answers',
    async (name, files, sentence) => {
      const work = person.work(`bad ${name}`, undefined, files)
      let answers = 0
      let pushing = true
      const asking = (async () => {
        while (pushing) {
          expect((await at.ask('broken')).body).toBe('good')
          answers += 1
        }
      })()
      const pushed = await work.push('broken', '--force')
      pushing = false
      await asking
      expect(pushed.text).toContain(sentence)
      expect(pushed.text).toContain('[remote rejected] main -> main')
      expect(pushed.code).toBe(1)
      expect(answers).toBeGreaterThan(0)
      expect((await at.ask('broken')).body).toBe('good')
    },
  )

  test('leaves no instance but those of the live release, and its output is told', async () => {
    const { body } = await at.api<{ processes: { instances: { release: number }[] }[] }>(
      'GET',
      '/apps/broken/processes',
    )
    expect(body).toMatchObject({ items: [{ instances: [{ release: 1, state: 'running' }] }] })
    const told = await person
      .work('told', undefined, node('console.log("about to fail"); process.exit(3)'))
      .push('broken', '--force')
    expect(told.text).toContain('web.1 | about to fail')
  })
})
