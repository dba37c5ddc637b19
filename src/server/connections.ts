/**
 * What is going on on each connection: one request at a time, however many a client sends ahead, and
 * which connections nobody would miss.
 *
 * Node hands pipelined requests over all at once, but emits no `close` on the response of one that was
 * never its turn (Node 20 and 22): whoever waits for that waits for ever. And after an answer that ends
 * the connection, what follows on it must not be served at all.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** The requests of a connection that have not been answered to their end. */
export interface Pending {
  readonly count: number
  /** The one that came last. */
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

export interface Connections {
  /** Serves a request when the one before it on its connection is over; never, if that was the last. */
  readonly serve: (request: IncomingMessage, response: ServerResponse, start: () => void) => void
  /** `undefined` for a connection on which everything has been answered. */
  readonly pendingOn: (socket: Socket) => Pending | undefined
  /** Ends the connections on which nothing is pending and nothing has begun to arrive. */
  readonly closeIdle: () => void
  /** Ends all of them now, those that no longer speak HTTP included. */
  readonly closeAll: () => void
}

/** Requests a client may send ahead; load balancers send none. */
const MAX_AHEAD = 16

interface State {
  count: number
  /** The request that came last. */
  latest: Omit<Pending, 'count'> | undefined
  /** What had been read of the connection when its last answer was over. */
  settledBytes: number
}

/** @param server Whose connections are followed from now on. */
export function trackConnections(server: Server): Connections {
  const states = new Map<Socket, State>()
  server.on('connection', track)
  // Over TLS, what requests come on is another socket, in place of the one that was accepted.
  server.on('secureConnection', track)

  function track(socket: Socket): State {
    const known = states.get(socket)
    if (known !== undefined) return known
    const state: State = { count: 0, latest: undefined, settledBytes: 0 }
    states.set(socket, state)
    socket.once('close', () => states.delete(socket))
    return state
  }

  return {
    serve(request, response, start) {
      const { socket } = request
      const state = states.get(socket) ?? track(socket)
      const before = state.count > 0 ? state.latest : undefined
      state.count++
      state.latest = { request, response }
      if (state.count > MAX_AHEAD) {
        socket.destroy()
        return
      }
      response.on('close', () => {
        state.count--
        state.settledBytes = socket.bytesRead
      })
      if (before === undefined) start()
      else {
        before.response.once('close', () => {
          if (socket.writable) start()
        })
      }
    },

    pendingOn(socket) {
      const { count, latest } = states.get(socket) ?? { count: 0 }
      return count > 0 && latest !== undefined ? { count, ...latest } : undefined
    },

    closeIdle() {
      for (const [socket, { count, settledBytes }] of states) {
        if (count === 0 && socket.bytesRead === settledBytes) socket.destroySoon()
      }
    },

    closeAll() {
      for (const socket of states.keys()) socket.destroy()
    },
  }
}
