/**
 * @module
 * Deploy a folder or an image.
 */
import { HeliosError } from '../../lib/errors.ts'
import { printSize } from '../../lib/size.ts'
import { type AppContext, forApp } from '../app-name.ts'
import { isSet, textOf } from '../args.ts'
import type { Answer } from '../client.ts'
import { EXIT } from '../exit-codes.ts'
import { followDeployment, tellDetached } from '../follow.ts'
import { onInterrupt } from '../interrupt.ts'

type Deployment = Answer<'get /apps/:app/deployments/:deployment'>

/** Deploy, and show the log. */
export const deploy = forApp(async (context) => {
  const { api, app, args, options } = context
  const image = textOf(options, 'image')
  if (image !== undefined && args[0] !== undefined) {
    throw new HeliosError('usage', 'Give a folder or --image, not both')
  }
  const deployment =
    image === undefined
      ? await sendFolder(context, args[0] ?? '.')
      : await api.call('post /apps/:app/deployments/image', { params: { app }, body: { image } })
  if (deployment === undefined) return EXIT.interrupted
  return isSet(options, 'detach')
    ? tellDetached(context, deployment)
    : followDeployment(context, deployment.id)
})

async function sendFolder(context: AppContext, folder: string): Promise<Deployment | undefined> {
  const { api, app, out, options } = context
  const { listFolder, packFolder } = await import('../pack.ts')
  // First whether the app is there: a large folder is not sent for nothing.
  const [, listing] = await Promise.all([
    api.call('get /apps/:app', { params: { app } }),
    listFolder(folder),
  ])
  const { entries, bytes, skipped } = listing
  const size = `${entries.length} ${entries.length === 1 ? 'file' : 'files'}, ${printSize(bytes)}`
  out.note(`Sending ${listing.folder} (${size})`)
  if (skipped.length > 0) {
    out.note(
      `Left out, as neither file nor folder: ${skipped.slice(0, 5).join(', ')}${skipped.length > 5 ? ', …' : ''}`,
    )
  }
  const stopping = new AbortController()
  const release = onInterrupt(() => stopping.abort())
  const archive = packFolder(
    listing,
    throttled((packed) => {
      const percent = Math.floor((packed / Math.max(1, bytes)) * 100)
      out.progress(`Sending ${percent} % of ${printSize(bytes)}`)
    }),
  )
  const description = textOf(options, 'description')
  const input = { params: { app }, query: description === undefined ? {} : { description } }
  try {
    return await api.upload('post /apps/:app/deployments', input, archive, stopping.signal)
  } catch (error) {
    if (!stopping.signal.aborted) throw error
    out.note('Stopped while sending: nothing was deployed')
    return undefined
  } finally {
    out.progress()
    archive.destroy()
    release()
  }
}

const EVERY_MS = 100

function throttled(report: (packed: number) => void): (packed: number) => void {
  let last = 0
  return (packed) => {
    const now = Date.now()
    if (now - last < EVERY_MS) return
    last = now
    report(packed)
  }
}
