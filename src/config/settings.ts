/**
 * @module
 * From raw variables to frozen settings: defaults, checks, all problems in one message.
 */
import { availableParallelism } from 'node:os'
import { isAbsolute } from 'node:path'
import { HeliosError, messageOf, show } from '../lib/errors.ts'
import { parseSize } from '../lib/size.ts'
import { type RawEnv, SERVER_VARIABLES } from './env.ts'

/** Where something listens. */
export type Address = Readonly<{ host: string; port: number }>

/** What Helios runs with; sizes in bytes. */
export type Settings = Readonly<{
  dataDir: string
  logLevel: string
  /** Where the router takes visitors. */
  http: Address
  api: Address
  ssh: Address
  /** Every app answers at `<app>.<baseDomain>`. */
  baseDomain: string
  dockerSocket: string
  /** Path of a Caddy; undefined means the one on the PATH. */
  caddy: string | undefined
  /** First two numbers of the /16 that team networks are cut from. */
  subnetPool: string
  buildsAtOnce: number
  logBudgetBytes: number
  /** Certificates and npm settings that build steps need to reach a private mirror. */
  buildCaFile: string | undefined
  buildNpmrc: string | undefined
  /** Step of a deploy at which the process kills itself; for tests of recovery. */
  faultAt: string | undefined
}>

const LEVELS = ['debug', 'info', 'warn', 'error', 'silent']

/** Check the variables and fill in defaults. @throws {HeliosError} config_invalid naming every problem */
export function parseSettings(raw: RawEnv): Settings {
  const problems: string[] = []
  const get = <T>(key: keyof RawEnv, fallback: string, parse: (text: string) => T): T => {
    const text = raw[key] ?? fallback
    try {
      return parse(text)
    } catch (error) {
      problems.push(`${SERVER_VARIABLES[key]} is ${show(text)}: ${messageOf(error)}`)
      return parse(fallback)
    }
  }
  const optional = (key: keyof RawEnv): string | undefined =>
    raw[key] === undefined ? undefined : get(key, '/', absolute)
  const settings: Settings = {
    dataDir: get('dataDir', '/var/lib/helios', absolute),
    logLevel: get('logLevel', 'info', oneOf(LEVELS)),
    http: get('httpAddress', '0.0.0.0:80', address),
    api: get('apiAddress', '127.0.0.1:3000', address),
    ssh: get('sshAddress', '0.0.0.0:2222', address),
    baseDomain: get('baseDomain', 'localhost', domain),
    dockerSocket: get('dockerSocket', '/var/run/docker.sock', absolute),
    caddy: optional('caddy'),
    subnetPool: get('subnetPool', '10.88', pool),
    buildsAtOnce: get(
      'buildsAtOnce',
      String(Math.max(1, Math.floor(availableParallelism() / 2))),
      count,
    ),
    logBudgetBytes: get('logBudget', '100MiB', (text) => parseSize(text)),
    buildCaFile: optional('buildCaFile'),
    buildNpmrc: optional('buildNpmrc'),
    faultAt: raw.faultAt,
  }
  if (problems.length > 0) {
    throw new HeliosError('config_invalid', problems.join('\n'), {
      hint: 'Correct these variables and start again',
    })
  }
  return Object.freeze(settings)
}

function absolute(text: string): string {
  if (isAbsolute(text)) return text
  throw new Error('give an absolute path')
}

function oneOf(allowed: readonly string[]): (text: string) => string {
  return (text) => {
    if (allowed.includes(text)) return text
    throw new Error(`give one of ${allowed.join(', ')}`)
  }
}

function address(text: string): Address {
  const found = /^(\[[0-9a-f:]+\]|[a-z0-9.-]*):(\d{1,5})$/i.exec(text)
  const port = Number(found?.[2] ?? Number.NaN)
  if (!found || !(port <= 65_535)) throw new Error('give an address and a port, as 127.0.0.1:8080')
  return Object.freeze({ host: (found[1] || '0.0.0.0').replace(/^\[|\]$/g, ''), port })
}

function domain(text: string): string {
  const name = text.toLowerCase().replace(/\.$/, '')
  if (/^(?!-)[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(name) && !/^[\d.]+$/.test(name)) return name
  throw new Error('give a domain, as apps.example.com')
}

function pool(text: string): string {
  const parts = /^(\d{1,3})\.(\d{1,3})$/.exec(text)
  const [first, second] = [Number(parts?.[1]), Number(parts?.[2])]
  const isPrivate =
    first === 10 ||
    (first === 172 && second >= 16 && second <= 31) ||
    (first === 192 && second === 168)
  if (parts && isPrivate && second <= 255) return text
  throw new Error('give the first two numbers of a private /16, as 10.88')
}

function count(text: string): number {
  if (/^[1-9]\d{0,2}$/.test(text)) return Number(text)
  throw new Error('give a whole number from 1 to 999')
}
