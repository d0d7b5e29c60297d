import { createHash, randomBytes } from 'node:crypto'
import { MessageChannel } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { createPortStream } from './port-stream.ts'

function pair() {
  const { port1, port2 } = new MessageChannel()
  return [createPortStream<string>(port1), createPortStream<string>(port2)] as const
}

test('bytes, the note and the end arrive in order, both ways', async () => {
  const [here, there] = pair()
  const sent = createHash('sha256')
  const writing = (async () => {
    for (let i = 0; i < 100; i++) {
      const chunk = randomBytes(50_000)
      sent.update(chunk)
      if (!here.stream.write(chunk)) {
        await new Promise((resolve) => here.stream.once('drain', resolve))
      }
    }
    here.send('bye')
    here.stream.end()
  })()
  const got = createHash('sha256')
  there.stream.on('data', (chunk: Buffer) => got.update(chunk))
  await new Promise((resolve) => there.stream.once('end', resolve))
  await writing
  expect(got.digest('hex')).toBe(sent.digest('hex'))
  expect(there.note()).toBe('bye')
  there.stream.end('back')
  const back: Buffer[] = []
  for await (const chunk of here.stream) back.push(chunk as Buffer)
  expect(Buffer.concat(back).toString()).toBe('back')
})

test('a reader who does not read holds the writer after a window', async () => {
  const [here, there] = pair()
  let written = 0
  const write = (): void => {
    while (written < 50_000_000 && here.stream.write(Buffer.alloc(100_000))) written += 100_000
  }
  here.stream.on('drain', write)
  write()
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(written).toBeLessThan(2_000_000)
  there.stream.destroy()
  await new Promise((resolve) => here.stream.once('close', resolve))
})
