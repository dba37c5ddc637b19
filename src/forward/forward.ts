/**
 * Passes requests to the application: who gets a connection, what is tried twice, what is told.
 *
 * @see RFC 9110 §9.2.2; exchange.ts for what happens on a connection
 */
import { isEmpty } from '../core/body.ts'
import type { Telemetry, UpstreamErrorKind } from '../core/telemetry.ts'
import {
  exchange,
  failed,
  type Failed,
  type Forwarded,
  type Outgoing,
  type UpstreamReason,
} from './exchange.ts'
import { createPlaces } from './places.ts'
import { requestText } from './head.ts'
import { createPool, type PoolOptions } from './pool.ts'
import { createTunnels } from './tunnel.ts'

export type { Forwarded, Outgoing, UpstreamReason } from './exchange.ts'

export interface ForwardOptions extends PoolOptions {
  /** Connections at most; as many requests again may wait for one. */
  readonly connections: number
  /** Between two pieces of the answer's body; 0 for no limit. */
  readonly idleTimeoutMs: number
  /** After which a WebSocket is closed; 0 for no limit. */
  readonly webSocketMaxAgeMs: number
  readonly telemetry: Pick<Telemetry, 'upstreamFailed'>
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
  /** Closes all connections but those of WebSockets and of requests that are under way. */
  readonly close: () => void
}

/** May be sent a second time when a reused connection turns out to have died (RFC 9110 §9.2.2). */
const REPEATABLE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

const KIND_OF: Readonly<Record<UpstreamReason, UpstreamErrorKind>> = {
  upstream_invalid: 'invalid',
  upstream_saturated: 'saturated',
  upstream_timeout: 'timeout',
  upstream_unreachable: 'unreachable',
}

export function createForward(options: ForwardOptions): Forward {
  const { telemetry, idleTimeoutMs } = options
  const pool = createPool(options)
  const tunnels = createTunnels(options.webSocketMaxAgeMs)
  const places = createPlaces(options.connections, options.headersTimeoutMs)
  const terms = { idleTimeoutMs, openTunnel: tunnels.open }
  const authority = options.host.includes(':') ? `[${options.host}]` : options.host

  async function forward(outgoing: Outgoing): Promise<Forwarded> {
    const { response } = outgoing
    if (!places.tryEnter()) {
      const entry = await places.enter(giveUp => {
        response.once('close', giveUp)
        return () => response.off('close', giveUp)
      })
      if (entry !== 'in') return reported(turnedAway(entry))
    }
    try {
      if (outgoing.expectsContinue) response.writeContinue()
      const head = requestText(outgoing, authority)
      let which: 'any' | 'fresh' | 'detachable' = outgoing.upgrade ? 'detachable' : 'any'
      // Once, or twice where what was taken from the pool turns out to have died: no new one is stale.
      while (!response.destroyed) {
        const ended = await exchange(outgoing, head, pool.take(which), terms)
        if (ended.outcome !== 'stale') return reported(ended)
        // What was kept beside a connection that had died is no better.
        pool.dropIdle()
        if (!isEmpty(outgoing.body) || !REPEATABLE.has(outgoing.method)) {
          return reported(failed('upstream_unreachable', ended.detail))
        }
        which = 'fresh'
      }
      return { outcome: 'client_gone' }
    } finally {
      places.exit()
    }
  }

  function reported(forwarded: Forwarded): Forwarded {
    if (forwarded.outcome === 'failed') {
      telemetry.upstreamFailed(KIND_OF[forwarded.reason], forwarded.detail)
    } else if (forwarded.outcome === 'broken_off') {
      telemetry.upstreamFailed('aborted', 'the answer broke off')
    }
    return forwarded
  }

  return {
    forward,
    connections: () => pool.count() + tunnels.count(),
    webSockets: tunnels.count,
    closeWebSockets: tunnels.closeAll,
    close: pool.close,
  }
}

/** For a request that never got a connection. */
function turnedAway(entry: 'full' | 'left' | 'late'): Failed | { readonly outcome: 'client_gone' } {
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
