/**
 * The port for the platform: metrics and probes. It is another server than the one that faces the
 * load balancer, so nothing here can be reached by any request to that one.
 */
import http, { type Server } from 'node:http'

export interface AdminOptions {
  /** The whole metrics page, and its content type. */
  readonly metrics: () => Promise<string>
  readonly metricsContentType: string
  /** Why this process should get no requests now; `undefined` when it should. */
  readonly notReady: () => Promise<string | undefined>
  /** Why this process should be ended and started anew; `undefined` when it should not. */
  readonly notHealthy: () => Promise<string | undefined>
}

interface Page {
  readonly status: number
  readonly contentType?: string
  readonly body: string
}

const TEXT = 'text/plain; charset=utf-8'

/** `GET` or `HEAD` of `/metrics`, `/healthz` and `/readyz`; everything else is 404 or 405. */
export function createAdmin(options: AdminOptions): Server {
  const pages: Readonly<Record<string, () => Promise<Page>>> = {
    '/metrics': async () => ({
      status: 200,
      contentType: options.metricsContentType,
      body: await options.metrics(),
    }),
    '/healthz': async () => verdict(await options.notHealthy()),
    '/readyz': async () => verdict(await options.notReady()),
  }

  async function answer(method: string, target: string): Promise<Page> {
    const [path = ''] = target.split('?', 1)
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined
    if (page === undefined) return { status: 404, body: 'not found\n' }
    if (method !== 'GET' && method !== 'HEAD') return { status: 405, body: 'method not allowed\n' }
    return page()
  }

  return http.createServer(
    { requestTimeout: 10_000, headersTimeout: 5_000 },
    (request, response) => {
      const { method = '', url = '' } = request
      answer(method, url).then(
        ({ status, contentType = TEXT, body }) => {
          response.writeHead(status, { 'Content-Type': contentType, 'Cache-Control': 'no-store' })
          response.end(body)
        },
        () => {
          response.writeHead(500, { 'Content-Type': TEXT })
          response.end('internal error\n')
        },
      )
    },
  )
}

function verdict(why: string | undefined): Page {
  return why === undefined ? { status: 200, body: 'ok\n' } : { status: 503, body: `${why}\n` }
}
