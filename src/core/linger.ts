/**
 * Ends an answer so that the client gets to read it, though it may still be sending.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'

/** How much of an unwanted body is read, and for how long, before the connection is closed on it. */
const MAX_BYTES = 262_144
const MAX_MS = 1_000

/**
 * Ends `response` at once when the request has been read to its end, and otherwise after having
 * thrown away a bounded rest of it: closing a socket with unread bytes resets it, and the reset may
 * overtake the answer, which an ALB then reports as its own 502.
 *
 * @param response Whose head and body have been written, with `Connection: close` if the request is
 *   not complete.
 */
export function endGently(request: IncomingMessage, response: ServerResponse): void {
  if (request.complete || request.destroyed) {
    response.end()
    return
  }
  let bytes = 0
  const end = () => {
    clearTimeout(timer)
    response.end()
  }
  const timer = setTimeout(end, MAX_MS).unref()
  request.unpipe()
  request.once('end', end)
  request.once('close', end)
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > MAX_BYTES) end()
  })
  // A stream that was piped somewhere stays paused after unpipe, listeners or not.
  request.resume()
}
