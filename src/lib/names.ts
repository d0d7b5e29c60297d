/**
 * @module
 * Parse what people name things: apps, hosts, env keys, processes, git refs; one rule each.
 */
import { domainToASCII } from 'node:url'
import { HeliosError, show } from './errors.ts'

const RESERVED = new Set(['www', 'api', 'helios', 'admin'])

/** Parse an app's name. @throws {HeliosError} invalid_name, name_reserved */
export function parseAppName(text: string): string {
  if (!/^[a-z](?:[a-z0-9]|-(?=[a-z0-9])){0,39}$/.test(text)) {
    throw new HeliosError(
      'invalid_name',
      `${show(text)} is no app name: use 1–40 of a–z, 0–9, -; it must start with a letter and have no - at the end or twice in a row, as in "my-shop"`,
      { field: 'name' },
    )
  }
  if (RESERVED.has(text)) {
    throw new HeliosError('name_reserved', `${show(text)} is reserved for Helios itself`, {
      field: 'name',
      hint: `Choose another name, for example "${text}-app"`,
    })
  }
  return text
}

/** Parse the name of a process, as `web`. @throws {HeliosError} invalid_name */
export function parseProcessName(text: string): string {
  if (/^[a-z][a-z0-9-]{0,29}$/.test(text)) return text
  throw new HeliosError(
    'invalid_name',
    `${show(text)} is no process name: use 1–30 of a–z, 0–9, -; it must start with a letter, as in "worker"`,
    { field: 'process' },
  )
}

/** Parse the key of a config var. @throws {HeliosError} invalid_env_key */
export function parseEnvKey(text: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(text)) {
    throw new HeliosError(
      'invalid_env_key',
      `${show(text)} is no config key: use letters, digits and _, not starting with a digit, as in DATABASE_URL`,
      { field: 'key' },
    )
  }
  if (/^HELIOS_/i.test(text)) {
    throw new HeliosError(
      'invalid_env_key',
      `${show(text)}: keys that start with HELIOS_ are reserved`,
      {
        field: 'key',
      },
    )
  }
  return text
}

const MAX_ENV_VALUE_BYTES = 64 * 1024

/** Parse the value of a config var; any text without NUL up to 64 KiB, kept byte for byte. @throws {HeliosError} env_value_nul, env_value_too_large */
export function parseEnvValue(key: string, value: string): string {
  if (value.includes('\0')) {
    throw new HeliosError(
      'env_value_nul',
      `The value of ${key} has a NUL byte, which no environment can carry`,
      { field: key },
    )
  }
  const bytes = Buffer.byteLength(value)
  if (bytes > MAX_ENV_VALUE_BYTES) {
    throw new HeliosError(
      'env_value_too_large',
      `The value of ${key} has ${bytes} bytes; at most ${MAX_ENV_VALUE_BYTES} are allowed`,
      { field: key },
    )
  }
  return value
}

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/** Parse a host name an app may own: lower case, punycode, no trailing dot. @throws {HeliosError} invalid_domain */
export function parseHost(text: string): string {
  const bare = text
    .trim()
    .replace(/^[a-z]+:\/\//i, '')
    .replace(/[/:?#].*$/, '')
    .replace(/\.$/, '')
  const host = domainToASCII(bare.toLowerCase())
  const labels = host.split('.')
  const sound = labels.length >= 2 && labels.every((label) => LABEL.test(label))
  const numeric = /^\d+$/.test(labels.at(-1) ?? '')
  if (sound && !numeric && host.length <= 253 && bare === text.trim().replace(/\.$/, ''))
    return host
  throw new HeliosError(
    'invalid_domain',
    `${show(text)} is no host name: write it without scheme, port or path, as in "shop.example.com"`,
    {
      field: 'host',
      ...(sound && !numeric && bare !== text ? { hint: `Did you mean "${host}"?` } : {}),
    },
  )
}

/** Parse a full git ref under refs/. @throws {HeliosError} invalid_ref */
export function parseGitRef(text: string): string {
  const parts = text.split('/')
  const sound =
    text.length <= 200 &&
    parts.length >= 3 &&
    parts[0] === 'refs' &&
    parts.every(
      (part) =>
        part !== '' && !part.startsWith('.') && !part.startsWith('-') && !part.endsWith('.lock'),
    ) &&
    !/\.\.|@\{|[\p{Cc} ~^:?*[\\]/u.test(text) &&
    !text.endsWith('.')
  if (sound) return text
  throw new HeliosError('invalid_ref', `${show(text)} is no git ref that Helios takes`, {
    field: 'ref',
    hint: 'Push a branch or tag with a plain name, as in: git push helios main',
  })
}

const IMAGE =
  /^(?:[a-z0-9][a-z0-9-]*(?:\.[a-z0-9][a-z0-9-]*)*(?::\d{1,5})?\/)?[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$/

/** Parse a reference to an image of a registry; ids and images that Helios built are none. @throws {HeliosError} invalid_image */
export function parseImageRef(text: string): string {
  const path = text.replace(/^(?:(?:index|registry-1)\.)?docker\.io(?::\d+)?\//, '')
  const local = /^(?:sha256:)?[0-9a-f]{5,64}$/.test(text) || /^(?:library\/)?helios\//.test(path)
  if (text.length <= 500 && IMAGE.test(text) && !local) return text
  throw new HeliosError(
    'invalid_image',
    local
      ? `${show(text)} names an image of this server, which no app may take`
      : `${show(text)} is no image reference`,
    { field: 'image', hint: 'Name an image of a registry, as in ghcr.io/example/shop:1.4' },
  )
}
