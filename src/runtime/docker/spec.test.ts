import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HeliosError } from '../../lib/errors.ts'
import type { WorkloadSpec } from '../types.ts'
import { createBody, stopSeconds } from './spec.ts'

const web: WorkloadSpec = {
  name: 'helios-a1-web-1',
  image: 'helios/a1:r1',
  command: ['node', 'server.js'],
  env: { PORT: '3000', A: 'b=c' },
  labels: { 'helios.app': 'a1' },
  network: 'helios-a1',
  memoryBytes: 268_435_456,
  cpus: 0.5,
  stopSignal: 'SIGTERM',
  stopGraceMs: 29_500,
  restart: 'always',
}

const golden = {
  name: 'helios-a1-web-1',
  Image: 'helios/a1:r1',
  Cmd: ['node', 'server.js'],
  Env: ['A=b=c', 'PORT=3000'],
  Labels: { 'helios.app': 'a1' },
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  StopSignal: 'SIGTERM',
  StopTimeout: 30,
  HostConfig: {
    CapDrop: ['ALL'],
    CapAdd: ['CHOWN', 'SETUID', 'SETGID', 'DAC_OVERRIDE', 'FOWNER', 'NET_BIND_SERVICE', 'KILL'],
    SecurityOpt: ['no-new-privileges:true'],
    Init: true,
    PidsLimit: 512,
    Memory: 268_435_456,
    MemorySwap: 268_435_456,
    NanoCpus: 500_000_000,
    Ulimits: [
      { Name: 'core', Soft: 0, Hard: 0 },
      { Name: 'nofile', Soft: 16_384, Hard: 16_384 },
    ],
    LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } },
    RestartPolicy: { Name: 'unless-stopped' },
    NetworkMode: 'helios-a1',
  },
}

describe('createBody', () => {
  test('a web process, word for word', () => {
    expect(createBody(web)).toStrictEqual(golden)
  })

  test('a one-off with a terminal is not restarted and keeps the command of the image', () => {
    const { command: _, ...rest } = web
    const body = createBody({ ...rest, restart: 'never', tty: true, stdin: true })
    expect(body).not.toHaveProperty('Cmd')
    expect(body).toMatchObject({ Tty: true, OpenStdin: true, StdinOnce: true })
    expect(body.HostConfig?.RestartPolicy).toEqual({ Name: 'no' })
  })

  test.each([
    ['a host network', { network: 'host' }],
    ['the network of another container', { network: 'container:abc' }],
    ['the shared bridge', { network: 'bridge' }],
    ['an empty network', { network: '' }],
    ['a name with a slash', { name: 'a/b' }],
    ['no memory limit', { memoryBytes: 0 }],
    ['memory without limit', { memoryBytes: -1 }],
    ['no CPU limit', { cpus: 0 }],
    ['CPUs that are no number', { cpus: Number.NaN }],
    ['an endless grace', { stopGraceMs: Number.POSITIVE_INFINITY }],
  ])('refuses %s', (_, change) => {
    expect(() => createBody({ ...web, ...change })).toThrow(HeliosError)
  })

  test('no input makes another field or loosens a fixed one', () => {
    fc.assert(
      fc.property(hostile, (spec) => {
        let body: ReturnType<typeof createBody>
        try {
          body = createBody(spec as WorkloadSpec)
        } catch (error) {
          return error instanceof HeliosError
        }
        const { Memory, MemorySwap, NanoCpus, NetworkMode, RestartPolicy, ...fixed } =
          body.HostConfig ?? {}
        const { Memory: _m, MemorySwap: _s, NanoCpus: _n, ...others } = golden.HostConfig
        const { NetworkMode: _w, RestartPolicy: _r, ...expected } = others
        expect(fixed).toStrictEqual(expected)
        expect(Memory).toBeGreaterThan(0)
        expect(MemorySwap).toBe(Memory)
        expect(NanoCpus).toBeGreaterThan(0)
        expect(NetworkMode).toMatch(/^(?!(host|none|bridge|default)$)[\w.-]+$/)
        expect(['no', 'unless-stopped']).toContain(RestartPolicy?.Name)
        const known = new Set(Object.keys(golden))
        expect(Object.keys(body).filter((key) => !known.has(key))).toEqual([])
        return true
      }),
      { numRuns: 2_000 },
    )
  })
})

test('a grace is rounded up to whole seconds', () => {
  expect([0, 1, 1000, 1001].map(stopSeconds)).toEqual([0, 1, 1, 2])
})

const forbidden = {
  Privileged: true,
  Binds: ['/:/host'],
  PidMode: 'host',
  HostConfig: { Privileged: true },
}
const words = fc.oneof(
  fc.string(),
  fc.constantFrom('host', 'none', 'bridge', 'container:x', 'helios-a1', 'a', 'Privileged'),
)
const dictionary = fc.dictionary(words, fc.string())
const hostile = fc.record(
  {
    name: fc.oneof(words, fc.constant('helios-a1-web-1')),
    image: fc.string(),
    command: fc.array(fc.string()),
    env: dictionary,
    labels: dictionary,
    network: fc.oneof(words, fc.constant('helios-a1')),
    memoryBytes: fc.oneof(fc.integer(), fc.double(), fc.integer({ min: 1e7, max: 1e10 })),
    cpus: fc.oneof(fc.double(), fc.double({ min: 0.1, max: 8 })),
    stopSignal: fc.string(),
    stopGraceMs: fc.oneof(fc.double(), fc.nat(60_000)),
    restart: fc.constantFrom('always', 'never', 'on-failure'),
    tty: fc.boolean(),
    stdin: fc.boolean(),
    HostConfig: fc.constant(forbidden),
    Privileged: fc.constant(true),
    Binds: fc.constant(['/:/host']),
    Devices: fc.constant([{ PathOnHost: '/dev/kmsg' }]),
    PortBindings: fc.constant({ '80/tcp': [{ HostPort: '80' }] }),
  },
  {
    requiredKeys: [
      'name',
      'image',
      'env',
      'labels',
      'network',
      'memoryBytes',
      'cpus',
      'stopSignal',
      'stopGraceMs',
      'restart',
    ],
  },
)
