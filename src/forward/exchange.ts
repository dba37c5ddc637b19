/**
 * One request on one connection to the application, and its answer back, streaming both ways.
 *
 * Whoever leaves first frees the other side at once; an answer that breaks off breaks off for the
 * client too; and an answer of ours never inherits anything from one of the application's that went
 * wrong, because nothing is written before its head is known to be good.
 *
 * Informational answers (1xx) are not passed on: the client asked us, not the application, for a 100,
 * and the load balancer in front passes on none. A WebSocket is a request like any other until the
 * application has agreed to it; then its two connections belong to tunnel.ts.
 *
 * @see RFC 9110 §15.2
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { isEmpty, type Body } from '../core/body.ts'
import type { UpstreamHeaders } from '../core/headers.ts'
import { expected } from '../core/expected.ts'
import { endGently } from '../core/linger.ts'
import type { Reason } from '../core/reasons.ts'
import type { TunnelEnd, Upgrade } from '../core/upgrade.ts'
import type { ReceivedHead } from './answers.ts'
import { createDeadline, type Deadline } from './deadline.ts'
import { switchedHead } from './handshake.ts'
import { answerHead } from './head.ts'
import { LENT_BYTES, type Connection, type Loss } from './pool.ts'
import { upload, type Upload } from './upload.ts'

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

export interface Failed {
  readonly outcome: 'failed'
  readonly reason: UpstreamReason
  readonly detail: string
}

/**
 * How it ended. After `failed`, and only then, the response is untouched and the caller's to answer;
 * `broken_off` closed the client's connection on an answer that could not be finished. A WebSocket has
 * been `sent` (status 101) as soon as its tunnel is open.
 */
export type Forwarded =
  | { readonly outcome: 'sent' | 'broken_off'; readonly status: number }
  | { readonly outcome: 'client_gone'; readonly status?: number }
  | Failed

/** A reused connection had died: nothing was answered, and the response is untouched. */
export interface Stale {
  readonly outcome: 'stale'
  readonly detail: string
}

export interface Terms {
  /** Between two pieces of the answer's body; 0 for no limit. */
  readonly idleTimeoutMs: number
  readonly openTunnel: (client: TunnelEnd, upstream: TunnelEnd) => void
}

const REASON_OF: Readonly<Record<Loss['kind'], UpstreamReason>> = {
  connecting: 'upstream_timeout',
  gone: 'upstream_unreachable',
  invalid: 'upstream_invalid',
}

/**
 * @param head Of the request, as `requestText` makes it.
 * @returns Resolves when the exchange is over, whatever happened to it; rejects only for faults of ours.
 */
export function exchange(
  outgoing: Outgoing,
  head: string,
  connection: Connection,
  { idleTimeoutMs, openTunnel }: Terms,
): Promise<Forwarded | Stale> {
  const { request, response, body, upgrade } = outgoing
  const { socket } = connection

  return new Promise((resolve, reject) => {
    let phase: 'asking' | 'answering' | 'answered' = 'asking'
    let status = 0
    /** The last piece of the answer: held back for a moment, so that its end can go with it. */
    let piece: Buffer | undefined
    let hasWritten = false
    let soon: NodeJS.Immediate | undefined
    let isBroken = false
    let sending: Upload | undefined
    let idle: Deadline | undefined

    response.on('close', onClientClose)
    connection.begin(outgoing.method, {
      onHead(received) {
        try {
          onHead(received)
        } catch (fault) {
          connection.destroy()
          response.off('close', onClientClose)
          reject(expected(fault, Error))
        }
      },
      onData(next) {
        if (phase !== 'answering') return
        if (piece !== undefined) pass(piece)
        piece = next
      },
      onEnd,
      onPause,
      onDrain: () => sending?.resume(),
      onLate() {
        if (phase !== 'asking') return
        refuse(failed('upstream_timeout', 'no answer within UPSTREAM_HEADERS_TIMEOUT'))
      },
      onLost({ kind, detail, isStale }) {
        // Behind what has been written of it.
        if (phase === 'answering') setImmediate(breakOff)
        else leave(isStale ? { outcome: 'stale', detail } : failed(REASON_OF[kind], detail))
      },
    })
    connection.wait()
    if (isEmpty(body)) socket.write(head, 'latin1')
    else sending = upload(request, socket, head, body.kind === 'chunked', connection.wait)

    function onHead(received: ReceivedHead): void {
      if (received.status === 101) {
        switchOver(received)
        return
      }
      const outward = answerHead(received)
      if (outward === undefined) {
        refuse(failed('upstream_invalid', `status ${received.status}`))
        return
      }
      const isLast = outgoing.isClosing() || !request.complete
      // It has left, and is about to be told of.
      if (response.destroyed) return
      if (isLast) outward.headers.push('Connection', 'close')
      response.sendDate = false
      response.writeHead(received.status, outward.message, outward.headers)
      phase = 'answering'
      status = received.status
    }

    /** Everything that came at once has been read. */
    function onPause(): void {
      if (phase !== 'answering') return
      idle ??= createDeadline(idleTimeoutMs, onIdle)
      if (piece !== undefined) pass(piece)
      else if (!hasWritten) soon ??= setImmediate(flushHead)
      piece = undefined
    }

    /** A head goes out with the first piece of its body, but does not wait for one that is late. */
    function flushHead(): void {
      response.flushHeaders()
    }

    function pass(bytes: Buffer): void {
      hasWritten = true
      clearImmediate(soon)
      idle?.extend()
      if (response.write(ownOf(bytes)) || socket.isPaused()) return
      socket.pause()
      response.once('drain', onRoom)
    }

    function onRoom(): void {
      socket.resume()
    }

    function onEnd(isReusable: boolean): void {
      if (phase !== 'answering') return
      phase = 'answered'
      idle?.clear()
      clearImmediate(soon)
      response.off('drain', onRoom)
      sending?.stop()
      // An application that was asked for another protocol may think that it speaks it.
      if (isReusable && upgrade === undefined && sending?.isDone() !== false) {
        if (socket.isPaused()) socket.resume()
        connection.release()
      } else {
        connection.destroy()
      }
      if (request.complete) {
        // As text, which it need not be, it goes out in one write with the head.
        if (piece !== undefined && piece.length <= LENT_BYTES)
          response.end(piece.toString('latin1'), 'latin1')
        else response.end(piece)
      } else {
        if (piece !== undefined) response.write(ownOf(piece))
        endGently(request, response)
      }
      piece = undefined
    }

    /** The application has fallen silent, or the client does not read. */
    function onIdle(): void {
      if (response.writableNeedDrain) response.destroy()
      else breakOff()
    }

    function breakOff(): void {
      isBroken = true
      response.destroy()
    }

    function onClientClose(): void {
      if (phase === 'asking') {
        connection.destroy()
        leave({ outcome: 'client_gone' })
        return
      }
      if (phase === 'answering') connection.destroy()
      idle?.clear()
      clearImmediate(soon)
      sending?.stop()
      if (isBroken) resolve({ outcome: 'broken_off', status })
      else resolve({ outcome: response.writableFinished ? 'sent' : 'client_gone', status })
    }

    function switchOver({ headers }: ReceivedHead): void {
      const agreed = switchedHead(outgoing.headers, headers)
      if (upgrade === undefined || agreed === undefined) {
        refuse(failed('upstream_invalid', 'a 101 that was not asked for, or not in these terms'))
        return
      }
      response.off('close', onClientClose)
      const client = upgrade.take()
      client.socket.write(agreed, 'latin1')
      openTunnel(client, connection.detach())
      resolve({ outcome: 'sent', status: 101 })
    }

    /** The response is left untouched, for somebody else to answer. */
    function leave(how: Forwarded | Stale): void {
      response.off('close', onClientClose)
      sending?.stop()
      resolve(how)
    }

    function refuse(why: Failed): void {
      connection.destroy()
      leave(why)
    }
  })
}

/** A piece that may be kept until it has been written. */
function ownOf(piece: Buffer): Buffer {
  return piece.length <= LENT_BYTES ? Buffer.from(piece) : piece
}

export function failed(reason: UpstreamReason, detail: string): Failed {
  return { outcome: 'failed', reason, detail }
}
