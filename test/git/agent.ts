import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { createServer } from 'node:net'

/** An ssh-agent that holds one key of a security key, made in software; its owner always touches it. */
export type Agent = { publicKey: string; touch: boolean; close(): Promise<void> }

const string = (data: Buffer | string): Buffer => {
  const bytes = Buffer.from(data)
  const size = Buffer.alloc(4)
  size.writeUInt32BE(bytes.length)
  return Buffer.concat([size, bytes])
}
const sha256 = (data: Buffer | string): Buffer => createHash('sha256').update(data).digest()

/** A number as SSH writes it: no leading zeros but one where it would look negative. */
function mpint(bytes: Buffer): Buffer {
  const at = bytes.findIndex((byte) => byte !== 0)
  const bare = bytes.subarray(at)
  return string((bare[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), bare]) : bare)
}

function makeKey(type: string): { blob: Buffer; signRaw(data: Buffer): Buffer } {
  if (type === 'sk-ssh-ed25519@openssh.com') {
    const { privateKey } = generateKeyPairSync('ed25519')
    const point = Buffer.from(privateKey.export({ format: 'jwk' }).x ?? '', 'base64url')
    const blob = Buffer.concat([type, point, 'ssh:'].map(string))
    return { blob, signRaw: (data) => string(sign(null, data, privateKey)) }
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x = '', y = '' } = privateKey.export({ format: 'jwk' })
  const point = Buffer.concat([
    Buffer.from([4]),
    Buffer.from(x, 'base64url'),
    Buffer.from(y, 'base64url'),
  ])
  const blob = Buffer.concat([type, 'nistp256', point, 'ssh:'].map(string))
  return { blob, signRaw: (data) => string(ecdsa(privateKey, data)) }
}

function ecdsa(key: KeyObject, data: Buffer): Buffer {
  const pair = sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' })
  return Buffer.concat([mpint(pair.subarray(0, 32)), mpint(pair.subarray(32))])
}

export async function startAgent(socket: string, type: string): Promise<Agent> {
  const key = makeKey(type)
  const agent: Agent = {
    publicKey: `${type} ${key.blob.toString('base64')} on a stick`,
    touch: true,
    close: () => new Promise((resolve) => void server.close(() => resolve())),
  }
  const answer = (request: Buffer): Buffer => {
    if (request[0] === 11) {
      return Buffer.concat([Buffer.from([12, 0, 0, 0, 1]), string(key.blob), string('on a stick')])
    }
    const data = request.subarray(
      9 + key.blob.length,
      9 + key.blob.length + request.readUInt32BE(5 + key.blob.length),
    )
    const tail = Buffer.from([agent.touch ? 1 : 0, 0, 0, 0, 7])
    const said = Buffer.concat([sha256('ssh:'), tail, sha256(data)])
    return Buffer.concat([
      Buffer.from([14]),
      string(Buffer.concat([string(type), key.signRaw(said), tail])),
    ])
  }
  const server = createServer((connection) => {
    let held = Buffer.alloc(0)
    connection
      .on('error', () => undefined)
      .on('data', (chunk) => {
        held = Buffer.concat([held, chunk])
        while (held.length >= 4 && held.length >= 4 + held.readUInt32BE(0)) {
          const end = 4 + held.readUInt32BE(0)
          const request = held.subarray(4, end)
          held = held.subarray(end)
          connection.write(
            string(request[0] === 11 || request[0] === 13 ? answer(request) : Buffer.from([5])),
          )
        }
      })
  })
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  return agent
}
