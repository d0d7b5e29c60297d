/**
 * @module
 * A process that collects logs until it is killed: its arguments are socket, folder and server id.
 */
import { createCollector } from '../../src/engine/collector.ts'
import { LABELS } from '../../src/engine/labels.ts'
import { createLogger } from '../../src/lib/log.ts'
import { createAppLogs } from '../../src/observability/app-logs.ts'
import { createDockerRuntime } from '../../src/runtime/docker/client.ts'

const [, , socketPath = '', dir = '', server = ''] = process.argv
const log = createLogger({ level: 'warn' })
const collector = createCollector({
  runtime: createDockerRuntime({ socketPath, log }),
  appLogs: createAppLogs({ dir }),
  labels: { [LABELS.server]: server },
  log,
})
await collector.start(AbortSignal.timeout(60_000))
