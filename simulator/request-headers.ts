/**
 * What the load balancer does to the headers of every request, whatever the rule: limits, the
 * `X-Forwarded-*` and trace headers, and nothing hop-by-hop.
 *
 * @see XFF, TRACE and LIM in the README
 */

import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { type HeaderList, headerList } from './loopback.ts'

/** LIM: of the request line, of one header, of all of them; and of all headers of an answer. */
export const MAX_REQUEST_LINE = 16_384
export const MAX_HEADER = 16_384
export const MAX_REQUEST_HEADERS = 65_536
export const MAX_RESPONSE_HEADERS = 32_768
/** TRB, 463. */
const MAX_FORWARDED_FOR = 30

/** What concerns one connection only, and `Expect`, which Node's server has answered already. */
const HOP_BY_HOP = /^(connection|expect|keep-alive|proxy-connection|te|trailer|upgrade)$/i

export const withoutHopByHop = (headers: HeaderList): HeaderList =>
  headers.filter(([name]) => !HOP_BY_HOP.test(name))

/** The status of the load balancer's refusal, if it refuses. */
export function limitBroken(request: IncomingMessage): 400 | 405 | 414 | 463 | undefined {
  const { method = '', url = '' } = request
  const headers = headerList(request)
  if (url.length > MAX_REQUEST_LINE - method.length - ' HTTP/1.1'.length - 1) return 414
  if (headers.some(([name, value]) => name.length + value.length + 2 > MAX_HEADER)) return 400
  if (method === 'TRACE') return 405
  const addresses = forwardedFor(headers).flatMap(value => value.split(','))
  return addresses.length > MAX_FORWARDED_FOR ? 463 : undefined
}

const forwardedFor = (headers: HeaderList): readonly string[] =>
  headers.filter(([name]) => name.toLowerCase() === 'x-forwarded-for').map(([, value]) => value)

/** The client's headers with what a load balancer says of the connection. */
export function addressed(request: IncomingMessage, protocol: 'http' | 'https'): HeaderList {
  const received = withoutHopByHop(headerList(request))
  const peer = request.socket.remoteAddress ?? ''
  return replace(received, {
    'X-Forwarded-For': [...forwardedFor(received), peer].join(', '),
    'X-Forwarded-Proto': protocol,
    'X-Forwarded-Port': String(request.socket.localPort),
    'X-Amzn-Trace-Id': traced(request.headers['x-amzn-trace-id']),
  })
}

/** A client's `Root` is kept and ours becomes `Self`; without one, ours is the root. */
function traced(received: string | string[] | undefined): string {
  const seconds = Math.floor(Date.now() / 1000).toString(16)
  const id = `1-${seconds}-${randomBytes(12).toString('hex')}`
  if (typeof received !== 'string') return `Root=${id}`
  const others = received.split(/; */).filter(field => !field.startsWith('Self='))
  const root = others.some(field => field.startsWith('Root='))
  return [`${root ? 'Self' : 'Root'}=${id}`, ...others].join(';')
}

/** Ours instead of theirs: by exact name, as one who does not think of underscores. */
export function replace(headers: HeaderList, set: Readonly<Record<string, string>>): HeaderList {
  const names = new Set(Object.keys(set).map(name => name.toLowerCase()))
  return [...headers.filter(([name]) => !names.has(name.toLowerCase())), ...Object.entries(set)]
}
