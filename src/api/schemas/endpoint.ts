/**
 * @module
 * What a route of the API is made of.
 */
import { z } from 'zod'
import { Name } from './shapes.ts'

/** Paths below one app. */
export const AppPath = z.object({ app: Name })
/** Paths below one deployment. */
export const DeploymentPath = AppPath.extend({ deployment: z.string().max(200) })

/** One route: its method and path, who may, and its shapes. */
export type Endpoint = {
  method: 'get' | 'post' | 'patch' | 'delete'
  /** Below /api/v1, with `:name` for parts of the path. */
  path: string
  summary: string
  permission: string
  params?: z.ZodObject
  query?: z.ZodObject
  body?: z.ZodObject
  /** `json` unless said otherwise: `tar` takes an archive, `sse` answers a stream of events. */
  takes?: 'tar'
  gives?: 'sse'
  status?: 200 | 201 | 202
  response: z.ZodType
}

/** Keeps the exact type of a route. */
export const one = <const E extends Endpoint>(endpoint: E): E => endpoint
