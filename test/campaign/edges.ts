/**
 * Every method, every way to declare a body or not to, and as many headers as node, we and an
 * application have limits for: where one of them stops reading, the rest is a request of its own.
 *
 * @see CVE-2026-58044 (a length behind a thousand headers), CVE-2026-29057 and http-party/node-http-proxy
 * #1721 (a chunked DELETE), nodejs/node#27880 (a body that was never declared)
 */
import { lines } from '../fixtures/raw.ts'
import {
  SMUGGLED,
  chunked,
  guardedHead,
  openHead,
  type Attack,
  type Credentials,
} from './attack.ts'

const METHODS = [
  ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'MKCOL'],
  ...[
    'LOCK',
    'REPORT',
    'SEARCH',
    'M-SEARCH',
    'QUERY',
    'SUBSCRIBE',
    'LINK',
    'PURGE',
    'MERGE',
    'SOURCE',
  ],
]
const LENGTH = SMUGGLED.length
/** How a body is declared, and what then follows the head. */
const FRAMINGS: readonly { readonly declared: readonly string[]; readonly body: string }[] = [
  { declared: [], body: '' },
  { declared: [], body: SMUGGLED },
  { declared: ['Content-Length: 0'], body: SMUGGLED },
  { declared: [`Content-Length: ${LENGTH}`], body: SMUGGLED },
  { declared: [`Content-Length: ${LENGTH + 40}`], body: SMUGGLED },
  { declared: ['Transfer-Encoding: chunked'], body: chunked(SMUGGLED) },
  { declared: ['Transfer-Encoding: chunked'], body: `${chunked('a')}${SMUGGLED}` },
  {
    declared: ['Transfer-Encoding: chunked', 'Trailer: X-Forwarded-User'],
    body: `0\r\nX-Forwarded-User: mallory\r\n\r\n`,
  },
  { declared: ['Expect: 100-continue', `Content-Length: ${LENGTH}`], body: SMUGGLED },
  { declared: ['Upgrade: h2c', 'Connection: Upgrade', 'HTTP2-Settings: AAMAAABk'], body: SMUGGLED },
  {
    declared: [
      ...['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13'],
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ],
    body: SMUGGLED,
  },
]
const COUNTS = [...Array.from({ length: 102 }, (_, at) => 999 + at), 10_000]
const FEW = [0, 100, 195, 196, 197, 198, 199, 200, 201]

export function edges(credentials: Credentials): Attack[] {
  const plain = METHODS.flatMap(method =>
    FRAMINGS.flatMap(({ declared, body }) =>
      [openHead(method), guardedHead(method, credentials)].map(head => ({
        family: 'edge',
        name: `${method}, ${declared.join(' + ')}, ${body.length} bytes`,
        pieces: [lines(...head, ...declared) + body],
      })),
    ),
  )
  const counted = ['GET', 'DELETE', 'OPTIONS', 'POST'].flatMap(method =>
    FRAMINGS.slice(2, 7).flatMap(({ declared, body }) =>
      [...FEW, ...COUNTS].map(count => ({
        family: 'edge',
        name: `${count} headers, ${method}, ${declared.join(' + ')}`,
        pieces: [
          lines(...openHead(method), ...Array.from({ length: count }, () => 'a: b'), ...declared) +
            body,
        ],
      })),
    ),
  )
  return [...plain, ...counted]
}
