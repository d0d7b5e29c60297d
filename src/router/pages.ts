/**
 * @module
 * The pages the router answers itself: unknown host, nothing running, and what can go wrong between it and an app.
 */
import type { Route } from './route.ts'

const PAGES = {
  unknown: {
    status: 404,
    title: 'No app here',
    text: 'No app answers at this address. Check the name, or its DNS.',
  },
  HX12: {
    status: 504,
    title: 'App did not answer in time',
    text: 'The app accepted the request, but sent no answer before the time limit.',
  },
  HX13: {
    status: 502,
    title: 'App closed the connection',
    text: 'The app ended the connection before it had answered this request.',
  },
  HX14: {
    status: 503,
    title: 'App not running',
    text: 'This app has no running instance right now. Try again in a moment.',
  },
  HX21: {
    status: 502,
    title: 'App refused the connection',
    text: 'Nothing listens at the port of this app. It may have just stopped or still be starting.',
  },
  failed: {
    status: '{http.error.status_code}',
    title: 'Request failed',
    text: 'This request could not be handed to the app.',
  },
} as const

/** A page of ours by the code it shows. */
export type PageCode = keyof typeof PAGES

/** The handler that answers with a page. */
export function page(code: PageCode): object {
  const { status, title, text } = PAGES[code]
  const shown = /^HX/.test(code) ? `<p style="opacity:.6">${code}</p>` : ''
  // Braces would be taken for placeholders, so the style has none.
  const body = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>${title}</title><body style="font-family:system-ui;max-width:32rem;margin:20vh auto;padding:0 1rem"><h1>${title}</h1><p>${text}</p>${shown}</body></html>`
  return {
    handler: 'static_response',
    status_code: status,
    headers: {
      ...(code === 'HX14' || code === 'HX21' ? { 'Retry-After': ['1'] } : {}),
      'Content-Type': ['text/html; charset=utf-8'],
      'Cache-Control': ['no-store'],
    },
    body,
  }
}

/** What is answered when a request could not be handed to its app, by how it failed. */
export function errorRoutes(): Route[] {
  const found = (code: PageCode, match: object): Route => ({
    match: [match],
    terminal: true,
    handle: [page(code)],
  })
  return [
    found('HX21', { vars_regexp: { '{http.error.message}': { pattern: '^dial ' } } }),
    found('HX12', { vars: { '{http.error.status_code}': ['504'] } }),
    found('HX13', { vars: { '{http.error.status_code}': ['502'] } }),
    { handle: [page('failed')] },
  ]
}
