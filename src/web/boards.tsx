/**
 * @module
 * The list of apps of each team, made again only when the database changed.
 */
import type { ApiDeps } from '../api/context.ts'
import { appBody } from '../api/views.ts'
import type { Scope } from '../core/apps.ts'
import { changeCount, countApps, listOverviews } from '../core/overview.ts'
import { Board, type BoardProps } from './board.tsx'

const PAGE = 100
const MAX_KEPT = 200

type Kept = { props: BoardProps; fragment: string | undefined }

/** Make the lists; both functions take the name the page begins after. */
export function createBoards(deps: Pick<ApiDeps, 'db' | 'address'>) {
  const kept = new Map<string, Kept>()
  let changes = -1
  const find = (scope: Scope, after = ''): Kept => {
    const now = changeCount(deps.db)
    if (now !== changes || kept.size > MAX_KEPT) kept.clear()
    changes = now
    const key = `${scope.teamId} ${after}`
    const known = kept.get(key) ?? { props: read(deps, scope, after), fragment: undefined }
    kept.set(key, known)
    return known
  }
  return {
    props: (scope: Scope, after?: string): BoardProps => find(scope, after).props,
    /** The list as HTML. */
    fragment(scope: Scope, after?: string): string {
      const board = find(scope, after)
      board.fragment ??= String(<Board {...board.props} />)
      return board.fragment
    },
  }
}

function read(deps: Pick<ApiDeps, 'db' | 'address'>, scope: Scope, after: string): BoardProps {
  const { sshHost, sshPort } = deps.address
  const rows = listOverviews(deps.db, scope, { after, limit: PAGE + 1 })
  const shown = rows.slice(0, PAGE)
  return {
    apps: shown.map((row) => appBody(row, deps.address)),
    total: countApps(deps.db, scope),
    later: after !== '',
    next: rows.length > PAGE ? shown.at(-1)?.app.name : undefined,
    gitHost: `ssh://git@${sshHost}:${sshPort}`,
  }
}
