/**
 * The application of the demonstration: it believes the identity headers it is given, in any spelling.
 *
 * Its routes are ConsoleMe's. It is as gullible as applications are: names are read as WSGI and CGI
 * read them, so `X_Forwarded_User` is `X-Forwarded-User`, and dot segments in a path are resolved. Every
 * answer says what arrived.
 */

import { type IncomingMessage, createServer } from 'node:http'
import { html, page } from './html.ts'
import { type HeaderList, close, headerList, listen } from './loopback.ts'

/** What one request looked like from inside the application. */
export interface Report {
  readonly route: string
  /** All values under all spellings, joined; `null` when none arrived. */
  readonly user: string | null
  readonly email: string | null
  readonly groups: readonly string[]
  /** Every header that reads as one about identity; long values cut short. */
  readonly arrived: readonly { readonly name: string; readonly value: string }[]
  /** Names only. */
  readonly cookies: readonly string[]
}

export interface DemoApp {
  readonly url: string
  /** One for each request so far, health checks aside. */
  readonly reports: readonly Report[]
  readonly close: () => Promise<void>
}

const ROUTES: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/^\/$/, 'home'],
  [/^\/api\/v2\/user_profile$/, 'user profile'],
  [/^\/noauth\/v1\/challenge_poller\/[\w-]+$/, 'challenge poller'],
  [/^\/noauth\/v1\/challenge_generator\/[^/]+$/, 'challenge generator'],
  [/^\/api\/v1\/get_roles$/, 'roles'],
]

/** Room for the load balancer's 64 KiB and what a sidecar adds. */
const MAX_HEADER_BYTES = 98_304

/** Starts listening on 127.0.0.1, on any free port unless one is named. */
export async function startDemoApp({
  port = 0,
}: { readonly port?: number } = {}): Promise<DemoApp> {
  const reports: Report[] = []

  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (request, response) => {
    const path = resolvedPath(request.url ?? '/')
    if (path === '/healthcheck') {
      response.writeHead(200, { 'Content-Type': 'text/plain' }).end('OK')
      return
    }
    const route = ROUTES.find(([pattern]) => pattern.test(path))?.[1]
    const report = readReport(route ?? 'not found', request)
    reports.push(report)
    const asHtml = request.headers.accept?.includes('text/html') ?? false
    response
      .writeHead(route === undefined ? 404 : 200, {
        'Content-Type': asHtml ? 'text/html; charset=utf-8' : 'application/json',
        'Cache-Control': 'no-store',
      })
      .end(asHtml ? renderReport(report) : `${JSON.stringify(report, null, 2)}\n`)
  })

  return { url: await listen(server, port), reports, close: () => close(server) }
}

const resolvedPath = (url: string): string =>
  URL.canParse(`http://app${url}`) ? new URL(`http://app${url}`).pathname : ''

/** One name for every spelling that some application reads alike. */
const fold = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '-')

const IDENTITY = /^(x-forwarded-(user|email|groups)|x-amzn-oidc-.*)$/

function readReport(route: string, request: IncomingMessage): Report {
  const headers: HeaderList = headerList(request)
  const read = (name: string): string | null => {
    const values = headers.filter(([spelling]) => fold(spelling) === name).map(([, value]) => value)
    return values.length === 0 ? null : values.join(',')
  }
  return {
    route,
    user: read('x-forwarded-user'),
    email: read('x-forwarded-email'),
    groups: read('x-forwarded-groups')?.split(',') ?? [],
    arrived: headers
      .filter(([name]) => IDENTITY.test(fold(name)))
      .map(([name, value]) => ({ name, value: shortened(value) })),
    cookies: (read('cookie') ?? '')
      .split(/[;,] ?/)
      .flatMap(cookie => cookie.split('=', 1)[0] || []),
  }
}

const shortened = (value: string): string =>
  value.length > 80 ? `${value.slice(0, 60)}… (${value.length} bytes)` : value

const renderReport = ({ route, user, groups, arrived, cookies }: Report): string =>
  page(
    'Demo application',
    html`<h1>${user ?? 'Nobody'}</h1>
      <p class="note">is who the demo application believes you are (${route}).</p>
      <h2>Groups</h2>
      ${
        groups.length === 0
          ? html`<p class="note">None arrived.</p>`
          : groups.map(group => html`<span class="pill">${group}</span>`)
      }
      <h2>Identity headers that arrived</h2>
      ${
        arrived.length === 0
          ? html`<p class="note">None.</p>`
          : html`<table>
              ${arrived.map(
                ({ name, value }) =>
                  html`<tr>
                    <td>${name}</td>
                    <td>${value}</td>
                  </tr>`,
              )}
            </table>`
      }
      <h2>Cookies that arrived</h2>
      <p class="note">${cookies.length === 0 ? 'None.' : cookies.join(', ')}</p>`,
  )
