/**
 * @module
 * Labels on everything Helios makes in the engine, and what they say back.
 */

/** Label names; an instance carries all of them, images and networks those that apply. */
export const LABELS = {
  server: 'helios.server',
  /** `instance`, or `run` for a one-off command. */
  kind: 'helios.kind',
  app: 'helios.app',
  rollout: 'helios.rollout',
  release: 'helios.release',
  process: 'helios.process',
  index: 'helios.index',
  /** The deployment an image was built for. */
  deployment: 'helios.deployment',
} as const

/** Who an instance is, as its labels say. */
export type Identity = {
  app: string
  rollout: string
  release: number
  process: string
  index: number
}

/** The labels of an instance. */
export function instanceLabels(server: string, who: Identity): Record<string, string> {
  return {
    [LABELS.server]: server,
    [LABELS.kind]: 'instance',
    [LABELS.app]: who.app,
    [LABELS.rollout]: who.rollout,
    [LABELS.release]: String(who.release),
    [LABELS.process]: who.process,
    [LABELS.index]: String(who.index),
  }
}

/** Who an instance is; undefined when its labels are not those of an instance. */
export function identityOf(labels: Readonly<Record<string, string>>): Identity | undefined {
  const { app, rollout, process, release, index, kind } = LABELS
  const who = {
    app: labels[app] ?? '',
    rollout: labels[rollout] ?? '',
    process: labels[process] ?? '',
    release: Number(labels[release]),
    index: Number(labels[index]),
  }
  const sound = who.app && who.rollout && who.process && who.index > 0 && who.release > 0
  return sound && labels[kind] === 'instance' ? who : undefined
}
