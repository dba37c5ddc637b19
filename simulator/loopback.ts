/**
 * Servers and requests on 127.0.0.1, the only address the simulator uses unless it is told `--listen`:
 * nothing it starts is to be reachable from another machine by itself.
 */

import { once } from 'node:events'
import { type IncomingMessage, type Server as HttpServer, request as startRequest } from 'node:http'
import { type Server, createServer } from 'node:net'
import { text } from 'node:stream/consumers'

/** Headers as they stand on the wire: order, spelling and duplicates are all somebody's attack. */
export type HeaderList = readonly (readonly [name: string, value: string])[]

/** A message's headers, from Node's flat list. */
export const headerList = ({ rawHeaders }: IncomingMessage): HeaderList =>
  rawHeaders.flatMap((name, i) => (i % 2 === 0 ? [[name, rawHeaders[i + 1] ?? ''] as const] : []))

const portOf = (server: Server): number => {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return address.port
}

/** Where a server listens: here only, or wherever it can be reached, as behind a container's published port. */
export type Host = '127.0.0.1' | '0.0.0.0'

/**
 * @param port 0 for any free one.
 * @param host The URL says 127.0.0.1 for either.
 * @returns The server's base URL, without a trailing slash.
 * @throws When the port is taken.
 */
export async function listen(
  server: Server,
  port: number,
  scheme: 'http' | 'https' = 'http',
  host: Host = '127.0.0.1',
): Promise<string> {
  server.listen(port, host)
  await once(server, 'listening')
  return `${scheme}://127.0.0.1:${portOf(server)}`
}

/** Closes the server and every connection to it, in use or not. */
export function close(server: Pick<HttpServer, 'close' | 'closeAllConnections'>): Promise<void> {
  return new Promise(resolve => {
    server.close(() => {
      resolve()
    })
    server.closeAllConnections()
  })
}

/** For each wish that port if it is free, and any free one if it is not. All different. */
export async function freePorts(wishes: readonly number[]): Promise<number[]> {
  const held = await Promise.all(
    wishes.map(async wish => {
      const server = createServer()
      await listen(server, wish).catch(() => listen(server, 0))
      return server
    }),
  )
  const ports = held.map(portOf)
  await Promise.all(held.map(server => once(server.close(), 'close')))
  return ports
}

export interface Answer {
  readonly status: number
  readonly body: string
}

/**
 * One GET with the path exactly as given: no dot segment resolved, no byte re-encoded.
 * Thirty seconds at most.
 */
export async function ask(base: string, path: string, headers: HeaderList = []): Promise<Answer> {
  const { host, hostname, port } = new URL(base)
  const request = startRequest({
    hostname,
    port,
    path,
    headers: [['Host', host], ['Connection', 'close'], ...headers].flat(),
    signal: AbortSignal.timeout(30_000),
  })
  request.end()
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve).once('error', reject)
  })
  return { status: response.statusCode ?? 0, body: await text(response) }
}
