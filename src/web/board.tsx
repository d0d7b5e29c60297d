/**
 * @module
 * The list of apps: state, release, instances and last deploy of each.
 */
import type { FC } from 'hono/jsx'
import type { AppBody, DeploymentBody } from '../api/views.ts'

const STATES: Readonly<Record<AppBody['state'], string>> = {
  running: 'Running',
  degraded: 'Degraded',
  deploying: 'Deploying',
  stopped: 'Stopped',
  new: 'New',
  destroying: 'Being destroyed',
}

const RESULTS: Readonly<Record<DeploymentBody['state'], string>> = {
  queued: 'Waiting',
  building: 'Building',
  deploying: 'Starting',
  succeeded: 'Succeeded',
  failed: 'Failed',
  cancelled: 'Cancelled',
  superseded: 'Superseded',
}

/** What the list shows, and where it is in all apps. */
export type BoardProps = {
  apps: AppBody[]
  total: number
  /** The page begins after an app. */
  later: boolean
  /** Name after which the next page begins. */
  next: string | undefined
  gitHost: string
}

/** The list, or what to do first. */
export const Board: FC<BoardProps> = (props) => (
  <div id="board">
    <div class="headline">
      <h1>Apps</h1>
      <p>{summary(props)}</p>
    </div>
    {props.total === 0 ? <FirstSteps gitHost={props.gitHost} /> : <List {...props} />}
  </div>
)

function summary({ apps, total, later, next }: BoardProps): string {
  const count = `${total} ${total === 1 ? 'app' : 'apps'}`
  if (total === 0) return ''
  if (later || next !== undefined) return `${apps.length} of ${count}`
  const words = Object.entries(STATES).flatMap(([state, word]) => {
    const n = apps.filter((app) => app.state === state).length
    return n === 0 ? [] : [`${n} ${word.toLowerCase()}`]
  })
  return words.length === 1 && total > 1
    ? `${count}, all ${words[0]?.replace(/^\d+ /, '')}`
    : `${count}: ${words.join(', ')}`
}

const List: FC<BoardProps> = ({ apps, later, next }) => (
  <>
    <ul class="apps">
      {apps.map((app) => (
        <Row app={app} />
      ))}
    </ul>
    {later || next !== undefined ? (
      <nav class="pages" aria-label="Pages">
        {later ? <a href="/">First page</a> : null}
        {next === undefined ? null : <a href={`/?after=${encodeURIComponent(next)}`}>Next page</a>}
      </nav>
    ) : null}
  </>
)

const Row: FC<{ app: AppBody }> = ({ app }) => (
  <li data-id={app.id} class={`app is-${app.state}`}>
    <p class="state">
      <span class="dot" aria-hidden="true" />
      {STATES[app.state]}
    </p>
    <div class="name">
      <h2>{app.name}</h2>
      <Address app={app} />
    </div>
    <p class="release">
      <span class="label">Release</span>
      {app.release === null ? '–' : `v${app.release}`}
    </p>
    <p class="instances">
      <span class="label">Healthy</span>
      {healthy(app)}
    </p>
    <LastDeploy last={app.lastDeployment} />
  </li>
)

/** A link once there is something to see. */
const Address: FC<{ app: AppBody }> = ({ app }) => {
  const text = app.url.replace(/^https?:\/\//, '').replace(/\/$/, '')
  if (app.release === null) return <span class="url">{text}</span>
  return (
    <a class="url" href={app.url}>
      {text}
    </a>
  )
}

function healthy({ release, instances }: AppBody): string {
  if (release === null) return '–'
  return instances.wanted === 0 ? '0' : `${instances.healthy} of ${instances.wanted}`
}

const LastDeploy: FC<{ last: DeploymentBody | null }> = ({ last }) => {
  if (!last) return <p class="deploy quiet">Not deployed yet</p>
  return (
    <>
      <p class="deploy">
        {last.description}
        <span class="who">
          <span class={`result did-${last.state}`}>{RESULTS[last.state]}</span>
          {', '}
          <span title={last.actor}>{last.actor.replace(/ \(.*\)$/, '')}</span>
          {', '}
          <Time at={last.finishedAt ?? last.createdAt} />
        </span>
      </p>
      {last.state === 'failed' && last.error ? (
        <p class="error">
          {last.error.message}
          {last.error.hint === undefined ? null : <span class="hint">{last.error.hint}</span>}
        </p>
      ) : null}
    </>
  )
}

const Time: FC<{ at: string }> = ({ at }) => (
  <time datetime={at}>{`${at.slice(0, 10)} ${at.slice(11, 16)} UTC`}</time>
)

const FirstSteps: FC<{ gitHost: string }> = ({ gitHost }) => (
  <section class="first">
    <h2>Put the first app live</h2>
    <p>Three commands, in the folder of your app:</p>
    <ol>
      <li>
        <code>helios keys:add</code>
        <span>Lets your SSH key push.</span>
      </li>
      <li>
        <code>git remote add helios {gitHost}/my-app.git</code>
        <span>Names the app.</span>
      </li>
      <li>
        <code>git push helios main</code>
        <span>Builds it and puts it live. The first push makes the app.</span>
      </li>
    </ol>
  </section>
)
