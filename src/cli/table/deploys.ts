/**
 * @module
 * Commands about deployments, releases and domains.
 */
import type { Command } from '../command.ts'

const DETACH = { name: 'detach', short: 'd', about: 'Do not wait for the deployment to end' }
const NEWEST = { name: 'lines', short: 'n', value: 'N', about: 'The newest N (20; at most 1000)' }

/** Commands about deployments, releases and domains. */
export const DEPLOY_COMMANDS: readonly Command[] = [
  {
    name: 'deploy',
    group: 'Deploys',
    about: 'Deploy a folder, or an image',
    args: [{ name: 'FOLDER', optional: true, completes: 'folder' }],
    options: [
      { name: 'image', value: 'REF', about: 'Deploy this image as it is, instead of a folder' },
      { name: 'description', value: 'TEXT', about: 'What the release is about' },
      DETACH,
    ],
    details:
      'Sends this folder (or FOLDER) without .git and without what .gitignore and .dockerignore name, then shows the log. Ctrl-C stops showing it; the deployment goes on.',
    app: true,
    examples: [
      'helios deploy',
      'helios deploy ./site -a shop',
      'helios deploy --image nginx:1.29 -a shop',
    ],
    load: () => import('../commands/deploy.ts').then((code) => code.deploy),
  },
  {
    name: 'deployments',
    group: 'Deploys',
    about: 'List deployments, newest first',
    options: [NEWEST],
    app: true,
    examples: ['helios deployments -a shop'],
    load: () => import('../commands/deployments.ts').then((code) => code.deployments),
  },
  {
    name: 'deployments:log',
    group: 'Deploys',
    about: 'Show the log of a deployment, and go on until it ends',
    args: [{ name: 'ID', optional: true }],
    details: 'Without ID: the newest. Ends with 7 when the deployment failed.',
    app: true,
    examples: ['helios deployments:log', 'helios deployments:log dep_01k3m9x2v7h6q4t8s0a1b2c3d4'],
    load: () => import('../commands/deployments.ts').then((code) => code.deploymentLog),
  },
  {
    name: 'deployments:cancel',
    group: 'Deploys',
    about: 'Stop a deployment that waits or runs',
    args: [{ name: 'ID', optional: true }],
    details: 'Without ID: the one that is under way.',
    app: true,
    examples: ['helios deployments:cancel'],
    load: () => import('../commands/deployments.ts').then((code) => code.cancelDeployment),
  },
  {
    name: 'releases',
    group: 'Deploys',
    about: 'List releases, newest first',
    options: [NEWEST],
    app: true,
    examples: ['helios releases -a shop', 'helios releases -n 100'],
    load: () => import('../commands/releases.ts').then((code) => code.releases),
  },
  {
    name: 'rollback',
    group: 'Deploys',
    about: 'Go back to a release, without a build',
    args: [{ name: 'RELEASE', optional: true }],
    options: [DETACH],
    details:
      'Without RELEASE: the last good one before. Image, processes and config vars become those of that release.',
    app: true,
    examples: ['helios rollback', 'helios rollback v12 -a shop'],
    load: () => import('../commands/releases.ts').then((code) => code.rollback),
  },
  {
    name: 'domains',
    group: 'Config',
    about: 'List the host names of an app',
    app: true,
    examples: ['helios domains -a shop'],
    load: () => import('../commands/domains.ts').then((code) => code.domains),
  },
  {
    name: 'domains:add',
    group: 'Config',
    about: 'Add a host name to an app',
    args: [{ name: 'HOST' }],
    app: true,
    examples: ['helios domains:add shop.example.com -a shop'],
    load: () => import('../commands/domains.ts').then((code) => code.addDomain),
  },
  {
    name: 'domains:remove',
    group: 'Config',
    about: 'Remove a host name from an app',
    args: [{ name: 'HOST' }],
    app: true,
    examples: ['helios domains:remove shop.example.com'],
    load: () => import('../commands/domains.ts').then((code) => code.removeDomain),
  },
]
