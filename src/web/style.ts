/**
 * @module
 * How the pages look: calm, in the light and in the dark, from 320 pixels up.
 */

/** The style sheet of every page. */
export const STYLE = `:root {
  color-scheme: light dark;
  --bg: #faf8f4;
  --card: #ffffff;
  --ink: #1d1b16;
  --soft: #6a655a;
  --line: #e7e2d7;
  --accent: #9a5b00;
  --button: #1d1b16;
  --button-ink: #ffffff;
  --good: #1a7f4b;
  --busy: #2463c9;
  --warn: #a85b00;
  --bad: #b3261e;
  --idle: #77726a;
  --bad-bg: #fdf1ef;
  --code-bg: #f3efe7;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", Menlo, Consolas, "Liberation Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --bg: #14130f;
    --card: #1c1b16;
    --ink: #f1ede3;
    --soft: #a49e90;
    --line: #2f2d26;
    --accent: #f2b04a;
    --button: #f1ede3;
    --button-ink: #14130f;
    --good: #55c98b;
    --busy: #7db0ff;
    --warn: #f0a844;
    --bad: #ff8a7d;
    --idle: #99938a;
    --bad-bg: #2a1a17;
    --code-bg: #26241e;
  }
}
* { box-sizing: border-box; margin: 0; }
html { -webkit-text-size-adjust: 100%; }
body {
  background: var(--bg);
  color: var(--ink);
  font: 400 16px/1.5 Inter, ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  -webkit-font-smoothing: antialiased;
}
a { color: inherit; text-underline-offset: 3px; text-decoration-thickness: 1px; }
a:hover { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; border-radius: 4px; }
code { font-family: var(--mono); font-size: .875em; }
.quiet { color: var(--soft); }

.top {
  display: flex; align-items: center; justify-content: space-between; gap: 16px;
  max-width: 1120px; margin: 0 auto; padding: 20px 24px;
}
.brand { display: flex; align-items: center; gap: 10px; font-weight: 600; font-size: 18px; letter-spacing: -.01em; text-decoration: none; }
.brand:hover { color: inherit; }
.me { display: flex; align-items: center; gap: 18px; font-size: 14px; min-width: 0; }
.user { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.team { color: var(--soft); }
.team::before { content: "· "; }
#live { display: inline-flex; align-items: center; gap: 7px; color: var(--soft); white-space: nowrap; }
#live.on::before, #live.off::before { content: ""; width: 7px; height: 7px; border-radius: 50%; background: var(--good); }
#live.off::before { background: var(--warn); }
button {
  font: inherit; font-weight: 550; color: var(--button-ink); background: var(--button);
  border: 0; border-radius: 8px; padding: 10px 18px; cursor: pointer;
}
button:hover { opacity: .88; }
button.plain { color: var(--ink); background: none; border: 1px solid var(--line); padding: 5px 12px; font-weight: 450; white-space: nowrap; }
button.plain:hover { border-color: var(--soft); opacity: 1; }

main { max-width: 1120px; margin: 0 auto; padding: 28px 24px 96px; }
h1 { font-size: 30px; line-height: 1.2; font-weight: 620; letter-spacing: -.022em; }
h2 { font-size: 17px; line-height: 1.35; font-weight: 600; letter-spacing: -.01em; }
.headline { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 14px; margin-bottom: 22px; }
.headline p { color: var(--soft); }

.apps { list-style: none; padding: 0; background: var(--card); border: 1px solid var(--line); border-radius: 14px; overflow: hidden; }
.app {
  display: grid; align-items: baseline; gap: 4px 24px; padding: 18px 22px;
  grid-template-columns: 136px minmax(0, 1.25fr) 72px 84px minmax(0, 1.5fr);
}
.app + .app { border-top: 1px solid var(--line); }
.app p { min-width: 0; }
.state { display: flex; align-items: baseline; gap: 9px; font-size: 14px; font-weight: 550; color: var(--tone); }
.dot { flex: none; width: 9px; height: 9px; border-radius: 50%; background: var(--tone); }
.is-running { --tone: var(--good); }
.is-deploying { --tone: var(--busy); }
.is-degraded { --tone: var(--warn); }
.is-stopped, .is-new { --tone: var(--idle); }
.is-destroying { --tone: var(--bad); }
.is-new .dot, .is-stopped .dot { background: none; box-shadow: inset 0 0 0 2px var(--tone); }
@media (prefers-reduced-motion: no-preference) {
  .is-deploying .dot, .is-destroying .dot { animation: breathe 1.6s ease-in-out infinite; }
  @keyframes breathe { 50% { opacity: .3; } }
}
.name { min-width: 0; }
.name h2, .url { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.url { display: block; color: var(--soft); font-size: 14px; text-decoration-color: var(--line); }
a.url:hover { text-decoration-color: currentColor; }
.release, .instances { font-size: 14px; font-variant-numeric: tabular-nums; white-space: nowrap; }
.label { display: block; color: var(--soft); font-size: 12px; line-height: 1.5; }
.deploy { font-size: 14px; overflow-wrap: anywhere; }
.who { display: block; color: var(--soft); }
.did-failed { color: var(--bad); font-weight: 550; }
.did-queued, .did-building, .did-deploying { color: var(--busy); font-weight: 550; }
.error {
  background: var(--bad-bg); color: var(--bad); border-radius: 8px; padding: 10px 14px; font-size: 14px;
  overflow-wrap: anywhere; white-space: pre-line;
}
.app .error { grid-column: 2 / -1; margin-top: 8px; max-height: 12em; overflow: auto; }
.hint { display: block; color: var(--ink); opacity: .8; }
.pages { display: flex; gap: 20px; padding: 20px 2px; }

.first { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 32px; max-width: 720px; }
.first h2 { font-size: 20px; }
.first > p { color: var(--soft); margin: 4px 0 22px; }
.first ol { list-style: none; counter-reset: step; padding: 0; display: grid; gap: 18px; }
.first li { counter-increment: step; display: grid; grid-template-columns: 28px minmax(0, 1fr); gap: 6px 12px; }
.first li::before { content: counter(step); grid-row: span 2; color: var(--accent); font-weight: 620; font-variant-numeric: tabular-nums; line-height: 42px; }
.first code { background: var(--code-bg); border-radius: 8px; padding: 10px 14px; font-size: 14px; overflow-x: auto; white-space: nowrap; }
.first li span { color: var(--soft); font-size: 14px; grid-column: 2; }

.sign-in { max-width: 400px; margin: 6vh auto 0; display: grid; gap: 20px; }
.sign-in form { display: grid; gap: 10px; }
.sign-in label { font-size: 14px; font-weight: 550; }
.sign-in .quiet { font-size: 14px; }
input {
  font: inherit; font-family: var(--mono); font-size: 15px; color: inherit; background: var(--card); width: 100%;
  border: 1px solid var(--line); border-radius: 8px; padding: 11px 13px;
}
input::placeholder { color: var(--soft); opacity: .7; }
input:focus-visible { outline-offset: 0; border-color: var(--accent); border-radius: 8px; }
.sign-in button { margin-top: 6px; }

@media (max-width: 900px) {
  .app { grid-template-columns: minmax(0, 1fr) auto auto; gap: 10px 22px; }
  .name { order: 1; }
  .release { order: 2; }
  .instances { order: 3; }
  .state { order: 4; grid-column: 1; }
  .deploy { order: 5; grid-column: 1 / -1; }
  .app .error { order: 6; grid-column: 1 / -1; margin-top: 2px; }
}
@media (max-width: 520px) {
  .top { padding: 16px; }
  .me { gap: 12px; }
  .team { display: none; }
  main { padding: 16px 16px 72px; }
  h1 { font-size: 26px; }
  .app { padding: 16px; gap: 10px 16px; }
  .name h2, .url { white-space: normal; overflow-wrap: anywhere; }
  .first { padding: 22px 18px; }
}
@media (forced-colors: active) {
  .dot { border: 1px solid CanvasText; }
}
`
