/**
 * @module
 * What a builder is: from a look at the source's files to a Dockerfile, without touching anything.
 */
import type { BuilderName, BuildSpec } from '../manifest/types.ts'

/** The source as builders see it: its paths, and the text of small files that decide something. */
export type SourceFiles = {
  /** Paths of files relative to the root, `/`-separated, sorted. */
  paths: readonly string[]
  /** Text of a file at most 1 MiB that a builder or the manifest may read; undefined when absent or not kept. */
  read(path: string): string | undefined
}

/** A Dockerfile and what its build context is made of. */
export type DockerfilePlan = {
  kind: 'dockerfile'
  /** Text of the Dockerfile to build; it is put into the context under a name of its own. */
  dockerfile: string
  /** Files to add to the context beside the source, path to text (never overwrites the source's files). */
  extraFiles: Record<string, string>
  /** Folder of the context that holds the source; absent means its root. */
  sourceDir?: string
  target?: string
  args: Record<string, string>
  /** Ignore rules for the source (the text of .dockerignore). */
  ignore: string
  /** Commands by process that the language's own files name (package.json start, Procfile is read elsewhere). */
  processes: Record<string, string[]>
  /** Port the app is known to listen on; undefined means $PORT. */
  port?: number
}

/** What a builder wants done. */
export type BuildPlan = DockerfilePlan | { kind: 'image'; image: string }

/** Files of the server that install steps see and images never hold; each is the text of the file. */
export type BuildEnvironment = {
  /** Certificates in PEM form that a mirror's own is signed by. */
  caFile?: string
  /** npm configuration: registry and its credentials. */
  npmrc?: string
}

/** What the server gives a build; both need a builder that knows `RUN --mount`. */
export type PlanOptions = {
  /** Who shares cache mounts, such as the app's id (letters, digits, `_`, `-`); absent means no cache mounts. */
  cacheScope?: string
  environment?: BuildEnvironment
}

/** A builder: does it fit and why, and what it would do. Pure. */
export type Builder = {
  name: BuilderName
  /** One sentence which file decided, or undefined when the builder does not fit. */
  detect(files: SourceFiles): string | undefined
  /** @throws {HeliosError} HX34 when the source cannot be built, with what to do. */
  plan(files: SourceFiles, spec: BuildSpec, options?: PlanOptions): BuildPlan
}

/** The outcome of detection, for the build log. */
export type Detected = { builder: BuilderName; reason: string }
