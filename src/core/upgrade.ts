/**
 * A connection that is about to stop speaking HTTP.
 */
import type { Socket } from 'node:net'

/** One end of a tunnel: a connection, and the bytes that were read of it too early. */
export interface TunnelEnd {
  readonly socket: Socket
  readonly head: Buffer
}

export interface Upgrade {
  /** Takes the connection away from HTTP, once and for good: its response must not be used after. */
  readonly take: () => TunnelEnd
}
