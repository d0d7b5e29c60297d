/**
 * @module
 * Routes of the one who asks, and of the server.
 */
import { z } from 'zod'
import { one } from './endpoint.ts'
import { Key, ServerState, WhoAmI } from './shapes.ts'

/** Routes of the one who asks, and of the server. */
export const ACCOUNT_ENDPOINTS = {
  whoami: one({
    method: 'get',
    path: '/whoami',
    summary: 'Who asks, and how to reach the server',
    permission: 'self.read',
    response: WhoAmI,
  }),
  server: one({
    method: 'get',
    path: '/server',
    summary: 'How the parts of the server are',
    permission: 'server.read',
    response: ServerState,
  }),
  listKeys: one({
    method: 'get',
    path: '/keys',
    summary: 'Your SSH keys',
    permission: 'self.read',
    response: z.object({ items: z.array(Key) }),
  }),
  addKey: one({
    method: 'post',
    path: '/keys',
    summary: 'Add an SSH key',
    permission: 'key.manage',
    body: z.strictObject({
      key: z.string().max(20_000).describe('One line as in id_ed25519.pub'),
      name: z.string().max(100).optional(),
    }),
    status: 201,
    response: Key,
  }),
  removeKey: one({
    method: 'delete',
    path: '/keys/:key',
    summary: 'Remove an SSH key, named by id, name or fingerprint',
    permission: 'key.manage',
    params: z.object({ key: z.string().max(300) }),
    response: Key,
  }),
} as const
