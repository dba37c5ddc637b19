import t from 'tap'
import { createAdmit, type Admitted, type Unadmitted } from '../../src/server/admit.ts'

const admit = createAdmit({ maxHeaders: 200, maxHeaderBytes: 81_920 })

const HOST = ['Host', 'app.example.com']

/** A request that is admitted, but for what a row says of it. */
const request = (row: Partial<Unadmitted>): Unadmitted => ({
  httpVersion: '1.1',
  method: 'GET',
  target: '/',
  headers: HOST,
  ...row,
})

/** What became of it: the reason it was refused for, or `admitted`. */
const fate = (row: Partial<Unadmitted>): string => {
  const found = admit(request(row))
  return found.outcome === 'rejected' ? found.reason : found.outcome
}

function admitted(row: Partial<Unadmitted>): Admitted {
  const found = admit(request(row))
  if (found.outcome === 'rejected') throw new Error(`refused: ${found.reason}`)
  return found
}

t.test('an ordinary request is admitted as it came', t => {
  const headers = ['hOsT', 'app.example.com', 'X-Dup', '1', 'x-dup', '2', 'X_Odd', '3']
  t.same(admit(request({ target: '/a/../b;c?q=%00', headers })), {
    outcome: 'admitted',
    method: 'GET',
    target: '/a/../b;c?q=%00',
    headers,
    body: { kind: 'none' },
    expectsContinue: false,
    hasHost: true,
    asksUpgrade: false,
  })
  t.end()
})

t.test('the request line: version, method and target', t => {
  const cases: readonly (Partial<Unadmitted> & { fate: string })[] = [
    { httpVersion: '1.1', fate: 'admitted' },
    { httpVersion: '1.0', fate: 'admitted' },
    { httpVersion: '0.9', fate: 'malformed_request' },
    { httpVersion: '1.2', fate: 'malformed_request' },
    { httpVersion: '2.0', fate: 'malformed_request' },
    { httpVersion: '', fate: 'malformed_request' },
    { method: 'HEAD', fate: 'admitted' },
    { method: 'PROPFIND', fate: 'admitted' },
    { method: 'OPTIONS', fate: 'admitted' },
    { method: 'CONNECT', fate: 'method_refused' },
    { method: 'TRACE', fate: 'method_refused' },
    { method: 'TRACE', target: 'a:443', fate: 'method_refused' },
    { target: '/', fate: 'admitted' },
    { target: '//', fate: 'admitted' },
    { target: '/?a?b', fate: 'admitted' },
    { target: '/~!$&\'()*+,;=:@"<>[]^`{|}%zz', fate: 'admitted' },
    { target: '*', fate: 'malformed_request' },
    { target: '', fate: 'malformed_request' },
    { target: 'a', fate: 'malformed_request' },
    { target: 'http://app.example.com/', fate: 'malformed_request' },
    { target: 'app.example.com:443', fate: 'malformed_request' },
    { target: '/#fragment', fate: 'malformed_request' },
    { target: '/a?b#c', fate: 'malformed_request' },
    { target: '/a\\b', fate: 'malformed_request' },
    { target: '/a b', fate: 'malformed_request' },
    { target: '/a\tb', fate: 'malformed_request' },
    { target: '/a\u0000', fate: 'malformed_request' },
    { target: '/a\u001f', fate: 'malformed_request' },
    { target: '/a\u007f', fate: 'malformed_request' },
    { target: '/a\u0080', fate: 'malformed_request' },
    { target: '/\u00e9', fate: 'malformed_request' },
    { target: '/a\n', fate: 'malformed_request' },
    { target: '/a\nb', fate: 'malformed_request' },
  ]
  for (const { fate: expected, ...row } of cases) t.equal(fate(row), expected, JSON.stringify(row))
  t.end()
})

t.test('Host: exactly one, a name or a bracketed v6 address, and a port if need be', t => {
  const cases = [
    { host: 'app.example.com', fate: 'admitted' },
    { host: 'app.example.com:80', fate: 'admitted' },
    { host: 'APP_1.example-com', fate: 'admitted' },
    { host: 'localhost', fate: 'admitted' },
    { host: '10.0.0.1:8080', fate: 'admitted' },
    { host: 'a:0', fate: 'admitted' },
    { host: 'a:65535', fate: 'admitted' },
    { host: '[::1]', fate: 'admitted' },
    { host: '[::1]:80', fate: 'admitted' },
    { host: '[2001:DB8::1]:65535', fate: 'admitted' },
    { host: '[::ffff:10.0.0.1]', fate: 'admitted' },
    { host: 'a:65536', fate: 'malformed_request' },
    { host: 'a:99999', fate: 'malformed_request' },
    { host: 'a:000080', fate: 'malformed_request' },
    { host: 'a:', fate: 'malformed_request' },
    { host: 'a:b', fate: 'malformed_request' },
    { host: 'a:80:80', fate: 'malformed_request' },
    { host: ':80', fate: 'malformed_request' },
    { host: '', fate: 'malformed_request' },
    { host: 'a/b', fate: 'malformed_request' },
    { host: 'a b', fate: 'malformed_request' },
    { host: 'a,b', fate: 'malformed_request' },
    { host: 'a@b', fate: 'malformed_request' },
    { host: 'a?b', fate: 'malformed_request' },
    { host: 'a%2eb', fate: 'malformed_request' },
    { host: 'http://a', fate: 'malformed_request' },
    { host: '\u00e9', fate: 'malformed_request' },
    { host: 'a\n', fate: 'malformed_request' },
    { host: '::1', fate: 'malformed_request' },
    { host: '[::1', fate: 'malformed_request' },
    { host: '[::1]80', fate: 'malformed_request' },
    { host: '[]', fate: 'malformed_request' },
    { host: '[10.0.0.1]', fate: 'malformed_request' },
    { host: '[1::2::3]', fate: 'malformed_request' },
    { host: '[::1]:65536', fate: 'malformed_request' },
    { host: '[fe80::1%eth0]', fate: 'malformed_request' },
    { host: '[fe80::1%25eth0]', fate: 'malformed_request' },
    { host: '[v1.a]', fate: 'malformed_request' },
  ]
  for (const { host, fate: expected } of cases) {
    t.equal(fate({ headers: ['Host', host] }), expected, JSON.stringify(host))
  }
  t.equal(fate({ headers: [] }), 'malformed_request', 'none in 1.1')
  t.equal(fate({ headers: [...HOST, ...HOST] }), 'malformed_request', 'two that agree')
  t.equal(fate({ headers: [...HOST, 'hOST', 'b'] }), 'malformed_request', 'two in two spellings')
  t.same(admitted({ httpVersion: '1.0', headers: [] }).hasHost, false, 'none in 1.0')
  t.equal(fate({ httpVersion: '1.0', headers: ['Host', ''] }), 'malformed_request', 'empty in 1.0')
  t.equal(
    fate({ httpVersion: '1.0', headers: [...HOST, ...HOST] }),
    'malformed_request',
    '2 in 1.0',
  )
  t.end()
})

t.test('the body is framed in one way, or the request is refused', t => {
  const none = { kind: 'none' }
  const chunked = { kind: 'chunked' }
  const cases: readonly {
    framing: readonly string[]
    httpVersion?: string
    body?: object
  }[] = [
    { framing: [], body: none },
    { framing: ['Content-Length', '0'], body: { kind: 'length', bytes: 0 } },
    { framing: ['content-LENGTH', '42'], body: { kind: 'length', bytes: 42 } },
    {
      framing: ['Content-Length', '9007199254740991'],
      body: { kind: 'length', bytes: Number.MAX_SAFE_INTEGER },
    },
    { framing: ['Content-Length', '10000000000000000'] },
    { framing: ['Content-Length', '00'] },
    { framing: ['Content-Length', '042'] },
    { framing: ['Content-Length', '+1'] },
    { framing: ['Content-Length', '-1'] },
    { framing: ['Content-Length', '1.0'] },
    { framing: ['Content-Length', '1e1'] },
    { framing: ['Content-Length', '0x1'] },
    { framing: ['Content-Length', '1_0'] },
    { framing: ['Content-Length', ''] },
    { framing: ['Content-Length', ' 1'] },
    { framing: ['Content-Length', '1\n'] },
    { framing: ['Content-Length', '1, 1'] },
    { framing: ['Content-Length', '\u0661'] },
    { framing: ['Content-Length', '1', 'Content-Length', '1'] },
    { framing: ['Content-Length', '1', 'content-length', '2'] },
    { framing: ['Content-Length', '1'], httpVersion: '1.0', body: { kind: 'length', bytes: 1 } },
    { framing: ['Transfer-Encoding', 'chunked'], body: chunked },
    { framing: ['TRANSFER-encoding', 'chunked'], body: chunked },
    { framing: ['Transfer-Encoding', 'CHUNKED'] },
    { framing: ['Transfer-Encoding', 'Chunked'] },
    { framing: ['Transfer-Encoding', ' chunked'] },
    { framing: ['Transfer-Encoding', 'chunked\u000b'] },
    { framing: ['Transfer-Encoding', '"chunked"'] },
    { framing: ['Transfer-Encoding', 'chunked;a=b'] },
    { framing: ['Transfer-Encoding', 'gzip, chunked'] },
    { framing: ['Transfer-Encoding', 'chunked, identity'] },
    { framing: ['Transfer-Encoding', 'identity'] },
    { framing: ['Transfer-Encoding', 'xchunked'] },
    { framing: ['Transfer-Encoding', ''] },
    { framing: ['Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'chunked'] },
    { framing: ['Transfer-Encoding', 'gzip', 'Transfer-Encoding', 'chunked'] },
    { framing: ['Transfer-Encoding', 'chunked', 'Content-Length', '1'] },
    { framing: ['Content-Length', '0', 'Transfer-Encoding', 'chunked'] },
    { framing: ['Transfer-Encoding', 'chunked'], httpVersion: '1.0' },
    { framing: ['Transfer-Encoding', 'identity'], httpVersion: '1.0' },
  ]
  for (const { framing, httpVersion = '1.1', body } of cases) {
    const row = { httpVersion, method: 'POST', headers: [...HOST, ...framing] }
    const what = `${JSON.stringify(framing)} in ${httpVersion}`
    if (body === undefined) t.equal(fate(row), 'malformed_request', what)
    else t.same(admitted(row).body, body, what)
  }
  t.end()
})

t.test('Expect: nothing but 100-continue, which a 1.0 client cannot wait for', t => {
  const cases = [
    { expect: [], expectsContinue: false },
    { expect: ['Expect', '100-continue'], expectsContinue: true },
    { expect: ['EXPECT', '100-Continue'], expectsContinue: true },
    { expect: ['Expect', '100-continue'], httpVersion: '1.0', expectsContinue: false },
    { expect: ['Expect', '100-continue, x'] },
    { expect: ['Expect', ' 100-continue'] },
    { expect: ['Expect', '200-ok'] },
    { expect: ['Expect', ''] },
    { expect: ['Expect', '100-continue', 'expect', '100-continue'] },
    { expect: ['Expect', 'x'], httpVersion: '1.0' },
  ]
  for (const { expect, httpVersion = '1.1', expectsContinue } of cases) {
    const row = { httpVersion, headers: [...HOST, ...expect] }
    const what = `${JSON.stringify(expect)} in ${httpVersion}`
    if (expectsContinue === undefined) t.equal(fate(row), 'expectation_refused', what)
    else t.equal(admitted(row).expectsContinue, expectsContinue, what)
  }
  t.end()
})

t.test("the ALB's three headers come at most once each, in any spelling", t => {
  const cases = [
    { names: ['x-amzn-oidc-data', 'x-amzn-oidc-identity', 'x-amzn-oidc-accesstoken'] },
    { names: ['x-amzn-oidc-data', 'x-amzn-oidc-data'], twice: 'x-amzn-oidc-data' },
    { names: ['x-amzn-oidc-data', 'X-Amzn-Oidc-Data'], twice: 'x-amzn-oidc-data' },
    { names: ['x-amzn-oidc-data', 'X_AMZN_OIDC_DATA'], twice: 'x-amzn-oidc-data' },
    { names: ['x_amzn.oidc~data', 'x-amzn-oidc|data'], twice: 'x-amzn-oidc-data' },
    { names: ['x-amzn-oidc-identity', 'x-amzn_oidc-identity'], twice: 'x-amzn-oidc-identity' },
    {
      names: ['x-amzn-oidc-accesstoken', 'X-Amzn-Oidc_Accesstoken'],
      twice: 'x-amzn-oidc-accesstoken',
    },
    { names: ['x-amzn-oidc-other', 'x-amzn-oidc-other'] },
    { names: ['x-amzn-oidc-data', 'x-amzn-oidc-dat'] },
    { names: ['x-amzn-trace-id', 'x-amzn-trace-id'] },
  ]
  for (const { names, twice } of cases) {
    const headers = [...HOST, ...names.flatMap(name => [name, 'a.b.c'])]
    if (twice === undefined) t.equal(fate({ headers }), 'admitted', names.join())
    else {
      const refusal = { outcome: 'rejected', reason: 'duplicate_header', detail: twice }
      t.same(admit(request({ headers })), refusal, names.join())
    }
  }
  t.end()
})

t.test('MAX_HEADERS header lines pass, one more does not', t => {
  const small = createAdmit({ maxHeaders: 3, maxHeaderBytes: 81_920 })
  const withLines = (count: number) =>
    request({ headers: [...HOST, ...Array.from({ length: count - 1 }, () => ['a', 'b']).flat()] })
  t.match(small(withLines(3)), { outcome: 'admitted' })
  t.same(small(withLines(4)), {
    outcome: 'rejected',
    reason: 'headers_too_large',
    detail: '4 header lines, MAX_HEADERS is 3',
  })
  t.match(admit(withLines(200)), { outcome: 'admitted' })
  t.match(admit(withLines(201)), { reason: 'headers_too_large' })
  t.end()
})

t.test('MAX_HEADER_BYTES pass, one more does not', t => {
  const head = 'GET / HTTP/1.1\r\nHost: app.example.com\r\nPad: x\r\n'
  const padded = (bytes: number) => request({ headers: [...HOST, 'Pad', 'x'.repeat(bytes)] })
  const exact = createAdmit({ maxHeaders: 200, maxHeaderBytes: head.length })
  t.match(exact(padded(1)), { outcome: 'admitted' })
  t.same(exact(padded(2)), {
    outcome: 'rejected',
    reason: 'headers_too_large',
    detail: `${head.length + 1} header bytes, MAX_HEADER_BYTES is ${head.length}`,
  })
  t.match(admit(padded(81_920 - head.length + 1)), { outcome: 'admitted' })
  t.match(admit(padded(81_920 - head.length + 2)), { reason: 'headers_too_large' })
  t.equal(fate({ target: `/${'a'.repeat(81_920)}` }), 'headers_too_large', 'the target counts')
  t.equal(fate({ method: 'A'.repeat(81_920) }), 'headers_too_large', 'the method counts')
  t.end()
})

t.test('whether another protocol is asked for is said, whatever it is', t => {
  t.equal(admitted({ headers: [...HOST, 'uPGRADE', 'h2c'] }).asksUpgrade, true)
  t.equal(admitted({ headers: [...HOST, 'Upgraded', 'h2c'] }).asksUpgrade, false)
  t.end()
})

t.test('a detail says what was wrong, and nothing of the request', t => {
  const rows: readonly (Partial<Unadmitted> & { detail?: RegExp })[] = [
    { target: 'secret', detail: /request target/ },
    { headers: ['Host', 'secret/'], detail: /Host/ },
    { headers: [...HOST, 'Content-Length', 'secret'], detail: /Content-Length/ },
    { headers: [...HOST, 'Transfer-Encoding', 'secret'], detail: /Transfer-Encoding/ },
    { headers: [...HOST, 'Expect', 'secret'] },
    { httpVersion: 'secret', detail: /HTTP version/ },
  ]
  for (const { detail = /^/, ...row } of rows) {
    const found = admit(request(row))
    t.match({ detail: '', ...found }, { outcome: 'rejected', detail })
    t.notMatch(JSON.stringify(found), /secret/)
  }
  t.end()
})
