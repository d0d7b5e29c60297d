/**
 * @module
 * The one error a person is meant to read, and the closed list of its codes.
 */

/** Every code with the HTTP status it answers; codes in capitals are the runtime codes shown on error pages and in logs. */
export const ERROR_STATUS = {
  api_unreachable: 502,
  app_not_found: 404,
  app_required: 422,
  archive_rejected: 422,
  bad_request: 400,
  body_too_large: 413,
  cancelled: 409,
  config_invalid: 500,
  conflict: 409,
  confirm_required: 422,
  cursor_invalid: 400,
  data_dir_locked: 409,
  database_newer: 500,
  deploy_failed: 422,
  deployment_not_found: 404,
  domain_not_found: 404,
  domain_reserved: 422,
  domain_taken: 409,
  env_value_nul: 422,
  env_value_too_large: 422,
  engine_error: 502,
  idempotency_conflict: 409,
  internal: 500,
  invalid_domain: 422,
  invalid_env_key: 422,
  invalid_image: 422,
  invalid_key: 422,
  invalid_manifest: 422,
  invalid_name: 422,
  invalid_port: 422,
  invalid_ref: 422,
  invalid_size: 422,
  invalid_value: 422,
  key_not_found: 404,
  key_taken: 409,
  method_not_allowed: 405,
  missing_permission: 403,
  name_reserved: 422,
  name_taken: 409,
  no_process: 422,
  not_found: 404,
  over_quota: 422,
  queue_full: 429,
  release_not_found: 404,
  release_unavailable: 409,
  router_error: 502,
  too_many_env: 422,
  too_many_requests: 429,
  unauthenticated: 401,
  unknown_command: 422,
  unsupported_media_type: 415,
  usage: 422,
  HR12: 422,
  HR15: 422,
  HP50: 507,
  HP51: 503,
  HP52: 503,
  HP53: 507,
  HX10: 422,
  HX14: 422,
  HX20: 422,
  HX30: 422,
  HX31: 422,
  HX32: 422,
  HX33: 409,
  HX34: 422,
  HX40: 422,
  HX41: 422,
} as const

/** A code of the closed list. */
export type ErrorCode = keyof typeof ERROR_STATUS

/** What may go with an error beside its message. */
export type ErrorDetails = {
  /** What to do next: one sentence or one command. */
  hint?: string | undefined
  /** The input field at fault. */
  field?: string | undefined
  cause?: unknown
}

/** A failure somebody is meant to read; everything else is a bug and shows as `internal`. */
export class HeliosError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly field: string | undefined

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'HeliosError'
    this.code = code
    this.hint = details.hint
    this.field = details.field
  }
}

/** Quote a user's value for a message: at most 80 characters, control characters escaped. */
export function show(value: unknown): string {
  const text = JSON.stringify(String(value))
  return text.length > 82 ? `${text.slice(0, 80)}…"` : text
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
