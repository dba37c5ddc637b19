/**
 * Sends a request with a body: its head together with the first piece of the body, but not waiting for
 * one that is late; then the rest as it comes, no faster than the application reads.
 */
import type { Readable } from 'node:stream'
import type { Socket } from 'node:net'

export interface Upload {
  /** Whether the whole of it has been handed to the connection. */
  readonly isDone: () => boolean
  /** The connection has room again. */
  readonly resume: () => void
  /**
   * Takes no more of the body. Whoever wants the rest must listen at once; it does not stay unread,
   * because nothing that the client sends next would ever be read behind it.
   */
  readonly stop: () => void
}

/**
 * @param isChunked Whether the body goes in chunks; else its length has been declared in `head`.
 * @param onProgress Called for every piece.
 */
export function upload(
  body: Readable,
  socket: Socket,
  head: string,
  isChunked: boolean,
  onProgress: () => void,
): Upload {
  let unsent = head
  let isDone = false

  function send(...pieces: readonly (string | Buffer)[]): void {
    if (!socket.writable) return
    socket.cork()
    if (unsent !== '') socket.write(unsent, 'latin1')
    unsent = ''
    for (const piece of pieces) if (piece.length > 0) socket.write(piece, 'latin1')
    socket.uncork()
    if (socket.writableNeedDrain) body.pause()
  }
  const onData = (piece: Buffer) => {
    onProgress()
    // As a chunk it would be the last one, and what follows the next request.
    if (piece.length === 0) return
    if (isChunked) send(`${piece.length.toString(16)}\r\n`, piece, '\r\n')
    else send(piece)
  }
  const onEnd = () => {
    isDone = true
    send(isChunked ? '0\r\n\r\n' : '')
  }
  const stop = () => {
    clearImmediate(soon)
    body.off('data', onData).off('end', onEnd)
    if (!isDone) body.resume()
  }
  const soon = setImmediate(send)
  body.on('data', onData).once('end', onEnd)
  return { isDone: () => isDone, resume: () => body.resume(), stop }
}
