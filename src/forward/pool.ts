/**
 * Connections to the application: opened when needed, kept for a moment when done, used one request at
 * a time.
 *
 * node:http's client was measured at twice the cost, and hides what decides here: whether a connection
 * that died had answered a single byte (docs/adr/0010).
 */
import net, { type OnReadOpts, type Socket } from 'node:net'
import tls from 'node:tls'
import { WAITING_BYTES } from '../core/waiting.ts'
import { FULL_READ_BYTES, createAnswerReader, type AnswerSink } from './answers.ts'
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

/**
 * A piece of an answer of at most so many bytes lies in memory that the next one is read into: it must be
 * copied by whoever keeps it. A longer one is his who gets it.
 */
export const LENT_BYTES = 12_288

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
  /** Takes a `detachable` one out of the pool for good, with the bytes that came behind a 101. */
  readonly detach: () => { readonly socket: Socket; readonly head: Buffer }
}

export interface Pool {
  /** @param which An idle one if there is any, a new one, or a new one that may leave the pool. */
  readonly take: (which: 'any' | 'fresh' | 'detachable') => Connection
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
  const where = {
    ...(path === undefined ? { host, port } : { path }),
    allowHalfOpen: true,
    writableHighWaterMark: WAITING_BYTES,
  }
  const secure = protocol === 'https:' ? { ...where, ...upstreamTls(options) } : undefined
  const open = new Set<Pooled>()
  /** The one that was used last is the last. */
  const idle: Pooled[] = []
  let sweep: NodeJS.Timeout | undefined
  let isClosed = false

  /** @param onread Takes what is read; without it, the socket emits it as any stream does. */
  function connect(onread: OnReadOpts | undefined): Socket {
    // Every connection is verified anew: none resumes the session of another.
    const socket =
      secure === undefined
        ? net.connect({ ...where, onread })
        : tls.connect(Object.assign({ onread }, secure))
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

  function create(isDetachable: boolean): Pooled {
    const reader = createAnswerReader(options.maxHeaderBytes)
    const socket = connect(isDetachable ? undefined : readingInto(onData))
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

    function onData(chunk: Buffer): void {
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
    if (isDetachable) socket.on('data', onData)
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
    take(which) {
      if (which !== 'any') return create(which === 'detachable')
      const before = now() - IDLE_MS
      for (let connection = idle.pop(); connection !== undefined; connection = idle.pop()) {
        if (connection.idleSince > before && connection.socket.writable) return connection
        connection.destroy()
      }
      return create(false)
    },
    count: () => open.size,
    dropIdle,
    close() {
      isClosed = true
      dropIdle()
    },
  }
}

/**
 * Has a connection read into memory of its own, the same for every small answer: a stream would take
 * 64 KB anew for each.
 */
function readingInto(onData: (chunk: Buffer) => void): OnReadOpts {
  let memory = Buffer.allocUnsafeSlow(FULL_READ_BYTES)
  return {
    buffer: () => memory,
    callback: bytes => {
      onData(memory.subarray(0, bytes))
      if (bytes > LENT_BYTES) memory = Buffer.allocUnsafeSlow(FULL_READ_BYTES)
      return true
    },
  }
}
