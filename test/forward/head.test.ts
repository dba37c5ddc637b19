import t from 'tap'
import type { Body } from '../../src/core/body.ts'
import type { UpstreamHeaders } from '../../src/core/headers.ts'
import { answerHead, requestHead } from '../../src/forward/head.ts'

const upstream = (...list: readonly string[]) => list as UpstreamHeaders

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
    const headers = ['Host', 'a', 'x-A', '1', 'X-a', '2']
    t.same(
      requestHead(method, upstream(...headers), body, undefined),
      [...headers, ...framing],
      what,
    )
  }
  t.end()
})

t.test('a Host that the client left out is put first', t => {
  const head = requestHead('GET', upstream('A', 'b'), { kind: 'none' }, '[::1]:8081')
  t.same(head, ['Host', '[::1]:8081', 'A', 'b'])
  t.end()
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
      answer: 'a length beside a coding',
      received: ['Content-Length', '5', 'tRANSFER-Encoding', 'chunked'],
      headers: [],
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
    t.same(answerHead(status, 'Fine', received), { status, message: 'Fine', headers }, answer)
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
    { status: 1000, passes: false },
  ]
  for (const { status, passes } of cases) {
    t.equal(answerHead(status, '', [])?.status, passes ? status : undefined, String(status))
  }
  t.end()
})

t.test('an answer in a coding that would go on unnamed is not passed on', t => {
  for (const codings of [['gzip'], ['gzip, chunked'], ['chunked', 'gzip'], ['identity'], ['']]) {
    const received = codings.flatMap(coding => ['Transfer-Encoding', coding])
    t.equal(answerHead(200, 'OK', received), undefined, JSON.stringify(codings))
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
    t.equal(answerHead(status, message, [])?.message, sent, `${status} ${JSON.stringify(message)}`)
  }
  t.end()
})
