/**
 * Reads an application's answers off its connection, by RFC 9112 to the letter.
 *
 * What two readers could understand differently is not an answer: two lengths, a length beside a
 * transfer coding, a folded header, a bare CR or LF, a control character. Informational answers are
 * skipped; trailers are read and dropped; a byte that belongs to no answer condemns the connection, and
 * so does whatever makes such a byte likely.
 *
 * @see RFC 9112 §4, §5, §6.3, §7.1
 */
import { textAt } from '../core/headers.ts'
import { remembered } from '../core/remembered.ts'

/** The head of a final answer, or of a 101. */
export interface ReceivedHead {
  readonly status: number
  readonly message: string
  /** Names and values as they came, without the white space around values. */
  readonly headers: readonly string[]
}

/** Who an answer is for. Called while bytes are being read, so nothing here may throw. */
export interface AnswerSink {
  readonly onHead: (head: ReceivedHead) => void
  readonly onData: (piece: Buffer) => void
  /** @param isReusable Whether the connection may carry another request. */
  readonly onEnd: (isReusable: boolean) => void
}

export interface AnswerReader {
  /** The next answer is to a request of this method, and goes to `sink`. */
  readonly expect: (method: string, sink: AnswerSink) => void
  /**
   * @param chunk May be overwritten afterwards; nothing of it is kept.
   * @returns What is wrong with the bytes, after which the reader must not be used.
   */
  readonly push: (chunk: Buffer) => string | undefined
  /** The application will send no more; that is how some answers end, and others do not. */
  readonly finish: () => void
  /** What came behind the head of a 101. */
  readonly rest: () => Buffer
}

const HEAD =
  /^HTTP\/1\.([01]) (\d{3})(?: ([^\0\r\n]*))?((?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*)*)$/
const TRAILER = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*$/
const CHUNK_SIZE = /^([0-9A-Fa-f]{1,12})(?:;[\t\x20-\x7e\x80-\xff]*)?$/
/** With white space where node's parser takes it for another coding, and reads on to the end. */
const ODD_CODING = /\r\ntransfer-encoding:(?! *chunked(?:\r\n|$))/i
const LENGTH = /^(?:0|[1-9]\d{0,14})$/
const BARE_LF = /[^\r]\n/
/** Longest line that says a chunk's size, and all trailers together, in bytes. */
const MAX_LINES_BYTES = 16_384
/** What is read at once at most: behind a piece of this size more may be waiting. */
export const FULL_READ_BYTES = 65_536
const END_OF_HEAD = '\r\n\r\n'
const NOTHING: Buffer = Buffer.alloc(0)

type State = 'idle' | 'head' | 'length' | 'size' | 'chunk' | 'chunk_end' | 'trailer' | 'rest'

/** @param maxHeadBytes Longest head; informational ones are counted one by one. */
export function createAnswerReader(maxHeadBytes: number): AnswerReader {
  let state: State = 'idle'
  let method = ''
  let sink: AnswerSink
  /** The beginning of a head, or what came behind a 101. */
  let kept = NOTHING
  /** Of a body or chunk, still to come. */
  let left = 0
  let isPersistent = false
  let line = ''
  let linesBytes = 0

  function push(chunk: Buffer): string | undefined {
    let at = 0
    while (at < chunk.length) {
      switch (state) {
        case 'idle':
          return 'bytes that no request asked for'
        case 'head': {
          const end = readHead(chunk, at)
          if (typeof end === 'string') return end
          at = end
          break
        }
        case 'length':
        case 'chunk': {
          const size = Math.min(left, chunk.length - at)
          sink.onData(size === chunk.length ? chunk : chunk.subarray(at, at + size))
          left -= size
          at += size
          if (left > 0) break
          if (state === 'length') end(isLastOf(chunk, at))
          else state = 'chunk_end'
          break
        }
        case 'rest':
          sink.onData(chunk.subarray(at))
          return undefined
        case 'size':
        case 'chunk_end':
        case 'trailer': {
          const newline = chunk.indexOf(0x0a, at)
          const stop = newline < 0 ? chunk.length : newline + 1
          line += chunk.toString('latin1', at, stop)
          linesBytes += stop - at
          at = stop
          if (linesBytes > MAX_LINES_BYTES) return 'a chunk size or trailers that are too long'
          if (newline < 0) break
          const fault = readLine(isLastOf(chunk, at))
          if (fault !== undefined) return fault
        }
      }
    }
    return undefined
  }

  /** @returns Where the body begins, or what is wrong. */
  function readHead(chunk: Buffer, at: number): number | string {
    const before = kept.length
    const bytes = before === 0 ? chunk : Buffer.concat([kept, chunk.subarray(at)])
    const from = before === 0 ? at : 0
    const end = bytes.indexOf(END_OF_HEAD, Math.max(from, before - END_OF_HEAD.length), 'latin1')
    const length = (end < 0 ? bytes.length : end) - from
    if (length > maxHeadBytes) return 'a head of more than MAX_HEADER_BYTES'
    if (end < 0) {
      if (length > 4 && bytes.toString('latin1', from, from + 5) !== 'HTTP/') return 'no HTTP'
      // It would be waited for in vain.
      if (BARE_LF.test(bytes.toString('latin1', Math.max(from, before - 1)))) return 'a bare LF'
      kept = before === 0 ? Buffer.from(bytes.subarray(from)) : bytes
      return chunk.length
    }
    kept = NOTHING
    const bodyAt = at + (end + END_OF_HEAD.length - from) - before
    return beginAnswer(bytes.toString('latin1', from, end), chunk, bodyAt)
  }

  /** @returns Where to read on, or what is wrong with the head. */
  function beginAnswer(text: string, chunk: Buffer, bodyAt: number): number | string {
    const found = HEAD.exec(text)
    if (found === null) return 'a head that is none'
    const [, minor, code, message = '', lines = ''] = found
    const status = Number(code)
    const headers = split(lines)
    const framing = readFraming(headers, lines)
    if (typeof framing === 'string') return framing
    const { length = 0, isChunked } = framing
    if (minor === '0' && isChunked) return 'a transfer coding in HTTP/1.0'
    if (status >= 100 && status < 200 && status !== 101) {
      return isChunked || length > 0 ? 'an informational answer with a body' : bodyAt
    }
    isPersistent = !framing.closes && (minor === '1' || framing.persists)
    left = length

    if (status === 101) {
      state = 'idle'
      kept = Buffer.from(chunk.subarray(bodyAt))
      sink.onHead({ status, message, headers })
      return chunk.length
    }
    if (method === 'HEAD' || status === 204 || status === 304) {
      // Who speaks of a body where there is none might send it.
      if (isChunked || (status === 204 && length > 0)) isPersistent = false
      left = 0
    } else if (isChunked) state = 'size'
    else if (framing.length === undefined) state = 'rest'
    else if (left > 0) state = 'length'
    sink.onHead({ status, message, headers })
    if (state === 'head') end(isLastOf(chunk, bodyAt))
    return bodyAt
  }

  /** One whole line of a chunked body. */
  function readLine(isLast: boolean): string | undefined {
    const text = line.slice(0, -2)
    if (!line.endsWith('\r\n')) return 'a bare LF'
    line = ''
    if (state === 'trailer') {
      if (text === '') end(isLast)
      else if (!TRAILER.test(text)) return 'a trailer that is none'
      return undefined
    }
    linesBytes = 0
    if (state === 'chunk_end') {
      state = 'size'
      return text === '' ? undefined : 'a chunk that is longer than it says'
    }
    const [, size = ''] = CHUNK_SIZE.exec(text) ?? []
    if (size === '') return 'a chunk size that is none'
    left = Number.parseInt(size, 16)
    state = left === 0 ? 'trailer' : 'chunk'
    return undefined
  }

  /** @param isLast Whether nothing came behind the answer, and nothing more was there to be read. */
  function end(isLast: boolean): void {
    state = 'idle'
    sink.onEnd(isLast && isPersistent)
  }

  return {
    expect(nextMethod, nextSink) {
      state = 'head'
      method = nextMethod
      sink = nextSink
      linesBytes = 0
    },
    push,
    finish() {
      if (state !== 'rest') return
      isPersistent = false
      end(true)
    },
    rest: () => kept,
  }
}

/** Whether an answer that ends at `at` is the last thing there was to read. */
function isLastOf(chunk: Buffer, at: number): boolean {
  return at === chunk.length && chunk.length < FULL_READ_BYTES
}

/** Header lines, each with its CRLF in front, that are known to be well-formed. */
function split(lines: string): string[] {
  const headers: string[] = []
  let at = 2
  while (at < lines.length) {
    const colon = lines.indexOf(':', at)
    const next = lines.indexOf('\r\n', colon)
    const end = next < 0 ? lines.length : next
    headers.push(lines.slice(at, colon), trimmed(lines, colon + 1, end))
    at = end + 2
  }
  return headers
}

function trimmed(text: string, from: number, to: number): string {
  let [start, end] = [from, to]
  while (start < end && isSpace(text.charCodeAt(start))) start++
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09
}

interface Framing {
  readonly length: number | undefined
  readonly isChunked: boolean
  /** What `Connection` says of the time after this answer. */
  readonly closes: boolean
  readonly persists: boolean
}

function readFraming(headers: readonly string[], lines: string): Framing | string {
  let length: number | undefined
  let isChunked = false
  let options = ''
  for (let i = 0; i < headers.length; i += 2) {
    const name = textAt(headers, i)
    const value = textAt(headers, i + 1)
    if (name.length === 14 && name.toLowerCase() === 'content-length') {
      if (length !== undefined || !LENGTH.test(value)) return 'a Content-Length that is none'
      length = Number(value)
    } else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') {
      if (isChunked || ODD_CODING.test(lines)) return 'another coding than chunked'
      isChunked = true
    } else if (name.length === 10 && name.toLowerCase() === 'connection') {
      options += `,${value}`
    }
  }
  if (isChunked && length !== undefined) return 'a length beside a transfer coding'
  const { closes, persists } = options === '' ? UNSAID : persistenceOf(options)
  return { length, isChunked, closes, persists }
}

const UNSAID = { closes: false, persists: false }

const persistenceOf = remembered(options => {
  const list = options.toLowerCase().split(/[\t ,]+/)
  return { closes: list.includes('close'), persists: list.includes('keep-alive') }
})
