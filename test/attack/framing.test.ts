/**
 * Requests that two readers could understand differently: where a request ends, how long its body is,
 * which version it speaks, which of two lengths holds. Whatever the sidecar does not refuse, it must
 * hand on in a framing that has one reading.
 */
import t, { type Test } from 'tap'
import { openRaw, readAnswer, lines } from '../fixtures/raw.ts'
import { OK, startRecorder, valuesIn, type FramedRequest } from '../fixtures/recorder.ts'
import { ALICE, startRig } from '../fixtures/sidecar.ts'
import { each, eventually, tag } from './rows.ts'
import { startOracle } from './oracle.ts'

const BOB = { ...ALICE, sub: 'bob', email: 'bob@example.com', groups: ['dev'] }

const recorder = await startRecorder(t)
recorder.answerAt = 'end'
const rig = await startRig(t, recorder.port, { NOAUTH_PATHS: '/open/*' })
/** One that does not wait for heads. */
const hasty = await startRig(t, recorder.port, { HEADERS_TIMEOUT: '2s' })
/** One that takes more header lines than node keeps by default. */
const roomy = await startRig(t, recorder.port, { MAX_HEADERS: '2000' })
const token = rig.token()
const roomyToken = roomy.token()
const bobsToken = rig.token(BOB)
const oracle = await startOracle(rig, {
  assertable: {
    'x-forwarded-user': [ALICE.email, BOB.email],
    'x-forwarded-email': [ALICE.email, BOB.email],
    'x-forwarded-groups': ['dev,ops', 'dev'],
    'x-amzn-oidc-data': [token, bobsToken, roomyToken],
  },
  mayBreakOff: true,
})

const HOST = 'Host: app.example.com'
const SIGNED_IN = `X-Amzn-Oidc-Data: ${token}`
const SIGNED_IN_AS_BOB = `X-Amzn-Oidc-Data: ${bobsToken}`
const CLOSE = 'Connection: close'
/** A request that would do harm if it were read as one; `path` says which row it came from. */
const forged = (path: string): string =>
  lines(`POST ${path}/smuggled HTTP/1.1`, 'Host: a', 'X-Forwarded-User: mallory') +
  lines('GET /smuggled/second HTTP/1.1', 'Host: a', 'X-Amzn-Oidc-Identity: mallory')
const chunked = (...data: string[]): string =>
  `${data.map(chunk => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')}0\r\n\r\n`

/** What arrived under a row's own path, by framing and by looks. */
const arrived = (path: string): readonly FramedRequest[] =>
  recorder.framed().filter(({ line }) => line.includes(`${path} `) || line.includes(`${path}/`))
const looksArrived = (path: string): number =>
  recorder.requests().filter(({ line }) => line.includes(path)).length

async function exchange(bytes: string | Buffer) {
  const connection = openRaw(rig.port)
  connection.write(bytes)
  const closed = await connection.closed()
  return { closed, text: connection.text(), answer: readAnswer(connection.text()) }
}

interface Refused {
  readonly what: string
  /** Of a request to `path`; `GET path HTTP/1.1`, a Host and a valid token unless it says otherwise. */
  readonly bytes: (path: string) => string
  readonly status?: number
  readonly reason?: string
}

/** Each row is refused although it carries a valid token, its connection ends, nothing is forwarded. */
async function refuses(t: Test, rows: readonly Refused[]): Promise<void> {
  await each(rows, async ({ what, bytes, status = 400, reason = 'malformed_request' }) => {
    const path = tag()
    const { closed, text, answer } = await exchange(bytes(path))
    const found = { closed, status: answer?.status, arrived: looksArrived(path) }
    t.same(found, { closed: true, status, arrived: 0 }, what)
    t.match(answer?.body, `"reason":"${reason}"`, `${what}: ${reason}`)
    t.notMatch(text, /100 Continue/, `${what}: no 100`)
  })
}

const get = (...headers: string[]) => {
  return (path: string) => lines(`GET ${path} HTTP/1.1`, HOST, SIGNED_IN, ...headers)
}
const post = (headers: readonly string[], body: string | ((path: string) => string) = 'hello') => {
  return (path: string) =>
    lines(`POST ${path} HTTP/1.1`, HOST, SIGNED_IN, ...headers) +
    (typeof body === 'string' ? body : body(path))
}
const line = (text: (path: string) => string, ...headers: string[]) => {
  return (path: string) => lines(text(path), HOST, SIGNED_IN, ...headers)
}

t.test('the rows below are refused for their framing and for nothing else', async t => {
  const path = tag()
  const { answer } = await exchange(get(CLOSE)(path))
  t.equal(answer?.status, 200)
  t.equal(arrived(path).length, 1)
})

/**
 * A version the parser knows but nobody speaks makes proxies take another code path, and an
 * application may read an HTTP/0.9 or 1.0 request as having no body (THREATS T-71).
 */
t.test('an HTTP version other than 1.1 or 1.0 is refused', async t => {
  await refuses(t, [
    { what: 'HTTP/0.9', bytes: line(path => `GET ${path} HTTP/0.9`) },
    { what: 'no version at all', bytes: path => `GET ${path}\r\n\r\n` },
    { what: 'HTTP/1.2', bytes: line(path => `GET ${path} HTTP/1.2`) },
    { what: 'HTTP/2.0', bytes: line(path => `GET ${path} HTTP/2.0`) },
    { what: 'HTTP/3.0', bytes: line(path => `GET ${path} HTTP/3.0`) },
    { what: 'HTTP/1', bytes: line(path => `GET ${path} HTTP/1`) },
    { what: 'HTTP/11', bytes: line(path => `GET ${path} HTTP/11`) },
    { what: 'HTTP/01.1', bytes: line(path => `GET ${path} HTTP/01.1`) },
    { what: 'http/1.1', bytes: line(path => `GET ${path} http/1.1`) },
    { what: 'HTTPS/1.1', bytes: line(path => `GET ${path} HTTPS/1.1`) },
    { what: 'the HTTP/2 preface', bytes: () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' },
    { what: 'a tab before it', bytes: line(path => `GET ${path}\tHTTP/1.1`) },
    { what: 'a space after it', bytes: line(path => `GET ${path} HTTP/1.1 `) },
  ])
})

/** What node's parser passes over without a trace cannot be refused; it must not be handed on either. */
t.test('a request line that node reads leniently arrives in its one strict spelling', async t => {
  const rows = [
    { what: 'two spaces before the version', line: (path: string) => `GET ${path}  HTTP/1.1` },
    { what: 'two spaces after the method', line: (path: string) => `GET  ${path} HTTP/1.1` },
    { what: 'empty lines before it', line: (path: string) => `\r\n\r\nGET ${path} HTTP/1.1` },
    { what: 'RTSP/1.0', line: (path: string) => `OPTIONS ${path} RTSP/1.0` },
    { what: 'ICE/1.0', line: (path: string) => `SOURCE ${path} ICE/1.0` },
  ]
  await each(rows, async ({ what, line }) => {
    const path = tag()
    const { answer } = await exchange(lines(line(path), HOST, SIGNED_IN, CLOSE))
    const [request, ...more] = arrived(path)
    t.same(more, [], what)
    if (request === undefined) t.equal(answer?.status, 400, `${what} is refused`)
    else t.match(request.line, new RegExp(`^[A-Z]+ ${path} HTTP/1\\.1$`), what)
  })
})

/**
 * Tornado reads `identity, chunked` as no body, others read it as chunked: what is a body to one is
 * the next request to the other (GHSA-753j-mpmx-qq6g; THREATS T-70, T-71).
 */
t.test(
  'Transfer-Encoding is one header equal to chunked, in HTTP/1.1, or the request ends',
  async t => {
    const spelled = (...values: string[]): Refused => ({
      what: values.join(' + ') || 'empty',
      bytes: post(
        values.map(value => `Transfer-Encoding: ${value}`),
        path => (values.join('') === '' ? '' : chunked(forged(path))),
      ),
    })
    await refuses(t, [
      ...['identity', 'identity, chunked', 'chunked, identity', 'gzip, chunked', 'gzip'].map(
        value => spelled(value),
      ),
      ...['CHUNKED', 'Chunked', 'chunKed', 'xchunked', 'chunked1', '"chunked"', "'chunked'"].map(
        value => spelled(value),
      ),
      ...['chunked,', ',chunked', 'chunked, chunked', 'chunked;q=1', '\x0bchunked', 'chun ked'].map(
        value => spelled(value),
      ),
      spelled(''),
      spelled('identity', 'chunked'),
      spelled('chunked', 'identity'),
      spelled('chunked', 'chunked'),
      spelled('', 'chunked'),
      {
        what: 'chunked in HTTP/1.0',
        bytes: path =>
          lines(`POST ${path} HTTP/1.0`, HOST, SIGNED_IN, 'Transfer-Encoding: chunked') +
          chunked(forged(path)),
      },
      {
        what: 'beside Content-Length',
        bytes: post(['Content-Length: 5', 'Transfer-Encoding: chunked'], chunked('hello')),
      },
      {
        what: 'before Content-Length',
        bytes: post(['Transfer-Encoding: chunked', 'Content-Length: 5'], chunked('hello')),
      },
      {
        what: 'another coding beside Content-Length',
        bytes: post(['Transfer-Encoding: gzip', 'Content-Length: 5']),
      },
      {
        what: 'a space before its colon',
        bytes: post(['Transfer-Encoding : chunked'], path => chunked(forged(path))),
      },
      {
        what: 'folded onto a second line',
        bytes: post(['Transfer-Encoding:', ' chunked'], path => chunked(forged(path))),
      },
      {
        what: 'behind a bare line feed',
        bytes: post(['X: y\nTransfer-Encoding: chunked'], path => chunked(forged(path))),
      },
      {
        what: 'behind a bare carriage return',
        bytes: post(['X: y\rTransfer-Encoding: chunked'], path => chunked(forged(path))),
      },
    ])
  },
)

/** Two lengths, or one that two readers count differently, is CL.CL smuggling (RFC 9112 §6.3). */
t.test('Content-Length is one plain number or the request ends', async t => {
  const spelled = (...values: string[]): Refused => ({
    what: values.map(value => `'${value}'`).join(' + '),
    bytes: post(
      values.map(value => `Content-Length: ${value}`),
      /[1-9]/.test(values[0] ?? '') ? 'hello' : '',
    ),
  })
  await refuses(t, [
    ...['+5', '-5', '5,5', '5, 5', '5, 6', '0x5', '5.0', '5e0', '5 5', 'five', '5;', '"5"'].map(
      value => spelled(value),
    ),
    ...['05', '0000005', '00', '0_5', '\xb5', '99999999999999999', '18446744073709551621'].map(
      value => spelled(value),
    ),
    spelled(''),
    spelled('5', '5'),
    spelled('5', '6'),
    spelled('0', '5'),
    spelled('5', ''),
    { what: 'a space before its colon', bytes: post(['Content-Length : 5']) },
    { what: 'folded onto a second line', bytes: post(['Content-Length:', ' 5']) },
  ])
})

t.test('CONNECT and TRACE are refused', async t => {
  const refused = { status: 405, reason: 'method_refused' }
  await refuses(t, [
    { what: 'CONNECT', bytes: line(() => 'CONNECT app.example.com:443 HTTP/1.1'), ...refused },
    {
      what: 'CONNECT with a request behind it',
      bytes: path => line(() => 'CONNECT localhost:80 HTTP/1.1')(path) + forged(path),
      ...refused,
    },
    { what: 'TRACE', bytes: line(path => `TRACE ${path} HTTP/1.1`), ...refused },
    { what: 'TRACE of an open path', bytes: line(() => 'TRACE /open/x HTTP/1.1'), ...refused },
    {
      what: 'TRACE with a body',
      bytes: path => line(() => `TRACE ${path} HTTP/1.1`, 'Content-Length: 5')(path) + 'hello',
      ...refused,
    },
    { what: 'a method nobody knows', bytes: line(path => `FORGE ${path} HTTP/1.1`) },
    { what: 'a method in lower case', bytes: line(path => `get ${path} HTTP/1.1`) },
  ])
})

/**
 * An absolute-form target names another path than a rule is shown, a `#` ends the path for one reader
 * only (oauth2-proxy GHSA-pxq7-h93f-9jrg), a `\` is a `/` to some (THREATS T-55…T-61).
 */
t.test('a target that is not in origin form is refused', async t => {
  await refuses(t, [
    { what: 'http:', bytes: line(path => `GET http://evil${path} HTTP/1.1`) },
    { what: 'https:', bytes: line(path => `GET https://evil${path} HTTP/1.1`) },
    { what: 'an open one behind http:', bytes: line(() => 'GET http://evil/open/x HTTP/1.1') },
    { what: 'an unreadable one', bytes: line(() => 'GET http://[ HTTP/1.1') },
    { what: 'http: with one slash', bytes: line(path => `GET http:${path} HTTP/1.1`) },
    { what: 'an authority', bytes: line(() => 'GET app.example.com:80 HTTP/1.1') },
    { what: 'an asterisk', bytes: line(() => 'OPTIONS * HTTP/1.1') },
    { what: 'an asterisk and a path', bytes: line(path => `OPTIONS *${path} HTTP/1.1`) },
    { what: 'only a query', bytes: line(() => 'GET ?x HTTP/1.1') },
    { what: 'a relative path', bytes: line(path => `GET ${path.slice(1)} HTTP/1.1`) },
    { what: 'nothing', bytes: line(() => 'GET  HTTP/1.1') },
    { what: 'a fragment', bytes: line(path => `GET ${path}#/../admin HTTP/1.1`) },
    { what: 'a fragment in the query', bytes: line(path => `GET ${path}?a#b HTTP/1.1`) },
    { what: 'a backslash', bytes: line(path => `GET ${path}\\..\\admin HTTP/1.1`) },
    { what: 'a backslash in the query', bytes: line(path => `GET ${path}?a\\b HTTP/1.1`) },
    { what: 'a byte above 0x7f', bytes: line(path => `GET ${path}/\xe9 HTTP/1.1`) },
    { what: 'UTF-8', bytes: line(path => `GET ${path}/\xc3\xa9 HTTP/1.1`) },
    { what: 'NUL', bytes: line(path => `GET ${path}/\0 HTTP/1.1`) },
    { what: 'DEL', bytes: line(path => `GET ${path}/\x7f HTTP/1.1`) },
    { what: 'a tab', bytes: line(path => `GET ${path}/\t HTTP/1.1`) },
    { what: 'a space', bytes: line(path => `GET ${path}/a b HTTP/1.1`) },
    { what: 'a carriage return', bytes: line(path => `GET ${path}/\rx HTTP/1.1`) },
  ])
})

/** Which host was meant decides which application answers and which links it writes (T-37). */
t.test('there is exactly one Host, and it is one', async t => {
  const hosts = (...hosts: string[]): Refused => ({
    what: hosts.map(host => `'${host}'`).join(' + ') || 'none',
    bytes: path => lines(`GET ${path} HTTP/1.1`, ...hosts.map(host => `Host: ${host}`), SIGNED_IN),
  })
  await refuses(t, [
    hosts(),
    hosts(''),
    hosts('a', 'a'),
    hosts('a', 'b'),
    hosts('', 'a'),
    ...['a/b', 'a@b', 'a b', 'a,b', 'a:b', 'a:', ':80', 'a:99999', 'a:080808', 'a:80:80'].map(
      host => hosts(host),
    ),
    ...[
      'http://a',
      'a?b',
      'a#b',
      'a%2e',
      'a\\b',
      '\xe9',
      '[::1',
      '::1',
      '[zz]',
      '[]',
      '[1.2.3.4]',
    ].map(host => hosts(host)),
    {
      what: 'two in HTTP/1.0',
      bytes: path => lines(`GET ${path} HTTP/1.0`, 'Host: a', 'Host: b', SIGNED_IN),
    },
    {
      what: 'a bad one in HTTP/1.0',
      bytes: path => lines(`GET ${path} HTTP/1.0`, 'Host: a/b', SIGNED_IN),
    },
    {
      what: 'a space before its colon',
      bytes: path => lines(`GET ${path} HTTP/1.1`, 'Host : a', SIGNED_IN),
    },
  ])
  for (const host of [
    'localhost',
    'a_b.example.com:8080',
    '[::1]',
    '[2001:db8::1]:443',
    '10.0.0.1',
  ]) {
    const path = tag()
    const bytes = lines(`GET ${path} HTTP/1.1`, `Host: ${host}`, SIGNED_IN, CLOSE)
    t.equal((await exchange(bytes)).answer?.status, 200, host)
    t.same(valuesIn(arrived(path)[0]?.headers ?? [], 'host'), [host], `${host} arrives as it is`)
  }
})

/**
 * An expectation that is not understood must not be passed over (RFC 9110 §10.1.1), and http-proxy
 * skips its header rules for whatever carries `Expect` (D3).
 */
t.test('an expectation other than 100-continue fails', async t => {
  const refused = { status: 417, reason: 'expectation_refused' }
  await refuses(t, [
    { what: 'foo', bytes: get('Expect: foo'), ...refused },
    { what: 'a list', bytes: get('Expect: 100-continue, foo'), ...refused },
    { what: 'a parameter', bytes: get('Expect: 100-continue;x=1'), ...refused },
    { what: 'two of them', bytes: get('Expect: 100-continue', 'Expect: 100-continue'), ...refused },
    { what: 'nothing', bytes: get('Expect:'), ...refused },
    { what: 'with a body', bytes: post(['Expect: 200-ok', 'Content-Length: 5']), ...refused },
  ])
})

/**
 * D2: node 20.20.2 keeps about a thousand header lines, silently drops the rest, and frames the body
 * by what it dropped (CVE-2026-58044). A proxy that reads its header list then pipes a body that,
 * as far as the application can tell, nobody declared.
 */
t.test('a length cannot hide behind a thousand header lines', async t => {
  const refused = { status: 431, reason: 'headers_too_large' }
  const filler = (count: number) => Array.from({ length: count }, () => 'a: b')
  const hidden = (count: number, framing: string, body: (path: string) => string): Refused => ({
    what: `${count} lines, then ${framing}`,
    bytes: post([...filler(count), framing], body),
    ...refused,
  })
  const length = forged('/r0').length
  await refuses(t, [
    ...[1_001, 2_001, 10_000].flatMap(count => [
      hidden(count, 'Content-Length: 5', () => 'hello'),
      hidden(count, 'Transfer-Encoding: chunked', path => chunked(forged(path))),
    ]),
    hidden(1_001, `Content-Length: ${length}`, () => forged('/r0')),
    {
      what: 'a GET with 1001 lines and a hidden body',
      bytes: path => get(...filler(1_001), 'Content-Length: 40')(path) + forged(path),
      ...refused,
    },
  ])
})

t.test('nor behind as many as are allowed', async t => {
  for (const framing of ['length', 'chunked']) {
    const path = tag()
    const body = forged(path)
    const filler = Array.from({ length: 1_500 }, (_, at) => `X-${at}: ${at}`)
    const declared =
      framing === 'chunked' ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`
    const connection = openRaw(roomy.port)
    connection.write(
      lines(
        `POST ${path} HTTP/1.1`,
        ...[HOST, CLOSE, `X-Amzn-Oidc-Data: ${roomyToken}`, ...filler, declared],
      ) + (framing === 'chunked' ? chunked(body) : body),
    )
    t.ok(await connection.closed())
    t.equal(readAnswer(connection.text())?.status, 200)
    const [request, ...more] = arrived(path)
    t.same(more, [], `${framing}: one request`)
    t.equal(request?.body, body, `${framing}: with its body`)
    t.equal(request?.headers.filter(header => /^X-\d/.test(header)).length, 1_500, 'and every line')
  }
})

t.test(
  'a body that breaks its own framing breaks the connection, not the next request',
  async t => {
    const rows = [
      { what: 'a chunk size with a sign', body: '-5\r\nhello\r\n0\r\n\r\n' },
      { what: 'a chunk size with 0x', body: '0x5\r\nhello\r\n0\r\n\r\n' },
      { what: 'a chunk size with a space', body: '5 \r\nhello\r\n0\r\n\r\n' },
      { what: 'a chunk size of 17 digits', body: 'fffffffffffffffff\r\nhello\r\n0\r\n\r\n' },
      { what: 'a chunk size without CR', body: '5\nhello\r\n0\r\n\r\n' },
      { what: 'a chunk longer than it says', body: '4\r\nhello\r\n0\r\n\r\n' },
      { what: 'an extension with a bare line feed', body: '5;a\n\r\nhello\r\n0\r\n\r\n' },
      { what: 'a bad trailer', body: '5\r\nhello\r\n0\r\nX : y\r\n\r\n' },
      { what: 'a length among the trailers', body: '5\r\nhello\r\n0\r\nContent-Length: 0\r\n\r\n' },
      { what: 'no size at all', body: '\r\nhello\r\n0\r\n\r\n' },
    ]
    await each(rows, async ({ what, body }) => {
      const path = tag()
      const bytes = post(['Transfer-Encoding: chunked'], body + forged(path))(path)
      const { closed, answer } = await exchange(bytes)
      t.equal(closed, true, what)
      t.not(answer?.status, 200, what)
      t.same(arrived(path), [], `${what}: no whole request arrived`)
      t.same(looksArrived(`${path}/smuggled`), 0, `${what}: nor what came behind it`)
    })
  },
)

/**
 * D1: http-proxy turns a chunked DELETE or OPTIONS into `content-length: 0` and a raw body, which the
 * application reads as a second request (CVE-2026-29057, http-party/node-http-proxy#1721); node itself
 * sends the body of a GET without any framing (nodejs/node#27880).
 */
t.test('a body arrives framed as it was declared, whatever the method', async t => {
  const methods = ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'PROPFIND', 'REPORT']
  const rows = methods.flatMap(method => [
    { method, coding: 'chunked' },
    { method, coding: 'length' },
  ])
  await each(rows, async ({ method, coding }) => {
    const path = tag()
    const body = forged(path)
    const isChunked = coding === 'chunked'
    const framing = isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`
    const { answer } = await exchange(
      lines(`${method} ${path} HTTP/1.1`, HOST, SIGNED_IN, framing, CLOSE) +
        (isChunked ? chunked(body.slice(0, 9), body.slice(9)) : body),
    )
    const what = `${method}, ${coding}`
    t.equal(answer?.status, 200, what)
    const [request, ...more] = arrived(path)
    t.same(more, [], `${what}: one request arrives`)
    t.equal(request?.body, body, `${what}: with its whole body`)
    const framed = request?.headers.filter(header => /^(?:content-|transfer-)/i.test(header))
    t.same(framed, [framing], `${what}: declared once`)
  })
})

/** Node itself declares a chunked body for the methods in the second row, which WebDAV servers refuse. */
t.test('a request without a body arrives without one', async t => {
  const rows = [
    ...['GET', 'HEAD', 'DELETE', 'OPTIONS'].map(method => ({ method, declared: [] })),
    ...['POST', 'PUT', 'PATCH', 'PROPFIND', 'MKCOL', 'LOCK', 'SEARCH'].map(method => ({
      method,
      declared: ['Content-Length: 0'],
    })),
  ]
  await each(rows, async ({ method, declared }) => {
    const path = tag()
    await exchange(lines(`${method} ${path} HTTP/1.1`, HOST, SIGNED_IN, CLOSE))
    const [request] = arrived(path)
    const framed = request?.headers.filter(header => /^(?:content-|transfer-)/i.test(header))
    t.same(framed, declared, method)
  })
})

t.test('the largest length is handed on to the digit', async t => {
  const path = tag()
  const connection = openRaw(rig.port)
  connection.write(post(['Content-Length: 9007199254740993'], 'x')(path))
  await eventually(() => looksArrived(path) > 0 || readAnswer(connection.text()) !== undefined)
  const [request] = recorder.requests().filter(({ line }) => line.includes(path))
  const refused = readAnswer(connection.text())?.status
  const lengths = request === undefined ? [] : valuesIn(request.headers, 'content-length')
  if (refused === undefined) t.same(lengths, ['9007199254740993'])
  else t.equal(refused, 400, 'or is refused')
  connection.reset()
})

/**
 * Bytes after a request without a body are the next request, and are judged as one. What an
 * application that reads them as a body would make of them does not matter: it never sees them.
 */
t.test('bytes behind a request without a body are judged as a request of their own', async t => {
  const rows = ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'POST']
  await each(rows, async method => {
    const path = tag()
    const connection = openRaw(rig.port)
    connection.write(lines(`${method} ${path} HTTP/1.1`, HOST, SIGNED_IN) + forged(path))
    await connection.until(/ 401 [^]* 401 /)
    connection.reset()
    t.equal(arrived(path).length, 1, `${method} arrives`)
    t.equal(looksArrived(`${path}/smuggled`), 0, `what follows ${method} does not`)
    t.match(connection.text(), /^HTTP\/1.1 200 [^]* 401 [^]* 401 /, `${method}: all are answered`)
  })
  const path = tag()
  const { closed } = await exchange(`${get()(path)}x=1&y=2\r\n\r\n`)
  t.ok(closed, 'bytes that are no request end the connection')
})

/**
 * Trailers are headers that come late, after every rule has been applied. http-proxy ends the process
 * for a `Trailer` on a GET (D4, http-party/node-http-proxy#1647).
 */
t.test('trailers, and what announces them, end here', async t => {
  const path = tag()
  const trailers = [
    'X-Amzn-Oidc-Identity: mallory',
    'X-Forwarded-User: mallory',
    'X_Forwarded_User: mallory',
  ]
  const { answer } = await exchange(
    lines(
      `POST ${path} HTTP/1.1`,
      ...[HOST, SIGNED_IN, CLOSE, 'TE: trailers, deflate', 'Transfer-Encoding: chunked'],
      'Trailer: X-Amzn-Oidc-Identity, X-Forwarded-User',
    ) + `5\r\nhello\r\n0\r\n${lines(...trailers)}`,
  )
  t.equal(answer?.status, 200)
  const [request] = arrived(path)
  t.match(request, { body: 'hello', trailers: [] })
  t.notMatch(request?.headers.join('\n'), /^(?:te|trailer)\b|mallory/im)

  for (const extra of ['Trailer: X', 'TE: trailers', 'TE: chunked', 'Trailer: Content-Length']) {
    const path = tag()
    t.equal((await exchange(get(extra, CLOSE)(path))).answer?.status, 200, `${extra} on a GET`)
    t.notMatch(arrived(path)[0]?.headers.join('\n'), /^(?:te|trailer):/im, `${extra} ends here`)
  }
})

/** Some readers end a chunk extension at a bare LF, some do not read it at all (T-71). */
t.test('chunk extensions end here', async t => {
  const path = tag()
  const { answer } = await exchange(
    post(['Transfer-Encoding: chunked', CLOSE], '5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n')(path),
  )
  t.equal(answer?.status, 200)
  t.equal(arrived(path)[0]?.body, 'hello')
  t.notMatch(recorder.connections.map(({ bytes }) => bytes).join(''), '5;')
})

/** T-73: two users on one connection of a proxy in front, the first of them slow. */
t.test('requests in one packet are judged and answered one by one, in order', async t => {
  const [alice, bob, nobody, refused] = [tag(), tag(), `/open${tag()}`, tag()]
  recorder.answer = (socket, seen) => {
    const path = [alice, bob, nobody].findLast(path => seen.includes(path)) ?? ''
    const body = `for ${path}.`
    const slow = path === alice ? 300 : 0
    setTimeout(() => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    }, slow)
  }
  const connection = openRaw(rig.port)
  connection.write(
    lines(`GET ${alice} HTTP/1.1`, HOST, SIGNED_IN) +
      (lines(`POST ${bob} HTTP/1.1`, HOST, SIGNED_IN_AS_BOB, 'Content-Length: 3') + 'bob') +
      lines(`GET ${nobody} HTTP/1.1`, HOST, 'X-Forwarded-User: mallory') +
      lines(`GET ${refused} HTTP/1.1`, HOST, CLOSE),
  )
  t.ok(await connection.closed())
  recorder.answer = OK
  const text = connection.text()
  t.match(text, new RegExp(`for ${alice}\\.[^]*for ${bob}\\.[^]*for ${nobody}\\.[^]* 401 `))
  const who = (path: string) => valuesIn(arrived(path)[0]?.headers ?? [], 'x-forwarded-user')
  t.same([who(alice), who(bob), who(nobody)], [[ALICE.email], [BOB.email], []])
  t.same(arrived(refused), [])
})

t.test('a request that cannot be read ends the connection of the one before it', async t => {
  const [first, second] = [tag(), tag()]
  const { closed, text } = await exchange(
    get()(first) + get('Transfer-Encoding: identity, chunked')(second) + forged(second),
  )
  t.ok(closed)
  t.equal(looksArrived(second), 0)
  t.notMatch(text, / 200 [^]* 200 /)
  const [bad, good] = [tag(), tag()]
  const after = await exchange(get('Host: b')(bad) + get()(good))
  t.ok(after.closed)
  t.match(after.answer, { status: 400 })
  t.equal(looksArrived(good), 0, 'nor is anything served that comes behind it')

  const third = tag()
  const broken = await exchange(`${get()(third)}GET / HTTP/1.1\r\nbad header\r\n\r\n`)
  t.ok(broken.closed)
  t.notMatch(broken.text, / 200 [^]* 200 /)
})

/** D3: what carries `Expect` must go through the same gate, and the 100 is the gate's to give. */
t.test('the body is asked for after the verdict, and only then', async t => {
  const expecting = 'Expect: 100-continue'
  const path = tag()
  const welcome = openRaw(rig.port)
  welcome.write(
    post([expecting, 'Content-Length: 5', CLOSE, 'X-Forwarded-User: mallory'], '')(path),
  )
  t.ok(await welcome.until(/^HTTP\/1\.1 100 Continue\r\n\r\n/), 'asked for')
  t.equal(readAnswer(welcome.text()), undefined, 'before it is answered')
  welcome.write('hello')
  t.ok(await welcome.closed())
  t.equal(readAnswer(welcome.text())?.status, 200)
  const [request] = arrived(path)
  t.match(request, { body: 'hello' })
  t.same(valuesIn(request?.headers ?? [], 'x-forwarded-user'), [ALICE.email])
  t.same(valuesIn(request?.headers ?? [], 'expect'), [], 'the expectation ends here')

  const refusedPath = tag()
  const refused = await exchange(
    lines(`POST ${refusedPath} HTTP/1.1`, HOST, expecting, 'Content-Length: 5'),
  )
  t.equal(refused.answer?.status, 401)
  t.ok(refused.closed, 'refused: closed')
  t.notMatch(refused.text, /100 Continue/, 'refused: not asked for')
  t.equal(looksArrived(refusedPath), 0)

  const [before, behind] = [tag(), tag()]
  const second = openRaw(rig.port)
  second.write(get()(before) + post([expecting, 'Content-Length: 5', CLOSE], '')(behind))
  t.ok(
    await second.until(/^HTTP\/1\.1 200 [^]*\r\n\r\nokHTTP\/1\.1 100 Continue\r\n\r\n$/),
    'in turn',
  )
  second.write('hello')
  t.ok(await second.closed())
  t.match(arrived(behind), [{ body: 'hello' }])

  const bodyless = tag()
  t.equal((await exchange(get(expecting, CLOSE)(bodyless))).answer?.status, 200, 'without a body')

  const old = tag()
  const bytes = lines(`POST ${old} HTTP/1.0`, HOST, SIGNED_IN, expecting, 'Content-Length: 5')
  const { text } = await exchange(`${bytes}hello`)
  t.notMatch(text, /100 Continue/, 'HTTP/1.0 is never told to continue')
  t.equal(arrived(old)[0]?.body, 'hello')
})

/**
 * T-77: h2c and other upgrades would make the application speak another protocol through a proxy that
 * goes on reading HTTP/1.1: whatever follows is not judged.
 */
t.test('an upgrade that is not ours to make is a plain request', async t => {
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
  const rows = [
    {
      what: 'h2c',
      headers: ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABk'],
    },
    { what: 'h2c without its settings', headers: ['Connection: Upgrade', 'Upgrade: h2c'] },
    { what: 'TLS', headers: ['Connection: Upgrade', 'Upgrade: TLS/1.0'] },
    { what: 'two', headers: ['Connection: Upgrade', 'Upgrade: h2c, websocket'] },
    {
      what: 'a WebSocket with a body',
      headers: ['Connection: Upgrade', 'Upgrade: websocket', key, 'Content-Length: 2'],
      body: '{}',
    },
    { what: 'one that Connection does not name', headers: ['Upgrade: h2c'] },
  ]
  await each(rows, async ({ what, headers, body = '' }) => {
    const path = tag()
    const connection = openRaw(rig.port)
    connection.write(get(...headers)(path) + body)
    t.ok(await connection.until(/^HTTP\/1\.1 200 /), `${what}: answered`)
    connection.reset()
    const [request] = arrived(path)
    t.notMatch(request?.headers.join('\n'), /^(?:upgrade|http2-settings):|upgrade$/im, what)
    t.equal(request?.body, body, `${what}: body`)
  })
  const path = tag()
  const { answer } = await exchange(
    lines(`GET ${path} HTTP/1.1`, HOST, 'Connection: Upgrade, close', 'Upgrade: h2c'),
  )
  t.equal(answer?.status, 401, 'and is judged as one')
})

t.test('what is behind a request that wanted another protocol is not served as HTTP', async t => {
  const [path, next] = [tag(), tag()]
  const { closed } = await exchange(get('Connection: Upgrade', 'Upgrade: h2c')(path) + get()(next))
  t.ok(closed)
  t.equal(arrived(next).length, 0)
})

t.test('nothing is served behind the last request of a connection', async t => {
  const [path, next] = [tag(), tag()]
  const { closed } = await exchange(get(CLOSE)(path) + get()(next))
  t.ok(closed)
  t.equal(looksArrived(next), 0)
})

t.test('whoever sends very many requests ahead loses the connection, and no more', async t => {
  const paths = Array.from({ length: 60 }, () => tag())
  const { closed } = await exchange(paths.map(path => get()(path)).join(''))
  t.ok(closed)
  const seen = paths.filter(path => arrived(path).length > 0).length
  t.ok(seen < 60, `${seen} of 60 arrived`)
  const few = paths.slice(0, 10)
  const connection = openRaw(rig.port)
  connection.write(few.map(path => get()(path)).join(''))
  t.ok(await connection.until(/(?:HTTP\/1\.1 200 [^]*){10}/), 'ten are answered')
  connection.reset()
})

t.test('HTTP/1.0 is served as it asks to be', async t => {
  const path = tag()
  const { closed, answer } = await exchange(lines(`GET ${path} HTTP/1.0`, SIGNED_IN))
  t.ok(closed, 'the connection ends with the answer')
  t.match(answer, { status: 200, body: 'ok' })
  t.equal(
    arrived(path)[0]?.headers.filter(header => /^host:/i.test(header)).length,
    1,
    'with a Host',
  )
})

/** T-80: whoever never finishes is let go, and frees what they held. */
t.test('a client that does not finish is not waited for', async t => {
  const head = openRaw(hasty.port)
  head.write('GET / HTTP/1.1\r\nHost: a\r\nX: ')
  const second = openRaw(hasty.port)
  second.write(lines(`GET ${tag()} HTTP/1.1`, HOST) + 'GET / HTTP/1.1\r\nHost: a\r\nX: ')
  const path = tag()
  const body = openRaw(rig.port)
  body.write(post(['Content-Length: 10'], 'hello')(path))
  const its = () => recorder.connections.find(({ bytes }) => bytes.includes(`${path} `))
  await eventually(() => its() !== undefined)
  body.reset()
  await eventually(() => its()?.closed === true)
  t.equal(its()?.closed, true, 'half a body frees the application when its sender leaves')
  t.same(arrived(path), [], 'and was never a whole request')
  t.ok(await head.closed(), 'half a head is closed on after HEADERS_TIMEOUT')
  t.ok(await second.closed(), 'also when it is not the first')
})

t.test('after all of this', async t => {
  await oracle.check(t, recorder, [roomy, hasty])
})
