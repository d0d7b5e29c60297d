/**
 * @module
 * Find the file of a source that says what the app is, and read it.
 */
import { parseAppJson } from './app-json.ts'
import { defaultProcess, defaultSpec } from './defaults.ts'
import { parseManifest } from './parse.ts'
import { parseProcfile } from './procfile.ts'
import type { AppSpec, ProcessSpec } from './types.ts'

/** Reads a file in the root of the source; undefined when there is none. */
type ReadFile = (path: string) => string | Uint8Array | undefined

/** An AppSpec, the file it is from, and what a person should know about the reading. */
export type ReadManifest = { spec: AppSpec; from: string; notes: string[] }

const OAL_FILES = ['oal.yaml', 'oal.yml', 'oal.json'] as const

/**
 * Read oal.yaml, oal.yml or oal.json; else Procfile and app.json; else take the defaults.
 * Processes stay empty when no file names one; a process without a command runs that of the builder or image.
 * @throws {HeliosError} invalid_manifest naming every problem of the file with line and column.
 */
export function readManifest(read: ReadFile): ReadManifest {
  const found = OAL_FILES.filter((file) => read(file) !== undefined)
  const [from] = found
  if (from === undefined) return withoutManifest(read)
  const spec = parseManifest(read(from) ?? '', from)
  const unread = [...found.slice(1), ...(read('Procfile') === undefined ? [] : ['Procfile'])]
  return { spec, from, notes: unread.map((file) => `${file} is not read, since ${from} is there`) }
}

function withoutManifest(read: ReadFile): ReadManifest {
  const [procText, appText] = [read('Procfile'), read('app.json')]
  const procfile = procText === undefined ? { commands: {}, notes: [] } : parseProcfile(procText)
  const appJson = appText === undefined ? { processes: {}, notes: [] } : parseAppJson(appText)
  const notes = [...procfile.notes, ...appJson.notes]
  const processes: Record<string, ProcessSpec> = {}
  for (const [name, command] of Object.entries(procfile.commands)) {
    processes[name] = { ...defaultProcess(name), command }
  }
  for (const [name, { instances, health }] of Object.entries(appJson.processes)) {
    if (procText === undefined ? name !== 'web' : !Object.hasOwn(processes, name)) {
      notes.push(`app.json: there is no process ${name}`)
      continue
    }
    const process = processes[name] ?? defaultProcess(name)
    processes[name] = {
      ...process,
      instances: instances ?? process.instances,
      health: { ...process.health, ...health },
    }
  }
  const files = [
    ...(procText === undefined ? [] : ['Procfile']),
    ...(appText === undefined ? [] : ['app.json']),
  ]
  return {
    spec: { ...defaultSpec(), processes },
    from: files.length === 0 ? 'defaults' : files.join(' and '),
    notes,
  }
}
