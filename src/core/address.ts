/**
 * @module
 * How visitors and git reach an app: its default host name and its URLs.
 */

/** Where this server is reached from outside. */
export type PublicAddress = {
  /** Every app answers at `<app>.<baseDomain>`. */
  baseDomain: string
  httpPort: number
  /** Port of the API, which serves git over HTTP too. */
  apiUrl: string
  sshHost: string
  sshPort: number
}

/** The default host name of an app. */
export function appHost(name: string, at: Pick<PublicAddress, 'baseDomain'>): string {
  return `${name}.${at.baseDomain}`
}

/** The URL of a host name. */
export function hostUrl(host: string, at: Pick<PublicAddress, 'httpPort'>): string {
  return `http://${host}${at.httpPort === 80 ? '' : `:${at.httpPort}`}/`
}

/** What to push an app to with git over SSH. */
export function gitUrl(name: string, at: Pick<PublicAddress, 'sshHost' | 'sshPort'>): string {
  return `ssh://git@${at.sshHost}:${at.sshPort}/${name}.git`
}
