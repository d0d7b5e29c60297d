/**
 * @module
 * Every table and index.
 */
import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

/** The tenants. */
export const teams = sqliteTable('teams', {
  id: text().primaryKey(),
  name: text().notNull().unique(),
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
})

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

/** Durable work. */
export const jobs = sqliteTable(
  'jobs',
  {
    id: text().primaryKey(),
    /** The worker that takes it: `build`, `rollout`. */
    kind: text().notNull(),
    /** Jobs of one kind and key run one after the other. */
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
