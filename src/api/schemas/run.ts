/**
 * @module
 * Messages of a one-off command over a WebSocket.
 */
import { z } from 'zod'
import { ErrorBody } from './shapes.ts'

/**
 * First message of a client on the WebSocket `/api/v1/apps/:app/run` (permission exec.run).
 * After it: binary frames are standard input; text frames are {@link RunControl}. The server sends
 * binary frames whose first byte is 1 (stdout) or 2 (stderr), and one text frame {@link RunEnd}.
 */
export const RunStart = z.strictObject({
  command: z.array(z.string().max(10_000)).min(1).max(200),
  /** A terminal of this size; absent means plain pipes. */
  tty: z
    .strictObject({
      columns: z.number().int().min(1).max(1000),
      rows: z.number().int().min(1).max(1000),
    })
    .optional(),
})

/** A text frame of the client while a command runs. */
export const RunControl = z.union([
  z.strictObject({
    resize: z.strictObject({
      columns: z.number().int().min(1).max(1000),
      rows: z.number().int().min(1).max(1000),
    }),
  }),
  z.strictObject({ eof: z.literal(true) }),
  z.strictObject({ signal: z.enum(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGKILL']) }),
])

/** The last frame of the server. */
export const RunEnd = z.union([
  z.object({ exitCode: z.number().int() }),
  z.object({ error: ErrorBody }),
])
