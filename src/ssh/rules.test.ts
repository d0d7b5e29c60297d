import { expect, test } from 'vitest'
import { appOfPath, parseCommand } from './command.ts'
import { judgePush, mayDeploy } from './push-rules.ts'

test.each([
  ["git-receive-pack '/shop.git'", 'git-receive-pack', '/shop.git'],
  ["git receive-pack 'shop'", 'git-receive-pack', 'shop'],
  ["git-upload-pack '~/shop'", 'git-upload-pack', '~/shop'],
  ['git-upload-pack shop', 'git-upload-pack', 'shop'],
  ['git-upload-pack "shop.git"', 'git-upload-pack', 'shop.git'],
  ["git-upload-pack 'it'\\''s'", 'git-upload-pack', "it's"],
  ["git-upload-pack 'no'\\!''", 'git-upload-pack', 'no!'],
])('%s', (text, service, path) => {
  expect(parseCommand(text)).toEqual({ service, path })
})

test.each([
  '',
  'ls',
  'git-shell',
  'git-upload-archive x',
  'git-receive-pack',
  "git-receive-pack 'a' 'b'",
  'git-receive-pack a;id',
  'git-receive-pack $(id)',
  'git-receive-pack "$(id)"',
  "git-receive-pack 'a'b'",
  'git-receive-pack --exec=x y',
  "rm 'x'; git-receive-pack 'y'",
])('no command of git: %s', (text) => {
  expect(parseCommand(text)).toBeUndefined()
})

test('the path names the app', () => {
  for (const path of ['/shop.git', 'shop', '~/shop', '/shop/', 'shop.git/']) {
    expect(appOfPath(path)).toBe('shop')
  }
  for (const path of ['', '/', 'a/b', '/srv/git/shop.git']) {
    expect(() => appOfPath(path), path).toThrow('no path of an app')
  }
})

const none = '0'.repeat(40)
const [one, two] = ['1'.repeat(40), '2'.repeat(40)]
const update = (name: string, old = none, next = one) => ({ ref: `refs/${name}`, old, next })
const at = (name: string, oid = one) => ({ ref: `refs/heads/${name}`, oid })

test('main deploys, or master where there is no main', () => {
  const table: [string[], string[], string | undefined][] = [
    [[], ['heads/main'], 'heads/main'],
    [[], ['heads/master'], 'heads/master'],
    [[], ['heads/master', 'heads/main'], 'heads/main'],
    [['master'], ['heads/main'], undefined],
    [['main'], ['heads/master'], undefined],
    [['main', 'master'], ['heads/master'], undefined],
    [[], ['heads/next'], undefined],
    [[], ['tags/main'], undefined],
  ]
  for (const [there, pushed, deploys] of table) {
    const { deploy } = judgePush(
      pushed.map((ref) => update(ref)),
      there.map((name) => at(name)),
    )
    expect(deploy?.ref).toBe(deploys && `refs/${deploys}`)
  }
  expect(mayDeploy([update('heads/next')])).toBe(false)
})

test('what is only stored is said, tags beside a deploy are not', () => {
  const both = judgePush([update('heads/main'), update('heads/next'), update('tags/v1')], [])
  expect(both.notes).toEqual(['next: stored, not deployed: deploys come from main'])
  expect(judgePush([update('tags/v1')], []).notes).toEqual([
    'v1: stored, not deployed: deploys come from main',
  ])
  expect(judgePush([update('heads/next', one, none)], []).notes).toEqual([])
})

test('what must not be done is refused', () => {
  const bad: [Parameters<typeof judgePush>, RegExp][] = [
    [[[update('heads/main', one, none)], [at('main')]], /cannot be deleted/],
    [[[update('heads/main', none, two)], [at('main')]], /Somebody else pushed main/],
    [[[update('heads/main', one, two)], []], /Somebody else/],
    [[[update('notes/x')], []], /no branch and no tag/],
    [[[update('heads/a..b')], []], /no git ref/],
    [[[update('heads/x.lock')], []], /no git ref/],
    [[Array.from({ length: 1001 }, () => update('heads/x')), []], /at most 1000/],
  ]
  for (const [args, why] of bad) expect(() => judgePush(...args)).toThrow(why)
})
