import { readdirSync, readFileSync } from 'node:fs'
import { rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../../src/lib/async.ts'
import type { Runtime } from '../../src/runtime/types.ts'
import {
  BASE,
  buildOf,
  cgroupParent,
  docker,
  type Files,
  MIB,
  mortalEngine,
  newRun,
  runtimeOf,
  soon,
} from './engine.ts'

const { run, labels } = newRun()
let parent = ''

beforeAll(async () => {
  parent = await cgroupParent()
})

afterAll(async () => {
  for (const { id } of await runtimeOf().listImages(labels)) {
    await docker.getImage(id).remove({ force: true })
  }
  for (const root of ['', 'memory', 'cpu', 'cpuacct', 'pids']) {
    for (const path of ['buildkit', '']) {
      await rmdir(join('/sys/fs/cgroup', root, `helios-test-${run}`, path)).catch(() => undefined)
    }
  }
})

// Without cgroups in sight BuildKit cannot be capped, and the classic builder does it.
const optionsOf = (name: string): Parameters<typeof runtimeOf>[0] =>
  name === 'classic' ? { cgroupRoot: '/nonexistent' } : { cgroupParent: parent }
const runtimes = new Map<string, Runtime>()
const with_ = (name: string): Runtime => {
  const runtime = runtimes.get(name) ?? runtimeOf(optionsOf(name))
  runtimes.set(name, runtime)
  return runtime
}

async function build(
  name: string,
  files: Files,
  more: Parameters<typeof buildOf>[2] = {},
): Promise<{ info: Awaited<ReturnType<Runtime['build']>>; lines: string[]; tag: string }> {
  const lines: string[] = []
  const request = buildOf(run, files, more)
  const info = await with_(name).build(request, (line) => lines.push(line), soon())
  return { info, lines, tag: request.tag }
}

/** Processes of this machine whose command line has this text. */
function processes(text: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) return false
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(text)
    } catch {
      return false
    }
  })
}

test('the engine says its version and which caps hold', async () => {
  expect(await with_('buildkit').ping(soon())).toMatchObject({ buildLimits: 'cgroup' })
  expect(await with_('classic').ping(soon())).toEqual({
    version: expect.stringMatching(/^\d+\.\d+/),
    buildLimits: 'classic',
  })
})

describe.each(['buildkit', 'classic'])('%s', (name) => {
  test('an image is built from a context with its modes and links', async () => {
    const files: Files = {
      Dockerfile: [
        `FROM ${BASE} AS first`,
        'ARG GREETING',
        'COPY . /app',
        'WORKDIR /app',
        `RUN test -x bin/run && test ! -x deep/er/file && test "$(cat link)" = ${run} \\`,
        `  && test "$(cat second)" = ${run} && test "$(stat -c %Y-%u deep/er/file)" = 1000000-0`,
        `RUN echo "said $GREETING ${name}"`,
        'EXPOSE 8080 80/tcp 53/udp',
        'USER 1000',
        'ENTRYPOINT ["bin/run"]',
        'CMD ["a"]',
        'FROM first AS last',
        'RUN exit 1',
      ].join('\n'),
      'bin/run': { mode: 0o755, text: '#!/bin/sh' },
      // Of its own in each run: what is cached by content keeps the time of the first.
      'deep/er/file': run,
      link: { link: 'deep/er/file' },
      second: { hardlink: 'deep/er/file' },
      'deep.txt': 'sorts between a folder and what is in it',
    }
    const more = { args: { GREETING: 'hello' }, target: 'first' }
    const { info, lines, tag } = await build(name, files, more)
    expect(info).toMatchObject({ ports: [80, 8080], user: '1000', command: ['bin/run', 'a'] })
    expect(info.bytes).toBeGreaterThan(MIB)
    expect(lines.join('\n')).toContain(`said hello ${name}`)
    expect(lines.join('\n')).toMatch(/#\d+ \[(first )?\d+\/\d+\] COPY \. \/app/)
    expect(await with_(name).inspectImage(tag)).toEqual(info)
    expect((await with_(name).listImages({ 'helios.test': run })).flatMap((i) => i.tags)).toContain(
      tag,
    )

    const again = await build(name, files, more)
    expect(again.lines.filter((line) => line.endsWith(' CACHED')).length).toBeGreaterThan(2)
    expect(again.info.id).toBe(info.id)
  })

  test.each([
    [
      'a command',
      'RUN echo first && echo last >&2 && exit 3',
      /^Step \[2\/[23]\] RUN .* exit code 3\.\n {2}first\n {2}last$/,
    ],
    ['an unknown word', 'FROB x', /unknown instruction: FROB/i],
    ['a missing file', 'COPY nothere /x', /nothere/],
  ])('%s that fails is named', async (_, instruction, message) => {
    await expect(
      build(name, { Dockerfile: `FROM ${BASE}\n${instruction}\n` }),
    ).rejects.toMatchObject({ code: 'HX30', message: expect.stringMatching(message) })
  })

  test('a base image that no registry gives is named', async () => {
    await expect(
      build(name, { Dockerfile: 'FROM helios.invalid/nosuch:1\nRUN true\n' }),
    ).rejects.toMatchObject({
      code: 'HX30',
      message: expect.stringContaining(
        'The base image "helios.invalid/nosuch:1" is not on this server',
      ),
      hint: expect.stringContaining('scripts/base-images'),
    })
  })

  test('a step that takes more memory than the limit ends the build', async () => {
    const started = performance.now()
    const hungry = 'head -c 300m /dev/zero | tail > /dev/null'
    await expect(
      build(name, { Dockerfile: `FROM ${BASE}\nRUN ${hungry}\n` }, { memoryBytes: 64 * MIB }),
    ).rejects.toMatchObject({ code: 'HX31', message: expect.stringContaining('64 MiB') })
    expect(performance.now() - started).toBeLessThan(60_000)
  })

  test('an abort ends the running step', async () => {
    const mark = `4${Date.now() % 1_000_000}`
    const given = new AbortController()
    const reason = new Error('given up')
    const request = buildOf(run, { Dockerfile: `FROM ${BASE}\nRUN echo begun; sleep ${mark}\n` })
    let running = 0
    const building = with_(name).build(
      request,
      (line) => {
        if (!/^#\d+ begun$/.test(line)) return
        running = processes(mark).length
        given.abort(reason)
      },
      given.signal,
    )
    await expect(building).rejects.toBe(reason)
    expect(running).toBeGreaterThan(0)
    await until(() => (processes(mark).length === 0 ? true : undefined), {
      everyMs: 20,
      signal: soon(10_000),
    })
    await expect(with_(name).build(request, () => undefined, given.signal)).rejects.toBe(reason)
  })

  test('an engine that goes away is not a failed build', async () => {
    const mortal = await mortalEngine(`${run}-${name}`)
    const runtime = runtimeOf({ ...optionsOf(name), socketPath: mortal.socketPath })
    let dying: Promise<void> | undefined
    const building = runtime.build(
      buildOf(run, { Dockerfile: `FROM ${BASE}\nRUN echo begun; sleep 30\n` }),
      (line) => {
        if (/^#\d+ begun$/.test(line)) dying = mortal.die()
      },
      soon(),
    )
    await expect(building).rejects.toMatchObject({ code: 'HP51' })
    await dying
    await expect(
      runtime.build(buildOf(run, { Dockerfile: `FROM ${BASE}` }), () => undefined, soon()),
    ).rejects.toMatchObject({ code: 'HP51' })
  })

  test('a context that is too large to hold arrives whole', async () => {
    const files = {
      Dockerfile: `FROM ${BASE}\nCOPY big end /\nRUN : ${run}; stat -c %s-%n /big /end\n`,
      big: Buffer.alloc(40 * MIB, name),
      end: 'x',
    }
    const { lines } = await build(name, files)
    expect(lines.join('\n')).toMatch(/ 41943040-\/big\n#\d+ 1-\/end/)
  })
})

test('endless output is cut with a notice', async () => {
  const files = { Dockerfile: `FROM ${BASE}\nRUN yes 0123456789 | head -c 12m; exit 5\n` }
  const lines: string[] = []
  await expect(
    with_('classic').build(buildOf(run, files), (line) => lines.push(line), soon()),
  ).rejects.toMatchObject({ code: 'HX30', message: expect.stringContaining('exit code 5') })
  expect(lines.at(-1)).toBe('[output cut: the build printed more than 10 MiB]')
  expect(lines.join('\n').length).toBeLessThan(10.1 * MIB)
})

test('builds that run at once share the sum of their limits', async () => {
  const { CgroupDriver, CgroupVersion } = await docker.info()
  if (CgroupDriver !== 'cgroupfs') return
  const file =
    CgroupVersion === '2'
      ? `/sys/fs/cgroup/${parent}/buildkit/memory.max`
      : `/sys/fs/cgroup/memory/${parent}/buildkit/memory.limit_in_bytes`
  const limits = new Set<string>()
  const sizes = [64, 96, 128].map((mib) => mib * MIB)
  await Promise.all(
    sizes.map((memoryBytes) =>
      with_('buildkit').build(
        buildOf(
          run,
          { Dockerfile: `FROM ${BASE}\nRUN echo ${memoryBytes}; sleep 2\n` },
          { memoryBytes },
        ),
        () => limits.add(readFileSync(file, 'latin1').trim()),
        soon(),
      ),
    ),
  )
  expect([...limits]).toContain(String(288 * MIB))
})

test('caps that do not hold are noticed, and the classic builder takes over', async () => {
  const runtime = runtimeOf({ cgroupParent: `helios-test-${run}` })
  expect(await runtime.ping(soon())).toMatchObject({ buildLimits: 'cgroup' })
  const files = { Dockerfile: `FROM ${BASE}\nRUN echo ${run}\n` }
  await runtime.build(buildOf(run, files), () => undefined, soon())
  expect(await runtime.ping(soon())).toMatchObject({ buildLimits: 'classic' })
  const lines: string[] = []
  await runtime.build(buildOf(run, files), (line) => lines.push(line), soon())
  expect(lines.join('\n')).toContain(`#1 [1/3] FROM ${BASE}`)
})

test('a path that leaves the context is refused', async () => {
  await expect(
    build('buildkit', { Dockerfile: `FROM ${BASE}`, '../out': 'x' }),
  ).rejects.toMatchObject({ code: 'HX34' })
})
