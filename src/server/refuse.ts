/**
 * Our own answers: why in words for a person, or as a problem for a program, and never a byte of the
 * request nor anything that tells an attacker which check failed.
 *
 * @see RFC 9457 (application/problem+json), RFC 9110 §11.6.1, §15.5.6
 */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http'
import type { HeaderList } from '../core/headers.ts'
import { endGently } from '../core/linger.ts'
import { isNavigation } from '../core/navigation.ts'
import { REASONS, type Reason } from '../core/reasons.ts'
import type { Reply } from '../core/reply.ts'

/** What else a status needs said. */
const EXTRA_HEADERS: Readonly<Record<number, HeaderList>> = {
  401: ['WWW-Authenticate', 'Bearer'],
  405: ['Allow', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'],
  503: ['Retry-After', '1'],
}

/** Sentences for people, by status. */
const ADVICE: Readonly<Record<number, string>> = {
  400: 'The request could not be understood.',
  401: 'You are not signed in, or your sign-in has expired. Reload the page to sign in again.',
  403: 'You are signed in, but you may not use this application.',
  405: 'This method is not allowed.',
  417: 'The expectation of the request cannot be met.',
  431: 'The request header is too large. Deleting the cookies of this site may help.',
  500: 'Something went wrong here. The request was not passed on.',
  502: 'The application cannot be reached or did not answer properly.',
  503: 'The service is busy for a moment. Please try again.',
  504: 'The application did not answer in time.',
}

interface Message {
  readonly contentType: string
  readonly body: string
}

/** Every answer there can be, written once. */
function messageFor(reason: Reason, isPage: boolean): Message {
  const { status, disclosed } = REASONS[reason]
  const { [status]: title = '' } = STATUS_CODES
  const { [status]: advice = '' } = ADVICE
  if (isPage) {
    const page = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${status} ${title}</title></head><body><main><h1>${title}</h1><p>${advice}</p></main></body></html>\n`
    return { contentType: 'text/html; charset=utf-8', body: page }
  }
  const problem = { type: 'about:blank', title, status, ...(disclosed && { reason }) }
  return { contentType: 'application/problem+json', body: `${JSON.stringify(problem)}\n` }
}

export interface ReplyOptions {
  readonly requestId: string
  /** Whether the connection ends with this answer in any case. */
  readonly close: boolean
}

/**
 * Answers a request that is not forwarded. The connection is kept only when the request has been read
 * to its end.
 */
export function sendReply(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers, contentType, body }: Reply,
  { requestId, close }: ReplyOptions,
): void {
  const isLast = close || !request.complete
  response.writeHead(status, STATUS_CODES[status], [
    ...['Content-Type', contentType],
    ...['Content-Length', String(Buffer.byteLength(body))],
    ...['Cache-Control', 'no-store'],
    ...['X-Content-Type-Options', 'nosniff'],
    ...['X-Request-Id', requestId],
    ...headers,
    ...(isLast ? ['Connection', 'close'] : []),
  ])
  response.write(body)
  endGently(request, response)
}

/** What a request is told that is turned away for `reason`; `headers` say how it would like it. */
export function refusalFor(reason: Reason, headers: HeaderList): Reply {
  const { status } = REASONS[reason]
  const message = messageFor(reason, isNavigation(headers))
  return { status, headers: EXTRA_HEADERS[status] ?? [], ...message }
}

/**
 * The same answer as raw bytes, for a connection on which node's parser gave up, or that asked for a
 * tunnel: there is no response object for it.
 */
export function rawRefusal(reason: Reason, requestId: string): string {
  const { status } = REASONS[reason]
  const { contentType, body } = messageFor(reason, false)
  const { [status]: title = '' } = STATUS_CODES
  const lines = [
    `HTTP/1.1 ${status} ${title}`,
    `Content-Type: ${contentType}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
    `X-Request-Id: ${requestId}`,
    'Connection: close',
  ]
  const extra = EXTRA_HEADERS[status]
  if (extra !== undefined) lines.push(extra.join(': '))
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}
