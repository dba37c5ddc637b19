/**
 * Good requests with something wrong: a byte turned, taken out, put in or said twice, a line moved, a
 * piece of another request in the middle.
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
import type { Dice } from './dice.ts'

const SPICES = [
  ...[
    '\r',
    '\n',
    '\r\n',
    '\r\n\r\n',
    '\0',
    ' ',
    '\t',
    ':',
    ',',
    ';',
    '%',
    '#',
    '?',
    '\\',
    '..',
    '//',
  ],
  ...[
    '\x0b',
    '\x7f',
    '\xff',
    '0',
    '-1',
    '+1',
    '0x',
    'HTTP/1.0',
    'HTTP/2.0',
    'Host: b\r\n',
    '%00',
    '%2e',
  ],
  ...[
    'Content-Length: 0\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Connection: X-Forwarded-User\r\n',
  ],
  ...['X-Forwarded-User: mallory\r\n', 'X_Amzn_Oidc_Data: mallory\r\n', 'Trailer: X\r\n'],
  ...['Upgrade: h2c\r\n', 'Expect: 100-continue\r\n', 'TE: trailers\r\n', SMUGGLED],
]

export function mutations(credentials: Credentials, dice: Dice, count: number): Attack[] {
  const good = [
    lines(...guardedHead('GET', credentials, '/a?b=c')),
    lines(...openHead('GET', '/open/a/b?c'), 'Cookie: a=b; AWSELBAuthSessionCookie-0=x'),
    lines(...openHead('POST'), 'Content-Length: 5') + 'hello',
    lines(...guardedHead('POST', credentials), 'Transfer-Encoding: chunked') + chunked('a', 'bcd'),
    lines(...openHead('DELETE'), 'Transfer-Encoding: chunked') + chunked(SMUGGLED),
    lines(...openHead('PUT'), `Content-Length: ${SMUGGLED.length}`) + SMUGGLED,
    lines(...openHead('GET'), 'Connection: keep-alive, X-A', 'X-A: b', 'TE: trailers'),
  ]
  return Array.from({ length: count }, (_, at) => {
    let bytes = dice.pick(good)
    for (let left = dice.once(3) ? 4 : 1; left > 0; left--) bytes = mutate(bytes, dice)
    return { family: 'mutation', name: String(at), pieces: [bytes] }
  })
}

function mutate(bytes: string, dice: Dice): string {
  // Half of the time where it says how long the rest is, and who asks.
  const end = bytes.indexOf('\r\n\r\n') + 4
  const at = dice.roll(Math.max(1, dice.once(2) && end > 4 ? end : bytes.length))
  const [before, after] = [bytes.slice(0, at), bytes.slice(at)]
  switch (dice.roll(6)) {
    case 0:
      return (
        before +
        String.fromCharCode(dice.once(3) ? dice.roll(256) : 0x20 + dice.roll(95)) +
        after.slice(1)
      )
    case 1:
      return before + after.slice(1 + dice.roll(8))
    case 2:
      return before + dice.pick(SPICES) + after
    case 3:
      return before + after.slice(0, 1 + dice.roll(60)) + after
    case 4: {
      const rows = bytes.split('\r\n')
      const row = rows[dice.roll(rows.length)] ?? ''
      rows.splice(dice.roll(rows.length), 0, dice.once(2) ? row : dice.pick(SPICES).trim())
      return rows.join('\r\n')
    }
    default:
      return (
        before + after.replace('\r\n', dice.pick(['\n', '\r', '\r\r\n', '\n\n', ' \r\n', '\r\n ']))
      )
  }
}
