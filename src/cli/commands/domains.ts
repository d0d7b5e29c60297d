/**
 * @module
 * Host names of an app: list, add, remove.
 */
import { forApp } from '../app-name.ts'
import { ago } from '../times.ts'

/** List the host names. */
export const domains = forApp(async ({ api, app, out }) => {
  const { items } = await api.call('get /apps/:app/domains', { params: { app } })
  out.result({ items }, () =>
    out.table(
      ['HOST', 'URL', 'ADDED'],
      items.map((one) => [
        one.host,
        one.url,
        one.default ? 'by default' : ago(one.createdAt, Date.now()),
      ]),
    ),
  )
  return 0
})

/** Add a host name. */
export const addDomain = forApp(async ({ api, app, args: [host = ''], out }) => {
  const params = { app }
  const added = await api.call('post /apps/:app/domains', { params, body: { host } })
  out.result(added, `${app} answers at ${added.url}`)
  out.note(`Next: let ${added.host} point to the server in your DNS (A, AAAA or CNAME record)`)
  return 0
})

/** Remove a host name. */
export const removeDomain = forApp(async ({ api, app, args: [host = ''], out }) => {
  const removed = await api.call('delete /apps/:app/domains/:host', { params: { app, host } })
  out.result(removed, `${app} no longer answers at ${removed.host}`)
  return 0
})
