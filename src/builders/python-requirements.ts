/**
 * @module
 * What a requirements.txt needs besides itself to be installed.
 */
import { posix } from 'node:path'
import type { SourceFiles } from './types.ts'

/** A requirements.txt with the files it includes. */
export type Requirements = {
  /** Names of the packages, normalised. */
  names: Set<string>
  /** Files to copy before the install; whole folders end with "/". */
  files: string[]
  /** Whether it installs the source itself, so that all of it is needed first. */
  needsSource: boolean
  /** Whether there is nothing to install. */
  isEmpty: boolean
}

/** Read requirements and what they include; files that are missing are left to pip to complain about. */
export function readRequirements(files: SourceFiles, path: string): Requirements {
  const found: Requirements = { names: new Set(), files: [path], needsSource: false, isEmpty: true }
  const queue = [path]
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    for (const line of linesOf(files.read(next) ?? '')) {
      const included = readLine(line, posix.dirname(next), files, found)
      if (included !== undefined) queue.push(included)
    }
  }
  return found
}

function linesOf(text: string): string[] {
  return text
    .replace(/^\uFEFF/, '')
    .replace(/\\\r?\n/g, ' ')
    .split('\n')
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .filter((line) => line !== '')
}

// Gives the requirements file that the line includes for the first time.
function readLine(
  line: string,
  dir: string,
  files: SourceFiles,
  found: Requirements,
): string | undefined {
  const include = /^(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)/.exec(line)?.[1]
  if (include !== undefined) {
    const path = posix.join(dir, include)
    return addFile(path, files, found) ? path : undefined
  }
  const links = /^(?:-f|--find-links)[\s=]*(\S+)/.exec(line)?.[1]
  if (links !== undefined) {
    addLocal(links, files, found)
    return undefined
  }
  const editable = /^(?:-e|--editable)[\s=]*(.*)$/.exec(line)?.[1]
  if (line.startsWith('-') && editable === undefined) return undefined
  found.isEmpty = false
  const wanted = editable ?? line
  const name = /^[A-Za-z0-9][\w.-]*/.exec(wanted)?.[0]
  if (name !== undefined) found.names.add(normalName(name))
  const local =
    /^(?:[^@\s]+\s*@\s*)?(?:file:(?:\/\/)?)?((?:\.|[\w-]+\/|[^\s:;]+\.(?:whl|tar\.gz|zip)(?=$|[\s;]))[^\s;[]*)/.exec(
      wanted,
    )
  if (local?.[1] !== undefined) addLocal(local[1], files, found)
  return undefined
}

/** The one spelling of a package's name. */
export function normalName(name: string): string {
  return name.toLowerCase().replace(/[-_.]+/g, '-')
}

// pip reads local paths from where it runs, which is the root of the source.
function addLocal(path: string, files: SourceFiles, found: Requirements): void {
  const clean = posix.join(path).replace(/\/$/, '')
  if (files.paths.includes(clean)) addFile(clean, files, found)
  else if (clean === '.') found.needsSource = true
  else if (files.paths.some((each) => each.startsWith(`${clean}/`))) {
    if (!found.files.includes(`${clean}/`)) found.files.push(`${clean}/`)
  }
}

function addFile(path: string, files: SourceFiles, found: Requirements): boolean {
  if (found.files.includes(path) || !files.paths.includes(path)) return false
  found.files.push(path)
  return true
}
