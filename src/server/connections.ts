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
}

/** Requests a client may send ahead; load balancers send none. */
const MAX_AHEAD = 16

interface State {
  pending: Pending | undefined
  /** What had been read of the connection when its last answer was over. */
  settledBytes: number
}

/** @param server Whose connections are followed from now on. */
export function trackConnections(server: Server): Connections {
  const states = new Map<Socket, State>()
  server.on('connection', (socket: Socket) => {
    states.set(socket, { pending: undefined, settledBytes: 0 })
    socket.once('close', () => states.delete(socket))
  })

  return {
    serve(request, response, start) {
      const { socket } = request
      const state = states.get(socket)
      if (state === undefined) return
      const before = state.pending
      state.pending = { count: (before?.count ?? 0) + 1, request, response }
      if (state.pending.count > MAX_AHEAD) {
        socket.destroy()
        return
      }
      response.once('close', () => {
        const count = (state.pending?.count ?? 1) - 1
        state.pending = count > 0 && state.pending ? { ...state.pending, count } : undefined
        state.settledBytes = socket.bytesRead
      })
      if (before === undefined) start()
      else {
        before.response.once('close', () => {
          if (socket.writable) start()
        })
      }
    },

    pendingOn: socket => states.get(socket)?.pending,

    closeIdle() {
      for (const [socket, { pending, settledBytes }] of states) {
        if (pending === undefined && socket.bytesRead === settledBytes) socket.destroySoon()
      }
    },
  }
}
