/**
 * @module
 * Serve stock git's receive-pack and upload-pack over streams, and ask about every push before it counts.
 */
import type { Duplex, Readable, Writable } from 'node:stream'
import { HeliosError } from '../lib/errors.ts'
import { type Piped, spawnPiped } from '../lib/exec.ts'
import { gitArgv, gitEnv } from './run.ts'

/** One line of a push: a ref with the object it names before and after, forty zeros for none. */
export type RefUpdate = { ref: string; old: string; next: string }

/** A push that waits for its verdict. */
export type Push = {
  updates: RefUpdate[]
  /** Folder where git holds what came, until the verdict; undefined when nothing came. */
  quarantine: string | undefined
  /** Show text to the pusher, as `remote:` lines; returns when there is room for more. */
  say(text: string): Promise<void>
  /** Give the verdict; returns when git has done the rest: refs moved, objects kept or thrown away. */
  answer(accepted: boolean): Promise<void>
  /** Aborted when the pusher is not there any more; git itself is still held and can be answered. */
  gone: AbortSignal
}

/** What both directions need. */
export type PackStreams = {
  repo: string
  input: Readable
  output: Writable
  /** What git says outside the protocol; nothing is written after the returned promise settles. */
  complain?: (text: string) => void
  /** `advertise` and `stateless` are the two halves of smart HTTP; neither means one connection for all. */
  mode?: 'advertise' | 'stateless'
  /** The client's Git-Protocol, as `version=2`. */
  protocol?: string
  /** Aborts when the other side is gone. */
  signal: AbortSignal
}

/** How git ended; `lacking`: the push was refused because what it builds on is not here. */
export type PackResult = { code: number | null; lacking?: boolean }

const IDLE_MS = 5 * 60_000
const AFTER_VERDICT_MS = 60_000
const MAX_QUESTION_BYTES = 1024 * 1024

/**
 * Take a push. `onPush` is called once when everything has come and been checked; without its
 * `answer(true)` no ref moves. From that call on, a pusher who goes away ends nothing.
 * @throws what `onPush` throws, after the push has been refused
 */
export async function receivePack(
  opts: PackStreams & { hooksDir: string; onPush(push: Push): Promise<void> },
): Promise<PackResult> {
  const child = start(opts, 'receive-pack', [`core.hooksPath=${opts.hooksDir}`])
  const [speech, line] = child.extra
  if (!speech || !line) throw new HeliosError('internal', 'git got no pipes')
  speech.resume()
  let asked = false
  const lacking = listen(child.stdout)
  const link = connect(child, opts, () => asked)
  const question = await Promise.race([readQuestion(line), link.over.then(() => undefined)])
  if (question) {
    asked = true
    link.calm()
    await decide(opts.onPush, question, { speech, line, link })
  }
  return { ...(await link.over), lacking: lacking() }
}

/** Listen for the one complaint of git that has a remedy; gives whether it came. */
function listen(output: Readable): () => boolean {
  let tail = ''
  let found = false
  const hear = (chunk: Buffer): void => {
    tail = `${tail}${chunk.toString('latin1')}`.slice(-4096)
    found ||= /did not receive expected object|missing necessary objects/.test(tail)
  }
  output.on('data', hear)
  return () => found
}

type Question = Pick<Push, 'updates' | 'quarantine'>
type Held = { speech: Duplex; line: Duplex; link: Link }

async function decide(
  onPush: (push: Push) => Promise<void>,
  question: Question,
  { speech, line, link }: Held,
): Promise<void> {
  let answered = false
  const answer = async (accepted: boolean): Promise<void> => {
    if (!answered) {
      answered = true
      speech.end()
      line.end(accepted ? 'ok\n' : 'no\n')
      link.hurry()
    }
    await link.over
  }
  const say = async (text: string): Promise<void> => {
    if (speech.writable && !speech.write(`${text}\n`)) await drained(speech, link.over)
  }
  try {
    await onPush({ ...question, say, answer, gone: link.gone })
  } finally {
    await answer(false)
  }
}

/** Serve a clone or fetch; ends when the other side goes. */
export async function uploadPack(opts: PackStreams): Promise<PackResult> {
  const child = start(opts, 'upload-pack', [])
  return connect(child, opts, () => false).over
}

function start(opts: PackStreams, command: string, settings: readonly string[]): Piped {
  const flags = {
    advertise: ['--stateless-rpc', '--advertise-refs'],
    stateless: ['--stateless-rpc'],
    connection: [],
  }[opts.mode ?? 'connection']
  return spawnPiped(gitArgv(opts.repo, [command, ...flags, opts.repo], settings), {
    env: gitEnv(opts.protocol === undefined ? {} : { GIT_PROTOCOL: opts.protocol }),
    extraPipes: command === 'receive-pack' ? 2 : 0,
  })
}

type Link = {
  /** Settles when git ended and all it printed was handed on. */
  over: Promise<PackResult>
  gone: AbortSignal
  /** Stop to watch for silence: from here on git waits for Helios, not for the pusher. */
  calm(): void
  /** The verdict is given: a pusher who does not read it must not hold git. */
  hurry(): void
}

/** Join a git with its client: bytes both ways, silence and loss noticed. */
function connect(child: Piped, opts: PackStreams, keepAfterLoss: () => boolean): Link {
  const { input, output } = opts
  const gone = new AbortController()
  let done = false
  const lose = (): void => {
    if (done || gone.signal.aborted) return
    gone.abort()
    // Git goes on reading and writing into the void, so that a loss does not end what was begun.
    input.unpipe(child.stdin)
    child.stdin.end()
    child.stdout.unpipe(output)
    child.stdout.resume()
    if (!keepAfterLoss()) child.kill()
  }
  const silence = watchSilence([input, child.stdout], lose)
  input.on('error', lose).on('close', () => void (input.readableEnded || lose()))
  output.on('error', lose).on('close', () => void (output.writableFinished || lose()))
  child.stderr.on('data', (chunk: Buffer) => opts.complain?.(chunk.toString()))
  child.stdin.once('close', () => input.unpipe(child.stdin).resume())
  input.pipe(child.stdin)
  child.stdout.pipe(output, { end: false })
  if (opts.signal.aborted) lose()
  else opts.signal.addEventListener('abort', lose, { once: true })
  let timer: NodeJS.Timeout | undefined
  const over = Promise.all([child.ended, closed(child.stdout), closed(child.stderr)])
    .then(([{ code }]) => ({ code }))
    .finally(() => {
      done = true
      silence.end()
      clearTimeout(timer)
      opts.signal.removeEventListener('abort', lose)
    })
  over.catch(() => undefined)
  return {
    over,
    gone: gone.signal,
    calm: silence.end,
    hurry: () => {
      timer = setTimeout(() => {
        lose()
        timer = setTimeout(child.kill, AFTER_VERDICT_MS)
      }, AFTER_VERDICT_MS)
    },
  }
}

function watchSilence(streams: readonly Readable[], tooLong: () => void): { end(): void } {
  const timer = setTimeout(tooLong, IDLE_MS)
  const touch = (): void => void timer.refresh()
  for (const stream of streams) stream.on('data', touch)
  return {
    end: () => {
      clearTimeout(timer)
      for (const stream of streams) stream.off('data', touch)
    },
  }
}

function closed(stream: Readable): Promise<void> {
  return new Promise((resolve) => stream.once('close', () => resolve()))
}

function drained(stream: Writable, over: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    stream.once('drain', resolve).once('close', resolve)
    over.finally(resolve).catch(() => undefined)
  })
}

/** Read what the hook asks: the quarantine's path, `old new ref` lines, an empty line. */
function readQuestion(line: Duplex): Promise<Question | undefined> {
  return new Promise((resolve) => {
    let text = ''
    line.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      if (text.length > MAX_QUESTION_BYTES) line.destroy()
      else if (text.endsWith('\n\n')) resolve(parseQuestion(text))
    })
    line.once('close', () => resolve(undefined)).once('end', () => resolve(undefined))
  })
}

function parseQuestion(text: string): Question {
  const [quarantine, ...lines] = text.split('\n').slice(0, -2)
  const updates = lines.map((update) => {
    const [old = '', next = '', ...ref] = update.split(' ')
    return { old, next, ref: ref.join(' ') }
  })
  return { updates, quarantine: quarantine || undefined }
}
