/**
 * The TLS port under attack (T-97): bytes that are no handshake, handshakes that never end, old
 * protocols, and behind a good handshake everything that is refused in the clear as well. What node
 * reports as an error of a client must neither end the process nor be taken for a request; and a
 * listener that tracks TCP connections rather than TLS ones loses the order of pipelined requests.
 *
 * @see CVE-2026-21637 (an exception in a TLS callback ends the process)
 */
import { randomBytes } from 'node:crypto'
import { connect as connectTls } from 'node:tls'
import { once } from 'node:events'
import t from 'tap'
import { lines, openRaw, readAnswer } from '../fixtures/raw.ts'
import { startRecorder, valuesIn } from '../fixtures/recorder.ts'
import { ALICE, startRig } from '../fixtures/sidecar.ts'
import { signedIn, visit } from '../fixtures/visit.ts'
import { eventually, tag } from './rows.ts'

const PATIENCE_MS = 30_000
const recorder = await startRecorder(t)
const rig = await startRig(t, recorder.port, {
  ...{ TLS_SELF_SIGNED: 'true', NOAUTH_PATHS: '/open/*' },
  ...{ HEADERS_TIMEOUT: '10m', KEEP_ALIVE_TIMEOUT: '10m', KEY_FETCH_TIMEOUT: '10s' },
})
const tls = { rejectUnauthorized: false }
const HELLO = Buffer.from('1603010200010001fc0303', 'hex')

/** Every request that was counted, by verdict and route. */
async function counted(): Promise<string> {
  const page = await rig.metrics()
  return page
    .split('\n')
    .filter(line => /^alb_auth_(?:requests|rejections)_total/.test(line))
    .join('\n')
}

const isWell = async () => (await visit(rig.port, { target: '/open/well', tls })).status === 200

t.test('what is no handshake is no request, and harms nobody', async t => {
  const before = await counted()
  const requests = recorder.requests().length
  const cases: readonly { what: string; bytes: string | Buffer }[] = [
    { what: 'plain HTTP', bytes: lines('GET /open/x HTTP/1.1', 'Host: a') },
    { what: 'plain HTTP, long', bytes: lines('GET / HTTP/1.1', `A: ${'x'.repeat(90_000)}`) },
    { what: 'h2c', bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' },
    { what: 'PROXY protocol', bytes: 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n' },
    { what: 'an alert', bytes: Buffer.from('15030100020228', 'hex') },
    { what: 'data before a handshake', bytes: Buffer.from(`1703030010${'00'.repeat(16)}`, 'hex') },
    { what: 'half a hello', bytes: HELLO },
    { what: 'a hello full of noise', bytes: Buffer.concat([HELLO, randomBytes(502)]) },
    { what: 'nothing', bytes: '' },
    ...Array.from({ length: 20 }, (_, at) => ({ what: `noise ${at}`, bytes: randomBytes(300) })),
  ]
  await Promise.all(
    cases.map(async ({ what, bytes }) => {
      const connection = openRaw(rig.port)
      connection.write(bytes)
      connection.end()
      t.ok(await connection.closed(PATIENCE_MS), `${what}: closed`)
      t.notMatch(connection.text(), /HTTP/, `${what}: not answered in HTTP`)
    }),
  )
  for (let at = 0; at < 20; at++) {
    const connection = openRaw(rig.port)
    connection.write(HELLO)
    connection.reset()
  }
  t.equal(await counted(), before, 'nothing was counted')
  t.equal(recorder.requests().length, requests, 'nor forwarded')
  t.ok(await isWell())
})

t.test('old protocols are not spoken, nor HTTP/2', async t => {
  const before = await counted()
  const seclevel = { ciphers: 'ALL:@SECLEVEL=0', minVersion: 'TLSv1' } as const
  const rows = [
    { ...seclevel, maxVersion: 'TLSv1.1' },
    { ...seclevel, maxVersion: 'TLSv1' },
    { ciphers: 'AES128-SHA', maxVersion: 'TLSv1.2' },
    { ALPNProtocols: ['h2'] },
    { ALPNProtocols: ['h2c', 'spdy/3.1'] },
  ] as const
  for (const { ...row } of rows) {
    const options = 'ALPNProtocols' in row ? { ALPNProtocols: [...row.ALPNProtocols] } : row
    const connection = openRaw(rig.port, { ...tls, ...options })
    connection.write(lines('GET /open/x HTTP/1.1', 'Host: a'))
    t.ok(await connection.closed(PATIENCE_MS), JSON.stringify(row))
    t.equal(connection.text(), '', JSON.stringify(row))
  }
  t.equal(await counted(), before)
})

t.test('handshakes that never end do not keep others waiting', async t => {
  const stalled = Array.from({ length: 200 }, (_, at) => {
    const connection = openRaw(rig.port)
    if (at % 2 === 0) connection.write(HELLO)
    return connection
  })
  t.ok(await isWell())
  for (const connection of stalled) connection.reset()
})

t.test('a client cannot say who it is, over TLS as in the clear', async t => {
  const target = tag()
  const forged = [
    ...['X-Forwarded-User: root', 'x_forwarded_user: root', 'X-Forwarded-Groups: admins'],
    ...['X-Amzn-Oidc-Identity: root', 'Connection: X-Forwarded-User'],
  ]
  t.equal((await visit(rig.port, { target, headers: forged, tls })).status, 401)
  const open = `/open${target}`
  t.equal((await visit(rig.port, { target: open, headers: forged, tls })).status, 200)
  const data = rig.token()
  const mixed = [...forged.filter(line => !line.includes('Identity')), ...signedIn(data)]
  t.equal((await visit(rig.port, { target, headers: mixed, tls })).status, 200)
  const seen = recorder.requests().filter(({ line }) => line.includes(target))
  t.same(
    seen.map(({ line, headers }) => [
      line,
      valuesIn(headers, 'x-forwarded-user'),
      valuesIn(headers, 'x-forwarded-groups'),
      valuesIn(headers, 'x-amzn-oidc-data'),
    ]),
    [
      [`GET ${open} HTTP/1.1`, [], [], []],
      [`GET ${target} HTTP/1.1`, [ALICE.email], ['dev,ops'], [data]],
    ],
  )
  t.notMatch(seen.flatMap(({ headers }) => headers).join('\n'), /root|admins|x_forwarded/)
})

t.test('requests that are sent ahead keep their order and their identities', async t => {
  const target = tag()
  const ask = (at: number, ...headers: string[]) =>
    lines(`GET ${target}/${at} HTTP/1.1`, 'Host: a', ...headers)
  const connection = openRaw(rig.port, tls)
  connection.write(
    ask(1, ...signedIn(rig.token())) + ask(2) + ask(3, ...signedIn(rig.token())) + ask(4),
  )
  t.ok(await connection.until(/(?: [24]0[01] [^]*){4}\}\n$/, PATIENCE_MS))
  const statuses = [...connection.text().matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, code]) => code)
  t.same(statuses, ['200', '401', '200', '401'])
  connection.reset()
})

t.test('what is refused in the clear is refused over TLS', async t => {
  const chunked = ['POST /open/x HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked']
  const rows: readonly (readonly [string, number])[] = [
    [lines(...chunked, 'Content-Length: 5'), 400],
    [lines('GET /open/x HTTP/1.1', 'Host: a', 'Host: b'), 400],
    [lines('GET http://a/open/x HTTP/1.1', 'Host: a'), 400],
    [lines('CONNECT a:443 HTTP/1.1', 'Host: a:443'), 405],
    [lines('TRACE /open/x HTTP/1.1', 'Host: a'), 405],
    [lines('GET /open/x HTTP/1.1', 'Host: a', 'Expect: moon'), 417],
    [lines('GET /open/x HTTP/1.1', 'Host: a', `Pad: ${'x'.repeat(90_000)}`), 431],
    [lines('GET /open/x HTTP/1.1', 'Host: a', ...Array.from({ length: 201 }, () => 'A: b')), 431],
    ['garbage\r\n\r\n', 400],
    ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  ]
  for (const [bytes, status] of rows) {
    const what = JSON.stringify(bytes.slice(0, 60))
    const connection = openRaw(rig.port, tls)
    connection.write(bytes)
    t.ok(await connection.closed(PATIENCE_MS), `${what}: closed`)
    t.equal(readAnswer(connection.text())?.status, status, what)
  }
})

/** The example of RFC 6455 §1.3. */
t.test('a WebSocket is decided like any other request, and passes bytes unchanged', async t => {
  const ask = (path: string, ...headers: string[]) =>
    lines(
      ...[`GET ${path} HTTP/1.1`, 'Host: a', 'Connection: Upgrade', 'Upgrade: websocket'],
      ...['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='],
      ...headers,
    )
  const target = tag()
  const arrived = () => recorder.requests().filter(({ line }) => line.includes(target))
  const refused = openRaw(rig.port, tls)
  refused.write(ask(target, 'X-Forwarded-User: root'))
  t.ok(await refused.closed(PATIENCE_MS))
  t.equal(readAnswer(refused.text())?.status, 401)
  t.same(arrived(), [])

  const before = recorder.answer
  const bytes = randomBytes(100_000)
  recorder.answer = socket => {
    const accept = 'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo='
    socket.write(
      lines('HTTP/1.1 101 Switching', 'Upgrade: websocket', 'Connection: Upgrade', accept),
    )
    socket.write(bytes)
  }
  const tunnel = openRaw(rig.port, tls)
  tunnel.write(ask(target, 'X-Forwarded-User: root', ...signedIn(rig.token())))
  t.ok(await tunnel.until(/^HTTP\/1\.1 101 /, PATIENCE_MS))
  const passed = bytes.toString('latin1')
  t.ok(await eventually(() => tunnel.text().endsWith(passed), PATIENCE_MS), 'down')
  const [request] = arrived()
  t.same(valuesIn(request?.headers ?? [], 'x-forwarded-user'), [ALICE.email])
  tunnel.write(bytes)
  const isUp = () => recorder.connections.some(connection => connection.bytes.endsWith(passed))
  t.ok(await eventually(isUp, PATIENCE_MS), 'up')
  tunnel.reset()
  recorder.answer = before
})

t.test('a connection that is renegotiated is lost, and it alone', async t => {
  const socket = connectTls({ port: rig.port, host: '127.0.0.1', ...tls, maxVersion: 'TLSv1.2' })
  await once(socket, 'secureConnect')
  const outcome = new Promise<string>(resolve => {
    socket.once('error', ({ message }: Error) => {
      resolve(message)
    })
    socket.renegotiate({}, error => {
      resolve(error?.message ?? 'done again')
    })
  })
  socket.resume()
  t.match(await outcome, /no.renegotiation/i)
  socket.destroy()
  t.ok(await isWell())
})

t.test('after all of this', async t => {
  t.notMatch(rig.output(), /"level":(?:50|60)/, 'nothing was logged as an error')
  t.notMatch(rig.output(), /PRIVATE KEY/)
  t.equal(await rig.metric('alb_auth_requests_in_flight'), 0)
  t.equal(await rig.stop(), 'exit 0')
})
