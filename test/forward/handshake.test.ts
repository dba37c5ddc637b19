import t from 'tap'
import { switchedHead } from '../../src/forward/handshake.ts'

/** The example of RFC 6455 §1.3. */
const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
const ASKED = ['Host', 'a', 'Sec-WebSocket-Key', KEY, 'Sec-WebSocket-Version', '13']
const UPGRADE = ['Upgrade', 'websocket']
const CONNECTION = ['Connection', 'Upgrade']
const ACCEPTED = ['Sec-WebSocket-Accept', ACCEPT]

t.test('a 101 that accepts goes on without what belongs to one connection', async t => {
  const answered = [
    ...['upgrade', 'WebSocket', 'connection', 'keep-alive, upgrade, X-Gone', 'Keep-Alive', '5'],
    ...['Sec-WebSocket-Accept', ACCEPT, 'Sec-WebSocket-Protocol', 'chat', 'X-Gone', 'x'],
    ...['Set-Cookie', 'a=b', 'Set-Cookie', 'c=d', 'Content-Length', '0', 'Transfer-Encoding', 'x'],
  ]
  t.equal(
    switchedHead(ASKED, answered),
    [
      'HTTP/1.1 101 Switching Protocols',
      'Connection: Upgrade',
      'Upgrade: websocket',
      `Sec-WebSocket-Accept: ${ACCEPT}`,
      'Sec-WebSocket-Protocol: chat',
      'Set-Cookie: a=b',
      'Set-Cookie: c=d',
      '\r\n',
    ].join('\r\n'),
  )
  const named = [...UPGRADE, 'Connection', 'Upgrade, Sec-WebSocket-Accept', ...ACCEPTED]
  t.match(switchedHead(ASKED, named), /\r\nSec-WebSocket-Accept: /, 'which cannot be named away')
})

t.test('anything less than a correct 101 is none', async t => {
  const good = [...UPGRADE, ...CONNECTION, ...ACCEPTED]
  const cases: readonly { what: string; asked?: string[]; answered?: string[]; ok?: boolean }[] = [
    { what: 'as it should be', ok: true },
    { what: 'no key was sent', asked: ['Host', 'a'] },
    { what: 'two keys were sent', asked: [...ASKED, 'sec-websocket-key', KEY] },
    { what: 'no Upgrade', answered: [...CONNECTION, ...ACCEPTED] },
    { what: 'two of them', answered: [...UPGRADE, ...good] },
    { what: 'another protocol', answered: ['Upgrade', 'h2c', ...CONNECTION, ...ACCEPTED] },
    { what: 'one of several', answered: ['Upgrade', 'websocket, h2c', ...CONNECTION, ...ACCEPTED] },
    { what: 'Connection does not say so', answered: [...UPGRADE, ...ACCEPTED] },
    { what: 'no accept', answered: [...UPGRADE, ...CONNECTION] },
    { what: 'two of them', answered: [...good, ...ACCEPTED] },
    { what: 'an echo', answered: [...UPGRADE, ...CONNECTION, 'Sec-WebSocket-Accept', KEY] },
    {
      what: 'case',
      answered: [...UPGRADE, ...CONNECTION, ACCEPTED[0] ?? '', ACCEPT.toUpperCase()],
    },
    { what: 'to another key', asked: ['Sec-WebSocket-Key', 'AQIDBAUGBwgJCgsMDQ4PEC=='] },
  ]
  for (const { what, asked = ASKED, answered = good, ok = false } of cases) {
    t.equal(switchedHead(asked, answered) !== undefined, ok, what)
  }
})
