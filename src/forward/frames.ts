/**
 * Where one WebSocket frame ends and the next begins, and the one frame that we write ourselves. What
 * is in a frame is never looked at.
 *
 * @see RFC 6455 §5.2 (framing), §5.5.1 (Close), §7.4.1 (1001: going away)
 */
export interface Frames {
  /**
   * Follows what passes by.
   *
   * @param stopAtBoundary Whether to stop behind the first frame that ends in `chunk`.
   * @returns How many bytes of `chunk` were followed: all of it, unless stopped.
   */
  readonly advance: (chunk: Buffer, stopAtBoundary?: boolean) => number
  /** Whether a whole frame has just ended, or none has begun. */
  readonly isAtBoundary: () => boolean
  /** Whether a Close frame has begun. */
  readonly hasClosed: () => boolean
}

const CLOSE = 0x8
/** Of the second byte: whether a masking key follows, and the length or its form. */
const MASKED = 0x80
const LENGTH = 0x7f
const LENGTH_16 = 126
const LENGTH_64 = 127

export function createFrames(): Frames {
  const header = Buffer.alloc(14)
  let have = 0
  let payloadLeft = 0
  let closed = false

  function headerLength(): number {
    if (have < 2) return 2
    const second = header.readUInt8(1)
    const length = second & LENGTH
    const extended = length === LENGTH_64 ? 8 : length === LENGTH_16 ? 2 : 0
    return 2 + extended + (second & MASKED ? 4 : 0)
  }

  function begin(): void {
    const length = header.readUInt8(1) & LENGTH
    payloadLeft = length
    if (length === LENGTH_16) payloadLeft = header.readUInt16BE(2)
    if (length === LENGTH_64) payloadLeft = Number(header.readBigUInt64BE(2))
    closed ||= (header.readUInt8(0) & 0xf) === CLOSE
    have = 0
  }

  return {
    advance(chunk, stopAtBoundary = false) {
      let at = 0
      while (at < chunk.length) {
        if (payloadLeft > 0) {
          const step = Math.min(payloadLeft, chunk.length - at)
          payloadLeft -= step
          at += step
        } else {
          header.writeUInt8(chunk.readUInt8(at), have)
          have++
          at++
          if (have < headerLength()) continue
          begin()
        }
        if (payloadLeft === 0 && stopAtBoundary) break
      }
      return at
    },
    isAtBoundary: () => have === 0 && payloadLeft === 0,
    hasClosed: () => closed,
  }
}

const GOING_AWAY = [0x03, 0xe9]

/** As a server sends it. */
export const CLOSE_TO_CLIENT: Buffer = Buffer.from([0x88, 0x02, ...GOING_AWAY])
/** As a client sends it: masked, here with a key of zeros, which hides nothing and needs not to. */
export const CLOSE_TO_SERVER: Buffer = Buffer.from([0x88, 0x82, 0, 0, 0, 0, ...GOING_AWAY])
