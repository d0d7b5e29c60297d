/**
 * @module
 * Which addresses listen inside an instance, from the kernel's own tables.
 */
import { readFile } from 'node:fs/promises'

const LISTEN = '0A'
/** The engine's own name server sits in every network namespace under this address. */
const ENGINE_DNS = '127.0.0.11'

/** Addresses that listen in the network namespace of a process; empty when it is gone. */
export async function listeningIn(pid: number, proc = '/proc'): Promise<string[]> {
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readFile(`${proc}/${pid}/net/${name}`, 'latin1').catch(() => '')),
  )
  return [...new Set(tables.flatMap(parseListening))]
}

/** Read `/proc/net/tcp` or `tcp6`: the addresses in state LISTEN as `127.0.0.1:3000` or `[::]:80`. */
export function parseListening(table: string): string[] {
  return table.split('\n').flatMap((line) => {
    const [, local = '', , state] = line.trim().split(/\s+/)
    const match = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(local)
    if (state !== LISTEN || match === null) return []
    const [, hex = '', port = ''] = match
    const address = hex.length === 8 ? ipv4(hex) : `[${ipv6(hex)}]`
    return address === ENGINE_DNS ? [] : [`${address}:${Number.parseInt(port, 16)}`]
  })
}

// The kernel prints each 32-bit word as the machine holds it: lowest byte first.
function bytesOf(hex: string): number[] {
  const words = hex.match(/.{8}/g) ?? []
  return words.flatMap((word) => [...Buffer.from(word, 'hex')].reverse())
}

function ipv4(hex: string): string {
  return bytesOf(hex).join('.')
}

function ipv6(hex: string): string {
  const bytes = bytesOf(hex)
  if (hex.startsWith('0000000000000000FFFF0000')) return `::ffff:${bytes.slice(12).join('.')}`
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  )
  // A URL holds the shortest form of an address, in brackets.
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}
