/**
 * @module
 * SSH keys: list, add, remove.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HeliosError, messageOf, show } from '../../lib/errors.ts'
import { connect } from '../app-name.ts'
import { textOf } from '../args.ts'
import type { ClientEnv, Run } from '../command.ts'
import { readInput } from '../prompt.ts'
import { ago } from '../times.ts'

const USUAL = ['id_ed25519', 'id_ed25519_sk', 'id_ecdsa', 'id_ecdsa_sk', 'id_rsa']

/** List the SSH keys. */
export const keys: Run = async (context) => {
  const { out } = context
  const { items } = await connect(context).call('get /keys')
  out.result({ items }, () =>
    items.length === 0
      ? 'You have no SSH keys'
      : out.table(
          ['NAME', 'FINGERPRINT', 'ADDED', 'ID'],
          items.map((key) => [key.name, key.fingerprint, ago(key.createdAt, Date.now()), key.id]),
        ),
  )
  if (items.length === 0) out.note('Add one, to push with git: helios keys:add')
  return 0
}

/** Add a public key. */
export const addKey: Run = async (context) => {
  const { args, env, options, out } = context
  const { text, from } =
    args[0] === '-'
      ? { text: (await readInput()).toString(), from: 'input' }
      : readKey(args[0], env)
  if (text.includes('PRIVATE KEY')) {
    throw new HeliosError('invalid_key', `${from} is the private half of a key; it was not sent`, {
      hint: 'Give the file that ends with .pub',
    })
  }
  const name = textOf(options, 'name')
  const body = { key: text.trim(), ...(name === undefined ? {} : { name }) }
  const key = await connect(context).call('post /keys', { body })
  out.result(key, `Added ${key.name} (${key.fingerprint}), from ${from}`)
  out.note('Next: git push helios main')
  return 0
}

function readKey(file: string | undefined, env: ClientEnv): { text: string; from: string } {
  if (file !== undefined) {
    try {
      return { text: readFileSync(file, 'utf8'), from: file }
    } catch (error) {
      throw new HeliosError('usage', `Cannot read ${show(file)}: ${messageOf(error)}`)
    }
  }
  for (const name of USUAL) {
    const usual = join(env.home ?? '/', '.ssh', `${name}.pub`)
    try {
      return { text: readFileSync(usual, 'utf8'), from: usual }
    } catch {
      // The next of the usual names may be there.
    }
  }
  throw new HeliosError('usage', 'There is no public key among the usual ones in ~/.ssh', {
    hint: 'Make one: ssh-keygen -t ed25519   or name another: helios keys:add FILE',
  })
}

/** Remove a key. */
export const removeKey: Run = async (context) => {
  const [key = ''] = context.args
  const removed = await connect(context).call('delete /keys/:key', { params: { key } })
  context.out.result(removed, `Removed ${removed.name} (${removed.fingerprint})`)
  return 0
}
