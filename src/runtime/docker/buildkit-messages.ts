/**
 * @module
 * The protobuf messages spoken with BuildKit: its progress, and the files of a build context.
 */
import protobuf from 'protobufjs'

const field = (
  id: number,
  type: string,
  rule?: 'repeated',
): { id: number; type: string; rule?: 'repeated' } =>
  rule === undefined ? { id, type } : { id, type, rule }

const DESCRIPTOR = {
  nested: {
    Timestamp: { fields: { seconds: field(1, 'int64'), nanos: field(2, 'int32') } },
    Vertex: {
      fields: {
        digest: field(1, 'string'),
        name: field(3, 'string'),
        cached: field(4, 'bool'),
        started: field(5, 'Timestamp'),
        completed: field(6, 'Timestamp'),
        error: field(7, 'string'),
      },
    },
    VertexStatus: {
      fields: {
        id: field(1, 'string'),
        vertex: field(2, 'string'),
        current: field(4, 'int64'),
        total: field(5, 'int64'),
        completed: field(8, 'Timestamp'),
      },
    },
    VertexLog: { fields: { vertex: field(1, 'string'), msg: field(4, 'bytes') } },
    VertexWarning: { fields: { vertex: field(1, 'string'), short: field(3, 'bytes') } },
    StatusResponse: {
      fields: {
        vertexes: field(1, 'Vertex', 'repeated'),
        statuses: field(2, 'VertexStatus', 'repeated'),
        logs: field(3, 'VertexLog', 'repeated'),
        warnings: field(4, 'VertexWarning', 'repeated'),
      },
    },
    Stat: {
      fields: {
        path: field(1, 'string'),
        mode: field(2, 'uint32'),
        size: field(5, 'int64'),
        modTime: field(6, 'int64'),
        linkname: field(7, 'string'),
      },
    },
    Packet: {
      fields: {
        type: field(1, 'uint32'),
        stat: field(2, 'Stat'),
        id: field(3, 'uint32'),
        data: field(4, 'bytes'),
      },
    },
  },
}

/** A step of a build; times in seconds. */
export type Vertex = {
  digest: string
  name: string
  cached: boolean
  started?: number
  completed?: number
  error: string
}

/** One progress message: steps that changed, what they transfer, what they print. */
export type BuildStatus = {
  vertexes: Vertex[]
  statuses: { id: string; vertex: string; total: number; completed: boolean }[]
  logs: { vertex: string; msg: Buffer }[]
  warnings: { vertex: string; short: string }[]
}

/** A file as BuildKit sees it: mode with Go's bits, time in nanoseconds. */
export type FileStat = {
  path: string
  mode: number
  size: number
  modTimeNs: bigint
  linkname: string
}

/** A message of the file transfer, by its number on the wire. */
export const PACKET = { stat: 0, request: 1, data: 2, finish: 3, error: 4 } as const

/** A message of the file transfer. */
export type Packet = { type: number; id: number; data: Buffer; stat?: FileStat }

/** Translators between bytes and the messages of BuildKit. */
export type BuildkitCodec = {
  /** @throws when the bytes are no progress message. */
  decodeStatus(bytes: Uint8Array): BuildStatus
  decodePacket(bytes: Uint8Array): Packet
  encodePacket(packet: Partial<Packet> & { type: number }): Buffer
}

/** Make the translators; costs some milliseconds, so once per client. */
export function createBuildkitCodec(): BuildkitCodec {
  const root = protobuf.Root.fromJSON(DESCRIPTOR)
  const status = root.lookupType('StatusResponse')
  const packet = root.lookupType('Packet')
  const read = (type: protobuf.Type, bytes: Uint8Array): unknown =>
    type.toObject(type.decode(bytes), { longs: Number, defaults: true, arrays: true })
  return {
    decodeStatus: (bytes) => statusOf(read(status, bytes) as WireStatus),
    decodePacket: (bytes) => {
      const wire = read(packet, bytes) as Packet
      return { type: wire.type, id: wire.id, data: Buffer.from(wire.data) }
    },
    encodePacket: ({ stat, ...rest }) =>
      Buffer.from(
        packet.encode(packet.create(stat ? { ...rest, stat: statWire(stat) } : rest)).finish(),
      ),
  }
}

type WireTime = { seconds: number; nanos: number } | null
type WireStatus = {
  vertexes: (Omit<Vertex, 'started' | 'completed'> & { started: WireTime; completed: WireTime })[]
  statuses: { id: string; vertex: string; total: number; completed: WireTime }[]
  logs: { vertex: string; msg: Uint8Array }[]
  warnings: { vertex: string; short: Uint8Array }[]
}

function statusOf(wire: WireStatus): BuildStatus {
  return {
    vertexes: wire.vertexes.map(({ started, completed, ...rest }) => ({
      ...rest,
      ...(started === null ? {} : { started: secondsOf(started) }),
      ...(completed === null ? {} : { completed: secondsOf(completed) }),
    })),
    statuses: wire.statuses.map((each) => ({ ...each, completed: each.completed !== null })),
    logs: wire.logs.map(({ vertex, msg }) => ({ vertex, msg: Buffer.from(msg) })),
    warnings: wire.warnings.map(({ vertex, short }) => ({
      vertex,
      short: Buffer.from(short).toString('utf8'),
    })),
  }
}

function secondsOf(time: NonNullable<WireTime>): number {
  return time.seconds + time.nanos / 1e9
}

// Nanoseconds since 1970 need more than the 53 bits of a number.
function statWire({ modTimeNs, ...rest }: FileStat): object {
  const low = Number(BigInt.asIntN(32, modTimeNs))
  const high = Number(BigInt.asIntN(32, modTimeNs >> 32n))
  return { ...rest, modTime: { low, high, unsigned: false } }
}
