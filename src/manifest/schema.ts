/**
 * @module
 * The schema of OAL as far as this version does it.
 */
import { z } from 'zod'
import { HeliosError } from '../lib/errors.ts'
import { parseAppName, parseEnvKey, parseEnvValue, parseProcessName } from '../lib/names.ts'
import { impliedBuilder } from './builder-keys.ts'
import * as f from './fields.ts'
import type { AppSpec, BuildSpec, HealthSpec, ProcessSpec } from './types.ts'

const BUILDERS = ['auto', 'dockerfile', 'image', 'static', 'node', 'python'] as const
const SIGNALS = [
  'SIGTERM',
  'SIGINT',
  'SIGQUIT',
  'SIGHUP',
  'SIGUSR1',
  'SIGUSR2',
  'SIGWINCH',
  'SIGKILL',
] as const
const MAX_ENV = 1000
const MAX_INSTANCES = 100
const MIB = 2 ** 20

const oneOf = <const T extends readonly string[]>(values: T) =>
  z.enum(values, { error: `write ${values.length > 1 ? 'one of ' : ''}${values.join(', ')}` })

const pathBelow = f.matching(
  /^(?!\/)(?!(?:.*\/)?\.\.(?:\/|$))[^\p{Cc}\\]{1,1024}$/u,
  'write a path below the root of the source, without ..',
)
const memory = f.size('8MiB', '1024GiB')

const limits = f.keys({
  memory: memory.default(1024 * MIB),
  cpus: f.cpus().default(1),
  timeout: f.duration('1s', '1d').default(15 * 60_000),
})

const build = f.keys({
  builder: oneOf(BUILDERS).default('auto'),
  dockerfile: pathBelow.exactOptional(),
  target: f
    .matching(/^[A-Za-z0-9][\w.-]{0,127}$/, 'write the name of a stage of the Dockerfile')
    .exactOptional(),
  args: f.section(
    f.mapOf(
      f.matching(/^[A-Za-z_]\w{0,127}$/, 'use letters, digits and _, as in NODE_ENV'),
      z.string({ error: 'write text' }),
    ),
  ),
  image: f
    .matching(/^\w[\w.:/@-]{0,511}$/, 'write an image, as in "registry.example.com/shop:1"')
    .exactOptional(),
  root: pathBelow.exactOptional(),
  spa: z.boolean({ error: 'write true or false' }).exactOptional(),
  run: f.matching(/^[^\r\n]*\S[^\r\n]*$/, 'write one line of text').exactOptional(),
  limits: f.section(limits),
})

const health = f.keys({
  path: f
    .matching(/^\/[^\s#\p{Cc}]{0,1023}$/u, 'write a path that starts with /, as in /healthz')
    .exactOptional(),
  interval: f.duration('100ms', '1h').default(2000),
  timeout: f.duration('100ms', '1h').default(2000),
  grace: f.duration('1s', '1h').default(60_000),
})

const stop = f.keys({
  signal: oneOf(SIGNALS).default('SIGTERM'),
  grace: f.duration('0s', '1h').default(30_000),
})

const process = f.keys({
  command: f.command().exactOptional(),
  port: f.whole(1, 65_535).exactOptional(),
  instances: f.whole(0, MAX_INSTANCES).default(1),
  memory: memory.default(512 * MIB),
  cpus: f.cpus().default(1),
  health: f.section(health).transform(
    ({ interval, timeout, grace, ...rest }): HealthSpec => ({
      ...rest,
      intervalMs: interval,
      timeoutMs: timeout,
      graceMs: grace,
    }),
  ),
  stop: f.section(stop).transform(({ signal, grace }) => ({ signal, graceMs: grace })),
})

/** One process as it is written in a manifest; missing keys take their defaults. */
export const processSchema = f
  .section(process)
  .transform(({ memory, ...rest }): ProcessSpec => ({ ...rest, memoryBytes: memory }))

const env = f
  .mapOf(f.parsed(parseEnvKey, 'write a key'), f.parsed(envValue, 'write text, or "" for none'))
  .refine((vars) => Object.keys(vars).length <= MAX_ENV, {
    error: `\`env\` has more than ${MAX_ENV} keys`,
    params: { [f.SENTENCE]: true },
  })

const rollout = f.keys({
  strategy: oneOf(['blue-green']).default('blue-green'),
  drain: f.duration('0s', '1h').default(30_000),
})

const name = f.parsed(parseAppName, 'write a name')

const top = f.keys({
  oal: z.literal(1, { error: 'write `oal: 1`' }),
  app: name.exactOptional(),
  team: name.exactOptional(),
  build: f.section(build).transform(
    ({ builder, limits, ...rest }): BuildSpec => ({
      dockerfile: 'Dockerfile',
      spa: false,
      ...rest,
      builder: builder === 'auto' ? impliedBuilder(rest) : builder,
      limits: { memoryBytes: limits.memory, cpus: limits.cpus, timeoutMs: limits.timeout },
    }),
  ),
  env: f.section(env),
  processes: f.section(f.mapOf(f.parsed(parseProcessName, 'write a name'), processSchema)),
  rollout: f.section(rollout).transform(({ drain }) => ({ drainMs: drain })),
})

/** A manifest as people write it, giving what the rest of Helios works with. */
export const manifestSchema = top.transform((spec): AppSpec => spec)

/** The keys this version does, by the place they stand in; `*` is the name of a process. */
export const KNOWN_KEYS: Readonly<Record<string, readonly string[]>> = {
  '': Object.keys(top.shape),
  build: Object.keys(build.shape),
  'build.limits': Object.keys(limits.shape),
  'processes.*': Object.keys(process.shape),
  'processes.*.health': Object.keys(health.shape),
  'processes.*.stop': Object.keys(stop.shape),
  rollout: Object.keys(rollout.shape),
}

function envValue(text: string): string {
  if (!/\$\{[A-Za-z_]\w*\}/.test(text)) return parseEnvValue('this key', text)
  throw new HeliosError('invalid_value', `\`\${NAME}\` in env ${NOT_YET}`)
}

/** What is said of a part of OAL that a later version will do. */
export const NOT_YET = 'is part of OAL but this Helios does not support it yet'
