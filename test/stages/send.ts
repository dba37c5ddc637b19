/**
 * One request with any method and body, and its whole answer.
 */
import { request as startRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'

export interface Sent {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface SendOptions {
  readonly method?: string
  readonly headers?: readonly (readonly [string, string])[]
  readonly body?: string
}

/** Thirty seconds at most. */
export async function send(
  url: string,
  { method = 'GET', headers = [], body }: SendOptions = {},
): Promise<Sent> {
  const { host, hostname, port, pathname, search } = new URL(url)
  const length = body === undefined ? [] : [['Content-Length', String(Buffer.byteLength(body))]]
  const request = startRequest({
    ...{ hostname, port, method, path: pathname + search, agent: false },
    headers: [['Host', host], ['Connection', 'close'], ...length, ...headers].flat(),
    signal: AbortSignal.timeout(30_000),
  })
  request.end(body)
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve).once('error', reject)
  })
  const { statusCode: status = 0, headers: received } = response
  return { status, headers: received, body: await text(response) }
}
