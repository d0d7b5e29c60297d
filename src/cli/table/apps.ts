/**
 * @module
 * Commands about apps: what they are, their config, processes and domains.
 */
import type { Command } from '../command.ts'

const DETACH = { name: 'detach', short: 'd', about: 'Do not wait for the deployment to end' }

/** Commands about apps. */
export const APP_COMMANDS: readonly Command[] = [
  {
    name: 'apps',
    group: 'Apps',
    about: 'List your apps',
    examples: ['helios apps', 'helios apps --json'],
    load: () => import('../commands/apps.ts').then((code) => code.apps),
  },
  {
    name: 'apps:create',
    group: 'Apps',
    about: 'Create an app',
    args: [{ name: 'NAME' }],
    options: [{ name: 'no-remote', about: 'Leave the git remotes of this folder alone' }],
    details: 'In a git repository without a remote "helios", that remote is added.',
    examples: ['helios apps:create shop'],
    load: () => import('../commands/apps.ts').then((code) => code.createApp),
  },
  {
    name: 'apps:info',
    group: 'Apps',
    about: 'Show one app',
    args: [{ name: 'APP', optional: true }],
    app: true,
    examples: ['helios apps:info shop'],
    load: () => import('../commands/apps.ts').then((code) => code.appInfo),
  },
  {
    name: 'apps:destroy',
    group: 'Apps',
    about: 'Destroy an app and everything it owns',
    args: [{ name: 'APP', optional: true }],
    options: [{ name: 'confirm', value: 'APP', about: 'The name once more, instead of typing it' }],
    app: true,
    examples: ['helios apps:destroy shop', 'helios apps:destroy shop --confirm shop'],
    load: () => import('../commands/apps.ts').then((code) => code.destroyApp),
  },
  {
    name: 'status',
    group: 'Apps',
    about: 'Show release, rollout, instances, health, last error and newest lines',
    args: [{ name: 'APP', optional: true }],
    app: true,
    examples: ['helios status shop', 'helios status'],
    load: () => import('../commands/status.ts').then((code) => code.status),
  },
  {
    name: 'logs',
    group: 'Apps',
    about: 'Show what the instances write',
    args: [{ name: 'APP', optional: true }],
    options: [
      { name: 'follow', short: 'f', about: 'Go on with new lines as they come' },
      { name: 'lines', short: 'n', value: 'N', about: 'The newest N lines (100; at most 10000)' },
      { name: 'process', value: 'NAME', about: 'Only those of one process, as web' },
      { name: 'since', value: 'WHEN', about: 'Only those after, as 10m or 2026-01-31T08:00:00Z' },
    ],
    app: true,
    examples: ['helios logs shop -f', 'helios logs -n 500 --process worker --since 1h'],
    load: () => import('../commands/logs.ts').then((code) => code.logs),
  },
  {
    name: 'open',
    group: 'Apps',
    about: 'Open an app in the browser, or print its URL',
    args: [{ name: 'APP', optional: true }],
    app: true,
    examples: ['helios open shop'],
    load: () => import('../commands/open.ts').then((code) => code.open),
  },
  {
    name: 'git:remote',
    group: 'Apps',
    about: 'Make the git remote "helios" of this folder push to an app',
    options: [{ name: 'remote', value: 'NAME', about: 'Another name than helios' }],
    app: true,
    examples: ['helios git:remote -a shop'],
    load: () => import('../commands/apps.ts').then((code) => code.gitRemote),
  },
]

/** Commands about config vars. */
export const CONFIG_COMMANDS: readonly Command[] = [
  {
    name: 'config',
    group: 'Config',
    about: 'Show config vars',
    app: true,
    examples: ['helios config -a shop', 'helios config --json'],
    load: () => import('../commands/config.ts').then((code) => code.config),
  },
  {
    name: 'config:get',
    group: 'Config',
    about: 'Print the value of one config var, byte for byte',
    args: [{ name: 'KEY' }],
    app: true,
    examples: ['helios config:get DATABASE_URL -a shop'],
    load: () => import('../commands/config.ts').then((code) => code.getConfig),
  },
  {
    name: 'config:set',
    group: 'Config',
    about: 'Set config vars, all or none',
    args: [{ name: 'KEY=VALUE', many: true }],
    options: [
      {
        name: 'from-file',
        value: 'FILE',
        about: 'The value of the one KEY is what this file holds',
      },
      DETACH,
    ],
    details:
      'Values are kept byte for byte. `KEY -` takes the value from standard input. What stands in the arguments can be seen by others on this machine and stays in the history of the shell: give secrets by file or standard input.',
    app: true,
    examples: [
      'helios config:set LOG_LEVEL=debug PAGE_SIZE=50 -a shop',
      'helios config:set TLS_KEY --from-file key.pem',
      'pass show db | helios config:set DB_PASSWORD -',
    ],
    load: () => import('../commands/config.ts').then((code) => code.setConfig),
  },
  {
    name: 'config:unset',
    group: 'Config',
    about: 'Unset config vars',
    args: [{ name: 'KEY', many: true }],
    options: [DETACH],
    app: true,
    examples: ['helios config:unset LOG_LEVEL PAGE_SIZE'],
    load: () => import('../commands/config.ts').then((code) => code.unsetConfig),
  },
]

/** Commands about processes. */
export const PROCESS_COMMANDS: readonly Command[] = [
  {
    name: 'ps',
    group: 'Processes',
    about: 'Show processes and their instances',
    app: true,
    examples: ['helios ps -a shop'],
    load: () => import('../commands/processes.ts').then((code) => code.ps),
  },
  {
    name: 'ps:scale',
    group: 'Processes',
    about: 'Say how many instances of processes to run',
    args: [{ name: 'PROCESS=N', many: true }],
    app: true,
    examples: ['helios ps:scale web=2 worker=1', 'helios ps:scale web=0'],
    load: () => import('../commands/processes.ts').then((code) => code.scale),
  },
  {
    name: 'ps:restart',
    group: 'Processes',
    about: 'Replace every instance, without a failed request',
    options: [DETACH],
    app: true,
    examples: ['helios ps:restart -a shop'],
    load: () => import('../commands/processes.ts').then((code) => code.restart),
  },
  {
    name: 'run',
    group: 'Processes',
    about: 'Run a command in a fresh instance; ends with its exit code',
    args: [{ name: 'COMMAND', many: true }],
    passes: true,
    app: true,
    details: 'With a terminal on both sides the command gets one too.',
    examples: ['helios run -a shop -- sh', 'helios run -- node scripts/seed.js < data.json'],
    load: () => import('../commands/run.ts').then((code) => code.runCommand),
  },
]
