import t from 'tap'
import type { Body } from '../../src/core/body.ts'
import type { UpstreamHeaders } from '../../src/core/headers.ts'
import { answerHead, requestText, type Request } from '../../src/forward/head.ts'

const REQUEST: Request = {
  method: 'GET',
  target: '/a/../b?c=%00',
  headers: upstream('Host', 'a', 'x-A', '1', 'X-a', '\xe9', 'Empty', ''),
  hasHost: true,
  body: { kind: 'none' },
}

function upstream(...list: readonly string[]): UpstreamHeaders {
  return list as UpstreamHeaders
}

const LINES = 'Host: a\r\nx-A: 1\r\nX-a: \xe9\r\nEmpty: \r\n'

t.test('the framing of a request is stated from what was admitted, and nothing else', t => {
  const none: Body = { kind: 'none' }
  const cases: readonly { method: string; body: Body; framing: readonly string[] }[] = [
    { method: 'GET', body: none, framing: [] },
    { method: 'HEAD', body: none, framing: [] },
    { method: 'DELETE', body: none, framing: [] },
    { method: 'OPTIONS', body: none, framing: [] },
    { method: 'POST', body: none, framing: ['Content-Length', '0'] },
    { method: 'PUT', body: none, framing: ['Content-Length', '0'] },
    { method: 'PATCH', body: none, framing: ['Content-Length', '0'] },
    { method: 'PROPFIND', body: none, framing: ['Content-Length', '0'] },
    { method: 'POST', body: { kind: 'length', bytes: 0 }, framing: ['Content-Length', '0'] },
    { method: 'GET', body: { kind: 'length', bytes: 0 }, framing: ['Content-Length', '0'] },
    { method: 'GET', body: { kind: 'length', bytes: 7 }, framing: ['Content-Length', '7'] },
    {
      method: 'PUT',
      body: { kind: 'length', bytes: Number.MAX_SAFE_INTEGER },
      framing: ['Content-Length', '9007199254740991'],
    },
    { method: 'POST', body: { kind: 'chunked' }, framing: ['Transfer-Encoding', 'chunked'] },
    { method: 'DELETE', body: { kind: 'chunked' }, framing: ['Transfer-Encoding', 'chunked'] },
    { method: 'GET', body: { kind: 'chunked' }, framing: ['Transfer-Encoding', 'chunked'] },
  ]
  for (const { method, body, framing } of cases) {
    const what = `${method} with ${JSON.stringify(body)}`
    const line = framing.length > 0 ? `${framing.join(': ')}\r\n` : ''
    const text = requestText({ ...REQUEST, method, body }, 'b')
    t.equal(text, `${method} /a/../b?c=%00 HTTP/1.1\r\n${LINES}${line}\r\n`, what)
  }
  t.end()
})

t.test('a Host that the client left out is put first', async t => {
  const text = requestText(
    { ...REQUEST, headers: upstream('A', 'b'), hasHost: false },
    '[::1]:8081',
  )
  t.equal(text, 'GET /a/../b?c=%00 HTTP/1.1\r\nHost: [::1]:8081\r\nA: b\r\n\r\n')
})

t.test('a WebSocket is asked for in our own words', async t => {
  const text = requestText({ ...REQUEST, upgrade: {} }, 'b')
  t.ok(text.endsWith('Empty: \r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'))
})

/** As latin-1, U+010D U+010A would be written as CR LF: what node's own client checks, we check. */
t.test('what would end its line, or become something else, is not sent', async t => {
  for (const value of ['a\r\nB: c', 'a\nb', 'a\rb', 'a\0b', '\u010d\u010a', '\u{1f600}', '\x7f']) {
    const headers = upstream('Host', 'a', 'X-User', value)
    t.throws(() => requestText({ ...REQUEST, headers }, 'b'), /the value of X-User cannot be sent/)
  }
})

t.test('what goes on of an answer: all of it, as spelled, but what belongs to one hop', t => {
  const cases: readonly {
    answer: string
    status?: number
    received: readonly string[]
    headers: readonly string[]
  }[] = [
    { answer: 'nothing', received: [], headers: [] },
    {
      answer: 'an ordinary one',
      received: ['dATE', 'x', 'Set-Cookie', 'a', 'Server', 'y', 'set-cookie', 'b'],
      headers: ['dATE', 'x', 'Set-Cookie', 'a', 'Server', 'y', 'set-cookie', 'b'],
    },
    {
      answer: 'hop-by-hop fields',
      received: [
        ...['Connection', 'close', 'KEEP-ALIVE', 'timeout=5', 'Proxy-Connection', 'x', 'TE', 'x'],
        ...['Trailer', 'x', 'Upgrade', 'h2c', 'Proxy-Authenticate', 'Basic', 'A', 'b'],
      ],
      headers: ['A', 'b'],
    },
    {
      answer: 'fields that Connection names',
      received: ['Connection', 'X-Hop, x-other', 'x-hop', '1', 'X-Other', '2', 'X-Kept', '3'],
      headers: ['X-Kept', '3'],
    },
    { answer: 'a length', received: ['Content-Length', '5'], headers: ['Content-Length', '5'] },
    {
      answer: 'a length that Connection names',
      received: ['Connection', 'content-length', 'Content-Length', '5'],
      headers: ['Content-Length', '5'],
    },
    {
      answer: 'a coding in other letters',
      received: ['Transfer-Encoding', 'CHUNKED'],
      headers: [],
    },
    { answer: 'a length on a 204', status: 204, received: ['Content-Length', '0'], headers: [] },
    {
      answer: 'a length on a 304',
      status: 304,
      received: ['Content-Length', '9'],
      headers: ['Content-Length', '9'],
    },
  ]
  for (const { answer, status = 200, received, headers } of cases) {
    t.same(
      answerHead({ status, message: 'Fine', headers: received }),
      { message: 'Fine', headers },
      answer,
    )
  }
  t.end()
})

t.test('a status is one that ends a request, or there is no answer to pass on', t => {
  const cases = [
    { status: 200, passes: true },
    { status: 299, passes: true },
    { status: 599, passes: true },
    { status: 999, passes: true },
    { status: 0, passes: false },
    { status: 42, passes: false },
    { status: 101, passes: false },
    { status: 199, passes: false },
  ]
  for (const { status, passes } of cases) {
    t.equal(answerHead({ status, message: '', headers: [] }) !== undefined, passes, String(status))
  }
  t.end()
})

t.test("the application's words stay, unless they cannot be sent", t => {
  const cases = [
    { status: 200, message: 'Fine', sent: 'Fine' },
    { status: 200, message: '', sent: '' },
    { status: 200, message: 'S\u00fc\u00df\tund', sent: 'S\u00fc\u00df\tund' },
    { status: 404, message: 'a\u0001b', sent: 'Not Found' },
    { status: 404, message: 'a\r\nSet-Cookie: b', sent: 'Not Found' },
    { status: 404, message: '\u0100', sent: 'Not Found' },
    { status: 799, message: '\u007f', sent: '' },
  ]
  for (const { status, message, sent } of cases) {
    t.equal(answerHead({ status, message, headers: [] })?.message, sent, JSON.stringify(message))
  }
  t.end()
})
