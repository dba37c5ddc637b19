/**
 * Passes one request, or one WebSocket, on to a target and its answer back.
 *
 * Everything streams. 502 when the target does not answer properly, 503 when there is no target, 504
 * when it keeps silent for the idle time-out; an answer that has begun is cut off instead.
 *
 * @see TRB in the README
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Duplex, pipeline } from 'node:stream'
import { type AlbAnswer, errorAnswer, phraseOf, rawAnswer } from './alb-answers.ts'
import { type HeaderList, headerList } from './loopback.ts'
import { MAX_RESPONSE_HEADERS, withoutHopByHop } from './request-headers.ts'
import type { Target } from './targets.ts'

export interface Onward {
  readonly target: Target | undefined
  readonly headers: HeaderList
  /** Values of `Set-Cookie` headers that the load balancer adds to the answer. */
  readonly setCookies: readonly string[]
  readonly idleTimeoutMs: number
}

export function sendAnswer(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers, body }: AlbAnswer,
): void {
  request.resume()
  const all: HeaderList = [...headers, ['Content-Length', String(Buffer.byteLength(body))]]
  response.writeHead(status, phraseOf(status), all.flat()).end(body)
}

const cookieHeaders = (cookies: readonly string[]): HeaderList =>
  cookies.map(cookie => ['Set-Cookie', cookie] as const)

/** One request and its answer. */
export function relay(request: IncomingMessage, response: ServerResponse, onward: Onward): void {
  const { target, headers, setCookies, idleTimeoutMs } = onward
  if (target === undefined) {
    sendAnswer(request, response, errorAnswer(503))
    return
  }
  const upstream = target.request({
    method: request.method ?? 'GET',
    path: request.url ?? '/',
    headers: headers.flat(),
    maxHeaderSize: MAX_RESPONSE_HEADERS,
    timeout: idleTimeoutMs,
  })
  const done = target.begin(upstream)
  let isSilent = false
  upstream.on('timeout', () => {
    isSilent = true
    upstream.destroy(new Error('idle'))
  })
  upstream.on('response', answer => {
    const kept = withoutHopByHop(headerList(answer)).filter(
      ([name]) => !/^transfer-encoding$/i.test(name),
    )
    const all = [...kept, ...cookieHeaders(setCookies)]
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage, all.flat())
    pipeline(answer, response, () => undefined)
  })
  upstream.on('error', () => {
    if (response.headersSent) response.destroy()
    else sendAnswer(request, response, errorAnswer(isSilent ? 504 : 502))
  })
  upstream.on('close', done)
  response.on('close', () => {
    upstream.destroy()
  })
  // Not a pipeline: a target may answer before it has read everything.
  request.pipe(upstream)
}

/** An upgrade: a tunnel if the target switches protocols, its answer if it does not. */
export function relayUpgrade(
  request: IncomingMessage,
  client: Duplex,
  head: Buffer,
  { target, headers, setCookies, idleTimeoutMs }: Onward,
): void {
  if (target === undefined) {
    client.end(rawAnswer(errorAnswer(503)))
    return
  }
  const upstream = target.request({
    agent: false,
    method: request.method ?? 'GET',
    path: request.url ?? '/',
    headers: [
      ...headers,
      ['Connection', 'Upgrade'] as const,
      ['Upgrade', request.headers.upgrade ?? ''] as const,
    ].flat(),
    maxHeaderSize: MAX_RESPONSE_HEADERS,
    timeout: idleTimeoutMs,
  })
  const done = target.begin(client)
  let hasBegun = false
  client.on('close', () => {
    done()
    upstream.destroy()
  })
  client.on('error', () => client.destroy())

  const begin = (answer: IncomingMessage, extra: HeaderList) => {
    hasBegun = true
    const all = [...extra, ...cookieHeaders(setCookies)]
    const lines = all.map(([name, value]) => `${name}: ${value}\r\n`)
    const status = `${answer.statusCode ?? 502} ${answer.statusMessage ?? ''}`
    client.write(`HTTP/1.1 ${status}\r\n${lines.join('')}\r\n`)
  }
  upstream.on('upgrade', (answer, socket, firstBytes: Buffer) => {
    upstream.removeAllListeners('timeout')
    begin(answer, headerList(answer))
    // What either side sent behind its handshake belongs to the tunnel.
    client.write(firstBytes)
    socket.write(head)
    socket.setTimeout(idleTimeoutMs, () => socket.destroy())
    pipeline(socket, client, () => client.destroy())
    pipeline(client, socket, () => socket.destroy())
  })
  upstream.on('response', answer => {
    const kept = withoutHopByHop(headerList(answer)).filter(
      ([name]) => !/^transfer-encoding$/i.test(name),
    )
    begin(answer, [...kept, ['Connection', 'close']])
    pipeline(answer, client, () => client.destroy())
  })
  upstream.on('timeout', () => upstream.destroy(new Error('idle')))
  upstream.on('error', () => {
    if (hasBegun) client.destroy()
    else client.end(rawAnswer(errorAnswer(502)))
  })
  upstream.end()
}
