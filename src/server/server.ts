/**
 * The port that faces the load balancer: node's parser with every limit set on purpose, and one entry
 * for all the events by which a request can arrive.
 *
 * `Expect: 100-continue` and `CONNECT` reach a program through events of their own, and a proxy that
 * forgets one of them forgets its checks there. An `Upgrade` that is not a WebSocket is
 * the plain request that it also is.
 *
 * @see test/attack/framing.test.ts for what gets in where a setting is left to its default
 */
import http, { IncomingMessage, type Server, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TlsOptions } from 'node:tls'
import { valuesOf } from '../core/headers.ts'
import type { Reason } from '../core/reasons.ts'
import type { Upgrade } from '../core/upgrade.ts'
import { WAITING_BYTES } from '../core/waiting.ts'
import { trackConnections, type Connections } from './connections.ts'
import { adopt, asksWebSocket, replay } from './upgrade.ts'

export interface ServerOptions {
  /** Speaks TLS with these, and nothing else; without them, HTTP in the clear. */
  readonly tls?: TlsOptions | undefined
  readonly keepAliveTimeoutMs: number
  readonly headersTimeoutMs: number
  /** 0 for no limit. */
  readonly requestTimeoutMs: number
  /** Counted exactly by `admit`; node's own limit lies above it. */
  readonly maxHeaderBytes: number
  /**
   * Every request, whichever event it came by; one at a time on a connection.
   * @param upgrade Set when a WebSocket is asked for.
   */
  readonly onRequest: (
    request: IncomingMessage,
    response: ServerResponse,
    upgrade?: Upgrade,
  ) => void
  /**
   * What cannot become a request: bytes that are no HTTP, too long a head, a tunnel.
   * @param isNew Whether it is to be counted: not when the bytes belong to a request that is.
   * @returns The bytes to answer with before the connection is closed.
   */
  readonly onRefused: (reason: Reason, isNew: boolean) => string
}

export interface FrontServer extends Pick<Connections, 'closeIdle' | 'closeAll'> {
  readonly server: Server
}

/** How often connections are looked over for expired time limits. */
const CHECK_MS = 1_000
/** Room for what node counts and we do not, so that ours is the limit that decides. */
const SLACK_BYTES = 16_384

/**
 * A request as everybody here reads it, by its raw headers. Node itself looks at one header of every
 * request by its name, and would make an object of all of them for that, which is five per cent of what a request costs.
 */
class RawRequest extends IncomingMessage {}
Object.defineProperty(RawRequest.prototype, 'headers', {
  get(this: IncomingMessage) {
    const expectations = valuesOf(this.rawHeaders, 'expect')
    return expectations.length === 0 ? NOT_READ : { expect: expectations.join(', ') }
  },
})
const NOT_READ = {}

export function createServer(options: ServerOptions): FrontServer {
  const settings = {
    IncomingMessage: RawRequest,
    insecureHTTPParser: false,
    joinDuplicateHeaders: false,
    requireHostHeader: false,
    maxHeaderSize: options.maxHeaderBytes + SLACK_BYTES,
    keepAliveTimeout: options.keepAliveTimeoutMs,
    headersTimeout: options.headersTimeoutMs,
    requestTimeout: options.requestTimeoutMs,
    connectionsCheckingInterval: CHECK_MS,
    noDelay: true,
    highWaterMark: WAITING_BYTES,
    // Node 20 does not know this one: it tells of every upgrade when it is too late to say no.
    shouldUpgradeCallback: asksWebSocket,
  }
  const { tls, headersTimeoutMs: handshakeTimeout } = options
  const server =
    tls === undefined
      ? http.createServer(settings)
      : https.createServer({ ...settings, ...tls, handshakeTimeout })
  /** What brings a connection to node's parser. */
  const arrival = tls === undefined ? 'connection' : 'secureConnection'
  // Node cuts a longer list silently and still frames the body by what it cut (CVE-2026-58044).
  server.maxHeadersCount = 0

  const { serve, pendingOn, closeIdle, closeAll } = trackConnections(server)
  server.on('request', onRequest)
  server.on('checkContinue', onRequest)
  server.on('checkExpectation', onRequest)
  server.on('upgrade', onUpgrade)
  server.on('connect', (_request: IncomingMessage, socket: Socket) => {
    socket.on('error', () => undefined)
    if (pendingOn(socket) === undefined) finish(socket, options.onRefused('method_refused', true))
    else socket.destroy()
  })
  server.on('clientError', onClientError)
  // As connections in the clear are made; but not before the handshake, which nobody would end then.
  server.on('secureConnection', (socket: Socket) => {
    socket.allowHalfOpen = true
  })
  return { server, closeIdle, closeAll }

  function onRequest(request: IncomingMessage, response: ServerResponse): void {
    serve(request, response, () => {
      options.onRequest(request, response)
    })
  }

  /**
   * With its parser, node has taken from the connection what lets answers to earlier requests end: the
   * next would wait for ever. No load balancer sends an upgrade ahead, so nobody is given up here.
   */
  function onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (pendingOn(request.socket) !== undefined) {
      socket.destroy()
    } else if (asksWebSocket(request)) {
      const { response, upgrade } = adopt(request, head)
      serve(request, response, () => {
        options.onRequest(request, response, upgrade)
      })
    } else {
      replay(request, socket, head, () => server.emit(arrival, socket))
    }
  }

  /**
   * The parser gave up. An answer may be written only where it cannot be taken for the answer to
   * another request: on a connection without any, or when it is the body of the only one that is bad.
   * Node reports a handshake that fails here too, and bytes that TLS does not let pass: no HTTP, no
   * answer, and no request to count.
   */
  function onClientError({ code = '' }: NodeJS.ErrnoException, socket: Socket): void {
    const isOfHttp = /^(?:HPE|ERR_HTTP)_/.test(code)
    const pending = pendingOn(socket)
    const isOwnBody =
      pending?.count === 1 && !pending.request.complete && !pending.response.headersSent
    const mayAnswer = pending === undefined || isOwnBody
    if (!socket.writable || !isOfHttp || !mayAnswer) socket.destroy()
    else finish(socket, answerTo(code, pending === undefined))
  }

  function answerTo(code: string, isNew: boolean): string {
    if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
      return 'HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
    }
    const reason = code === 'HPE_HEADER_OVERFLOW' ? 'headers_too_large' : 'malformed_request'
    return options.onRefused(reason, isNew)
  }

  function finish(socket: Socket, bytes: string): void {
    socket.write(bytes)
    socket.destroySoon()
  }
}
