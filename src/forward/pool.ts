/**
 * Connections to the application: opened when needed, kept for a moment when done, used one request at
 * a time.
 *
 * node:http's client was measured at twice the cost, and hides what decides here: whether a connection
 * that died had answered a single byte (docs/adr/0010).
 */
import net, { type Socket } from 'node:net'
import tls from 'node:tls'
import { createAnswerReader, type AnswerSink } from './answers.ts'
import { createDeadline } from './deadline.ts'
import { upstreamTls } from './upstream-tls.ts'

export interface PoolOptions {
  readonly protocol: 'http:' | 'https:'
  readonly host: string
  readonly port: number
  readonly socketPath?: string
  /** What the certificate of an `https:` application must lead to; node's roots unless set. */
  readonly ca?: readonly string[] | undefined
  readonly connectTimeoutMs: number
  /**
   * From the last byte of the request to the head of the answer, and before that for a place among
   * the connections; 0 for no limit.
   */
  readonly headersTimeoutMs: number
  /** Longest head of an answer, in bytes. */
  readonly maxHeaderBytes: number
}

/** What a connection tells of beside the answer it carries. */
export interface Exchange extends AnswerSink {
  /** Everything that was read at once has been told. */
  readonly onPause: () => void
  /** More can be written. */
  readonly onDrain: () => void
  /** `headersTimeoutMs` since {@link Connection.wait} have passed; asked for or not. */
  readonly onLate: () => void
  /** The connection is of no use any more, and closed. Not called after {@link Connection.release}. */
  readonly onLost: (why: Loss) => void
}

export interface Loss {
  /** `connecting`: it took too long; `invalid`: what came is no answer; `gone`: all else. */
  readonly kind: 'connecting' | 'invalid' | 'gone'
  readonly detail: string
  /** Whether it had been used before and has died without a byte of this answer. */
  readonly isStale: boolean
}

export interface Connection {
  /** For writing to, and for pausing. */
  readonly socket: Socket
  /** The next answer, to a request of this method, is for `exchange`. */
  readonly begin: (method: string, exchange: Exchange) => void
  /** Starts the time for an answer over. */
  readonly wait: () => void
  /** Gives it back for the next request. */
  readonly release: () => void
  readonly destroy: () => void
  /** Takes it out of the pool for good, with the bytes that came behind a 101. */
  readonly detach: () => { readonly socket: Socket; readonly head: Buffer }
}

export interface Pool {
  /** @param isFresh Whether it must be a new one. */
  readonly take: (isFresh: boolean) => Connection
  /** Open connections, idle ones included. */
  readonly count: () => number
  /** Closes the idle ones. */
  readonly dropIdle: () => void
  /** Closes the idle ones, and from now on every other as soon as it is given back. */
  readonly close: () => void
}

/** How long an unused connection is kept: less than any application server's own patience. */
const IDLE_MS = 1_500
const SWEEP_MS = 250
/** After how long without a byte TCP asks whether the application's host is still there. */
const PROBE_MS = 60_000

interface Pooled extends Connection {
  idleSince: number
}

/** @param now Milliseconds that only grow. */
export function createPool(options: PoolOptions, now = () => performance.now()): Pool {
  const { protocol, host, port, socketPath: path } = options
  const where = { ...(path === undefined ? { host, port } : { path }), allowHalfOpen: true }
  const secure = protocol === 'https:' ? { ...where, ...upstreamTls(options) } : undefined
  const open = new Set<Pooled>()
  /** The one that was used last is the last. */
  const idle: Pooled[] = []
  let sweep: NodeJS.Timeout | undefined
  let isClosed = false

  function connect(): Socket {
    // Every connection is verified anew: none resumes the session of another.
    const socket = secure === undefined ? net.connect(where) : tls.connect(secure)
    return socket.setNoDelay(true).setKeepAlive(true, PROBE_MS)
  }

  function sweepIdle(): void {
    const before = now() - IDLE_MS
    while (idle[0] !== undefined && idle[0].idleSince <= before) idle[0].destroy()
    if (idle.length > 0) return
    clearInterval(sweep)
    sweep = undefined
  }

  function dropIdle(): void {
    for (const connection of [...idle]) connection.destroy()
  }

  function create(): Pooled {
    const reader = createAnswerReader(options.maxHeaderBytes)
    const socket = connect()
    let exchange: Exchange | undefined
    let isReused = false
    /** Whether a byte of the answer has come. */
    let hasBegun = false
    let late: NodeJS.Timeout | undefined
    let failure = 'the application closed the connection'

    const connecting = createDeadline(options.connectTimeoutMs, () => {
      lose('connecting', 'no connection within UPSTREAM_CONNECT_TIMEOUT')
    })
    socket.once(secure === undefined ? 'connect' : 'secureConnect', connecting.clear)

    function lose(kind: Loss['kind'], detail: string): void {
      const lost = exchange
      destroy()
      lost?.onLost({ kind, detail, isStale: isReused && !hasBegun })
    }

    function destroy(): void {
      exchange = undefined
      forget()
      socket.destroy()
    }

    function forget(): void {
      connecting.clear()
      clearTimeout(late)
      open.delete(connection)
      const at = idle.indexOf(connection)
      if (at >= 0) idle.splice(at, 1)
    }

    const onData = (chunk: Buffer) => {
      hasBegun = true
      const fault = reader.push(chunk)
      exchange?.onPause()
      if (fault !== undefined) lose('invalid', fault)
    }
    const onEnd = () => {
      reader.finish()
      lose('gone', failure)
    }
    const onDrain = () => exchange?.onDrain()
    const onError = (error: Error) => {
      failure = error.message
    }
    const onClose = () => {
      lose('gone', failure)
    }
    socket.on('data', onData)
    socket.on('end', onEnd)
    socket.on('drain', onDrain)
    socket.on('error', onError)
    socket.once('close', onClose)

    const connection: Pooled = {
      socket,
      idleSince: 0,
      begin(method, next) {
        exchange = next
        hasBegun = false
        reader.expect(method, next)
      },
      wait() {
        if (options.headersTimeoutMs === 0) return
        if (late !== undefined) late.refresh()
        else late = setTimeout(() => exchange?.onLate(), options.headersTimeoutMs)
      },
      release() {
        exchange = undefined
        isReused = true
        if (isClosed) {
          destroy()
          return
        }
        connection.idleSince = now()
        idle.push(connection)
        sweep ??= setInterval(sweepIdle, SWEEP_MS).unref()
      },
      destroy,
      detach() {
        forget()
        socket.off('data', onData).off('end', onEnd).off('drain', onDrain).off('close', onClose)
        return { socket, head: reader.rest() }
      },
    }
    open.add(connection)
    return connection
  }

  return {
    take(isFresh) {
      if (isFresh) return create()
      const before = now() - IDLE_MS
      for (let connection = idle.pop(); connection !== undefined; connection = idle.pop()) {
        if (connection.idleSince > before && connection.socket.writable) return connection
        connection.destroy()
      }
      return create()
    },
    count: () => open.size,
    dropIdle,
    close() {
      isClosed = true
      dropIdle()
    },
  }
}
