/**
 * @module
 * What the rooms of the engine work with.
 */

import type { SourceFiles } from '../builders/types.ts'
import type { PublicAddress } from '../core/address.ts'
import type { Source } from '../core/deployments.ts'
import type { Db } from '../db/open.ts'
import type { Clock } from '../lib/clock.ts'
import type { Logger } from '../lib/log.ts'
import type { Router } from '../router/types.ts'
import type { Runtime } from '../runtime/types.ts'

/** Every step at which a test may end the process, in the order of a deploy; see {@link EngineDeps.checkpoint}. */
export const CHECKPOINTS = [
  'deploy:begin',
  'build:planned',
  'build:done',
  'deploy:built',
  'deploy:released',
  'instance:created',
  'instance:started',
  'rollout:started',
  'rollout:healthy',
  'rollout:switched',
  'rollout:promoted',
  'rollout:settled',
  'push:told',
  'rollout:failed',
  'drain:begin',
  'drain:drained',
  'drain:stopped',
  'drain:removed',
  'converge:raised',
  'destroy:unrouted',
  'destroy:retired',
] as const

/** A step at which a test may end the process. */
export type CheckpointName = (typeof CHECKPOINTS)[number]

/** The log of a deployment, which the pusher and everyone else follows. */
export type DeployLogs = {
  append(id: string, line: { stream: 'out' | 'err' | 'step'; text: string }): void
  end(id: string): void
}

/** A source that is still kept; one in a repository says of which app. */
export type KeptSource = { id: string; appId?: string }

/** Where sources are kept until they are built. */
export type Sources = {
  /** What builders may look at. */
  files(source: Source, signal: AbortSignal): Promise<SourceFiles>
  /** The whole source as a tar stream; called once per try. */
  tar(source: Source, signal: AbortSignal): NodeJS.ReadableStream
  /**
   * The deployment is over: let go of the source, and move the branch when it succeeded. While its
   * pusher waits nothing happens, as the pusher's git does both.
   */
  settle(source: Source, succeeded: boolean): Promise<void>
  /** Sources that are still kept: all archives, and those in the repositories of these apps. */
  kept(appIds: readonly string[]): Promise<KeptSource[]>
  /** Let go of a source that nothing is made from. */
  drop(source: KeptSource): Promise<void>
}

/** Everything the engine needs; each room takes the part it uses. */
export type EngineDeps = {
  db: Db
  clock: Clock
  log: Logger
  serverId: string
  runtime: Runtime
  router: Router
  deployLogs: DeployLogs
  sources: Sources
  /** Everything an instance wrote is on disk, or the deadline passed. */
  flushLogs(instanceId: string, deadlineMs: number): Promise<void>
  /** Everything on disk that belongs to an app goes with it. */
  forgetFiles(appId: string, deploymentIds: readonly string[]): Promise<void>
  /** Tell the workers that there is work. */
  wake(): void
  /** Names a step that is about to begin; a test may end the process here. */
  checkpoint(step: CheckpointName): void
  address: PublicAddress
  /** First two numbers of the /16 that team networks are cut from. */
  subnetPool: string
  /** Folder whose disk must have room before a build. */
  dataDir: string
  buildEnvironment: { caFile?: string; npmrc?: string }
}
