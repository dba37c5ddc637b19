/** What the peers in Node share: a port from the environment, and connections that are kept. */

import { type RequestListener, createServer } from 'node:http'

export const setting = (name: string): string => process.env[name] ?? ''

export function serve(listener: RequestListener): void {
  const server = createServer(listener)
  server.keepAliveTimeout = 75_000
  server.listen(Number(setting('PORT')), '127.0.0.1')
}

/** The application, without a path. */
export const upstreamUrl = (): string => setting('UPSTREAM_URL')
