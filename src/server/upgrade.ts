/**
 * Which requests may leave HTTP, and what becomes of their connection until it is decided whether they
 * do.
 *
 * Only a WebSocket is an upgrade: `websocket`, alone, on a GET of HTTP/1.1 without a body. Every other
 * `Upgrade` is a plain request that happens to name another protocol (RFC 9110 §7.8 lets a server
 * ignore it), so h2c never gets past us.
 *
 * Node takes its parser off the connection before it tells about an upgrade, and from then on nobody
 * looks after it: not after errors, not after a client that leaves, not after bytes sent ahead.
 *
 * @see RFC 6455 §4.1
 */
import { ServerResponse, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { connectionOptions, pairs, valuesOf } from '../core/headers.ts'
import type { Upgrade } from '../core/upgrade.ts'

/** Bytes that a client may send before its handshake has been answered. Browsers send none. */
const MAX_EARLY_BYTES = 65_536

export function asksWebSocket({
  method,
  httpVersion,
  rawHeaders,
}: Pick<IncomingMessage, 'method' | 'httpVersion' | 'rawHeaders'>): boolean {
  const [protocol = '', ...more] = valuesOf(rawHeaders, 'upgrade')
  return (
    method === 'GET' &&
    httpVersion === '1.1' &&
    more.length === 0 &&
    protocol.toLowerCase() === 'websocket' &&
    connectionOptions(rawHeaders).has('upgrade') &&
    valuesOf(rawHeaders, 'content-length').length === 0 &&
    valuesOf(rawHeaders, 'transfer-encoding').length === 0
  )
}

/** What `Connection` may name (RFC 9110 §5.6.2). Anything else names nothing. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]+$/

/**
 * Puts a request that node's parser let go of back in front of one, as the plain request it also is:
 * its head as it came, but for a `Connection` that no longer says `upgrade` in any way that a parser
 * could understand, or it would let go again and again. `Upgrade` itself stays, as it does where node
 * asks beforehand (`shouldUpgradeCallback`); this is only for versions that do not.
 *
 * @param resume Starts a parser on the socket anew.
 */
export function replay(
  request: IncomingMessage,
  socket: Duplex,
  rest: Buffer,
  resume: () => void,
): void {
  const { method = '', url = '', httpVersion, rawHeaders } = request
  const options = [...connectionOptions(rawHeaders)].filter(
    option => option !== 'upgrade' && TOKEN.test(option),
  )
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  for (const [name, value] of pairs(rawHeaders)) {
    if (name.toLowerCase() !== 'connection') lines.push(`${name}: ${value}`)
  }
  lines.push(`Connection: ${options.join(',')}`, '', '')
  socket.unshift(Buffer.concat([Buffer.from(lines.join('\r\n'), 'latin1'), rest]))
  resume()
}

/** The response that node does not make for an upgrade, and the way out of HTTP. */
export interface Adopted {
  readonly response: ServerResponse
  readonly upgrade: Upgrade
}

/**
 * Looks after the connection of an upgrade: what comes early is kept, up to a limit; whoever leaves
 * closes it; and whatever is answered but a tunnel ends it.
 *
 * @param request The only one of its connection that has not been answered.
 * @param head What node had read behind the request.
 */
export function adopt(request: IncomingMessage, head: Buffer): Adopted {
  const { socket } = request
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  const early = [head]
  let earlyBytes = head.length

  const onData = (chunk: Buffer) => {
    early.push(chunk)
    earlyBytes += chunk.length
    if (earlyBytes > MAX_EARLY_BYTES) socket.destroy()
  }
  const onDrain = () => response.emit('drain')
  const onEnd = () => socket.destroy()
  socket.on('error', () => undefined)
  socket.on('data', onData)
  socket.on('drain', onDrain)
  socket.on('end', onEnd)
  response.once('finish', () => {
    response.detachSocket(socket)
    socket.destroySoon()
    response.emit('close')
  })
  socket.setTimeout(0)
  response.assignSocket(socket)

  return {
    response,
    upgrade: {
      take: () => {
        socket.pause()
        socket.off('data', onData).off('drain', onDrain).off('end', onEnd)
        response.detachSocket(socket)
        return { socket, head: Buffer.concat(early) }
      },
    },
  }
}
