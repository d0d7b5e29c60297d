import { allowKey, createWorld, makeKey, serveSsh } from './world.ts'

// A server in a process of its own, so that a test can kill it in the middle of a deploy that never ends.
const [, , dir = ''] = process.argv
const world = await createWorld(dir)
world.deploy = () => new Promise(() => undefined)
const ssh = await serveSsh(world)
const key = makeKey(world, 'laptop', '-t', 'ed25519')
allowKey(world, key)
process.send?.({ port: ssh.port(), key })
