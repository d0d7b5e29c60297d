/**
 * @module
 * What generated install steps mount: a cache of the app's own, and the server's CA and npm settings.
 */
import { HeliosError, show } from '../lib/errors.ts'
import type { PlanOptions } from './types.ts'

/** Folder of the cache in install steps; outside of any home, since mount points stay in the image. */
export const CACHE_DIR = '/tmp/cache'

const ENVIRONMENT_DIR = '.helios/env'
const MOUNTED_DIR = '/run/helios'
const CA_VARIABLES = ['NODE_EXTRA_CA_CERTS', 'PIP_CERT', 'REQUESTS_CA_BUNDLE', 'SSL_CERT_FILE']

/** The step `RUN command` as user `uid` with the mounts that the options allow; a cache that is not mounted is removed. */
export function installStep(
  command: string,
  uid: number,
  tool: string,
  options: PlanOptions = {},
): string {
  const { cacheScope: scope } = options
  const owner = uid === 0 ? '' : `,uid=${uid},gid=${uid}`
  const cache =
    scope === undefined
      ? []
      : [`--mount=type=cache,id=${checkScope(scope)}-${tool},target=${CACHE_DIR}${owner}`]
  const settings = hasEnvironment(options)
    ? [`--mount=type=bind,source=${ENVIRONMENT_DIR},target=${MOUNTED_DIR}`]
    : []
  const commands = [
    ...(hasEnvironment(options) ? [`. ${MOUNTED_DIR}/env`] : []),
    command,
    ...(scope === undefined ? [`rm -rf ${CACHE_DIR}`] : []),
  ]
  return ['RUN', ...cache, ...settings, commands.join(' && ')].join(' ')
}

function hasEnvironment({ environment }: PlanOptions): boolean {
  return environment?.caFile !== undefined || environment?.npmrc !== undefined
}

/** The files that {@link installStep} mounts, for the context. */
export function mountedFiles(options: PlanOptions = {}): Record<string, string> {
  if (!hasEnvironment(options)) return {}
  const { caFile, npmrc } = options.environment ?? {}
  const variables = [
    ...(caFile === undefined ? [] : CA_VARIABLES.map((name) => `${name}=${MOUNTED_DIR}/ca.pem`)),
    ...(npmrc === undefined ? [] : [`npm_config_userconfig=${MOUNTED_DIR}/npmrc`]),
    ...registryOf(npmrc ?? '').map((url) => `YARN_NPM_REGISTRY_SERVER=${url}`),
  ]
  return {
    [`${ENVIRONMENT_DIR}/env`]: `export ${variables.join(' ')}\n`,
    ...(caFile === undefined ? {} : { [`${ENVIRONMENT_DIR}/ca.pem`]: caFile }),
    ...(npmrc === undefined ? {} : { [`${ENVIRONMENT_DIR}/npmrc`]: npmrc }),
  }
}

// yarn 2 and newer does not read .npmrc.
function registryOf(npmrc: string): string[] {
  const found = /^\s*registry\s*=\s*"?(https?:\/\/[\w.:/@%~-]+)"?\s*$/m.exec(npmrc)?.[1]
  return found === undefined ? [] : [found]
}

/**
 * Give every cache mount of a Dockerfile an id that begins with the scope, so that apps never
 * share one. The gate refuses what this does not reach.
 */
export function scopeCacheMounts(dockerfile: string, scope: string): string {
  const prefix = `${checkScope(scope)}-`
  return dockerfile.replace(
    /(--mount=)([^\s"'\\]+)(?=\s|$)/g,
    (whole, flag: string, value: string) => {
      const fields = value.split(',').map((text) => {
        const [key = '', ...rest] = text.split('=')
        return { key: key.toLowerCase(), text, value: rest.join('=') }
      })
      const isCache = fields.some((field) => /^type=cache$/i.test(field.text))
      if (!isCache) return whole
      const ids = fields.filter(({ key }) => key === 'id')
      const target = fields.find(({ key }) => ['target', 'dst', 'destination'].includes(key))
      const scoped = fields.map((field) =>
        field.key === 'id' ? `id=${prefix}${field.value}` : field.text,
      )
      if (ids.length === 0) scoped.push(`id=${prefix}${target?.value ?? ''}`)
      return flag + scoped.join(',')
    },
  )
}

function checkScope(scope: string): string {
  if (/^[\w-]{1,64}$/.test(scope)) return scope
  throw new HeliosError('internal', `the cache scope ${show(scope)} is not an id`)
}
