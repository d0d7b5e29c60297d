import { expect, test } from 'vitest'
import { planOf } from '../../test/support/source.ts'
import { installStep, scopeCacheMounts } from './mounts.ts'

const scoped = (text: string): string => {
  const files = { Dockerfile: `FROM node:24\n${text}\n` }
  const made = planOf('dockerfile', files, {}, { cacheScope: 'app_1' })
  return made.dockerfile.split('\n').slice(1, -1).join('\n')
}

test.each([
  [
    'RUN --mount=type=cache,target=/root/.npm npm ci',
    'RUN --mount=type=cache,target=/root/.npm,id=app_1-/root/.npm npm ci',
  ],
  ['RUN --mount=type=cache,id=npm,dst=/n id', 'RUN --mount=type=cache,id=app_1-npm,dst=/n id'],
  [
    'RUN --mount=ID=a,Type=Cache,target=/n,id=b id',
    'RUN --mount=id=app_1-a,Type=Cache,target=/n,id=app_1-b id',
  ],
  [
    'RUN --mount=type=cache,target=/a \\\n  --mount=type=cache,target=/b id',
    'RUN --mount=type=cache,target=/a,id=app_1-/a \\\n  --mount=type=cache,target=/b,id=app_1-/b id',
  ],
  [
    'RUN --mount=type=cache,target=/$HOME id',
    'RUN --mount=type=cache,target=/$HOME,id=app_1-/$HOME id',
  ],
  [
    'RUN --mount=type=cache,id=other-app,target=/a id',
    'RUN --mount=type=cache,id=app_1-other-app,target=/a id',
  ],
  [
    'ONBUILD RUN --mount=type=cache,target=/a id',
    'ONBUILD RUN --mount=type=cache,target=/a,id=app_1-/a id',
  ],
  [
    'RUN --mount=type=bind,target=/x --mount=type=tmpfs,target=/y id',
    'RUN --mount=type=bind,target=/x --mount=type=tmpfs,target=/y id',
  ],
])('%j becomes %j', (text, result) => expect(scoped(text)).toBe(result))

test.each([
  ['RUN --mo"unt"=type=cache,target=/a id', 2],
  ['RUN --mount="type=cache",target=/a id', 2],
  ['RUN --mount=type=ca"che",target=/a id', 2],
  ['RUN --mount=type=ca\\\nche,id=victim,target=/a id', 2],
  ['RUN --mount=type=cache,"id=victim",target=/a id', 2],
  ['RUN --mount=type=cache,target=/a,i\\\nd=victim id', 2],
  ['ARG T=cache\nRUN --mount=type=$T,id=victim,target=/a id', 3],
  ['ONBUILD RUN --mount="type=cache",id=victim,target=/a id', 2],
])('%j is rejected', (text, line) => {
  expect(() => scoped(text)).toThrow(
    new RegExp(`^Dockerfile line ${line}: (a cache mount|the type of a mount)`),
  )
})

test('without a scope the mounts stay, and a scope has to be an id', () => {
  const text = 'FROM a\nRUN --mount=type=cache,target=/a id\n'
  expect(planOf('dockerfile', { Dockerfile: text }).dockerfile).toBe(text)
  expect(() => scopeCacheMounts(text, 'a b')).toThrow('the cache scope "a b" is not an id')
  expect(() => installStep('id', 0, 'npm', { cacheScope: 'x,id=y' })).toThrow('is not an id')
})
