import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import fc from 'fast-check'
import { type Header, pack } from 'tar-stream'
import { expect, test } from 'vitest'
import { filesOfTar, readHead, selectFiles, wholeOf } from './build-context.ts'

async function tarOf(
  entries: (Partial<Header> & { name: string; text?: string })[],
): Promise<Buffer> {
  const tar = pack()
  for (const { text, ...header } of entries) tar.entry(header, text ?? '')
  tar.finalize()
  return await buffer(tar)
}

test('files come in walk order with the folders they are in', async () => {
  const files = await filesOfTar(
    await tarOf([
      { name: 'b/', type: 'directory', mode: 0o700 },
      { name: './b/x.sh', mode: 0o4755, text: 'run' },
      { name: 'b.txt', text: 'text', mtime: new Date(1500) },
      { name: 'a/deep/er', text: 'er' },
      { name: 'link', type: 'symlink', linkname: 'b/x.sh' },
      { name: 'same', type: 'link', linkname: 'b.txt' },
      { name: 'nothing', type: 'link', linkname: 'gone' },
      { name: 'pipe', type: 'fifo' },
      { name: './', type: 'directory' },
    ]),
  )
  expect(
    files.map(({ stat, content }) => [stat.path, stat.mode, stat.size, String(content)]),
  ).toEqual([
    ['a', 2 ** 31 + 0o755, 0, ''],
    ['a/deep', 2 ** 31 + 0o755, 0, ''],
    ['a/deep/er', 0o644, 2, 'er'],
    ['b', 2 ** 31 + 0o700, 0, ''],
    ['b/x.sh', 2 ** 23 + 0o755, 3, 'run'],
    ['b.txt', 0o644, 4, 'text'],
    ['link', 2 ** 27 + 0o777, 0, ''],
    ['same', 0o644, 4, 'text'],
  ])
  expect(files[5]?.stat.modTimeNs).toBe(1_000_000_000n)
  expect(files[6]?.stat.linkname).toBe('b/x.sh')
})

test.each(['../out', '/etc/passwd', 'a/../../b'])('%s is refused', async (name) => {
  await expect(filesOfTar(await tarOf([{ name }]))).rejects.toMatchObject({ code: 'HX34' })
})

test('a file where a folder has to be is refused, and so is what is no archive', async () => {
  const clash = tarOf([
    { name: 'a', text: 'x' },
    { name: 'a/b', text: 'x' },
  ])
  await expect(filesOfTar(await clash)).rejects.toMatchObject({ code: 'HX34' })
  await expect(filesOfTar(Buffer.alloc(1000, 'x'))).rejects.toMatchObject({ code: 'HX34' })
})

test('a request by name gets the file and its folders; a pattern gets all', async () => {
  const files = await filesOfTar(
    await tarOf([{ name: 'a/Dockerfile' }, { name: 'a/b' }, { name: 'c' }]),
  )
  const paths = (names: string[]): string[] => selectFiles(files, names).map((f) => f.stat.path)
  expect(paths(['a/Dockerfile', '.dockerignore'])).toEqual(['a', 'a/Dockerfile'])
  expect(paths(['a'])).toEqual(['a', 'a/Dockerfile', 'a/b'])
  expect(paths(['*.x'])).toEqual(paths([]))
})

test('the start of a stream and its rest are the stream', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array()), fc.nat(200), async (chunks, max) => {
      const all = Buffer.concat(chunks)
      const head = await readHead(Readable.from(chunks.map((c) => Buffer.from(c))), max)
      expect('whole' in head).toBe(all.length <= max)
      expect(await buffer(wholeOf(head))).toEqual(all)
    }),
  )
})
