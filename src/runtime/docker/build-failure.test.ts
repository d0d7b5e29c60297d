import { expect, test } from 'vitest'
import { type BuildFailure, explainFailure, plainMessage } from './build-failure.ts'

const MIB = 2 ** 20
const RUN = '[2/2] RUN make'

function explain(
  message: string,
  more: Partial<BuildFailure> & { tail?: string[]; name?: string; stepError?: string } = {},
): { code: string; message: string; hint: string | undefined } {
  const { tail = [], name = RUN, stepError = '', ...rest } = more
  const {
    code,
    message: text,
    hint,
  } = explainFailure({
    message,
    step: { name, error: stepError, tail },
    memoryBytes: 64 * MIB,
    sharedBytes: 64 * MIB,
    memoryRanOut: undefined,
    ...rest,
  })
  return { code, message: text, hint }
}

test.each<[string, string, Parameters<typeof explain>[1], string, RegExp]>([
  [
    'an exit code',
    'executor failed running [/bin/sh -c make]: exit code: 3',
    { tail: ['a', ' ', 'b'] },
    'HX30',
    /^Step \[2\/2\] RUN make ended with exit code 3\.\n {2}a\n {2}b$/,
  ],
  [
    'an exit code of newer engines',
    'failed to solve: process "/bin/sh -c make" did not complete successfully: exit code: 2',
    {},
    'HX30',
    /exit code 2/,
  ],
  [
    'an exit code of the classic builder',
    "The command '/bin/sh -c make' returned a non-zero code: 9",
    {},
    'HX30',
    /exit code 9/,
  ],
  ['a kill', 'exit code: 137', {}, 'HX31', /memory at 64 MiB: step \[2\/2\] RUN make was killed/],
  [
    'a kill with others beside',
    'exit code: 137',
    { sharedBytes: 128 * MIB },
    'HX31',
    /at 64 MiB; the builds that ran at the same time shared 128 MiB/,
  ],
  [
    'a kill that the kernel knows nothing of',
    'exit code: 137',
    { memoryRanOut: false },
    'HX30',
    /exit code 137/,
  ],
  [
    'a killed child',
    'exit code: 1',
    { memoryRanOut: true, tail: ['cc: fatal error: Killed signal'] },
    'HX31',
    /ran out of memory/,
  ],
  [
    'an exit code at full memory',
    'exit code: 1',
    { memoryRanOut: true, tail: ['syntax error'] },
    'HX30',
    /exit code 1/,
  ],
  [
    'a full disk',
    'write /x: no space left on device',
    {},
    'HX30',
    /^Disk full: .*RUN make\.\n {2}write \/x/,
  ],
  [
    'a full disk in a step',
    'exit code: 1',
    { tail: ['tar: x: No space left on device'] },
    'HX30',
    /^Disk full/,
  ],
  [
    'a full /dev/shm',
    'exit code: 1',
    { tail: ["dd: '/dev/shm/x': No space left on device"] },
    'HX30',
    /exit code 1/,
  ],
  [
    'a missing base image',
    'failed to solve: node:99: not found',
    { name: '[internal] load metadata for docker.io/library/node:99', stepError: 'not found' },
    'HX30',
    /^The base image "node:99" is not on this server/,
  ],
  [
    'a missing image of a registry',
    'pull access denied',
    { name: '[internal] load metadata for ghcr.io/a/b:1' },
    'HX30',
    /"ghcr.io\/a\/b:1"/,
  ],
  [
    'a missing base image in the classic builder',
    'pull access denied for node',
    { name: '[1/2] FROM node:99' },
    'HX30',
    /"node:99"/,
  ],
  [
    'a wrong instruction',
    'failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 2: unknown instruction: FOO',
    { name: '[internal] load build definition' },
    'HX30',
    /^The build failed: dockerfile parse error line 2: unknown instruction: FOO$/,
  ],
  [
    'a missing file',
    'failed to compute cache key: "/x" not found: not found',
    { name: '[2/2] COPY x /' },
    'HX30',
    /^The build failed in step \[2\/2\] COPY x \/: "\/x" not found/,
  ],
])('%s is explained', (_, message, more, code, text) => {
  const error = explain(message, more)
  expect(error).toMatchObject({ code, message: expect.stringMatching(text) })
  expect(error.hint).toMatch(/\.$/)
})

test('a failure without a step is still a sentence', () => {
  const failure = { message: 'odd', memoryBytes: MIB, sharedBytes: MIB, memoryRanOut: undefined }
  expect(explainFailure(failure).message).toBe('The build failed: odd')
  expect(explainFailure({ ...failure, message: 'exit code: 137' }).code).toBe('HX31')
  expect(plainMessage('rpc error: code = Unknown desc = failed to solve: x')).toBe('x')
})
