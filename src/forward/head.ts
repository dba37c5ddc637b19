/**
 * The heads on both sides of the application: what of a message's header goes on, and the framing,
 * which is stated here and nowhere else.
 *
 * Left to itself, node sends the body of a chunked DELETE without any framing, and the application
 * reads it as a second request (nodejs/node#27880, http-party/node-http-proxy#1721).
 *
 * @see RFC 9112 §6, RFC 9110 §7.6.1, §8.6
 */
import { STATUS_CODES } from 'node:http'
import type { Body } from '../core/body.ts'
import {
  HOP_BY_HOP,
  connectionOptions,
  textAt,
  type HeaderList,
  type UpstreamHeaders,
} from '../core/headers.ts'
import { remembered } from '../core/remembered.ts'
import type { ReceivedHead } from './answers.ts'
import { SWITCHING } from './handshake.ts'

/** Methods that everybody takes to have no body; for others its lack is said. */
const BODYLESS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS'])

/** What cannot be in a value, or a status line, without becoming something else. */
const UNSENDABLE = /[^\t\x20-\x7e\x80-\xff]/
/** Hardly ever there, and found in half the time: one range to compare with instead of three. */
const ODD = /[^ -~]/

export interface Request {
  readonly method: string
  readonly target: string
  /** Without any framing or hop-by-hop field, which is what scrubbing guarantees. */
  readonly headers: UpstreamHeaders
  readonly hasHost: boolean
  readonly body: Body
  /** Set when a WebSocket is asked for. */
  readonly upgrade?: object | undefined
}

/**
 * The request line and header lines that are sent to the application, ready to be written as latin-1.
 *
 * @param authority What to put in place of a `Host` that an HTTP/1.0 client left out.
 * @throws when a value holds what would end its line: nothing lets that get here.
 */
export function requestText(request: Request, authority: string): string {
  const { method, target, headers, hasHost, body, upgrade } = request
  let text = `${method} ${target} HTTP/1.1\r\n`
  if (!hasHost) text += `Host: ${authority}\r\n`
  text += headerLines(headers)
  text += headerLines(upgrade === undefined ? framing(method, body) : SWITCHING)
  return `${text}\r\n`
}

function headerLines(headers: HeaderList): string {
  let text = ''
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = textAt(headers, i)
    const value = textAt(headers, i + 1)
    if (ODD.test(value) && UNSENDABLE.test(value))
      throw new Error(`the value of ${name} cannot be sent`)
    text += `${name}: ${value}\r\n`
  }
  return text
}

const CHUNKED: HeaderList = ['Transfer-Encoding', 'chunked']
const EMPTY: HeaderList = ['Content-Length', '0']
const NONE: HeaderList = []

function framing(method: string, body: Body): HeaderList {
  switch (body.kind) {
    case 'chunked':
      return CHUNKED
    case 'length':
      return ['Content-Length', String(body.bytes)]
    case 'none':
      return BODYLESS.has(method) ? NONE : EMPTY
  }
}

export interface AnswerHead {
  /** The application's own words, or the standard ones where its words could not be sent. */
  readonly message: string
  readonly headers: string[]
}

/** What of an answer's header never goes on; `length` does only where it says something. */
const fateOf = remembered(name => {
  const lower = name.toLowerCase()
  if (lower === 'content-length') return 'length'
  return HOP_BY_HOP.has(lower) ? 'drop' : 'keep'
})

/**
 * What of an answer's head goes on to the client: everything, as spelled and in order, except what
 * belongs to one connection. `Content-Length` stays where it says something: not beside a transfer
 * coding, which wins (RFC 9112 §6.3), and not on a 204, which has no body.
 *
 * @returns `undefined` for an answer that cannot be passed on as it is.
 */
export function answerHead({
  status,
  message,
  headers: received,
}: ReceivedHead): AnswerHead | undefined {
  if (status < 200) return undefined
  const named = connectionOptions(received)
  const headers: string[] = []
  for (let i = 0; i + 1 < received.length; i += 2) {
    const name = textAt(received, i)
    const fate = fateOf(name)
    if (fate === 'drop' || (fate === 'length' && status === 204)) continue
    if (fate === 'keep' && named.size > 0 && named.has(name.toLowerCase())) continue
    headers.push(name, textAt(received, i + 1))
  }
  return { message: UNSENDABLE.test(message) ? (STATUS_CODES[status] ?? '') : message, headers }
}
