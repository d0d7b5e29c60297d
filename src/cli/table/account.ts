/**
 * @module
 * Commands about who you are, and about the server.
 */
import type { Command } from '../command.ts'

/** Commands about access. */
export const ACCESS_COMMANDS: readonly Command[] = [
  {
    name: 'login',
    group: 'Access',
    about: 'Sign in to a server and keep the token',
    args: [{ name: 'URL', optional: true }],
    options: [
      {
        name: 'token-file',
        value: 'FILE',
        about: 'Read the token from this file; - is standard input',
      },
    ],
    details:
      'Asks for the token, unseen, or reads it from standard input; never from the arguments, which others can see.',
    examples: ['helios login https://helios.example.com', 'helios login < token.txt'],
    load: () => import('../commands/login.ts').then((code) => code.login),
  },
  {
    name: 'logout',
    group: 'Access',
    about: 'Forget the saved token',
    examples: ['helios logout'],
    load: () => import('../commands/login.ts').then((code) => code.logout),
  },
  {
    name: 'whoami',
    group: 'Access',
    about: 'Show who you are to the server',
    examples: ['helios whoami', 'helios whoami --json'],
    load: () => import('../commands/login.ts').then((code) => code.whoami),
  },
  {
    name: 'keys',
    group: 'Access',
    about: 'List your SSH keys',
    examples: ['helios keys'],
    load: () => import('../commands/keys.ts').then((code) => code.keys),
  },
  {
    name: 'keys:add',
    group: 'Access',
    about: 'Add an SSH key, so that git push knows you',
    args: [{ name: 'FILE', optional: true, completes: 'file' }],
    options: [{ name: 'name', value: 'NAME', about: 'What to call it; otherwise its comment' }],
    details:
      'Without FILE: the first of ~/.ssh/id_ed25519.pub, id_ed25519_sk.pub, id_ecdsa.pub, id_ecdsa_sk.pub, id_rsa.pub; - is standard input.',
    examples: ['helios keys:add', 'helios keys:add ~/.ssh/work.pub --name work'],
    load: () => import('../commands/keys.ts').then((code) => code.addKey),
  },
  {
    name: 'keys:remove',
    group: 'Access',
    about: 'Remove an SSH key, named by name, id or fingerprint',
    args: [{ name: 'KEY' }],
    examples: ['helios keys:remove work'],
    load: () => import('../commands/keys.ts').then((code) => code.removeKey),
  },
]

/** Commands about the server. */
export const SERVER_COMMANDS: readonly Command[] = [
  {
    name: 'doctor',
    group: 'Server',
    about: 'Check this machine and the server, and say what to do',
    examples: ['helios doctor', 'helios doctor --json'],
    load: () => import('../commands/doctor.ts').then((code) => code.doctor),
  },
  {
    name: 'serve',
    group: 'Server',
    about: 'Run the server, on the machine that runs the apps',
    details: 'Settings come from the variables HELIOS_*. Ends at SIGTERM or ctrl-C; apps go on.',
    examples: ['helios serve', 'HELIOS_DATA_DIR=/srv/helios helios serve'],
    load: () => import('../commands/server.ts').then((code) => code.runServer),
  },
  {
    name: 'token',
    group: 'Server',
    about: 'Make one more token of the owner, on the server itself',
    details:
      'For who lost the token of the first start. Reads and writes the data dir of the server.',
    examples: ['sudo helios token', 'sudo helios token | helios login'],
    load: () => import('../commands/server.ts').then((code) => code.makeToken),
  },
  {
    name: 'db:migrate',
    group: 'Server',
    about: 'Make or update the database of the data dir',
    examples: ['helios db:migrate'],
    load: () => import('../commands/server.ts').then((code) => code.dbMigrate),
  },
  {
    name: 'help',
    group: 'More',
    about: 'Show every command, or one',
    args: [{ name: 'COMMAND', optional: true }],
    examples: ['helios help', 'helios help deploy'],
    load: () => import('../commands/about.ts').then((code) => code.help),
  },
  {
    name: 'version',
    group: 'More',
    about: 'Print the version',
    examples: ['helios version'],
    load: () => import('../commands/version.ts').then((code) => code.version),
  },
  {
    name: 'completion',
    group: 'More',
    about: 'Print what makes a shell complete commands',
    args: [{ name: 'SHELL' }],
    details: 'SHELL is bash, zsh or fish.',
    examples: [
      'helios completion bash > /etc/bash_completion.d/helios',
      'helios completion zsh > ~/.zfunc/_helios   (a folder of $fpath)',
      'helios completion fish > ~/.config/fish/completions/helios.fish',
    ],
    load: () => import('../commands/about.ts').then((code) => code.completion),
  },
]
