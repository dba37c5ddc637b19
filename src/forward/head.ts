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
  pairs,
  valuesOf,
  type HeaderList,
  type UpstreamHeaders,
} from '../core/headers.ts'

/** Methods that node, and everybody else, takes to have no body; for others its lack is said. */
const BODYLESS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS'])

/**
 * The header list that is sent to the application.
 *
 * @param headers Without any framing or hop-by-hop field, which is what scrubbing guarantees.
 * @param host What to put in place of a `Host` that an HTTP/1.0 client left out.
 */
export function requestHead(
  method: string,
  headers: UpstreamHeaders,
  body: Body,
  host: string | undefined,
): string[] {
  return [...(host === undefined ? [] : ['Host', host]), ...headers, ...framing(method, body)]
}

function framing(method: string, body: Body): HeaderList {
  switch (body.kind) {
    case 'chunked':
      return ['Transfer-Encoding', 'chunked']
    case 'length':
      return ['Content-Length', String(body.bytes)]
    case 'none':
      return BODYLESS.has(method) ? [] : ['Content-Length', '0']
  }
}

export interface AnswerHead {
  readonly status: number
  /** The application's own words, or the standard ones where its words could not be sent. */
  readonly message: string
  readonly headers: HeaderList
}

/** What node refuses to write into a status line. */
const UNSENDABLE = /[^\t\x20-\x7e\x80-\xff]/

/**
 * What of an answer's head goes on to the client: everything, as spelled and in order, except what
 * belongs to one connection. A transfer coding other than `chunked` would go on unnamed, so it is
 * refused. `Content-Length` stays where it says something: not beside a transfer
 * coding, which wins (RFC 9112 §6.3), and not on a 204, which has no body.
 *
 * @returns `undefined` for an answer that cannot be passed on as it is.
 */
export function answerHead(
  status: number,
  message: string,
  received: HeaderList,
): AnswerHead | undefined {
  if (status < 200 || status > 999) return undefined
  const dropped = new Set([...HOP_BY_HOP, ...connectionOptions(received)])
  const codings = valuesOf(received, 'transfer-encoding')
  if (codings.some(coding => coding.toLowerCase() !== 'chunked')) return undefined
  if (codings.length > 0 || status === 204) dropped.add('content-length')
  else dropped.delete('content-length')
  const headers: string[] = []
  for (const [name, value] of pairs(received)) {
    if (!dropped.has(name.toLowerCase())) headers.push(name, value)
  }
  return {
    status,
    message: UNSENDABLE.test(message) ? (STATUS_CODES[status] ?? '') : message,
    headers,
  }
}
