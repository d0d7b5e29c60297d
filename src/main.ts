/**
 * @module
 * Process entry: hand argv to the CLI and set the exit code.
 */
import { runCli } from './cli/program.ts'

process.exitCode = await runCli(process.argv)
