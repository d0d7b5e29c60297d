/**
 * @module
 * How git is run: an environment without the machine's configuration, and our own settings on top.
 */
import { type ExecResult, run } from '../lib/exec.ts'

/** Environment of every git: nothing of the machine's or a user's configuration counts. */
const GIT_ENV: Readonly<Record<string, string>> = {
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_ATTR_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  GIT_NO_REPLACE_OBJECTS: '1',
  GIT_OPTIONAL_LOCKS: '0',
  HOME: '/nonexistent',
}

const MAX_PUSH_BYTES = 512 * 1024 * 1024

/** Settings for every git, given on its command line so that a repository cannot keep old ones. */
const SETTINGS = [
  'protocol.allow=never',
  'core.fsyncMethod=fsync',
  'gc.auto=0',
  'maintenance.auto=false',
  'receive.autogc=false',
  // One pack a push, whatever its size: it can be kept by linking two files.
  'receive.unpackLimit=1',
  `receive.maxInputSize=${MAX_PUSH_BYTES}`,
  // A depth-1 clone in CI can push; otherwise it would deploy first and be refused after.
  'receive.shallowUpdate=true',
  'receive.denyDeletes=false',
  'receive.denyCurrentBranch=ignore',
  'receive.denyDeleteCurrent=ignore',
  'receive.fsckObjects=true',
  // Old but harmless, and found in the history of many repositories.
  'receive.fsck.zeroPaddedFilemode=ignore',
  'receive.fsck.missingSpaceBeforeEmail=ignore',
  'receive.fsck.badTimezone=ignore',
  // The trees that builds start from are nobody else's business.
  'transfer.hideRefs=refs/helios',
  'uploadpack.allowFilter=true',
]

/** The command line of a git in a bare repository. */
export function gitArgv(
  repo: string,
  args: readonly string[],
  settings: readonly string[] = [],
): string[] {
  const all = [...SETTINGS, ...settings].flatMap((setting) => ['-c', setting])
  return ['git', `--git-dir=${repo}`, ...all, ...args]
}

/** The environment of a git, with what the protocol needs on top. */
export function gitEnv(more: Record<string, string> = {}): Record<string, string> {
  return { ...GIT_ENV, ...more }
}

/** What may be said of one run of git. */
export type GitOptions = {
  input?: string | Uint8Array
  okCodes?: readonly number[]
  maxBytes?: number
  signal?: AbortSignal
}

/** Run git in a repository to its end, at most two minutes. @throws {HeliosError} internal when it fails */
export function git(
  repo: string,
  args: readonly string[],
  opts: GitOptions = {},
): Promise<ExecResult> {
  const limit = AbortSignal.timeout(120_000)
  return run(gitArgv(repo, args), {
    ...opts,
    env: gitEnv(),
    signal: opts.signal ? AbortSignal.any([opts.signal, limit]) : limit,
  })
}
