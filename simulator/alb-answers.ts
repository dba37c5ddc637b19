/**
 * What the load balancer says itself: short HTML with `Server: awselb/2.0`, or a redirect.
 */

import { STATUS_CODES } from 'node:http'
import type { HeaderList } from './loopback.ts'

export interface AlbAnswer {
  readonly status: number
  readonly headers: HeaderList
  readonly body: string
}

/** AWS's own codes have no phrase in HTTP. */
const PHRASES: Readonly<Record<number, string>> = { 463: '', 561: 'Unauthorized' }

export const phraseOf = (status: number): string => PHRASES[status] ?? STATUS_CODES[status] ?? ''

export function errorAnswer(status: number): AlbAnswer {
  const title = `${status} ${phraseOf(status)}`.trim()
  return {
    status,
    headers: [
      ['Server', 'awselb/2.0'],
      ['Content-Type', 'text/html'],
    ],
    body: `<html>\r\n<head><title>${title}</title></head>\r\n<body>\r\n<center><h1>${title}</h1></center>\r\n</body>\r\n</html>\r\n`,
  }
}

export const redirectAnswer = (location: string, cookies: readonly string[]): AlbAnswer => ({
  status: 302,
  headers: [
    ['Server', 'awselb/2.0'],
    ['Location', location],
    ...cookies.map(cookie => ['Set-Cookie', cookie] as const),
  ],
  body: '',
})

/** For connections on which there is no response object: what the parser refused, upgrades. */
export function rawAnswer({ status, headers, body }: AlbAnswer): string {
  const all: HeaderList = [
    ...headers,
    ['Content-Length', String(Buffer.byteLength(body))],
    ['Connection', 'close'],
  ]
  const lines = all.map(([name, value]) => `${name}: ${value}`)
  return `HTTP/1.1 ${status} ${phraseOf(status)}\r\n${lines.join('\r\n')}\r\n\r\n${body}`
}
