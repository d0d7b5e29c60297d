/**
 * @module
 * The parsed form of a manifest: plain data, every default filled in.
 */

/** Which builder a manifest asks for. */
export type BuilderName = 'dockerfile' | 'image' | 'static' | 'node' | 'python'

/** What a build is told; sizes in bytes, times in milliseconds. */
export type BuildSpec = {
  builder: BuilderName | 'auto'
  /** Path of the Dockerfile below the source's root (builder dockerfile). */
  dockerfile: string
  /** Stage of a multi-stage Dockerfile. */
  target?: string
  args: Record<string, string>
  /** Image reference (builder image). */
  image?: string
  /** Folder to serve (builder static). */
  root?: string
  /** Unknown paths serve index.html (builder static). */
  spa: boolean
  /** One extra command after dependencies are installed. */
  run?: string
  limits: { memoryBytes: number; cpus: number; timeoutMs: number }
}

/** How an instance is found healthy: HTTP GET of `path` (2xx, 3xx), or a TCP connect without one. */
export type HealthSpec = { path?: string; intervalMs: number; timeoutMs: number; graceMs: number }

/** One kind of program of an app. */
export type ProcessSpec = {
  /** Words of the command; absent means the image's own. */
  command?: string[]
  /** Port it listens on, also given as $PORT. Processes other than `web` without a port get no health gate by network. */
  port?: number
  instances: number
  memoryBytes: number
  cpus: number
  health: HealthSpec
  stop: { signal: string; graceMs: number }
}

/**
 * What an app is made of and how it should run.
 * @public
 */
export type AppSpec = {
  oal: 1
  app?: string
  /** Name of the team the app belongs to; the default is that of the one who deploys. */
  team?: string
  build: BuildSpec
  env: Record<string, string>
  processes: Record<string, ProcessSpec>
  rollout: { drainMs: number }
}
