/**
 * @module
 * Every table and index.
 */
import {
  index,
  integer,
  primaryKey,
  type SQLiteColumn,
  sqliteTable,
  text,
  uniqueIndex,
} from 'drizzle-orm/sqlite-core'
import type { AppSpec } from '../manifest/types.ts'

/** The tenants. */
export const teams = sqliteTable('teams', {
  id: text().primaryKey(),
  name: text().notNull().unique(),
  createdAt: integer('created_at').notNull(),
})

/** People. */
export const users = sqliteTable('users', {
  id: text().primaryKey(),
  name: text().notNull().unique(),
  createdAt: integer('created_at').notNull(),
})

/** Who is in which team, and as what. */
export const memberships = sqliteTable(
  'memberships',
  {
    teamId: text('team_id')
      .notNull()
      .references(() => teams.id, { onDelete: 'cascade' }),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    role: text({ enum: ['viewer', 'developer', 'admin', 'owner'] }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.teamId, table.userId] })],
)

/** Credentials of the API, as hashes. */
export const tokens = sqliteTable('tokens', {
  id: text().primaryKey(),
  userId: text('user_id')
    .notNull()
    .references(() => users.id, { onDelete: 'cascade' }),
  name: text().notNull(),
  hash: text().notNull().unique(),
  createdAt: integer('created_at').notNull(),
  expiresAt: integer('expires_at'),
  lastUsedAt: integer('last_used_at'),
})

/** Signed-in browsers, as hashes of their cookie. */
export const sessions = sqliteTable('sessions', {
  hash: text().primaryKey(),
  userId: text('user_id')
    .notNull()
    .references(() => users.id, { onDelete: 'cascade' }),
  createdAt: integer('created_at').notNull(),
  expiresAt: integer('expires_at').notNull(),
})

/** Public keys that may push. */
export const sshKeys = sqliteTable('ssh_keys', {
  id: text().primaryKey(),
  userId: text('user_id')
    .notNull()
    .references(() => users.id, { onDelete: 'cascade' }),
  name: text().notNull(),
  /** As OpenSSH prints it, `SHA256:...`. */
  fingerprint: text().notNull().unique(),
  /** `type base64`, without comment. */
  publicKey: text('public_key').notNull(),
  createdAt: integer('created_at').notNull(),
})

/** The things deployed. */
export const apps = sqliteTable('apps', {
  id: text().primaryKey(),
  teamId: text('team_id')
    .notNull()
    .references(() => teams.id, { onDelete: 'restrict' }),
  name: text().notNull().unique(),
  createdAt: integer('created_at').notNull(),
  /** `destroying`: its rows go when nothing of it runs any more. */
  state: text({ enum: ['active', 'destroying'] })
    .notNull()
    .default('active'),
  /** The rollout whose instances answer; null before the first deploy. */
  liveRolloutId: text('live_rollout_id').references((): SQLiteColumn => rollouts.id, {
    onDelete: 'set null',
  }),
})

/** Host names an app owns beside its default one. */
export const domains = sqliteTable(
  'domains',
  {
    id: text().primaryKey(),
    appId: text('app_id')
      .notNull()
      .references(() => apps.id, { onDelete: 'cascade' }),
    host: text().notNull().unique(),
    createdAt: integer('created_at').notNull(),
  },
  (table) => [index('domains_app').on(table.appId)],
)

/** Config vars of an app as they will be in its next release. */
export const envVars = sqliteTable(
  'env_vars',
  {
    appId: text('app_id')
      .notNull()
      .references(() => apps.id, { onDelete: 'cascade' }),
    key: text().notNull(),
    value: text().notNull(),
  },
  (table) => [primaryKey({ columns: [table.appId, table.key] })],
)

/** How many instances of a process were asked for by hand; they hold over deploys. */
export const formations = sqliteTable(
  'formations',
  {
    appId: text('app_id')
      .notNull()
      .references(() => apps.id, { onDelete: 'cascade' }),
    process: text().notNull(),
    instances: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.appId, table.process] })],
)

/** What builds start from. */
export const sources = sqliteTable(
  'sources',
  {
    id: text().primaryKey(),
    appId: text('app_id')
      .notNull()
      .references(() => apps.id, { onDelete: 'cascade' }),
    kind: text({ enum: ['git', 'archive', 'image'] }).notNull(),
    /** git: the commit; image: the reference. */
    rev: text(),
    /** git: the branch, and where it stood before. */
    ref: text(),
    previousRev: text('previous_rev'),
    createdAt: integer('created_at').notNull(),
  },
  (table) => [index('sources_app').on(table.appId)],
)

/** Immutable numbered outcomes: image, AppSpec and config. */
export const releases = sqliteTable(
  'releases',
  {
    id: text().primaryKey(),
    appId: text('app_id')
      .notNull()
      .references(() => apps.id, { onDelete: 'cascade' }),
    number: integer().notNull(),
    /** A deployment makes at most one release, however often it is tried. */
    deploymentId: text('deployment_id').notNull().unique(),
    description: text().notNull(),
    /** Reference the engine knows the image by. */
    image: text().notNull(),
    spec: text({ mode: 'json' }).notNull().$type<AppSpec>(),
    env: text({ mode: 'json' }).notNull().$type<Record<string, string>>(),
    commit: text(),
    createdAt: integer('created_at').notNull(),
    /** Set when its image was collected: no rollback goes back to it. */
    prunedAt: integer('pruned_at'),
  },
  (table) => [uniqueIndex('releases_number').on(table.appId, table.number)],
)

/** Journeys from a source, or from a release, to live. */
export const deployments = sqliteTable(
  'deployments',
  {
    id: text().primaryKey(),
    appId: text('app_id')
      .notNull()
      .references(() => apps.id, { onDelete: 'cascade' }),
    reason: text({
      enum: ['push', 'upload', 'image', 'rollback', 'config', 'restart'],
    }).notNull(),
    /** Who asked, as shown: `ada (key laptop)`. */
    actor: text().notNull(),
    userId: text('user_id'),
    sourceId: text('source_id').references(() => sources.id, { onDelete: 'set null' }),
    /** rollback: the release gone back to. */
    fromReleaseId: text('from_release_id'),
    description: text().notNull(),
    state: text({
      enum: ['queued', 'building', 'deploying', 'succeeded', 'failed', 'cancelled', 'superseded'],
    }).notNull(),
    error: text({ mode: 'json' }).$type<{ code: string; message: string; hint?: string }>(),
    jobId: text('job_id'),
    releaseId: text('release_id'),
    createdAt: integer('created_at').notNull(),
    startedAt: integer('started_at'),
    finishedAt: integer('finished_at'),
  },
  (table) => [
    index('deployments_app').on(table.appId, table.id),
    index('deployments_state').on(table.state),
  ],
)

/** Runs of a builder; a finished one is not built again by a retry. */
export const builds = sqliteTable('builds', {
  id: text().primaryKey(),
  deploymentId: text('deployment_id')
    .notNull()
    .unique()
    .references(() => deployments.id, { onDelete: 'cascade' }),
  builder: text().notNull(),
  reason: text().notNull(),
  image: text().notNull(),
  spec: text({ mode: 'json' }).notNull().$type<AppSpec>(),
  createdAt: integer('created_at').notNull(),
})

/** Tries to make a release the live one; their instances carry the rollout's id. */
export const rollouts = sqliteTable(
  'rollouts',
  {
    id: text().primaryKey(),
    appId: text('app_id')
      .notNull()
      .references(() => apps.id, { onDelete: 'cascade' }),
    releaseId: text('release_id')
      .notNull()
      .references(() => releases.id, { onDelete: 'cascade' }),
    deploymentId: text('deployment_id')
      .notNull()
      .unique()
      .references(() => deployments.id, { onDelete: 'cascade' }),
    state: text({ enum: ['starting', 'live', 'draining', 'retired', 'failed'] }).notNull(),
    createdAt: integer('created_at').notNull(),
    liveAt: integer('live_at'),
    drainUntil: integer('drain_until'),
    finishedAt: integer('finished_at'),
  },
  (table) => [index('rollouts_app').on(table.appId, table.state)],
)

/** Instances as last seen. */
export const instances = sqliteTable(
  'instances',
  {
    /** The engine's id. */
    id: text().primaryKey(),
    appId: text('app_id')
      .notNull()
      .references(() => apps.id, { onDelete: 'cascade' }),
    rolloutId: text('rollout_id').notNull(),
    release: integer().notNull(),
    process: text().notNull(),
    index: integer().notNull(),
    state: text({ enum: ['created', 'running', 'restarting', 'exited'] }).notNull(),
    healthy: integer({ mode: 'boolean' }).notNull(),
    address: text(),
    startedAt: integer('started_at'),
    restarts: integer().notNull(),
    exitCode: integer('exit_code'),
    oomKilled: integer('oom_killed', { mode: 'boolean' }).notNull(),
    memoryBytes: integer('memory_bytes').notNull(),
    seenAt: integer('seen_at').notNull(),
  },
  (table) => [index('instances_app').on(table.appId)],
)

/** Networks of teams; never two with one subnet. */
export const subnets = sqliteTable('subnets', {
  teamId: text('team_id').primaryKey(),
  subnet: text().notNull().unique(),
  /** The place handed out last; the next one is looked for after it. */
  lastPlace: integer('last_place').notNull().default(1),
  createdAt: integer('created_at').notNull(),
})

/** Addresses of instances in their team's network; one is never given to two, nor again soon. */
export const addresses = sqliteTable(
  'addresses',
  {
    teamId: text('team_id').notNull(),
    /** Name of the instance that has it. */
    name: text().notNull().unique(),
    /** Place in the subnet, 2 or more. */
    place: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.teamId, table.place] })],
)

/** Facts of this server, as its id. */
export const settings = sqliteTable('settings', {
  key: text().primaryKey(),
  value: text().notNull(),
})

/** Answers kept for requests that come again with the same key. */
export const idempotency = sqliteTable(
  'idempotency',
  {
    actor: text().notNull(),
    key: text().notNull(),
    /** Hash of method, path and body. */
    request: text().notNull(),
    status: integer(),
    body: text(),
    createdAt: integer('created_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.actor, table.key] })],
)

/** Durable work. */
export const jobs = sqliteTable(
  'jobs',
  {
    id: text().primaryKey(),
    /** What it does: `deploy`, `rollout`, `drain`, `converge`, `destroy`. */
    kind: text().notNull(),
    /** Jobs that one worker does and that have the same key run one after the other. */
    key: text().notNull(),
    priority: integer().notNull(),
    payload: text({ mode: 'json' }).notNull().$type<unknown>(),
    state: text({ enum: ['queued', 'running', 'done', 'failed', 'cancelled'] }).notNull(),
    attempts: integer().notNull(),
    maxAttempts: integer('max_attempts').notNull(),
    runAt: integer('run_at').notNull(),
    leaseOwner: text('lease_owner'),
    leaseUntil: integer('lease_until'),
    cancelRequested: integer('cancel_requested', { mode: 'boolean' }).notNull(),
    error: text(),
    createdAt: integer('created_at').notNull(),
    finishedAt: integer('finished_at'),
  },
  (table) => [index('jobs_claim').on(table.state, table.kind, table.priority, table.id)],
)
