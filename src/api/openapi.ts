/**
 * @module
 * The OpenAPI document of the API, made from the schemas that check requests.
 */
import { z } from 'zod'
import type { Endpoint } from './schemas/endpoint.ts'
import { ENDPOINTS } from './schemas/index.ts'
import { RunControl, RunEnd, RunStart } from './schemas/run.ts'
import { ErrorBody } from './schemas/shapes.ts'

type Json = Record<string, unknown>
type Made = { $defs?: Json; properties?: { it?: unknown } }

const EXAMPLES: Readonly<Record<string, unknown>> = {
  createApp: { name: 'shop' },
  changeEnv: { set: { DATABASE_URL: 'postgres://db.example.com/shop' }, unset: ['DEBUG'] },
  scale: { formation: { web: 2, worker: 1 } },
  addDomain: { host: 'shop.example.com' },
  addKey: { key: 'ssh-ed25519 AAAAC3Nz... ada@laptop', name: 'laptop' },
  deployImage: { image: 'ghcr.io/example/shop:1.4' },
  rollback: { release: 3 },
}

/** Make the document. */
export function openApiDocument(opts: { version: string; url: string; api: string }): Json {
  const schemas: Json = {}
  const schema = (type: z.ZodType, io: 'input' | 'output'): Json => {
    // Wrapped, so that a schema with a name of its own becomes a reference too.
    const wrapped = z.object({ it: type })
    const made: Made = z.toJSONSchema(wrapped, { io, override: mayGrow(io) })
    Object.assign(schemas, rebased(made.$defs ?? {}))
    return rebased(made.properties?.it)
  }
  const paths: Record<string, Json> = {}
  for (const [name, endpoint] of Object.entries<Endpoint>(ENDPOINTS)) {
    const path = endpoint.path.replace(/:(\w+)/g, '{$1}')
    paths[path] = { ...paths[path], [endpoint.method]: operation(name, endpoint, schema) }
  }
  paths['/apps/{app}/run'] = { get: runOperation(schema) }
  const error = schema(ErrorBody, 'output')
  return {
    openapi: '3.1.0',
    info: {
      title: 'Helios',
      version: opts.version,
      description:
        'Lists answer pages: give `next` back as `cursor`. A POST with an `Idempotency-Key` is done once within 24 hours. Streams go on after `Last-Event-ID`.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: opts.url.replace(/\/$/, '') + opts.api }],
    security: [{ bearer: [] }],
    paths,
    components: {
      schemas,
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'A token' } },
      responses: {
        Error: {
          description: 'A refusal, or a failure',
          content: { 'application/json': { schema: error } },
        },
      },
    },
  }
}

/** Answers may have more fields one day; only what is sent is held to the fields there are. */
function mayGrow(io: 'input' | 'output'): (made: { jsonSchema: object }) => void {
  return ({ jsonSchema }) => {
    if (io === 'output' && 'additionalProperties' in jsonSchema) {
      if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties
    }
  }
}

type MakeSchema = (type: z.ZodType, io: 'input' | 'output') => Json

function operation(name: string, endpoint: Endpoint, schema: MakeSchema): Json {
  const { method, summary, permission } = endpoint
  const type = endpoint.gives === 'sse' ? 'text/event-stream' : 'application/json'
  const body = requestBody(name, endpoint, schema)
  return {
    operationId: name,
    summary,
    'x-permission': permission,
    parameters: [
      ...parameters(endpoint.params, 'path', schema),
      ...parameters(endpoint.query, 'query', schema),
      ...(method === 'post' ? [header('Idempotency-Key', 'Done once for each key')] : []),
      ...(endpoint.gives ? [header('Last-Event-ID', 'Go on after this event')] : []),
    ],
    ...(body ? { requestBody: body } : {}),
    responses: {
      [endpoint.status ?? 200]: {
        description: summary,
        content: { [type]: { schema: schema(endpoint.response, 'output') } },
      },
      default: { $ref: '#/components/responses/Error' },
    },
  }
}

function requestBody(name: string, endpoint: Endpoint, schema: MakeSchema): Json | undefined {
  if (endpoint.takes === 'tar') {
    const archive = { schema: { type: 'string', format: 'binary' } }
    const types = ['application/x-tar', 'application/gzip', 'application/octet-stream']
    return { required: true, content: Object.fromEntries(types.map((type) => [type, archive])) }
  }
  if (!endpoint.body) return undefined
  const example = EXAMPLES[name]
  const content = { schema: schema(endpoint.body, 'input'), ...(example ? { example } : {}) }
  return { required: true, content: { 'application/json': content } }
}

function parameters(
  object: z.ZodObject | undefined,
  where: 'path' | 'query',
  schema: MakeSchema,
): Json[] {
  return Object.entries(object?.shape ?? {}).map(([name, type]) => {
    const own = schema(type as z.ZodType, 'output')
    const optional = (type as z.ZodType).safeParse(undefined).success
    return { name, in: where, required: where === 'path' || !optional, schema: own }
  })
}

function header(name: string, description: string): Json {
  return { name, in: 'header', required: false, description, schema: { type: 'string' } }
}

function runOperation(schema: MakeSchema): Json {
  return {
    operationId: 'run',
    summary: 'Run a command in a fresh instance of the live release, over a WebSocket',
    description:
      'The first message is `start`; then binary frames are standard input and text frames `control`. The server sends binary frames whose first byte is 1 (stdout) or 2 (stderr), and at the end one text frame `end`.',
    'x-permission': 'exec.run',
    'x-websocket': {
      start: schema(RunStart, 'input'),
      control: schema(RunControl, 'input'),
      end: schema(RunEnd, 'output'),
    },
    parameters: [{ name: 'app', in: 'path', required: true, schema: { type: 'string' } }],
    responses: {
      101: { description: 'Goes on as a WebSocket' },
      default: { $ref: '#/components/responses/Error' },
    },
  }
}

/** Named schemas live in the components of the document. */
function rebased(value: unknown): Json {
  const walk = (at: unknown): unknown => {
    if (Array.isArray(at)) return at.map(walk)
    if (typeof at !== 'object' || at === null) return at
    return Object.fromEntries(
      Object.entries(at).map(([key, inner]) => [
        key,
        key === '$ref' && typeof inner === 'string'
          ? inner.replace('#/$defs/', '#/components/schemas/')
          : walk(inner),
      ]),
    )
  }
  return walk(value) as Json
}
