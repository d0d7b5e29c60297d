/**
 * @module
 * The functions an engine backend offers; nothing here knows Docker or SQLite.
 */

/** What to run: the whole input of one instance. */
export type WorkloadSpec = {
  /** Container name made of ids only. */
  name: string
  image: string
  /** Words of the command; absent means the image's own. */
  command?: string[]
  env: Record<string, string>
  labels: Record<string, string>
  /** Network name; see {@link Runtime.ensureNetwork}. */
  network: string
  /** IPv4 address of its own in the network, kept over restarts; absent means the engine chooses. */
  address?: string
  memoryBytes: number
  cpus: number
  stopSignal: string
  stopGraceMs: number
  /** `always`: restarted by the engine with back-off until stopped; `never`: one-off. */
  restart: 'always' | 'never'
  /** Interactive one-off: allocate a terminal. */
  tty?: boolean
  stdin?: boolean
}

/** An instance as the engine sees it now. */
export type Instance = {
  id: string
  name: string
  labels: Record<string, string>
  /** Image id. */
  image: string
  state: 'created' | 'running' | 'restarting' | 'exited'
  /** Address in its network; absent unless running. */
  address?: string
  pid?: number
  createdAt: string
  startedAt?: string
  finishedAt?: string
  exitCode?: number
  oomKilled: boolean
  restarts: number
  memoryBytes: number
}

/** A line an instance wrote; `at` is RFC 3339 with nanoseconds. */
export type LogLine = { at: string; stream: 'stdout' | 'stderr'; text: string }

/** Something happened to an instance or the engine. `connected` comes first after each (re)connect: list again. */
export type EngineEvent = {
  type: 'connected' | 'start' | 'die' | 'oom' | 'destroy'
  id?: string
  labels?: Record<string, string>
}

/** What one build is made of. */
export type BuildRequest = {
  /** Image reference to give the result. */
  tag: string
  /** Makes the build context as a tar stream; called once per try. */
  context: () => NodeJS.ReadableStream
  /** Path of the Dockerfile inside the context. */
  dockerfile: string
  target?: string
  args: Record<string, string>
  labels: Record<string, string>
  memoryBytes: number
  cpus: number
}

/** Facts of an image that a release needs. */
export type ImageInfo = {
  id: string
  /** Ports of EXPOSE, ascending. */
  ports: number[]
  bytes: number
  user: string
  command: string[]
}

/** A program attached to a terminal or pipes: bytes in and out, then an exit code. */
export type Attached = {
  id: string
  stdin: NodeJS.WritableStream
  /** Output; with a tty one stream, else stdout and stderr apart. */
  stdout: NodeJS.ReadableStream
  stderr?: NodeJS.ReadableStream
  resize(columns: number, rows: number): Promise<void>
  kill(signal: string): Promise<void>
  /** The exit code, asked of the engine: a stream that broke is not an exit code. */
  wait(signal: AbortSignal): Promise<number>
}

/**
 * An engine that runs instances; what each backend implements.
 * Every function throws HeliosError (`HP51` engine unreachable, `engine_error`, `HX..`).
 * @public
 */
export type Runtime = {
  /** Check the engine answers; gives its version. */
  ping(signal: AbortSignal): Promise<{ version: string; buildLimits: 'cgroup' | 'classic' }>

  ensureNetwork(network: {
    name: string
    subnet: string
    labels: Record<string, string>
  }): Promise<void>
  removeNetwork(name: string): Promise<void>

  /** Create without starting; an existing instance of that name is given back instead. Gives the id. */
  createInstance(spec: WorkloadSpec, signal: AbortSignal): Promise<string>
  startInstance(id: string): Promise<void>
  /** Stop signal, grace, SIGKILL; gives whether it had to be killed. Gone or stopped already is fine. */
  stopInstance(id: string, graceMs: number): Promise<{ killed: boolean }>
  removeInstance(id: string): Promise<void>
  /** One instance by id or name; undefined when there is none. */
  inspectInstance(id: string): Promise<Instance | undefined>
  /** Every instance (any state) that carries all these labels. */
  listInstances(labels: Record<string, string>): Promise<Instance[]>
  /** Addresses that listen inside an instance, as `127.0.0.1:3000`, `0.0.0.0:8080`, `[::]:80`. */
  listeningSockets(instance: Instance): Promise<string[]>
  /** Memory in use now, bytes; undefined when it cannot be told. */
  memoryInUse(instance: Instance): Promise<number | undefined>
  /** Lines from `since` on (inclusive), followed live with `follow`; ends when the instance does. */
  logs(
    id: string,
    opts: { since?: string; follow: boolean; tail?: number },
    signal: AbortSignal,
  ): AsyncIterable<LogLine>
  /** Create, attach and start a one-off; the caller removes it. */
  attach(
    spec: WorkloadSpec,
    size: { columns: number; rows: number } | undefined,
    signal: AbortSignal,
  ): Promise<Attached>
  /** Events of instances that carry all these labels, reconnecting until aborted. */
  events(labels: Record<string, string>, signal: AbortSignal): AsyncIterable<EngineEvent>

  /** Build an image; readable lines as they come. @throws HX30 failed, HX31 out of memory, or the signal's reason. */
  build(
    request: BuildRequest,
    onLine: (line: string) => void,
    signal: AbortSignal,
  ): Promise<ImageInfo>
  pullImage(ref: string, onLine: (line: string) => void, signal: AbortSignal): Promise<ImageInfo>
  inspectImage(ref: string): Promise<ImageInfo | undefined>
  tagImage(source: string, tag: string): Promise<void>
  removeImage(ref: string): Promise<void>
  /** Tags and ids of images that carry all these labels. */
  listImages(
    labels: Record<string, string>,
  ): Promise<{ id: string; tags: string[]; createdAt: string }[]>
  /** Drop the cache of builds down to `keepBytes`; gives the bytes freed. */
  pruneBuildCache(keepBytes: number): Promise<number>
}
