/**
 * @module
 * The builder for a folder of files to serve, as it lies in the source or made by a build script.
 */
import { HeliosError, show } from '../lib/errors.ts'
import type { BuildSpec } from '../manifest/types.ts'
import { mountedFiles } from './mounts.ts'
import { buildStage, nodeIgnore } from './node.ts'
import { nodeMajor, type Package, peekPackage } from './node-package.ts'
import { siteFolder } from './site.ts'
import type { Builder, PlanOptions, SourceFiles } from './types.ts'

const CADDYFILE = '.helios/Caddyfile'
const FOLDERS = ['.', 'public', 'dist', '_site', 'build']

/** What no visitor may get, where the root folder is served. */
const IGNORED = '**/.*\n!.well-known\noal.yaml\noal.yml\noal.json\nDockerfile\nProcfile\n'

/** Serves the folder with Caddy. */
export const staticBuilder: Builder = {
  name: 'static',
  detect(files) {
    const site = generated(files, undefined)
    if (site !== undefined) {
      return `package.json has a build script that writes ${site.folder}/, and nothing that serves`
    }
    const folder = folderOf(files)
    if (folder === undefined) return undefined
    const place = folder === '.' ? 'in the root folder' : `in ${folder}/`
    return `index.html is ${place}`
  },
  plan(files, spec, options) {
    const site = generated(files, spec.root)
    return site === undefined ? planFolder(files, spec) : planSite(files, spec, site, options)
  },
}

type Site = { pack: Package; folder: string }

// A root that lies in the source is served as it is, whatever package.json says.
function generated(files: SourceFiles, root: string | undefined): Site | undefined {
  const pack = peekPackage(files)
  if (pack?.scripts['build'] === undefined) return undefined
  if (root !== undefined) {
    const folder = clean(root)
    return folder === '.' || hasFolder(files, folder) ? undefined : { pack, folder }
  }
  const folder = siteFolder(files, pack)
  return folder === undefined ? undefined : { pack, folder }
}

function clean(root: string): string {
  return root.replace(/^(\.?\/)+|(\/+\.?)+$/g, '') || '.'
}

function hasFolder(files: SourceFiles, folder: string): boolean {
  return folder === '.' || files.paths.some((path) => path.startsWith(`${folder}/`))
}

function folderOf(files: SourceFiles): string | undefined {
  return FOLDERS.find((folder) =>
    files.paths.includes(folder === '.' ? 'index.html' : `${folder}/index.html`),
  )
}

function planFolder(files: SourceFiles, spec: BuildSpec): ReturnType<Builder['plan']> {
  const root = spec.root === undefined ? (folderOf(files) ?? '.') : clean(spec.root)
  if (!hasFolder(files, root) || !isPlain(root)) refuseRoot(root, 'is not in the source')
  const own = files.read('.dockerignore') ?? ''
  const prefix = root === '.' ? '' : `${root}/`
  return {
    kind: 'dockerfile',
    dockerfile: [
      ...serverSteps(),
      `COPY ${JSON.stringify([root === '.' ? 'app/' : `app/${root}/`, '/srv/'])}`,
      '',
    ].join('\n'),
    extraFiles: { [CADDYFILE]: caddyfile(spec.spa, files.paths.includes(`${prefix}404.html`)) },
    sourceDir: 'app',
    args: {},
    ignore: root === '.' ? `${IGNORED}${own}\n` : `${own}\n!${root}\n`,
    processes: {},
  }
}

function planSite(
  files: SourceFiles,
  spec: BuildSpec,
  { pack, folder }: Site,
  options: PlanOptions | undefined,
): ReturnType<Builder['plan']> {
  if (!isPlain(folder)) refuseRoot(folder, 'cannot be served')
  const base = `node:${nodeMajor(files, pack)}-slim`
  return {
    kind: 'dockerfile',
    dockerfile: [
      ...buildStage(files, pack, spec, base, options),
      ...serverSteps(),
      `COPY --from=build ${JSON.stringify([`/app/${folder}/`, '/srv/'])}`,
      '',
    ].join('\n'),
    extraFiles: { ...mountedFiles(options), [CADDYFILE]: caddyfile(spec.spa, true) },
    sourceDir: 'app',
    args: {},
    ignore: nodeIgnore(files),
    processes: {},
  }
}

function isPlain(folder: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return !/["\\$*?[\x00-\x1f]/.test(folder) && !folder.split('/').includes('..')
}

function refuseRoot(root: string, problem: string): never {
  throw new HeliosError('HX34', `the folder ${show(root)} to serve ${problem}`, {
    hint: 'Set build.root in oal.yaml to a folder with files.',
  })
}

function serverSteps(): string[] {
  return [
    'FROM caddy:2',
    'ENV XDG_CONFIG_HOME=/tmp XDG_DATA_HOME=/tmp',
    `COPY ${CADDYFILE} /etc/caddy/Caddyfile`,
    'USER 1000:1000',
    'CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]',
  ]
}

function caddyfile(spa: boolean, hasErrorPage: boolean): string {
  const own = [
    ...(spa ? ['try_files {path} /index.html'] : []),
    ...(hasErrorPage && !spa
      ? ['handle_errors 404 {', '\trewrite * /404.html', '\tfile_server', '}']
      : []),
  ]
  return [
    '{',
    '\tadmin off',
    '\tauto_https off',
    '\tpersist_config off',
    '}',
    ':{$PORT:8080} {',
    ...['root * /srv', ...own, 'encode zstd gzip', 'file_server'].map((line) => `\t${line}`),
    '}',
    '',
  ].join('\n')
}
