/**
 * @module
 * Process entry: hand argv and the environment to the CLI and set the exit code.
 */
import { runCli } from './cli/program.ts'
import { readClientEnv } from './config/env.ts'

process.exitCode = await runCli(process.argv, readClientEnv())
