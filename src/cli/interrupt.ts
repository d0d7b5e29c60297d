/**
 * @module
 * Ctrl-C during a command that has something to say or to do before it ends.
 */

/** Call `handler` on each ctrl-C instead of ending at once, until the function given back is called. */
export function onInterrupt(handler: () => void): () => void {
  process.on('SIGINT', handler)
  return () => {
    process.off('SIGINT', handler)
  }
}
