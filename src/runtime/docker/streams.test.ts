import fc from 'fast-check'
import { expect, test } from 'vitest'
import { messagesOf } from './build-session.ts'
import { createBuildkitCodec, PACKET } from './buildkit-messages.ts'
import { jsonLines } from './json-lines.ts'

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const each of source) found.push(each)
  return found
}

const SIZE = fc.integer({ min: 1, max: 30 })

test('JSON lines come out the same however the stream is cut', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.object()), SIZE, fc.boolean(), async (objects, size, ended) => {
      const text = objects.map((each) => JSON.stringify(each)).join('\r\n') + (ended ? '\n' : '')
      const read = await all(jsonLines(cut(Buffer.from(text), size)))
      expect(read).toEqual(objects.map((each) => JSON.parse(JSON.stringify(each))))
    }),
  )
})

test('what is no JSON is refused, and so is a line without end', async () => {
  const refused = { code: 'engine_error' }
  await expect(all(jsonLines(cut(Buffer.from('{"a":1}\nno\n'), 5)))).rejects.toMatchObject(refused)
  const endless = cut(Buffer.alloc(17 * 2 ** 20, 'x'), 2 ** 20)
  await expect(all(jsonLines(endless))).rejects.toMatchObject(refused)
})

test('gRPC messages come out the same however the stream is cut', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array()), SIZE, async (messages, size) => {
      const framed = messages.map((each) => {
        const head = Buffer.alloc(5)
        head.writeUInt32BE(each.length, 1)
        return Buffer.concat([head, each])
      })
      const read = await all(messagesOf(cut(Buffer.concat(framed), size)))
      expect(read).toEqual(messages.map((each) => Buffer.from(each)))
    }),
  )
  await expect(all(messagesOf(cut(Buffer.from([1, 0, 0, 0, 0]), 5)))).rejects.toThrow('protocol')
  await expect(all(messagesOf(cut(Buffer.alloc(9, 255), 9)))).rejects.toThrow('protocol')
})

test('packets keep their bytes, times their nanoseconds', () => {
  const codec = createBuildkitCodec()
  const packet = { type: PACKET.data, id: 7, data: Buffer.from([0, 255]) }
  expect(codec.decodePacket(codec.encodePacket(packet))).toEqual(packet)
  const stat = { path: 'a', mode: 2 ** 31 + 0o755, size: 0, linkname: '' }
  const bytes = codec.encodePacket({
    type: PACKET.stat,
    stat: { ...stat, modTimeNs: 1_700_000_000_123_456_789n },
  })
  // Field 6 (varint), little end first, seven bits a byte.
  expect(bytes.toString('hex')).toContain(`30${varint(1_700_000_000_123_456_789n)}`)
})

function varint(value: bigint): string {
  const bytes: number[] = []
  for (let rest = value; rest > 0n; rest >>= 7n)
    bytes.push(Number(rest & 127n) | (rest > 127n ? 128 : 0))
  return Buffer.from(bytes).toString('hex')
}
