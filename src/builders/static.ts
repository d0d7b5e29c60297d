/**
 * @module
 * The builder for a folder of files to serve.
 */
import { HeliosError, show } from '../lib/errors.ts'
import type { Builder } from './types.ts'

/** Serves the folder with Caddy. */
export const staticBuilder: Builder = {
  name: 'static',
  detect: (files) =>
    files.paths.includes('index.html') ? 'index.html is in the root folder' : undefined,
  plan(files, spec) {
    const root = (spec.root ?? '.').replace(/^(\.?\/)+|\/+$/g, '') || '.'
    const known = root === '.' || files.paths.some((path) => path.startsWith(`${root}/`))
    if (!known || /["\\\n$]/.test(root)) {
      throw new HeliosError('HX34', `the folder ${show(root)} to serve is not in the source`, {
        hint: 'Set build.root in oal.yaml to a folder with files.',
      })
    }
    const fallback = spec.spa ? '\ttry_files {path} /index.html\n' : ''
    const caddyfile = `{\n\tadmin off\n\tauto_https off\n}\n:{$PORT:8080} {\n\troot * /srv\n${fallback}\tencode gzip\n\tfile_server\n}\n`
    return {
      kind: 'dockerfile',
      dockerfile: [
        'FROM caddy:2',
        'COPY helios.Caddyfile /etc/caddy/Caddyfile',
        `COPY ${JSON.stringify([root, '/srv/'])}`,
        'RUN rm -f /srv/helios.Caddyfile',
        'USER 1000:1000',
        'ENV XDG_CONFIG_HOME=/tmp XDG_DATA_HOME=/tmp',
        'CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]',
        '',
      ].join('\n'),
      extraFiles: { 'helios.Caddyfile': caddyfile },
      args: {},
      ignore: '.git\noal.yaml\n',
      processes: {},
    }
  },
}
