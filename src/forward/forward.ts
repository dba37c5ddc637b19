/**
 * Passes one request to the application and its answer back, streaming both ways.
 *
 * Whoever leaves first frees the other side at once; an answer that breaks off breaks off for the
 * client too; and an answer of ours never inherits anything from one of the application's that went
 * wrong, because nothing is written before its head is known to be good.
 *
 * Informational answers (1xx) are not passed on: the client asked us, not the application, for a 100,
 * and the load balancer in front passes on none.
 *
 * A WebSocket is a request like any other until the application has agreed to it; then its two
 * connections belong to tunnel.ts. Any other answer is passed on as the plain answer it is.
 *
 * @see RFC 9110 §9.2.2, §15.2; THREATS D4–D6
 */
import http, {
  type ClientRequest,
  type IncomingMessage,
  type OutgoingMessage,
  type ServerResponse,
} from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { isEmpty, type Body } from '../core/body.ts'
import type { UpstreamHeaders } from '../core/headers.ts'
import { endGently } from '../core/linger.ts'
import type { Reason } from '../core/reasons.ts'
import type { Telemetry, UpstreamErrorKind } from '../core/telemetry.ts'
import type { Upgrade } from '../core/upgrade.ts'
import { createDeadline } from './deadline.ts'
import { createGate } from './gate.ts'
import { askToSwitch, switchedHead } from './handshake.ts'
import { answerHead, requestHead } from './head.ts'
import { createTunnels } from './tunnel.ts'
import { upstreamTls } from './upstream-tls.ts'

export interface ForwardOptions {
  readonly protocol: 'http:' | 'https:'
  readonly host: string
  readonly port: number
  readonly socketPath?: string
  /** What the certificate of an `https:` application must lead to; node's roots unless set. */
  readonly ca?: readonly string[] | undefined
  /** Connections at most; as many requests again may wait for one. */
  readonly connections: number
  readonly connectTimeoutMs: number
  /**
   * From the last byte of the request to the head of the answer, and before that for a place among
   * the connections; 0 for no limit.
   */
  readonly headersTimeoutMs: number
  /** Between two pieces of the answer's body; 0 for no limit. */
  readonly idleTimeoutMs: number
  /** Longest head of an answer, in bytes. */
  readonly maxHeaderBytes: number
  /** After which a WebSocket is closed; 0 for no limit. */
  readonly webSocketMaxAgeMs: number
  readonly telemetry: Pick<Telemetry, 'upstreamFailed'>
}

/** A request that may go on, and the connection it came by. */
export interface Outgoing {
  readonly method: string
  readonly target: string
  readonly headers: UpstreamHeaders
  readonly hasHost: boolean
  readonly body: Body
  readonly expectsContinue: boolean
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** Set when a WebSocket is asked for. */
  readonly upgrade?: Upgrade | undefined
  /** Whether the client is to be told that its connection ends with this answer. */
  readonly isClosing: () => boolean
}

export type UpstreamReason = Extract<Reason, `upstream_${string}`>

/**
 * How it ended. After `failed`, and only then, the response is untouched and the caller's to answer;
 * `broken_off` closed the client's connection on an answer that could not be finished. A WebSocket has
 * been `sent` (status 101) as soon as its tunnel is open.
 */
export type Forwarded =
  | { readonly outcome: 'sent' | 'broken_off'; readonly status: number }
  | { readonly outcome: 'client_gone'; readonly status?: number }
  | Failed

interface Failed {
  readonly outcome: 'failed'
  readonly reason: UpstreamReason
  readonly detail: string
}

export interface Forward {
  /** Resolves when the exchange is over, whatever happened to it; rejects only for faults of ours. */
  readonly forward: (outgoing: Outgoing) => Promise<Forwarded>
  /** Open connections to the application, idle ones and those of WebSockets included. */
  readonly connections: () => number
  /** Open WebSockets. They are outside `connections`, the setting: it bounds requests. */
  readonly webSockets: () => number
  /** Tells all WebSockets that we are going away, and closes them soon after. */
  readonly closeWebSockets: () => void
  /** Closes all connections but those of WebSockets. */
  readonly close: () => void
}

/** How long an unused connection is kept: less than any application server's own patience. */
const POOL_IDLE_MS = 1_500

/** May be sent a second time when a reused connection turns out to have died (RFC 9110 §9.2.2). */
const REPEATABLE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

const KIND_OF: Readonly<Record<UpstreamReason, UpstreamErrorKind>> = {
  upstream_invalid: 'invalid',
  upstream_saturated: 'saturated',
  upstream_timeout: 'timeout',
  upstream_unreachable: 'unreachable',
}

interface Answered {
  readonly outcome: 'answered'
  readonly sent: ClientRequest
  readonly answer: IncomingMessage
}

/** The application agreed to another protocol: to the one that was asked for, if any was. */
interface Switched {
  readonly outcome: 'switched'
  readonly answer: IncomingMessage
  readonly socket: Socket
  readonly head: Buffer
}

/** What came of sending a request; `stale`: the reused connection had died, nothing was answered. */
type Attempt =
  | Answered
  | Switched
  | Failed
  | { readonly outcome: 'client_gone' }
  | { readonly outcome: 'stale'; readonly detail: string }

export function createForward(options: ForwardOptions): Forward {
  const { telemetry } = options
  const isSecure = options.protocol === 'https:'
  const client = isSecure ? https : http
  const tls = isSecure ? upstreamTls(options) : {}
  const agent = new client.Agent({
    keepAlive: true,
    maxSockets: options.connections,
    maxFreeSockets: options.connections,
    scheduling: 'lifo',
    timeout: POOL_IDLE_MS,
    ...tls,
  })
  // Not from the pool: whoever is done sending may still be sent to, which a pooled connection is not.
  const tunnelAgent = new client.Agent(tls)
  const tunnels = createTunnels(options.webSocketMaxAgeMs)
  const authority = options.host.includes(':') ? `[${options.host}]` : options.host
  const gate = createGate(options.connections, options.headersTimeoutMs)

  return {
    async forward(outgoing) {
      const { response } = outgoing
      const entry = await gate.enter(giveUp => {
        response.once('close', giveUp)
        return () => response.off('close', giveUp)
      })
      if (entry !== 'in') return reported(turnedAway(entry))
      try {
        return reported(await exchange(outgoing))
      } finally {
        gate.exit()
      }
    },
    connections: () =>
      count(agent.sockets) +
      count(agent.freeSockets) +
      count(tunnelAgent.sockets) +
      tunnels.count(),
    webSockets: tunnels.count,
    closeWebSockets: tunnels.closeAll,
    close: () => {
      agent.destroy()
    },
  }

  function reported(forwarded: Forwarded): Forwarded {
    if (forwarded.outcome === 'failed') {
      telemetry.upstreamFailed(KIND_OF[forwarded.reason], forwarded.detail)
    } else if (forwarded.outcome === 'broken_off') {
      telemetry.upstreamFailed('aborted', 'the answer broke off')
    }
    return forwarded
  }

  async function exchange(outgoing: Outgoing): Promise<Forwarded> {
    if (outgoing.expectsContinue) outgoing.response.writeContinue()
    const mayRepeat = isEmpty(outgoing.body) && REPEATABLE.has(outgoing.method)
    let reached = await attempt(outgoing)
    if (reached.outcome === 'stale' && mayRepeat) {
      dropIdle()
      reached = await attempt(outgoing)
    }
    if (reached.outcome === 'switched') return openTunnel(reached, outgoing)
    if (outgoing.response.destroyed || reached.outcome === 'client_gone') {
      if (reached.outcome === 'answered') reached.sent.destroy()
      return { outcome: 'client_gone' }
    }
    if (reached.outcome === 'answered') return passOn(reached, outgoing, options.idleTimeoutMs)
    return reached.outcome === 'failed' ? reached : failed('upstream_unreachable', reached.detail)
  }

  /** Connects the two sides, or refuses an application that agreed to what nobody asked for. */
  function openTunnel({ answer, socket, head }: Switched, outgoing: Outgoing): Forwarded {
    const { upgrade, headers } = outgoing
    const agreed = switchedHead(headers, answer.rawHeaders)
    if (upgrade === undefined || agreed === undefined) {
      socket.destroy()
      return failed('upstream_invalid', 'a 101 that was not asked for, or not in these terms')
    }
    const client = upgrade.take()
    client.socket.write(agreed, 'latin1')
    tunnels.open(client, { socket, head })
    return { outcome: 'sent', status: 101 }
  }

  /** What was kept beside a connection that had died is no better: the second try gets a new one. */
  function dropIdle(): void {
    for (const socket of Object.values(agent.freeSockets).flatMap((list = []) => list)) {
      socket.destroy()
    }
  }

  /** Sends the request and waits for the head of an answer. */
  function attempt(outgoing: Outgoing): Promise<Attempt> {
    const { request, response, body } = outgoing
    return new Promise(resolve => {
      if (response.destroyed) {
        resolve({ outcome: 'client_gone' })
        return
      }
      const sent = send(outgoing)
      const waiting = createDeadline(options.headersTimeoutMs, () => {
        end(failed('upstream_timeout', 'no answer within UPSTREAM_HEADERS_TIMEOUT'))
      })
      const onClientGone = () => {
        end({ outcome: 'client_gone' })
      }
      let bytesBefore = 0
      let isOver = false

      response.once('close', onClientGone)
      sent.on('socket', socket => {
        bytesBefore = socket.bytesRead
        if (!socket.connecting) return
        const connecting = createDeadline(options.connectTimeoutMs, () => {
          end(failed('upstream_timeout', 'no connection within UPSTREAM_CONNECT_TIMEOUT'))
        })
        socket.once(isSecure ? 'secureConnect' : 'connect', connecting.clear)
        socket.once('close', connecting.clear)
      })
      sent.on('response', answer => {
        answer.on('error', () => undefined)
        end({ outcome: 'answered', sent, answer })
      })
      sent.on('upgrade', (answer, socket, head) => {
        socket.on('error', () => undefined)
        end({ outcome: 'switched', answer, socket, head })
      })
      sent.on('error', error => {
        const { message: detail } = error
        const isStale = sent.reusedSocket && sent.socket?.bytesRead === bytesBefore
        end(isStale ? { outcome: 'stale', detail } : failed(reasonFor(error), detail))
      })
      if (isEmpty(body)) {
        sent.end()
      } else {
        request.on('data', waiting.extend)
        request.pipe(sent)
        sendHeadSoon(sent, request)
      }

      /** The request to the application lives on only with an answer. */
      function end(reached: Attempt): void {
        if (isOver) return
        isOver = true
        waiting.clear()
        request.off('data', waiting.extend)
        response.off('close', onClientGone)
        if (reached.outcome !== 'answered' && reached.outcome !== 'switched') sent.destroy()
        resolve(reached)
      }
    })
  }

  function send({ method, target, headers, body, hasHost, upgrade }: Outgoing): ClientRequest {
    const head = requestHead(method, headers, body, hasHost ? undefined : authority)
    const sent = client.request({
      ...(upgrade === undefined ? { agent } : { agent: tunnelAgent, allowHalfOpen: true }),
      host: options.host,
      port: options.port,
      socketPath: options.socketPath,
      method,
      path: target,
      headers: upgrade === undefined ? head : askToSwitch(head),
      setHost: false,
      maxHeaderSize: options.maxHeaderBytes,
      insecureHTTPParser: false,
    })
    // Node's own limit cuts the list and goes on (nodejs/node#65010); bytes are the limit here.
    sent.maxHeadersCount = 0
    return sent
  }
}

/** Streams an answer to the client until both are done with it or one of them leaves. */
function passOn(
  { sent, answer }: Answered,
  { request, response, isClosing }: Outgoing,
  idleTimeoutMs: number,
): Promise<Forwarded> | Failed {
  const { statusCode = 0, statusMessage = '', rawHeaders } = answer
  const head = answerHead(statusCode, statusMessage, rawHeaders)
  if (head === undefined) {
    sent.destroy()
    return failed('upstream_invalid', `status ${statusCode}`)
  }
  const { status, message, headers } = head
  const isLast = isClosing() || !request.complete

  return new Promise(resolve => {
    let isBroken = false
    const breakOff = () => {
      isBroken = true
      response.destroy()
    }
    const idle = createDeadline(idleTimeoutMs, breakOff)
    response.once('close', () => {
      idle.clear()
      answer.destroy()
      if (!sent.writableFinished) sent.destroy()
      if (isBroken) resolve({ outcome: 'broken_off', status })
      else resolve({ outcome: response.writableFinished ? 'sent' : 'client_gone', status })
    })
    answer.on('data', idle.extend)
    answer.once('end', () => {
      idle.clear()
      endGently(request, response)
    })
    answer.once('close', () => {
      if (!answer.complete) breakOff()
    })
    // Node takes a reset for the end of an answer that is delimited by closing; it is not.
    sent.once('error', () => {
      if (!answer.complete) breakOff()
    })

    response.sendDate = false
    response.writeHead(status, message, [...headers, ...(isLast ? ['Connection', 'close'] : [])])
    answer.pipe(response, { end: false })
    sendHeadSoon(response, answer)
  })
}

/** A head goes out with the first piece of its body, but does not wait for one that is late. */
function sendHeadSoon(message: OutgoingMessage, body: Readable): void {
  let hasBegun = false
  body.once('data', () => {
    hasBegun = true
  })
  setImmediate(() => {
    if (!hasBegun && !message.destroyed && !message.writableEnded) message.flushHeaders()
  })
}

/** For a request that never got a connection. */
function turnedAway(entry: 'full' | 'left' | 'late'): Forwarded {
  switch (entry) {
    case 'full':
      return failed(
        'upstream_saturated',
        'UPSTREAM_CONNECTIONS are busy, and as many requests wait',
      )
    case 'late':
      return failed('upstream_timeout', 'no free connection within UPSTREAM_HEADERS_TIMEOUT')
    case 'left':
      return { outcome: 'client_gone' }
  }
}

function failed(reason: UpstreamReason, detail: string): Failed {
  return { outcome: 'failed', reason, detail }
}

/** What node's parser objects to is the application's fault; everything else is the connection's. */
function reasonFor({ code = '' }: NodeJS.ErrnoException): UpstreamReason {
  return code.startsWith('HPE_') ? 'upstream_invalid' : 'upstream_unreachable'
}

function count(sockets: NodeJS.ReadOnlyDict<readonly unknown[]>): number {
  return Object.values(sockets).reduce((sum, list = []) => sum + list.length, 0)
}
