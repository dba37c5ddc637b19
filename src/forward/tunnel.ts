/**
 * WebSockets, once both sides have agreed: bytes both ways, unchanged, until somebody leaves.
 *
 * A side that has finished sending may still be sent to; a side that is gone takes the other with it,
 * after what it had said. We ourselves end a tunnel when it is too old or the process leaves: with a
 * Close frame (1001, going away) both ways where a frame ends, so that a client knows to come back.
 *
 * A tunnel was authenticated when it was opened, and only then.
 */
import type { Socket } from 'node:net'
import type { TunnelEnd } from '../core/upgrade.ts'
import { createDeadline } from './deadline.ts'
import { CLOSE_TO_CLIENT, CLOSE_TO_SERVER, createFrames } from './frames.ts'

export interface Tunnels {
  /** @param client @param upstream Both still paused, with an `error` listener each. */
  readonly open: (client: TunnelEnd, upstream: TunnelEnd) => void
  /** How many are open. */
  readonly count: () => number
  /** Closes all of them, and those that are opened from now on. */
  readonly closeAll: () => void
}

/** How long a tunnel that has been told to close is waited for. */
const CLOSE_MS = 2_000
/** How long one side may stay silent after the other has finished or left. */
const HALF_CLOSED_MS = 30_000
/** When a peer that says nothing is asked whether it is still there, by TCP. */
const PROBE_MS = 60_000

/** @param maxAgeMs `WEBSOCKET_MAX_AGE`; 0 for no limit. */
export function createTunnels(maxAgeMs: number, halfClosedMs = HALF_CLOSED_MS): Tunnels {
  const open = new Set<() => void>()
  let isLeaving = false
  return {
    open(client, upstream) {
      const close = () => {
        tunnel.close()
      }
      const age = createDeadline(maxAgeMs, close)
      const tunnel = join(client, upstream, halfClosedMs, () => {
        age.clear()
        open.delete(close)
      })
      open.add(close)
      if (isLeaving) close()
    },
    count: () => open.size,
    closeAll() {
      isLeaving = true
      for (const close of open) close()
    },
  }
}

/** @param ended Called once, when both connections are closed. */
function join(
  client: TunnelEnd,
  upstream: TunnelEnd,
  halfClosedMs: number,
  ended: () => void,
): { close: () => void } {
  const sockets = [client.socket, upstream.socket] as const
  const destroy = () => {
    for (const socket of sockets) socket.destroy()
  }
  let halfClosed: ReturnType<typeof createDeadline> | undefined
  const onHalfClosed = () => {
    halfClosed ??= createDeadline(halfClosedMs, destroy)
  }
  const onProgress = () => {
    halfClosed?.extend()
  }
  let closing: ReturnType<typeof createDeadline> | undefined

  const ways = [
    createWay(client.socket, upstream.socket, CLOSE_TO_SERVER, { onProgress, onHalfClosed }),
    createWay(upstream.socket, client.socket, CLOSE_TO_CLIENT, { onProgress, onHalfClosed }),
  ] as const

  let openSockets = sockets.length
  for (const socket of sockets) {
    socket.setKeepAlive(true, PROBE_MS)
    socket.setNoDelay(true)
    if (socket.closed) setImmediate(onClose)
    else socket.once('close', onClose)
  }
  for (const socket of sockets) socket.resume()
  ways[0].push(client.head)
  ways[1].push(upstream.head)

  function onClose(): void {
    openSockets--
    onHalfClosed()
    for (const socket of sockets) socket.destroySoon()
    if (openSockets > 0) return
    halfClosed?.clear()
    closing?.clear()
    ended()
  }

  return {
    close() {
      if (closing !== undefined) return
      closing = createDeadline(CLOSE_MS, destroy)
      for (const way of ways) way.close()
    },
  }
}

interface Way {
  readonly push: (chunk: Buffer) => void
  /** Sends the Close frame where the frame that is passing ends, and nothing after it. */
  readonly close: () => void
}

interface WayEvents {
  readonly onProgress: () => void
  /** `from` will send no more. */
  readonly onHalfClosed: () => void
}

/** One of the two directions. */
function createWay(from: Socket, to: Socket, closeFrame: Buffer, events: WayEvents): Way {
  const frames = createFrames()
  let state: 'open' | 'closing' | 'closed' = 'open'

  function push(chunk: Buffer): void {
    if (state === 'open') {
      frames.advance(chunk)
      pass(chunk)
    } else {
      closeAt(chunk)
    }
    events.onProgress()
  }

  function pass(chunk: Buffer): void {
    if (to.writable && !to.write(chunk)) from.pause()
  }

  function closeAt(chunk: Buffer): void {
    const passed = state === 'closing' ? frames.advance(chunk, true) : 0
    pass(chunk.subarray(0, passed))
    if (state === 'closing' && frames.isAtBoundary()) sendClose()
    frames.advance(chunk.subarray(passed))
    // The other side has said goodbye as well: nothing is left to wait for.
    if (state === 'closed' && frames.hasClosed()) from.destroySoon()
  }

  function sendClose(): void {
    state = 'closed'
    if (to.writable && !frames.hasClosed()) to.write(closeFrame)
  }

  from.on('data', push)
  to.on('drain', () => from.resume())
  from.once('end', () => {
    events.onHalfClosed()
    to.end()
  })
  return {
    push,
    close() {
      state = 'closing'
      if (frames.isAtBoundary()) sendClose()
    },
  }
}
