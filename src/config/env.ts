/**
 * @module
 * The only reader of the environment: every variable Helios knows, as strings.
 */

/** Variables of the server with what they mean; the settings give their defaults. */
export const SERVER_VARIABLES = {
  dataDir: 'HELIOS_DATA_DIR',
  logLevel: 'HELIOS_LOG_LEVEL',
  httpAddress: 'HELIOS_HTTP_ADDRESS',
  apiAddress: 'HELIOS_API_ADDRESS',
  sshAddress: 'HELIOS_SSH_ADDRESS',
  baseDomain: 'HELIOS_BASE_DOMAIN',
  dockerSocket: 'HELIOS_DOCKER_SOCKET',
  caddy: 'HELIOS_CADDY',
  subnetPool: 'HELIOS_SUBNET_POOL',
  buildsAtOnce: 'HELIOS_BUILDS_AT_ONCE',
  logBudget: 'HELIOS_LOG_BUDGET',
  buildCaFile: 'HELIOS_BUILD_CA_FILE',
  buildNpmrc: 'HELIOS_BUILD_NPMRC',
  faultAt: 'HELIOS_FAULT_AT',
} as const

/** Variables as they stand in the environment; absent and empty ones are undefined. */
export type RawEnv = { [K in keyof typeof SERVER_VARIABLES]: string | undefined }

/** Read the variables of the server. */
export function readEnv(): RawEnv {
  const entries = Object.entries(SERVER_VARIABLES).map(([key, name]) => [
    key,
    process.env[name] || undefined,
  ])
  return Object.fromEntries(entries) as RawEnv
}

/** What the command line reads. */
export type ClientEnv = {
  server: string | undefined
  token: string | undefined
  /** Folder of saved sign-ins, before `helios/`. */
  configHome: string | undefined
  home: string | undefined
  noColor: boolean
  /** What programs started from the command line need, as git and a browser. */
  desktop: Record<string, string>
}

const DESKTOP = [
  'PATH',
  'HOME',
  'DISPLAY',
  'WAYLAND_DISPLAY',
  'XAUTHORITY',
  'XDG_RUNTIME_DIR',
  'DBUS_SESSION_BUS_ADDRESS',
  'BROWSER',
]

/** Read the variables of the command line. */
export function readClientEnv(): ClientEnv {
  const { HELIOS_SERVER, HELIOS_TOKEN, XDG_CONFIG_HOME, HOME, NO_COLOR } = process.env
  return {
    server: HELIOS_SERVER || undefined,
    token: HELIOS_TOKEN || undefined,
    configHome: XDG_CONFIG_HOME || undefined,
    home: HOME || undefined,
    noColor: Boolean(NO_COLOR),
    desktop: Object.fromEntries(
      DESKTOP.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
    ),
  }
}
