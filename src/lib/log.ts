/**
 * @module
 * Structured logs: JSON lines by pino, with the fields that must never be written redacted.
 */
import { type DestinationStream, destination, type Logger as PinoLogger, pino } from 'pino'

/** What parts of Helios log with. */
export type Logger = Pick<PinoLogger, 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'child'>

const REDACTED = ['authorization', 'cookie', 'token', 'password', 'secret', 'env', 'privateKey']

/** Make the root logger. Writes are synchronous: bundled transports silently lose the last lines. */
export function createLogger(opts: { level: string; stream?: DestinationStream }): Logger {
  return pino(
    {
      level: opts.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      redact: {
        paths: REDACTED.flatMap((name) => [name, `*.${name}`, `*.headers.${name}`]),
        censor: '[redacted]',
      },
    },
    opts.stream ?? destination({ dest: 1, sync: true }),
  )
}

/** A logger that writes nothing, for commands that run in-process and for tests. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' })
}
