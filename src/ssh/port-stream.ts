/**
 * @module
 * A stream over a message port, with credits: neither thread buffers more than a window of the other.
 */
import { Duplex } from 'node:stream'
import type { MessagePort } from 'node:worker_threads'

/** A stream to another thread, and one note beside its bytes. */
export type PortStream<Note> = {
  stream: Duplex
  /** Send a note; it arrives after what was written and before the end. */
  send(note: Note): void
  /** The note that came, if any. */
  note(): Note | undefined
}

type Frame<Note> = { data: Uint8Array } | { credit: number } | { note: Note } | { end: true }

const WINDOW = 512 * 1024

/** Make one side of a stream over a port; both sides are made alike. */
export function createPortStream<Note>(port: MessagePort): PortStream<Note> {
  let credit = WINDOW
  let owed = 0
  let received: Note | undefined
  let blocked: (() => void) | undefined
  const post = (frame: Frame<Note>, transfer: ArrayBuffer[] = []): void =>
    port.postMessage(frame, transfer)

  const stream = new Duplex({
    highWaterMark: 64 * 1024,
    read: () => {
      if (owed > 0) post({ credit: owed })
      owed = 0
    },
    write: (chunk: Buffer, _, done) => {
      // A copy of its own can be handed over; a slice would drag its whole pool along.
      const data = new Uint8Array(chunk)
      credit -= data.byteLength
      post({ data }, [data.buffer])
      if (credit > 0) done()
      else blocked = done
    },
    final: (done) => {
      post({ end: true })
      done()
    },
    destroy: (error, done) => {
      port.close()
      done(error)
    },
  })
  port.on('message', (frame: Frame<Note>) => {
    if ('data' in frame) {
      owed += frame.data.byteLength
      stream.push(frame.data)
    } else if ('credit' in frame) {
      credit += frame.credit
      const go = blocked
      blocked = undefined
      go?.()
    } else if ('note' in frame) received = frame.note
    else stream.push(null)
  })
  port.on('close', () => stream.destroy())
  return { stream, send: (note) => post({ note }), note: () => received }
}
