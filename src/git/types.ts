/**
 * @module
 * What git doors and repositories hand to each other.
 */

/** One line of a push as the pre-receive hook reports it; a zero id means created or deleted. */
export type RefUpdate = { ref: string; before: string; after: string }

/** Decides a push while git waits: writes `remote:` lines, then accepts or refuses. Refusing throws a HeliosError. */
export type PushHandler = (push: {
  updates: RefUpdate[]
  /** Tar stream of a pushed commit, straight from git's quarantine. */
  archive(commit: string): NodeJS.ReadableStream
  /** Paths with mode and size in a pushed commit. */
  tree(commit: string): Promise<{ path: string; mode: string; size: number }[]>
  /** Text of one file of a pushed commit, at most 1 MiB. */
  readFile(commit: string, path: string): Promise<string | undefined>
  /** Send one line to the pusher; lost without error once the pusher is gone. */
  tell(line: string): void
}) => Promise<void>
