/**
 * Answers that no application should give and some do: heads that are none, bodies that end early,
 * silence. A proxy that copies them ends its process (D4), hangs its client, leaks its connections or
 * leaves the next answer on the wire to be taken for somebody else's (D6, THREATS T-43, T-81).
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { bareNode } from '../fixtures/node.ts'
import { comesTrue, givenTime, PATIENCE_MS } from '../fixtures/patience.ts'
import {
  CLOSED_PORT,
  openRaw,
  readAnswer,
  lines,
  saysLast,
  type RawConnection,
} from '../fixtures/raw.ts'
import { OK, startRecorder, valuesIn, type Recorder } from '../fixtures/recorder.ts'
import { ALICE, startRig, type Rig } from '../fixtures/sidecar.ts'
import { visit } from '../fixtures/visit.ts'
import { eventually, tag } from './rows.ts'
import { startOracle } from './oracle.ts'

const recorder = await startRecorder(t)
const rig = await startRig(t, recorder.port, { UPSTREAM_CONNECTIONS: '2' })
/** An application of its own for those without patience, so that it can be waited for beside the rest. */
const slow = await startRecorder(t)
const impatients = new Map<number, Rig>()
const tokens = new Map<Rig, string>()
const believed: string[] = []
const options = {
  assertable: {
    'x-forwarded-user': [ALICE.email],
    'x-forwarded-email': [ALICE.email],
    'x-forwarded-groups': ['dev,ops'],
    'x-amzn-oidc-data': believed,
  },
  mayBreakOff: true,
}
signIn(rig)
const impatient = await impatientFor(300)
const oracle = await startOracle(rig, options)
const slowOracle = await startOracle(impatient, options)

/** Makes the token by which a user is known to a sidecar. */
function signIn(on: Rig): Rig {
  const token = on.token()
  tokens.set(on, token)
  believed.push(token)
  return on
}

/** A sidecar that waits no longer than this for an answer, nor for the next piece of one. */
async function impatientFor(ms: number): Promise<Rig> {
  const known = impatients.get(ms)
  if (known !== undefined) return known
  const limits = { UPSTREAM_HEADERS_TIMEOUT: `${ms}ms`, UPSTREAM_IDLE_TIMEOUT: `${ms}ms` }
  const started = signIn(await startRig(t, slow.port, limits))
  impatients.set(ms, started)
  return started
}

const HOST = 'Host: a'

interface Asking {
  readonly on?: Rig
  readonly method?: string
  readonly headers?: readonly string[]
  readonly version?: string
  readonly body?: string
}

/** A connection on which a signed-in user has asked for `path`. */
function open(path: string, asking: Asking = {}): RawConnection {
  const { on = rig, method = 'GET', headers = [], version = '1.1', body = '' } = asking
  const connection = openRaw(on.port)
  const signedIn = `X-Amzn-Oidc-Data: ${tokens.get(on)!}`
  connection.write(lines(`${method} ${path} HTTP/${version}`, HOST, signedIn, ...headers) + body)
  return connection
}

/** What came back, once it is whole or can no longer become so, or closed if it is to be. */
async function receive(connection: RawConnection, method = 'GET') {
  const end = { closed: false }
  void connection.closed(2 * PATIENCE_MS).then(closed => {
    end.closed = closed
  })
  const isDone = () => {
    const answer = readAnswer(connection.text(), method)
    return answer?.whole === true && !saysLast(answer)
  }
  await eventually(() => end.closed || isDone())
  return { ...readAnswer(connection.text(), method), ...end, text: connection.text() }
}

async function ask(asking: Asking = {}) {
  const connection = open(tag(), asking)
  const answer = await receive(connection, asking.method)
  connection.reset()
  return answer
}

/** Another user's request, to see that nothing was left behind. */
async function isWell(
  t: Pick<Test, 'match'>,
  what: string,
  on: Rig = rig,
  application: Recorder = recorder,
): Promise<void> {
  application.answer = OK
  t.match(await ask({ on }), { status: 200, body: 'ok', whole: true }, `${what}: next is well`)
}

/** Writes `text` and hangs up. */
const thenClose = (text: string) => (socket: Socket) => {
  socket.end(text, 'latin1')
}

const OWN_HEADERS =
  /^(?:content-type|content-length|cache-control|x-content-type-options|x-request-id|connection|retry-after|date|keep-alive)$/

/** Nothing of what the application said may be in an answer of ours. */
function isOurs(t: Pick<Test, 'same' | 'match'>, headers: readonly string[] = [], what: string) {
  const names = headers.map(header => header.slice(0, header.indexOf(':')).toLowerCase())
  t.same(
    names.filter(name => !OWN_HEADERS.test(name)),
    [],
    `${what}: inherits nothing`,
  )
  t.same(new Set(names).size, names.length, `${what}: says nothing twice`)
}

const LEAK = 'Set-Cookie: leak=1\r\nX-Leak: 1'

t.test('a head that is none is answered 502, and with nothing of it', async t => {
  const head = (line: string, ...headers: string[]) =>
    `${[line, LEAK, ...headers].join('\r\n')}\r\n\r\nok`
  const ok = (...headers: string[]) => head('HTTP/1.1 200 OK', ...headers)
  const rows: [what: string, answer: string][] = [
    // D4: status 099 ends http-proxy's process, 101 unasked leaves its client waiting for ever.
    ['status 099', head('HTTP/1.1 099 Odd', 'Content-Length: 2')],
    ['status 000', head('HTTP/1.1 000 Odd', 'Content-Length: 2')],
    ['status 1000', head('HTTP/1.1 1000 Odd', 'Content-Length: 2')],
    ['status 20', head('HTTP/1.1 20 Odd', 'Content-Length: 2')],
    ['status abc', head('HTTP/1.1 abc Odd', 'Content-Length: 2')],
    ['status -200', head('HTTP/1.1 -200 Odd', 'Content-Length: 2')],
    ['101 unasked', head('HTTP/1.1 101 Switching', 'Connection: Upgrade', 'Upgrade: websocket')],
    ['101 without an upgrade', head('HTTP/1.1 101 Switching')],
    ['no status line', `X-Leak: 1\r\n\r\n`],
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['a request', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['two equal lengths', ok('Content-Length: 2', 'Content-Length: 2')],
    ['two lengths', ok('Content-Length: 2', 'Content-Length: 9')],
    ['a list of lengths', ok('Content-Length: 2, 2')],
    ['a negative length', ok('Content-Length: -2')],
    ['a length in hex', ok('Content-Length: 0x2')],
    ['a length beyond 64 bits', ok('Content-Length: 18446744073709551618')],
    ['length and coding', ok('Content-Length: 2', 'Transfer-Encoding: chunked')],
    ['coding and length', ok('Transfer-Encoding: chunked', 'Content-Length: 2')],
    // A coding that we cannot undo and may not pass on (RFC 9112 §6.1, §7).
    ['another coding', ok('Transfer-Encoding: gzip')],
    ['another coding before chunked', ok('Transfer-Encoding: gzip, chunked') + '0\r\n\r\n'],
    ['another coding after chunked', ok('Transfer-Encoding: chunked, gzip')],
    ['a length that could be octal', ok('Content-Length: 02')],
    ['a length behind a space', ok('Content-Length : 2')],
    ['a length behind a vertical tab', ok('Content-Length:\x0b2')],
    ['a coding behind a space', ok('Transfer-Encoding : chunked') + '0\r\n\r\n'],
    ['a coding behind a vertical tab', ok('Transfer-Encoding:\x0bchunked') + '0\r\n\r\n'],
    ['a coding behind a NUL', ok('Transfer-Encoding: chunked\0') + '0\r\n\r\n'],
    ['a coding in quotes', ok('Transfer-Encoding: "chunked"') + '0\r\n\r\n'],
    ['a coding twice', ok('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked')],
    ['a coding and nothing', ok('Transfer-Encoding: chunked,')],
    ['identity', ok('Transfer-Encoding: identity', 'Content-Length: 2')],
    ['a folded coding', ok('Transfer-Encoding:\r\n chunked') + '0\r\n\r\n'],
    // RFC 9112 §6.1: a 1.0 that has a coding was made by somebody who does not know what it is.
    ['chunks in HTTP/1.0', head('HTTP/1.0 200 OK', 'Transfer-Encoding: chunked') + '0\r\n\r\n'],
    ['100 with a body', lines('HTTP/1.1 100 Continue', 'Content-Length: 2') + 'ok' + OK],
    ['103 in chunks', lines('HTTP/1.1 103 Hints', 'Transfer-Encoding: chunked') + OK],
    ['bare LFs', 'HTTP/1.1 200 OK\nX-Leak: 1\nContent-Length: 2\n\nok'],
    ['one bare LF', 'HTTP/1.1 200 OK\r\nX-Leak: 1\nContent-Length: 2\r\n\r\nok'],
    ['bare CRs', 'HTTP/1.1 200 OK\rContent-Length: 2\r\n\r\nok'],
    ['CRLF in front', `\r\n${OK}`],
    ['a version that is none', lines('HTTP/1.2 200 OK', 'Content-Length: 2') + 'ok'],
    ['DEL in a value', ok('X-A: b\x7f', 'Content-Length: 2')],
    ['a high byte in a name', ok('X-\xe9: b', 'Content-Length: 2')],
    ['a folded header', ok('X-A: b\r\n c', 'Content-Length: 2')],
    ['a space before the colon', ok('X-A : b', 'Content-Length: 2')],
    ['no colon', ok('X-A', 'Content-Length: 2')],
    ['no name', ok(': b', 'Content-Length: 2')],
    ['NUL in a value', ok('X-A: b\0c', 'Content-Length: 2')],
    ['a bare CR in a value', ok('X-A: b\rX-B: c', 'Content-Length: 2')],
    ['a header of 100 KB', ok(`X-A: ${'x'.repeat(100_000)}`, 'Content-Length: 2')],
    ['100 KB of headers', ok(...Array.from({ length: 8_000 }, (_, at) => `X-${at}: 0123456789`))],
    ['nothing at all', ''],
    ['half a status line', 'HTTP/1.1 20'],
    ['half a head', 'HTTP/1.1 200 OK\r\nX-Leak: 1\r\nX-'],
  ]
  for (const [what, answer] of rows) {
    recorder.answer = thenClose(answer)
    const found = await ask()
    t.match(found, { status: 502, message: 'Bad Gateway', whole: true }, what)
    isOurs(t, found.headers, what)
    t.match(found.body, /"reason":"upstream_(?:invalid|unreachable)"/, `${what}: says so`)
    await isWell(t, what)
  }
})

t.test('an odd head that can be passed on is', async t => {
  const rows: [what: string, line: string, found: object][] = [
    ['status 999', 'HTTP/1.1 999 Odd', { status: 999, message: 'Odd' }],
    ['status 600', 'HTTP/1.1 600 Odd', { status: 600, message: 'Odd' }],
    ['no reason phrase', 'HTTP/1.1 200', { status: 200 }],
    ['an empty reason phrase', 'HTTP/1.1 200 ', { status: 200 }],
    ['its own words', 'HTTP/1.1 404 No Such Thing', { status: 404, message: 'No Such Thing' }],
    // D4: a control byte in the status text ends http-proxy's process.
    ['a control byte in them', 'HTTP/1.1 200 O\x01K', { status: 200, message: /^[\x20-\x7e]*$/ }],
    ['DEL in them', 'HTTP/1.1 200 O\x7fK', { status: 200, message: /^[\x20-\x7e]*$/ }],
    ['a high byte in them', 'HTTP/1.1 200 Caf\xe9', { status: 200, message: 'Caf\xe9' }],
    ['HTTP/1.0', 'HTTP/1.0 200 OK', { status: 200 }],
  ]
  for (const [what, line, expected] of rows) {
    recorder.answer = lines(line, 'Content-Length: 2') + 'ok'
    t.match(await ask(), { body: 'ok', whole: true, ...expected }, what)
    await isWell(t, what)
  }
})

/** nodejs/node#65010: beyond a count of its own, node leaves headers of an answer out without a word. */
t.test('many headers arrive, every one', async t => {
  const names = Array.from({ length: 1_500 }, (_, at) => `X-${at}: ${at}`)
  recorder.answer = lines('HTTP/1.1 200 OK', ...names, 'Content-Length: 2') + 'ok'
  const { headers = [], body } = await ask()
  t.same(
    headers.filter(header => header.startsWith('X-')),
    names,
  )
  t.equal(body, 'ok')
})

/** RFC 9110 §7.6.1: `Connection: close, X-Secret` from the application is for us, not the client. */
t.test('hop-by-hop headers of an answer end here, everything else passes in order', async t => {
  recorder.answer =
    lines(
      'HTTP/1.1 200 OK',
      ...['Connection: close, X-Hop', 'Connection: X-Two', 'X-Hop: gone', 'x-two: gone'],
      ...['Keep-Alive: timeout=gone', 'Proxy-Connection: gone', 'Proxy-Authenticate: gone'],
      ...['Upgrade: gone', 'TE: gone', 'Trailer: gone', 'HTTP2-Settings: gone'],
      ...['set-cookie: b=2', 'Set-Cookie: a=1', 'SET-COOKIE: c=3', 'X-Empty:', 'X-Latin: \xe9'],
      ...['Content-Type: text/plain', 'Content-Length: 2', 'Server: app', 'ETag: "x"'],
    ) + 'ok'
  const { headers = [], body } = await ask()
  t.notMatch(headers.join('\n'), /gone/)
  t.same(
    headers.filter(header => !/^(?:connection|keep-alive):/i.test(header)),
    [
      ...['set-cookie: b=2', 'Set-Cookie: a=1', 'SET-COOKIE: c=3', 'X-Empty: ', 'X-Latin: \xe9'],
      ...['Content-Type: text/plain', 'Content-Length: 2', 'Server: app', 'ETag: "x"'],
    ],
  )
  t.equal(body, 'ok')
})

t.test('an answer keeps its framing, and its connection, when it has no body', async t => {
  const etc = 'ETag: "x"'
  const rows = [
    {
      method: 'GET',
      line: 'HTTP/1.1 304 Not Modified',
      framing: 'Content-Length: 100',
      kept: true,
    },
    { method: 'HEAD', line: 'HTTP/1.1 200 OK', framing: 'Content-Length: 100', kept: true },
    { method: 'HEAD', line: 'HTTP/1.1 200 OK', framing: 'Transfer-Encoding: chunked', kept: false },
    { method: 'HEAD', line: 'HTTP/1.1 404 Not Found', framing: 'X-No: framing', kept: true },
    { method: 'GET', line: 'HTTP/1.1 204 No Content', framing: 'X-No: framing', kept: true },
    { method: 'GET', line: 'HTTP/1.1 204 No Content', framing: 'Content-Length: 0', kept: false },
    {
      method: 'DELETE',
      line: 'HTTP/1.1 204 No Content',
      framing: 'Content-Length: 5',
      kept: false,
    },
    { method: 'GET', line: 'HTTP/1.1 200 OK', framing: 'Content-Length: 0', kept: true },
  ]
  for (const { method, line, framing, kept } of rows) {
    const what = `${method}, ${line}, ${framing}`
    recorder.answer = lines(line, framing, etc)
    const connection = open(tag(), { method })
    await connection.until(/\r\n\r\n/)
    recorder.answer = OK
    const next = tag()
    connection.write(lines(`GET ${next} HTTP/1.1`, HOST, `X-Amzn-Oidc-Data: ${tokens.get(rig)!}`))
    t.ok(
      await connection.until(/\r\n\r\nHTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nok$/),
      `${what}: both answered`,
    )
    const { headers = [] } = readAnswer(connection.text(), method) ?? {}
    t.equal(headers.includes(framing), kept, `${what}: ${kept ? 'said' : 'not said'}`)
    t.ok(headers.includes(etc), what)
    connection.reset()
  }
})

t.test('an answer without a stated end is given one', async t => {
  recorder.answer = thenClose('HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nuntil the end')
  t.match(await ask(), { status: 200, body: 'until the end', whole: true, closed: false })
  recorder.answer = lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked') + '2\r\nok\r\n0\r\n\r\n'
  t.match(await ask(), { status: 200, body: 'ok', whole: true }, 'chunked stays chunked')
  const old = await ask({ version: '1.0' })
  t.match(old, { status: 200, body: 'ok', closed: true }, 'but not for HTTP/1.0')
  t.notMatch(old.text, /chunked/i)
})

/** D6: http-proxy and http-proxy-3 leave the client waiting for the rest, for ever. */
t.test('an answer that breaks off breaks off for the client', async t => {
  const rst = (text: string) => (socket: Socket) => {
    socket.write(text, 'latin1', () => {
      setTimeout(() => socket.resetAndDestroy(), 30)
    })
  }
  const length = 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhell'
  const chunks = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
  const rows: [what: string, answer: (socket: Socket) => void][] = [
    ['short of its length', thenClose(length)],
    ['short of its length, reset', rst(length)],
    ['no byte of its body', thenClose('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n')],
    ['between two chunks', thenClose(`${chunks}4\r\nhell\r\n`)],
    ['inside a chunk', thenClose(`${chunks}a\r\nhell`)],
    ['before the last CRLF', thenClose(`${chunks}4\r\nhell\r\n0\r\n`)],
    ['between two chunks, reset', rst(`${chunks}4\r\nhell\r\n`)],
    ['a chunk size that is none', thenClose(`${chunks}4\r\nhell\r\nxyz\r\n`)],
    ['a chunk longer than it says', thenClose(`${chunks}2\r\nhell\r\n0\r\n\r\n`)],
    ['a chunk size beyond 2^53', thenClose(`${chunks}4\r\nhell\r\n20000000000001\r\nx`)],
    ['a chunk size beyond 2^64', thenClose(`${chunks}4\r\nhell\r\n10000000000000001\r\nx`)],
    ['a chunk size in C', thenClose(`${chunks}4\r\nhell\r\n0x1\r\nx\r\n0\r\n\r\n`)],
    ['a negative chunk size', thenClose(`${chunks}4\r\nhell\r\n-1\r\nx\r\n0\r\n\r\n`)],
    ['a bare LF behind a chunk size', thenClose(`${chunks}4\r\nhell\r\n1\nx\r\n0\r\n\r\n`)],
    ['a bare LF behind a chunk', thenClose(`${chunks}4\r\nhell\n0\r\n\r\n`)],
    ['a bare CR in an extension', thenClose(`${chunks}4;a\rb\r\nhell\r\n0\r\n\r\n`)],
    ['an endless extension', thenClose(`${chunks}4\r\nhell\r\n1;${'x'.repeat(20_000)}`)],
    ['endless trailers', thenClose(`${chunks}4\r\nhell\r\n0\r\n${'X: y\r\n'.repeat(4_000)}\r\n`)],
    ['a folded trailer', thenClose(`${chunks}4\r\nhell\r\n0\r\nX: y\r\n z\r\n\r\n`)],
    ['a bare LF behind a trailer', thenClose(`${chunks}4\r\nhell\r\n0\r\nX: y\n\r\n`)],
    ['the next answer for trailers', thenClose(`${chunks}4\r\nhell\r\n0\r\n${OK}`)],
  ]
  for (const [what, answer] of rows) {
    recorder.answer = answer
    const found = await ask()
    t.match({ whole: false, ...found }, { closed: true, whole: false }, what)
    t.match(found.text, /^(?:HTTP\/1\.1 200 |$)/, `${what}: nothing else in its place`)
    await isWell(t, what)
  }
})

/** Response queue poisoning: what one request gets too much, the next one must not get. */
t.test('an answer to nobody is nobody’s', async t => {
  const evil = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'
  const rows: [what: string, answer: string, later?: string][] = [
    ['two answers at once', OK + evil],
    ['a second answer later', OK, evil],
    ['a body longer than its length', `${OK}evil`],
    ['a body behind a 204', lines('HTTP/1.1 204 No Content', 'Content-Length: 4') + evil],
    ['a body behind a 304', lines('HTTP/1.1 304 Not Modified', 'Content-Length: 4') + evil],
    // Its sender may take what follows for the body.
    ['a body promised by a 204', lines('HTTP/1.1 204 No Content', 'Content-Length: 44'), evil],
    ['chunks promised by a 304', lines('HTTP/1.1 304 Not', 'Transfer-Encoding: chunked'), evil],
    ['half a second answer later', OK, 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n'],
  ]
  for (const [what, answer, later = ''] of rows) {
    let used: Socket | undefined
    recorder.answer = socket => {
      used = socket
      socket.write(answer)
    }
    const found = await ask()
    t.notMatch(found.text, /evil/, what)
    recorder.answer = OK
    used!.write(later)
    t.ok(await eventually(() => used!.closed), `${what}: its connection is not used again`)
    for (const nth of ['next', 'one after']) {
      t.match(await ask(), { status: 200, body: 'ok', whole: true }, `${what}: the ${nth} is well`)
    }
  }
  // What node reads at once ends with the first of them; the second is there to be read already.
  const whole = 65_536 - lines('HTTP/1.1 200 OK', 'Content-Length: 65000').length
  recorder.answer = lines('HTTP/1.1 200 OK', `Content-Length: ${whole}`) + 'x'.repeat(whole) + evil
  const signedIn = `X-Amzn-Oidc-Data: ${tokens.get(rig)!}`
  const two = open(tag())
  two.write(lines(`GET ${tag()} HTTP/1.1`, HOST, signedIn))
  t.ok(await two.until(/x{1000}HTTP\/1\.1 [^]*x{1000}$/), 'two requests, sent ahead')
  t.notMatch(two.text(), /evil/, 'a second answer behind a whole read')
  two.reset()
  await isWell(t, 'a second answer behind a whole read')
  recorder.answer = evil
  t.match(await ask({ method: 'HEAD' }), { status: 200, whole: true, rest: '' }, 'a body of a HEAD')
  await isWell(t, 'a body of a HEAD')
})

t.test('informational answers end here, however many', async t => {
  const early = lines('HTTP/1.1 103 Early Hints', 'Link: </x>', 'X-Leak: 1')
  recorder.answer = early.repeat(2_000) + lines('HTTP/1.1 100 Continue') + OK
  const found = await ask()
  t.match(found, { status: 200, body: 'ok' })
  t.notMatch(found.text, /103|100 Continue|X-Leak/)
  await isWell(t, 'two thousand')
})

/** A 413 that cannot be read because the upload is still going on is a 502 at the ALB. */
t.test('an early answer reaches a client that is still sending', async t => {
  const early =
    lines('HTTP/1.1 413 Content Too Large', 'Content-Length: 5', 'Connection: close') + 'early'
  for (const headers of [['Content-Length: 5000000'], ['Transfer-Encoding: chunked']]) {
    recorder.answer = thenClose(early)
    const connection = open(tag(), { method: 'POST', headers })
    const chunk = 'x'.repeat(50_000)
    connection.write(headers[0] === 'Transfer-Encoding: chunked' ? `c350\r\n${chunk}\r\n` : chunk)
    const found = await receive(connection)
    t.match(found, { status: 413, body: 'early', whole: true }, String(headers))
    t.ok(
      valuesIn(found.headers ?? [], 'connection').includes('close'),
      'and says that it is the last',
    )
    t.ok(await connection.closed(), 'as it is')
    await isWell(t, 'early')
  }
})

/** RFC 9110 §9.2.2. A pooled connection may die the moment it is used; only what is safe to repeat is. */
t.test('a request on a connection that died is repeated once, if it may be', async t => {
  const body = { headers: ['Content-Length: 2'], body: '{}' }
  const rows = [
    { what: 'GET', options: {}, deaths: 1, status: 200, attempts: 2 },
    { what: 'HEAD', options: { method: 'HEAD' }, deaths: 1, status: 200, attempts: 2 },
    { what: 'DELETE', options: { method: 'DELETE' }, deaths: 1, status: 200, attempts: 2 },
    { what: 'GET, dying twice', options: {}, deaths: 2, status: 502, attempts: 2 },
    { what: 'POST', options: { method: 'POST', ...body }, deaths: 1, status: 502, attempts: 1 },
    { what: 'empty POST', options: { method: 'POST' }, deaths: 1, status: 502, attempts: 1 },
    { what: 'PATCH', options: { method: 'PATCH' }, deaths: 1, status: 502, attempts: 1 },
    { what: 'GET with a body', options: body, deaths: 1, status: 502, attempts: 1 },
    {
      what: 'PUT with a body',
      options: { method: 'PUT', ...body },
      deaths: 1,
      status: 502,
      attempts: 1,
    },
  ]
  for (const { what, options, deaths, status, attempts } of rows) {
    const asking: Asking = options
    let seen = 0
    let found: object = {}
    // An unused connection is not kept for long, and a slow machine may be too late for it.
    const isReused = await comesTrue(async () => {
      await isWell(t, `before ${what}`)
      seen = 0
      let first = ''
      recorder.answer = (socket, bytes) => {
        if (++seen === 1) first = bytes
        if (seen > deaths) socket.write(asking.method === 'HEAD' ? OK.slice(0, -2) : OK)
        else socket.destroy()
      }
      found = await ask(asking)
      return first.split(' HTTP/1.1\r\n').length > 2
    })
    t.ok(isReused, `${what}: on a connection that had been used`)
    t.match(found, { status }, what)
    t.equal(seen, attempts, `${what}: ${attempts} attempts`)
  }

  await isWell(t, 'half an answer')
  let seen = 0
  recorder.answer = socket => {
    seen++
    socket.end('HTTP/1.1 200')
  }
  t.match(await ask(), { status: 502 }, 'not when part of an answer came')
  t.equal(seen, 1)

  recorder.reset()
  await eventually(async () => (await rig.metric('alb_auth_upstream_connections')) === 0)
  seen = 0
  recorder.answer = socket => {
    seen++
    socket.destroy()
  }
  t.match(await ask(), { status: 502 }, 'not on a fresh connection')
  t.equal(seen, 1)
  await isWell(t, 'after all')
})

/** D6: http-proxy keeps the application busy for clients that left long ago (http-proxy#1586). */
t.test('a client that leaves frees the application at once', async t => {
  const head = 'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n'
  const rows = [
    { what: 'before the head', answer: () => undefined, options: {}, body: '' },
    { what: 'in the body', answer: (socket: Socket) => socket.write(head), options: {}, body: '' },
    {
      what: 'while uploading',
      answer: () => undefined,
      options: { method: 'POST', headers: ['Content-Length: 1000'] },
      body: 'half',
    },
  ]
  for (const { what, answer, options, body } of rows) {
    for (const way of ['reset', 'end'] as const) {
      recorder.answer = answer
      const path = tag()
      const connection = open(path, { ...options, body })
      const its = () => recorder.connections.find(({ bytes }) => bytes.includes(`${path} `))
      await eventually(() => its() !== undefined)
      connection[way]()
      t.ok(await eventually(() => its()?.closed === true), `${what}, ${way}`)
    }
  }
  recorder.answer = () => undefined
  for (let round = 0; round < 20; round++) {
    const path = tag()
    const connection = open(path)
    await eventually(() => recorder.connections.some(({ bytes }) => bytes.includes(`${path} `)))
    connection.reset()
  }
  await isWell(t, 'twenty that left, two connections')

  // Node 20 and 22 never say of a request that was sent ahead that its connection is gone.
  recorder.answer = () => undefined
  const [first, ahead] = [tag(), tag()]
  const connection = open(first)
  const signedIn = `X-Amzn-Oidc-Data: ${tokens.get(rig)!}`
  connection.write(lines(`GET ${ahead} HTTP/1.1`, HOST, signedIn).repeat(5))
  await eventually(() => recorder.connections.some(({ bytes }) => bytes.includes(`${first} `)))
  connection.reset()
  const inFlight = () => rig.metric('alb_auth_requests_in_flight')
  t.ok(await eventually(async () => (await inFlight()) === 0), 'with what was sent ahead')
  t.notOk(recorder.requests().some(({ line }) => line.includes(`${ahead} `)))
})

t.test('more requests than may wait are turned away, the others are not forgotten', async t => {
  const held: Socket[] = []
  recorder.answer = socket => {
    held.push(socket)
  }
  const paths = [tag(), tag(), tag(), tag()]
  const waiting = paths.map(path => open(path))
  const inFlight = () => rig.metric('alb_auth_requests_in_flight')
  await eventually(async () => (await inFlight()) === 4 && held.length === 2)
  const fifth = await ask()
  t.match(fifth, { status: 503, body: /"reason":"upstream_saturated"/ })
  t.same(valuesIn(fifth.headers ?? [], 'retry-after'), ['1'])
  isOurs(t, fifth.headers, 'saturated')
  // One that was waiting leaves; it makes room, and is never sent.
  waiting[3]!.reset()
  await eventually(async () => (await inFlight()) === 3)
  const sixth = open(tag())
  await eventually(async () => (await inFlight()) === 4)
  recorder.answer = OK
  for (const socket of held) socket.write(OK)
  for (const connection of [...waiting.slice(0, 3), sixth]) {
    t.match(await receive(connection), { status: 200, body: 'ok' })
    connection.reset()
  }
  t.notOk(recorder.requests().some(({ line }) => line.includes(`${paths[3]!} `)))
  await isWell(t, 'saturated')
})

// What follows is mostly waiting, each with an application of its own.
t.jobs = 4

t.test('silence has its limits', { buffered: true }, async t => {
  const drip = (text: string) => (socket: Socket) => {
    let at = 0
    const timer = setInterval(() => socket.write(text.charAt(at++) || 'x'), 30)
    socket.on('close', () => {
      clearInterval(timer)
    })
  }
  const rows: [what: string, answer: (socket: Socket) => void][] = [
    ['no answer', () => undefined],
    ['a head without an end', drip('HTTP/1.1 200 OK\r\nX: ')],
    ['half a head', socket => socket.write('HTTP/1.1 200 OK\r\n')],
  ]
  for (const [what, answer] of rows) {
    slow.answer = answer
    const found = await ask({ on: impatient })
    t.match(found, { status: 504, body: /"reason":"upstream_timeout"/, whole: true }, what)
    isOurs(t, found.headers, what)
  }
  const connections = () => slow.connections.filter(({ closed }) => !closed).length
  let found: Partial<Awaited<ReturnType<typeof ask>>> = {}
  slow.answer = socket => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhell')
  }
  await givenTime(300, async ms => {
    found = await ask({ on: await impatientFor(ms) })
    return found.status === 200
  })
  t.match(found, { status: 200, body: 'hell', whole: false, closed: true }, 'a pause in the body')
  t.ok(await eventually(() => connections() <= 2), 'the application is let go of')

  await givenTime(300, async ms => {
    slow.answer = socket => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n')
      let sent = 0
      const timer = setInterval(() => {
        socket.write('x')
        if (++sent === 10) clearInterval(timer)
      }, ms / 3)
      socket.on('close', () => {
        clearInterval(timer)
      })
    }
    found = await ask({ on: await impatientFor(ms) })
    return found.whole === true
  })
  t.match(found, { status: 200, body: 'xxxxxxxxxx', whole: true }, 'slow is not silent')
  slow.answer = OK
  const isWellAt = async (ms: number) => (await ask({ on: await impatientFor(ms) })).body === 'ok'
  t.ok(await givenTime(300, isWellAt), 'silence: next is well')

  const upload = { method: 'POST', headers: ['Content-Length: 10'] }
  slow.answerAt = 'end'
  const stalled = await ask({ ...upload, on: impatient, body: 'hell' })
  t.match(stalled, { status: 504, whole: true }, 'a client that stops in its body')
  await givenTime(300, async ms => {
    const dripping = open(tag(), { ...upload, on: await impatientFor(ms) })
    for (let sent = 0; sent < 10; sent++) {
      await sleep(ms / 3)
      dripping.write('x')
    }
    found = await receive(dripping)
    dripping.reset()
    return found.status === 200
  })
  t.match(found, { status: 200, whole: true }, 'one that is only slow')
  slow.answerAt = 'head'

  const early = lines('HTTP/1.1 103 Early Hints', 'Link: </x>')
  slow.answer = socket => {
    const flood = setInterval(() => socket.write(early), 20)
    socket.on('close', () => {
      clearInterval(flood)
    })
  }
  const endless = await ask({ on: impatient })
  t.match(endless, { status: 504, whole: true }, 'without end: UPSTREAM_HEADERS_TIMEOUT')
  t.notMatch(endless.text, /103/)
})

/** Nothing is buffered: whoever does not read stops whoever writes (T-80, T-84). */
t.test('nothing that is not read is collected', { buffered: true }, async t => {
  const size = 400_000_000
  const block = Buffer.alloc(65_536, 'x')
  /** Writes as fast as it is taken; resolves to how much was, once it is taken no longer. */
  const writeAll = async (socket: Socket): Promise<number> => {
    let written = 0
    const more = () => {
      while (written < size && socket.write(block)) written += block.length
      written += block.length
      socket.once('drain', more)
    }
    more()
    let before = -1
    for (let still = 0; still < 4 && written < size; still++) {
      if (before !== written) still = 0
      before = written
      await sleep(250)
    }
    return written
  }
  const signedIn = `X-Amzn-Oidc-Data: ${tokens.get(rig)!}`
  const start = (head: string) => {
    const socket = connect({ port: rig.port, host: '127.0.0.1' })
    socket.on('error', () => undefined)
    socket.write(head)
    return socket
  }

  const answered = new Promise<number>(resolve => {
    recorder.answer = socket => {
      socket.write(lines('HTTP/1.1 200 OK', `Content-Length: ${size}`))
      void writeAll(socket).then(resolve)
    }
  })
  const idle = start(lines(`GET ${tag()} HTTP/1.1`, HOST, signedIn))
  const taken = await answered
  t.ok(taken < 64_000_000, `an answer stopped at ${taken} of ${size} bytes`)
  idle.destroy()
  await isWell(t, 'an answer')

  recorder.answer = socket => socket.pause()
  const busy = start(lines(`POST ${tag()} HTTP/1.1`, HOST, signedIn, `Content-Length: ${size}`))
  const sent = await writeAll(busy)
  t.ok(sent < 64_000_000, `a body stopped at ${sent} of ${size} bytes`)
  busy.destroy()
  recorder.reset()
  await isWell(t, 'a body')
})

t.test('an application that is not there', { buffered: true }, async t => {
  const alone = signIn(await startRig(t, CLOSED_PORT, {}, { untilReady: false }))
  const found = await ask({ on: alone })
  t.match(found, { status: 502, body: /"reason":"upstream_unreachable"/, whole: true })
  isOurs(t, found.headers, 'refused')
  const kind = 'alb_auth_upstream_errors_total{kind="unreachable"}'
  t.equal(await alone.metric(kind), 1, 'and is counted')
  t.equal((await visit(alone.adminPort, { target: '/readyz' })).status, 503, 'not ready')
  t.equal((await visit(alone.adminPort, { target: '/healthz' })).status, 200, 'but alive')
})

/** A host that drops packets: simulated by a process that accepts nothing, its backlog full. */
t.test('an application that does not accept', { buffered: true }, async t => {
  const program = `
    const server = require('node:net').createServer(() => undefined)
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      process.stdout.write(String(server.address().port))
    })
    process.stdin.once('data', () => {
      require('node:fs').writeSync(1, 'deaf')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    })`
  const child = spawn(...bareNode(['-e', program]), { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [text] = (await once(child.stdout, 'data')) as [Buffer]
  const port = Number(text.toString())
  const deaf = signIn(await startRig(t, port, { UPSTREAM_CONNECT_TIMEOUT: '300ms' }))
  child.stdin.write('now')
  await once(child.stdout, 'data')
  const fillers = Array.from({ length: 8 }, () => connect({ port, host: '127.0.0.1' }))
  for (const filler of fillers) filler.on('error', () => undefined)
  // The backlog takes in the first of them, without anybody accepting it; there is no room for all.
  await eventually(() => fillers.some(filler => !filler.connecting))
  t.ok(fillers.some(filler => filler.connecting))
  const found = await ask({ on: deaf })
  t.match(found, { status: 504, body: /"reason":"upstream_timeout"/, whole: true })
  for (const filler of fillers) filler.destroy()
})

t.test('after all of this', { buffered: false }, async t => {
  t.equal(await rig.metric('alb_auth_upstream_errors_total{kind="saturated"}'), 1)
  await oracle.check(t, recorder)
  await slowOracle.check(t, slow, [...impatients.values()].slice(1))
})
