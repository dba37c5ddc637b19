/**
 * Several requests on one connection, good, open, refused and unreadable, with bodies that look like
 * requests, cut into packets at any byte: order and identity of each must be its own.
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

export function pipelines(credentials: Credentials, dice: Dice, count: number): Attack[] {
  const requests: readonly (() => string)[] = [
    () => lines(...guardedHead('GET', credentials)),
    () => lines(...openHead('GET')),
    () => lines(...openHead('HEAD')),
    () => lines('GET /guarded HTTP/1.1', 'Host: a', 'X-Forwarded-User: mallory'),
    () => lines(...openHead('POST'), `Content-Length: ${SMUGGLED.length}`) + SMUGGLED,
    () => lines(...openHead('DELETE'), 'Transfer-Encoding: chunked') + chunked(SMUGGLED),
    () =>
      lines(...guardedHead('PUT', credentials), 'Transfer-Encoding: chunked') +
      chunked('a', SMUGGLED, 'b'),
    () => lines(...openHead('POST'), 'Expect: 100-continue', 'Content-Length: 3') + 'abc',
    () => lines(...openHead('GET'), 'Upgrade: websocket', 'Connection: Upgrade'),
    () => lines('GET /open/../a HTTP/1.1', 'Host: a'),
    () => lines('GET /open/a HTTP/1.0', 'Connection: keep-alive'),
    () => '\r\n\r\n',
    () => SMUGGLED,
  ]
  // One of these ends the connection, and those before it that are not answered yet.
  const unreadable: readonly (() => string)[] = [
    () => lines(...openHead('GET'), 'Connection: close') + SMUGGLED,
    () => lines(...openHead('GET'), 'Content-Length: 4', 'Content-Length: 4') + 'abcd',
    () => lines(...openHead('GET'), 'Transfer-Encoding: xchunked') + chunked(SMUGGLED),
  ]
  return Array.from({ length: count }, (_, at) => {
    const parts = Array.from({ length: 2 + dice.roll(6) }, () =>
      dice.pick(dice.once(12) ? unreadable : requests)(),
    )
    return { family: 'pipeline', name: String(at), pieces: cut(parts.join(''), dice) }
  })
}

/** In up to four packets, at any byte; one time in two in a single one. */
function cut(bytes: string, dice: Dice): string[] {
  if (dice.once(2)) return [bytes]
  const at = Array.from({ length: 1 + dice.roll(3) }, () => dice.roll(bytes.length)).sort(
    (a, b) => a - b,
  )
  return [...at, bytes.length].map((end, index) => bytes.slice(at[index - 1] ?? 0, end))
}
