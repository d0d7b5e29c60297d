/**
 * @module
 * The frame of every page, the page to sign in, and a page that says what went wrong.
 */
import type { Child, FC } from 'hono/jsx'
import { Board, type BoardProps } from './board.tsx'

/** Addresses of what a page loads. */
export type AssetUrls = { style: string; script: string; icon: string }

type ShellProps = {
  title: string
  assets: AssetUrls
  /** Who is signed in; gives the button to sign out. */
  who?: { user: string; team: string }
  live?: boolean
  children?: Child
}

const Shell: FC<ShellProps> = ({ title, assets, who, live, children }) => (
  <html lang="en">
    <head>
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <meta name="color-scheme" content="light dark" />
      <title>{title}</title>
      <link rel="icon" href={assets.icon} type="image/svg+xml" />
      <link rel="stylesheet" href={assets.style} />
      {live ? <script src={assets.script} defer /> : null}
      {live ? (
        <noscript>
          <meta http-equiv="refresh" content="15" />
        </noscript>
      ) : null}
    </head>
    <body>
      <header class="top">
        <a class="brand" href="/">
          <img src={assets.icon} alt="" width="26" height="26" />
          Helios
        </a>
        {who ? (
          <div class="me">
            {live ? <span id="live" role="status" /> : null}
            <span class="user">
              {who.user} <span class="team">{who.team}</span>
            </span>
            <form method="post" action="/logout">
              <button type="submit" class="plain">
                Sign out
              </button>
            </form>
          </div>
        ) : null}
      </header>
      <main>{children}</main>
    </body>
  </html>
)

/** The page with the list of apps. */
export const StatusPage: FC<{
  assets: AssetUrls
  who: { user: string; team: string }
  board: BoardProps
}> = ({ assets, who, board }) => (
  <Shell title="Apps · Helios" assets={assets} who={who} live>
    <Board {...board} />
  </Shell>
)

/** The page to sign in, with why the last try did not. */
export const SignInPage: FC<{ assets: AssetUrls; problem?: string }> = ({ assets, problem }) => (
  <Shell title="Sign in · Helios" assets={assets}>
    <section class="sign-in">
      <h1>Sign in</h1>
      <form method="post" action="/login">
        <input type="hidden" name="username" autocomplete="username" value="helios" />
        <label for="token">Token</label>
        <input
          id="token"
          name="token"
          type="password"
          autocomplete="current-password"
          spellcheck={false}
          required
          autofocus
          placeholder="hel_pat_…"
          aria-describedby={problem === undefined ? 'help' : 'problem help'}
          aria-invalid={problem === undefined ? undefined : 'true'}
        />
        {problem === undefined ? null : (
          <p id="problem" class="error" role="alert">
            {problem}
          </p>
        )}
        <button type="submit">Sign in</button>
      </form>
      <p id="help" class="quiet">
        Helios made the first token when it started: it is in the file <code>first-token</code> of
        its data dir.
      </p>
    </section>
  </Shell>
)

/** A page that says what went wrong. */
export const ProblemPage: FC<{
  assets: AssetUrls
  message: string
  hint: string | undefined
  requestId: string
}> = ({ assets, message, hint, requestId }) => (
  <Shell title="Helios" assets={assets}>
    <section class="sign-in">
      <h1>That did not work</h1>
      <p>{message}.</p>
      {hint === undefined ? null : <p class="quiet">{hint}</p>}
      <p class="quiet">
        <a href="/">Back to the apps</a> · <code>{requestId}</code>
      </p>
    </section>
  </Shell>
)
