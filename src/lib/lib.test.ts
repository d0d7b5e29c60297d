import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { deadline, keyedMutex, sleep, until, withDeadline } from './async.ts'
import { isToken, newToken, sameText, sha256 } from './crypto.ts'
import { HeliosError, messageOf, show } from './errors.ts'
import { run } from './exec.ts'
import { isId, newId } from './ids.ts'
import { type Part, runParts } from './lifecycle.ts'
import { createLogger, silentLogger } from './log.ts'
import {
  parseAppName,
  parseEnvKey,
  parseEnvValue,
  parseGitRef,
  parseHost,
  parseProcessName,
} from './names.ts'
import { parseDuration, parseSize, printSize } from './size.ts'

const codeOf = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    return error instanceof HeliosError ? error.code : messageOf(error)
  }
  return 'accepted'
}

describe('names', () => {
  test.each([
    ['', 'invalid_name'],
    ['a'.repeat(41), 'invalid_name'],
    ['App', 'invalid_name'],
    ['-a', 'invalid_name'],
    ['a--b', 'invalid_name'],
    ['a-', 'invalid_name'],
    ['a_b', 'invalid_name'],
    ['a;id', 'invalid_name'],
    ['a/../b', 'invalid_name'],
    ['ａpp', 'invalid_name'],
    ['аpp', 'invalid_name'],
    ['a\n', 'invalid_name'],
    ['www', 'name_reserved'],
    ['my-shop-2', 'accepted'],
    ['a'.repeat(40), 'accepted'],
  ])('app %j: %s', (name, code) => expect(codeOf(() => parseAppName(name))).toBe(code))

  test.each([
    ['1A', 'invalid_env_key'],
    ['A B', 'invalid_env_key'],
    ['A=B', 'invalid_env_key'],
    ['PATH\0', 'invalid_env_key'],
    ['HELIOS_X', 'invalid_env_key'],
    ['LD_PRELOAD', 'accepted'],
  ])('config key %j: %s', (key, code) => expect(codeOf(() => parseEnvKey(key))).toBe(code))

  test('config values are bytes with two limits', () => {
    expect(parseEnvValue('A', '$(id) "q" \n # $X')).toBe('$(id) "q" \n # $X')
    expect(codeOf(() => parseEnvValue('A', 'a\0b'))).toBe('env_value_nul')
    expect(codeOf(() => parseEnvValue('A', 'x'.repeat(65_537)))).toBe('env_value_too_large')
  })

  test.each([
    ['http://x', 'invalid_domain'],
    ['x', 'invalid_domain'],
    ['a..b', 'invalid_domain'],
    [`${'a.'.repeat(130)}com`, 'invalid_domain'],
    ['127.0.0.1', 'invalid_domain'],
    ['*.com', 'invalid_domain'],
    ['shop.example.com', 'accepted'],
  ])('host %j: %s', (host, code) => expect(codeOf(() => parseHost(host))).toBe(code))

  test('hosts are normalised', () => {
    expect(parseHost('EXAMPLE.com.')).toBe('example.com')
    expect(parseHost('bücher.example')).toBe('xn--bcher-kva.example')
  })

  test.each([
    ['--upload-pack=x', 'invalid_ref'],
    ['refs/heads/a..b', 'invalid_ref'],
    ['refs/heads/x.lock', 'invalid_ref'],
    ['refs/heads/-x', 'invalid_ref'],
    ['refs/heads/a\u0007', 'invalid_ref'],
    [`refs/heads/${'a'.repeat(300)}`, 'invalid_ref'],
    ['refs/heads/main', 'accepted'],
  ])('ref %j: %s', (ref, code) => expect(codeOf(() => parseGitRef(ref))).toBe(code))

  test('process names', () => {
    expect(parseProcessName('worker-2')).toBe('worker-2')
    expect(codeOf(() => parseProcessName('2'))).toBe('invalid_name')
  })
})

test('sizes and durations need their unit', () => {
  expect(parseSize('512MB ')).toBe(512 * 2 ** 20)
  expect(parseSize('1.5GiB')).toBe(1.5 * 2 ** 30)
  for (const bad of ['1', '-1', 'MiB', '1e3k', '1TiB']) {
    expect(codeOf(() => parseSize(bad))).toBe('invalid_size')
  }
  expect(parseDuration('500ms', 'grace')).toBe(500)
  expect(parseDuration('1d', 'grace')).toBe(86_400_000)
  expect(codeOf(() => parseDuration('5', 'grace'))).toBe('invalid_value')
  expect(printSize(512 * 2 ** 20)).toBe('512 MiB')
})

test('ids sort by time and are recognised by kind', () => {
  expect(newId('app', 1) < newId('app', 2)).toBe(true)
  expect(isId('app', newId('app'))).toBe(true)
  expect(isId('rel', newId('app'))).toBe(false)
  expect(isId('app', 'app_../../etc/passwd')).toBe(false)
})

test('tokens carry a checksum that catches every changed letter', () => {
  fc.assert(
    fc.property(fc.nat(50), (at) => {
      const token = newToken('pat')
      const other = token[at] === 'A' ? 'B' : 'A'
      expect(isToken(token)).toBe(true)
      expect(isToken(token.slice(0, at) + other + token.slice(at + 1))).toBe(false)
    }),
  )
  expect(sha256('abc')).toMatch(/^ba7816bf/)
  expect(sameText('a', 'a')).toBe(true)
  expect(sameText('a', 'ab')).toBe(false)
})

test('values in messages are cut and escaped', () => {
  expect(show('a\u001b[31m')).toBe('"a\\u001b[31m"')
  expect(show('x'.repeat(500)).length).toBeLessThan(90)
})

describe('async', () => {
  test('sleep and withDeadline reject with the reason of the signal', async () => {
    const reason = new Error('enough')
    await expect(sleep(10_000, AbortSignal.abort(reason))).rejects.toBe(reason)
    await expect(withDeadline(sleep(10), AbortSignal.abort(reason))).rejects.toBe(reason)
    await expect(withDeadline(Promise.resolve(1), deadline(1000))).resolves.toBe(1)
  })

  test('until asks again', async () => {
    let asked = 0
    const probe = () => (++asked === 3 ? 'yes' : undefined)
    await expect(until(probe, { everyMs: 1, signal: deadline(5000) })).resolves.toBe('yes')
  })

  test('keyedMutex keeps the order of one key, also after a failure', async () => {
    const lock = keyedMutex()
    const seen: number[] = []
    const step = (n: number, ms: number) => async () => {
      await sleep(ms)
      seen.push(n)
      if (n === 1) throw new Error('one')
    }
    const first = lock('a', step(1, 20))
    const second = lock('a', step(2, 0))
    await expect(first).rejects.toThrow('one')
    await second
    expect(seen).toEqual([1, 2])
  })
})

describe('run', () => {
  test('passes words through untouched and bounds the output', async () => {
    const words = ['$(id)', '; ls', '"']
    const result = await run(['printf', '%s|', ...words])
    expect(result.stdout.toString()).toBe('$(id)|; ls|"|')
    await expect(run(['head', '-c', '1000', '/dev/zero'], { maxBytes: 10 })).rejects.toThrow(
      'more than 10',
    )
    await expect(run(['false'])).rejects.toThrow('ended with 1')
    await expect(run(['no-such-program'])).rejects.toThrow('Run no-such-program')
  })

  test('gives the program no environment of ours', async () => {
    const result = await run(['env'], { env: { ONLY: 'this' } })
    expect(
      result.stdout
        .toString()
        .split('\n')
        .map((line) => line.split('=')[0])
        .sort(),
    ).toEqual(['', 'LC_ALL', 'ONLY', 'PATH'])
  })

  test('ends the program when the signal aborts', async () => {
    await expect(run(['sleep', '60'], { signal: AbortSignal.timeout(50) })).rejects.toThrow(
      /timeout/,
    )
  })
})

describe('runParts', () => {
  const part = (name: string, calls: string[], fails = false): Part => ({
    name,
    start: async () => {
      if (fails) throw new Error(`${name} fails`)
      calls.push(`+${name}`)
    },
    stop: async () => void calls.push(`-${name}`),
  })
  const opts = { log: silentLogger(), stopDeadlineMs: 1000, signal: new AbortController().signal }

  test('starts in order, stops in reverse, once', async () => {
    const calls: string[] = []
    const running = await runParts([part('a', calls), part('b', calls)], opts)
    expect(running.states()).toEqual({ a: { ok: true }, b: { ok: true } })
    await Promise.all([running.stop(), running.stop()])
    expect(calls).toEqual(['+a', '+b', '-b', '-a'])
  })

  test('undoes what has started when one fails', async () => {
    const calls: string[] = []
    const list = [part('a', calls), part('b', calls, true), part('c', calls)]
    await expect(runParts(list, opts)).rejects.toThrow('b fails')
    expect(calls).toEqual(['+a', '-a'])
  })
})

test('secrets do not reach the log', () => {
  const lines: string[] = []
  const log = createLogger({ level: 'info', stream: { write: (line) => void lines.push(line) } })
  log.info({ token: 'canary', req: { headers: { authorization: 'canary' } } }, 'request')
  expect(lines.join()).toContain('[redacted]')
  expect(lines.join()).not.toContain('canary')
})
