/**
 * @module
 * Which exit code each error ends the command line with.
 */
import type { ErrorCode } from '../lib/errors.ts'

/** Exit codes of the command line; `interrupted` is what shells give for ctrl-C. */
export const EXIT = {
  ok: 0,
  other: 1,
  usage: 2,
  auth: 3,
  notFound: 4,
  conflict: 5,
  network: 6,
  deployFailed: 7,
  interrupted: 130,
} as const

const EXIT_OF_CODE: Record<ErrorCode, number> = {
  api_unreachable: EXIT.network,
  app_not_found: EXIT.notFound,
  app_required: EXIT.usage,
  archive_rejected: EXIT.deployFailed,
  bad_request: EXIT.usage,
  body_too_large: EXIT.usage,
  cancelled: EXIT.interrupted,
  config_invalid: EXIT.other,
  conflict: EXIT.conflict,
  confirm_required: EXIT.usage,
  cursor_invalid: EXIT.usage,
  data_dir_locked: EXIT.other,
  database_newer: EXIT.other,
  deploy_failed: EXIT.deployFailed,
  deployment_not_found: EXIT.notFound,
  domain_not_found: EXIT.notFound,
  domain_reserved: EXIT.usage,
  domain_taken: EXIT.conflict,
  env_value_nul: EXIT.usage,
  env_value_too_large: EXIT.usage,
  engine_error: EXIT.other,
  idempotency_conflict: EXIT.conflict,
  internal: EXIT.other,
  invalid_domain: EXIT.usage,
  invalid_env_key: EXIT.usage,
  invalid_image: EXIT.usage,
  invalid_key: EXIT.usage,
  invalid_manifest: EXIT.usage,
  invalid_name: EXIT.usage,
  invalid_port: EXIT.usage,
  invalid_ref: EXIT.usage,
  invalid_size: EXIT.usage,
  invalid_value: EXIT.usage,
  key_not_found: EXIT.notFound,
  key_taken: EXIT.conflict,
  method_not_allowed: EXIT.usage,
  missing_permission: EXIT.auth,
  name_reserved: EXIT.usage,
  name_taken: EXIT.conflict,
  no_process: EXIT.usage,
  not_found: EXIT.notFound,
  over_quota: EXIT.other,
  queue_full: EXIT.other,
  release_not_found: EXIT.notFound,
  release_unavailable: EXIT.conflict,
  router_error: EXIT.other,
  too_many_env: EXIT.usage,
  unauthenticated: EXIT.auth,
  unknown_command: EXIT.usage,
  too_many_requests: EXIT.other,
  unsupported_media_type: EXIT.usage,
  usage: EXIT.usage,
  HP50: EXIT.other,
  HP51: EXIT.other,
  HP52: EXIT.other,
  HP53: EXIT.other,
  HR12: EXIT.deployFailed,
  HR15: EXIT.deployFailed,
  HX10: EXIT.deployFailed,
  HX14: EXIT.deployFailed,
  HX20: EXIT.deployFailed,
  HX30: EXIT.deployFailed,
  HX31: EXIT.deployFailed,
  HX32: EXIT.deployFailed,
  HX33: EXIT.deployFailed,
  HX34: EXIT.deployFailed,
  HX40: EXIT.deployFailed,
  HX41: EXIT.deployFailed,
}

/** The exit code of an error. */
export function exitCodeOf(code: ErrorCode): number {
  return EXIT_OF_CODE[code]
}

/** Tell whether text is a code of the closed list: a newer server may know more. */
export function isErrorCode(text: unknown): text is ErrorCode {
  return typeof text === 'string' && Object.hasOwn(EXIT_OF_CODE, text)
}
