/**
 * The application of the demonstration: it believes the identity headers it is given, in any spelling.
 *
 * Its routes are ConsoleMe's. It is as gullible as applications are: `X_Forwarded_User` is
 * `X-Forwarded-User` to it, and dot segments in a path are resolved. Every answer says what arrived.
 */

import { createServer } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { countersIn } from './counters.ts'
import { renderReport } from './demo-page.ts'
import { ask, close, listen } from './loopback.ts'
import { type Report, readReport } from './report.ts'

export interface DemoApp {
  readonly url: string
  /** One for each request so far, health checks and counters aside. */
  readonly reports: readonly Report[]
  readonly close: () => Promise<void>
}

export interface DemoAppOptions {
  /** Default 0: any free one. */
  readonly port?: number
  /** Base URL of the sidecar's admin server, once it is known. */
  readonly adminUrl?: () => string | undefined
  readonly signOutPath?: string
}

const ROUTES: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/^\/$/, 'home'],
  [/^\/signed-out$/, 'signed out'],
  [/^\/api\/v2\/user_profile$/, 'user profile'],
  [/^\/noauth\/v1\/challenge_poller\/[\w-]+$/, 'challenge poller'],
  [/^\/noauth\/v1\/challenge_generator\/[^/]+$/, 'challenge generator'],
  [/^\/api\/v1\/get_roles$/, 'roles'],
]

/** Room for the load balancer's 64 KiB and what a sidecar adds. */
const MAX_HEADER_BYTES = 98_304

/** Starts listening on 127.0.0.1. */
export async function startDemoApp(options: DemoAppOptions = {}): Promise<DemoApp> {
  const { port = 0, adminUrl, signOutPath = '/.auth/sign-out' } = options
  const reports: Report[] = []

  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (request, response) => {
    const path = resolvedPath(request.url ?? '/')
    if (path === '/healthcheck') {
      response.writeHead(200, { 'Content-Type': 'text/plain' }).end('OK')
      return
    }
    if (path === '/demo/counters') {
      void countersOf(adminUrl?.()).then(counters => {
        response.writeHead(200, { 'Content-Type': 'application/json' }).end(counters)
      })
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
      .end(asHtml ? renderReport(report, signOutPath) : `${JSON.stringify(report, null, 2)}\n`)
  })

  const sockets = new WebSocketServer({ noServer: true, maxPayload: 65_536 })
  server.on('upgrade', (request, socket: Duplex, head: Buffer) => {
    if (resolvedPath(request.url ?? '/') !== '/demo/socket') {
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n')
      return
    }
    const report = readReport('socket', request)
    reports.push(report)
    sockets.handleUpgrade(request, socket, head, connection => {
      const who = report.user ?? 'nobody'
      connection.on('message', (data, isBinary) => {
        if (isBinary || !Buffer.isBuffer(data)) connection.send(data)
        else connection.send(`${who} said: ${data.toString()}`)
      })
    })
  })

  return {
    url: await listen(server, port),
    reports,
    close: () => {
      for (const client of sockets.clients) client.terminate()
      return close(server)
    },
  }
}

const resolvedPath = (url: string): string =>
  URL.canParse(`http://app${url}`) ? new URL(`http://app${url}`).pathname : ''

/** JSON; an empty list when there is nobody to ask. */
async function countersOf(adminUrl: string | undefined): Promise<string> {
  if (adminUrl === undefined) return '[]'
  const metrics = await ask(adminUrl, '/metrics').then(
    ({ body }) => body,
    () => '',
  )
  return JSON.stringify(countersIn(metrics))
}
