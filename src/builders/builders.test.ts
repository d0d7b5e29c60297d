import { describe, expect, test } from 'vitest'
import { BUILD_SPEC, planBuild, planOf, sourceOf } from '../../test/support/source.ts'
import { HeliosError } from '../lib/errors.ts'
import { BUILDERS } from './index.ts'

type Files = Record<string, string>
const detectIn = (files: Files): unknown => planBuild(sourceOf(files), BUILD_SPEC).detected

describe('detection', () => {
  const all: Files = {
    Dockerfile: 'FROM a',
    'package.json': '{}',
    'requirements.txt': '',
    'pyproject.toml': '[project]',
    'index.html': '',
  }
  test.each([
    ['Dockerfile', 'dockerfile'],
    ['requirements.txt', 'python'],
    ['pyproject.toml', 'python'],
    ['index.html', 'static'],
  ])('%s decides for %s over those after it', (file, builder) => {
    const files = Object.fromEntries(Object.entries(all).slice(Object.keys(all).indexOf(file)))
    expect(detectIn(files)).toEqual({ builder, reason: `${file} is in the root folder` })
  })

  const looked =
    'no builder fits: looked for Dockerfile, package.json, requirements.txt, pyproject.toml and index.html in the root folder; found '
  test.each<[Files, string]>([
    [{}, 'no files'],
    [{ 'a/package.json': '', 'b.txt': '' }, 'a/package.json, b.txt'],
    [
      Object.fromEntries(Array.from({ length: 12 }, (_, at) => [`f${at}.txt`, ''])),
      'f0.txt, f1.txt, f10.txt, f11.txt, f2.txt, f3.txt, f4.txt, f5.txt, f6.txt, f7.txt and 2 more',
    ],
  ])('of %j says what it looked for and found', (files, found) => {
    expect(errorOf(() => detectIn(files))).toEqual({
      code: 'HX34',
      message: looked + found,
      hint: 'Add one of these files, or name a builder in oal.yaml under build.builder.',
    })
  })
})

function errorOf(call: () => unknown): unknown {
  try {
    call()
  } catch (error) {
    if (!(error instanceof HeliosError)) throw error
    const { code, message, hint } = error
    return { code, message, hint }
  }
  throw new Error('no error')
}

describe('dockerfile', () => {
  test('keeps the text, for any line ends, without a byte order mark', () => {
    for (const text of ['FROM a\nRUN b\n', 'FROM a\r\nRUN b\r\n', 'FROM a']) {
      expect(planOf('dockerfile', { Dockerfile: `\uFEFF${text}` }).dockerfile).toBe(text)
    }
  })

  test('passes on target, args and ignore rules', () => {
    const files = {
      'docker/Dockerfile.web': 'FROM a AS build\nFROM build',
      '.dockerignore': 'x',
      'docker/Dockerfile.web.dockerignore': 'y',
    }
    const spec = { dockerfile: './docker/Dockerfile.web', target: 'build', args: { A: 'b' } }
    const made = planOf('dockerfile', files, spec)
    expect(made).toMatchObject({ target: 'build', args: { A: 'b' }, ignore: 'y', extraFiles: {} })
    expect('sourceDir' in made).toBe(false)
    expect(planOf('dockerfile', { Dockerfile: 'FROM a', '.dockerignore': 'x' }).ignore).toBe('x')
  })

  test.each<[text: string, target: string | undefined, port: number | undefined]>([
    ['FROM a\nEXPOSE 3000/tcp', undefined, 3000],
    ['FROM a\nexpose 53/udp 80 443', undefined, 80],
    ['FROM a\nEXPOSE 80\nEXPOSE 8080', undefined, 8080],
    ['FROM a\nEXPOSE 53/udp $PORT 0 70000', undefined, undefined],
    ['FROM a\nRUN echo EXPOSE 80', undefined, undefined],
    ['FROM a AS one\nEXPOSE 80\nFROM b\nCOPY --from=one /a /b', undefined, undefined],
    ['FROM a AS one\nEXPOSE 80\nFROM ONE as two\nRUN id', undefined, 80],
    ['FROM a AS one\nEXPOSE 80\nFROM one\nEXPOSE 81', undefined, 81],
    ['FROM --platform=linux/amd64 a AS one\nEXPOSE 80\nFROM b\nEXPOSE 81', 'One', 80],
    ['FROM a\nEXPOSE 80\nFROM b\nEXPOSE 81', '0', 80],
    ['FROM a\nHEALTHCHECK CMD x \\\n EXPOSE 80', undefined, undefined],
  ])('%j for target %s listens on %s', (text, target, port) => {
    expect(planOf('dockerfile', { Dockerfile: text }, target ? { target } : {}).port).toBe(port)
  })

  test.each<[Files, object, string, string]>([
    [
      { Dockerfile: 'FROM a AS b\nFROM b AS c' },
      { target: 'x' },
      'the Dockerfile has no stage "x"',
      'Set build.target in oal.yaml to one of: b, c.',
    ],
    [
      { Dockerfile: 'FROM a' },
      { target: '1' },
      'the Dockerfile has no stage "1"',
      'Leave out build.target: no stage has a name.',
    ],
    [
      {},
      {},
      'the Dockerfile "Dockerfile" is not in the source',
      'Set build.dockerfile in oal.yaml to its path.',
    ],
  ])('%j with %j is rejected', (files, spec, message, hint) => {
    expect(errorOf(() => planOf('dockerfile', files, spec))).toEqual({
      code: 'HX34',
      message,
      hint,
    })
  })

  test('that was not kept is rejected', () => {
    const large = { paths: ['Dockerfile'], read: () => undefined }
    expect(errorOf(() => BUILDERS.dockerfile.plan(large, BUILD_SPEC))).toEqual({
      code: 'HX34',
      message: 'the Dockerfile "Dockerfile" cannot be read',
      hint: 'It may be 1 MiB large, and its name has to contain "Dockerfile".',
    })
  })

  const PLAIN = 'Save the file as plain text.'
  const COPY = 'Use COPY for files of the source; fetch others in a RUN step.'
  const PUBLIC = 'Name an image of a public registry, or a stage of this Dockerfile.'
  test.each<[text: string, message: string, hint?: string]>([
    ['', 'Dockerfile line 1: the file has no instructions', 'Start with FROM.'],
    ['# nothing\n', 'Dockerfile line 1: the file has no instructions', 'Start with FROM.'],
    ['RUN id\n', 'Dockerfile line 1: no FROM instruction was found', 'Start with FROM.'],
    ['FROM a\r\nFETCH x\r\n', 'Dockerfile line 2: "FETCH" is not a Dockerfile instruction'],
    ['FROM a\nRUN \0\n', 'Dockerfile line 2: the character "\\u0000" is not allowed', PLAIN],
    [`FROM a\n#${'x'.repeat(1024 * 1024)}`, 'Dockerfile line 1: the file is larger than 1 MiB'],
    [
      '# syntax=x/y\nFROM a\n',
      'Dockerfile line 1: a "# syntax=" frontend is not allowed',
      'Remove the line.',
    ],
    [
      'FROM a\nADD https://a.example/x /x\n',
      'Dockerfile line 2: ADD from the remote "https://a.example/x" is not allowed',
      COPY,
    ],
    [
      'FROM a\n\nADD http://127.0.0.1:2019/config/ /c\n',
      'Dockerfile line 3: ADD from the remote "http://127.0.0.1:2019/config/" is not allowed',
      COPY,
    ],
    [
      'FROM helios/r-abc\n',
      'Dockerfile line 1: FROM "helios/r-abc" is not allowed: images of other apps are not readable',
      PUBLIC,
    ],
    [
      'FROM a\nCOPY --from=sha256:ab /a /b\n',
      'Dockerfile line 2: --from "sha256:ab" is not allowed: it is an image id',
      PUBLIC,
    ],
    [
      'FROM localhost:5000/a\n',
      'Dockerfile line 1: FROM "localhost:5000/a" is not allowed: it is a registry on this host',
      PUBLIC,
    ],
    ['FROM a\nRUN --network=host id\n', 'Dockerfile line 2: --network=host is not allowed'],
    ['FROM a\nRUN --security=insecure id\n', 'Dockerfile line 2: --security is not allowed'],
  ])('%j is rejected with its line', (text, message, hint) => {
    expect(errorOf(() => planOf('dockerfile', { Dockerfile: text }))).toEqual({
      code: 'HX34',
      message,
      hint,
    })
  })
})

test('image takes a foreign image only', () => {
  const make = (image: string): unknown =>
    planBuild(sourceOf({}), { ...BUILD_SPEC, builder: 'image', image }).plan
  expect(make('a.example/b:1')).toEqual({ kind: 'image', image: 'a.example/b:1' })
  expect(() => make('helios/x')).toThrow(/not allowed/)
  expect(errorOf(() => make(''))).toEqual({
    code: 'HX34',
    message: 'the builder image needs the name of an image',
    hint: 'Set build.image in oal.yaml, as in registry.example.com/shop:1.',
  })
  expect(BUILDERS.image.detect(sourceOf({}))).toBeUndefined()
})
