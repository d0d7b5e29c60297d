import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { listeningIn, parseListening } from './listening.ts'

const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid'
const row = (local: string, state = '0A'): string =>
  `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0 0 1`

test.each([
  ['0100007F:0BB8', ['127.0.0.1:3000']],
  ['00000000:1F90', ['0.0.0.0:8080']],
  ['0B00007F:A1B2', []],
  ['00000000000000000000000000000000:0050', ['[::]:80']],
  ['00000000000000000000000001000000:0BB8', ['[::1]:3000']],
  ['0000000000000000FFFF00000100007F:0BB8', ['[::ffff:127.0.0.1]:3000']],
  ['B80D01200000000000000000010000FE:FFFF', ['[2001:db8::fe00:1]:65535']],
  ['nonsense', []],
])('%s is read as %j', (local, expected) => {
  expect(parseListening(`${HEAD}\n${row(local)}\n`)).toEqual(expected)
})

test('a connection is not a listener', () => {
  expect(parseListening(`${HEAD}\n${row('0100007F:0BB8', '01')}\n`)).toEqual([])
})

test('the kernel of this machine is understood', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  expect(await listeningIn(process.pid)).toContain(`127.0.0.1:${port}`)
  server.close()
  expect(await listeningIn(process.pid, '/nonexistent')).toEqual([])
})
