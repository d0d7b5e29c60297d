/**
 * @module
 * What a push may do and which of its refs deploys, by the names of the refs alone.
 */
import { HeliosError, show } from '../lib/errors.ts'
import { parseGitRef } from '../lib/names.ts'

/** One ref of a push; forty zeros stand for none. */
export type Update = { ref: string; old: string; next: string }

/** What is to be done with a push. */
export type Judgement = {
  /** The one update that deploys. */
  deploy: Update | undefined
  /** What the pusher should know, a sentence a line. */
  notes: string[]
}

const MAX_UPDATES = 1000
const MAIN = 'refs/heads/main'
const MASTER = 'refs/heads/master'
const isNone = (oid: string): boolean => /^0+$/.test(oid)
const shortName = (ref: string): string => ref.replace(/^refs\/(heads|tags)\//, '')

/** Tell whether a push has anything to do with deploys, so that it has to wait for others that do. */
export function mayDeploy(updates: readonly Update[]): boolean {
  return updates.some(({ ref }) => ref === MAIN || ref === MASTER)
}

/** The branch that deploys: main, or master where there is no main. */
function deployBranch(updates: readonly Update[], there: ReadonlySet<string>): string {
  if (there.has(MAIN)) return MAIN
  if (there.has(MASTER)) return MASTER
  const made = new Set(updates.filter(({ next }) => !isNone(next)).map(({ ref }) => ref))
  return made.has(MASTER) && !made.has(MAIN) ? MASTER : MAIN
}

/**
 * Judge a push against the refs that are there.
 * @throws {HeliosError} invalid_ref for names Helios does not take, conflict for what must not be done
 */
export function judgePush(
  updates: readonly Update[],
  refs: readonly { ref: string; oid: string }[],
): Judgement {
  if (updates.length > MAX_UPDATES) {
    throw new HeliosError(
      'invalid_ref',
      `A push of ${updates.length} refs; at most ${MAX_UPDATES} are taken`,
      {
        hint: 'Push fewer branches and tags at once',
      },
    )
  }
  for (const { ref, next } of updates) if (!isNone(next)) mustBeTaken(ref)
  const there = new Map(refs.map(({ ref, oid }) => [ref, oid]))
  const branch = deployBranch(updates, new Set(there.keys()))
  const deploy = updates.find(({ ref }) => ref === branch)
  if (deploy) mustNotUndo(deploy, there.get(branch))
  const stored = updates.filter(({ ref, next }) => ref !== branch && !isNone(next))
  const notes = stored.filter(({ ref }) => !deploy || ref.startsWith('refs/heads/'))
  return {
    deploy,
    notes: notes
      .slice(0, 10)
      .map(
        ({ ref }) =>
          `${shortName(ref)}: stored, not deployed: deploys come from ${shortName(branch)}`,
      ),
  }
}

function mustBeTaken(ref: string): void {
  parseGitRef(ref)
  if (/^refs\/(heads|tags)\//.test(ref)) return
  throw new HeliosError('invalid_ref', `${show(ref)} is no branch and no tag`, {
    field: 'ref',
    hint: 'Push a branch, as in: git push helios main',
  })
}

function mustNotUndo(deploy: Update, now: string | undefined): void {
  if (isNone(deploy.next)) {
    throw new HeliosError(
      'conflict',
      `${shortName(deploy.ref)} is what deploys come from: it cannot be deleted`,
      {
        hint: 'To take the app away: helios apps:destroy',
      },
    )
  }
  if ((now ?? '0'.repeat(40)) === deploy.old) return
  throw new HeliosError('conflict', `Somebody else pushed ${shortName(deploy.ref)} meanwhile`, {
    hint: 'Get their work first: git fetch, then merge or rebase, and push again',
  })
}
