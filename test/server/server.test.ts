import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import type { Reason } from '../../src/core/reasons.ts'
import type { Upgrade } from '../../src/core/upgrade.ts'
import { createServer, type ServerOptions } from '../../src/server/server.ts'
import { createAuthority } from '../fixtures/certificates.ts'
import { eventually } from '../fixtures/patience.ts'
import { lines, openRaw, readAnswer, sendRaw } from '../fixtures/raw.ts'

/** What `onRefused` has the server write: nothing that node would write by itself. */
const answerTo = (reason: Reason) =>
  `HTTP/1.1 599 ${reason}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`

interface Seen {
  readonly method: string
  readonly rawHeaders: readonly string[]
  readonly upgrade: Upgrade | undefined
}

interface Rig {
  readonly port: number
  /** The requests that reached `onRequest`. */
  readonly seen: readonly Seen[]
  /** The reasons for which `onRefused` was asked, and whether they were to be counted. */
  readonly refused: readonly { readonly reason: Reason; readonly isNew: boolean }[]
  readonly server: http.Server
  /** Its ends of the connections to it. */
  readonly sockets: readonly Socket[]
  readonly closeIdle: () => void
}

const bytesReadOf = (sockets: readonly Socket[]) =>
  sockets.reduce((bytes, socket) => bytes + socket.bytesRead, 0)

/** A server that answers `ok` once the body is in, unless a test says otherwise. */
async function startServer(
  t: Test,
  options: Partial<ServerOptions> = {},
  handle = (request: IncomingMessage, response: ServerResponse) => {
    request.on('error', () => undefined)
    request.resume().once('end', () => response.end('ok'))
  },
): Promise<Rig> {
  const seen: Seen[] = []
  const refused: { reason: Reason; isNew: boolean }[] = []
  const { server, closeIdle } = createServer({
    keepAliveTimeoutMs: 300_000,
    headersTimeoutMs: 300_000,
    requestTimeoutMs: 0,
    maxHeaderBytes: 81_920,
    onRequest: (request, response, upgrade) => {
      const { method = '', rawHeaders } = request
      seen.push({ method, rawHeaders, upgrade })
      handle(request, response)
    },
    onRefused: (reason, isNew) => {
      refused.push({ reason, isNew })
      return answerTo(reason)
    },
    ...options,
  })
  const sockets: Socket[] = []
  server.on('connection', (socket: Socket) => sockets.push(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { port: address.port, server, seen, refused, sockets, closeIdle }
}

/** Never answers. */
const hold = (request: IncomingMessage) => {
  request.on('error', () => undefined).resume()
}

/** Sends `first`, and `second` as soon as something came back; resolves to all that came back. */
async function converse(port: number, first: string, second: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' })
  let text = ''
  socket.on('data', chunk => (text += chunk.toString()))
  socket.once('data', () => socket.write(second))
  socket.write(first)
  await once(socket, 'close')
  return text
}

const GET = lines('GET / HTTP/1.1', 'Host: a')
const CHUNKED = ['POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked']

t.test('every event by which a request can arrive leads to the one entry', async t => {
  const upgrade = ['Connection: Upgrade', 'Upgrade: websocket']
  const cases = [
    { request: 'a plain one', head: ['GET / HTTP/1.1', 'Host: a'] },
    { request: 'one of HTTP/1.0 without a Host', head: ['GET / HTTP/1.0'] },
    { request: 'one of HTTP/1.1 without a Host', head: ['GET / HTTP/1.1'] },
    { request: 'one that expects 100', head: ['GET / HTTP/1.1', 'Expect: 100-continue'] },
    { request: 'one that expects the impossible', head: ['GET / HTTP/1.1', 'Expect: moon'] },
    { request: 'one that wants to upgrade', head: ['GET / HTTP/1.1', ...upgrade] },
    { request: 'one that wants to upgrade to HTTP/2', head: ['GET / HTTP/1.1', 'Upgrade: h2c'] },
    { request: 'a TRACE', head: ['TRACE / HTTP/1.1', 'Host: a'] },
    { request: 'one in absolute form', head: ['GET http://a/ HTTP/1.1', 'Host: a'] },
  ]
  for (const { request, head } of cases) {
    const { port, seen, refused } = await startServer(t)
    const { text, statuses } = await sendRaw(port, lines(...head))
    t.same(statuses, [200], request)
    t.notMatch(text, / 100 /, `${request}: no 100 that nobody decided`)
    t.equal(seen.length, 1, `${request}: seen once`)
    t.same(refused, [], `${request}: not refused`)
  }
})

/** Passes on every upgrade, as node 20 does where later ones ask first. */
async function startOldNode(t: Test, server: http.Server): Promise<number> {
  const old = http.createServer()
  old.on('upgrade', (...event) => server.emit('upgrade', ...event))
  old.listen(0, '127.0.0.1')
  await once(old, 'listening')
  t.teardown(() => old.close())
  return (old.address() as AddressInfo).port
}

t.test('an upgrade that is no WebSocket is a plain request, on every node', async t => {
  const { port, server, seen } = await startServer(t)
  for (const at of [port, await startOldNode(t, server)]) {
    const head = ['POST / HTTP/1.1', 'Host: a', 'Connection: Upgrade', 'Upgrade: h2c']
    const { statuses } = await sendRaw(at, `${lines(...head, 'Content-Length: 5')}hello`)
    t.same(statuses, [200])
  }
  t.equal(seen.length, 2)
  t.same(
    seen.map(({ upgrade }) => upgrade),
    [undefined, undefined],
  )
})

const WEBSOCKET = ['Host: a', 'Connection: Upgrade', 'Upgrade: websocket']

t.test('a WebSocket is the last that is served on its connection', async t => {
  const { port, seen } = await startServer(t)
  const connection = openRaw(port)
  connection.write(GET)
  t.ok(await connection.until(/^HTTP\/1\.1 200 OK/))
  connection.write(lines('GET /2 HTTP/1.1', ...WEBSOCKET) + GET)
  t.ok(await connection.closed())
  t.equal(connection.text().match(/HTTP\/1\.1 200 OK/g)?.length, 2)
  t.same(
    seen.map(({ upgrade }) => upgrade !== undefined),
    [false, true],
  )
})

t.test('an upgrade that is sent ahead ends its connection, on every node', async t => {
  const { port, server, seen } = await startServer(t)
  const websocket = lines('GET /2 HTTP/1.1', ...WEBSOCKET)
  const h2c = lines('GET /2 HTTP/1.1', 'Host: a', 'Connection: Upgrade', 'Upgrade: h2c')
  const rows = [
    { at: port, bytes: GET + websocket + GET },
    // Here the first is read once more, as a plain request, before the second is.
    { at: await startOldNode(t, server), bytes: h2c + websocket },
  ]
  for (const { at, bytes } of rows) {
    const connection = openRaw(at)
    connection.write(bytes)
    t.ok(await connection.closed())
  }
  t.same(
    seen.map(({ upgrade }) => upgrade),
    [undefined, undefined],
  )
})

t.test('no header line is left out, however many and however often', async t => {
  const { port, seen } = await startServer(t)
  const many = Array.from({ length: 3_000 }, (_, at) => `a: ${at}`)
  const { statuses } = await sendRaw(port, lines('GET / HTTP/1.1', ...many, 'Host: b', 'host: c'))
  t.same(statuses, [200])
  const raw = seen[0]?.rawHeaders ?? []
  t.equal(raw.length, 2 * 3_002)
  t.same(raw.slice(-4), ['Host', 'b', 'host', 'c'])
})

t.test('a head of MAX_HEADER_BYTES, and somewhat beyond, is for admit to count', async t => {
  const { port, seen } = await startServer(t, { maxHeaderBytes: 8_192 })
  const { statuses } = await sendRaw(port, lines('GET / HTTP/1.1', `Pad: ${'x'.repeat(12_000)}`))
  t.same(statuses, [200])
  t.equal(seen.length, 1)
})

t.test('bytes that are no request are answered once, and the connection ends', async t => {
  const cases: readonly { bytes: string | Buffer; what: string; reason: Reason }[] = [
    { what: 'garbage', bytes: 'hello\r\n\r\n', reason: 'malformed_request' },
    { what: 'a TLS hello', bytes: Buffer.from('16030100a1', 'hex'), reason: 'malformed_request' },
    {
      what: 'the preface of HTTP/2',
      bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      reason: 'malformed_request',
    },
    {
      what: 'a bare line feed',
      bytes: 'GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n',
      reason: 'malformed_request',
    },
    {
      what: 'a space before the colon',
      bytes: lines('GET / HTTP/1.1', 'Host : a'),
      reason: 'malformed_request',
    },
    {
      what: 'two framings',
      bytes: lines(...CHUNKED, 'Content-Length: 1'),
      reason: 'malformed_request',
    },
    {
      what: 'a head that is far too long',
      bytes: lines('GET / HTTP/1.1', `Pad: ${'x'.repeat(120_000)}`),
      reason: 'headers_too_large',
    },
    {
      what: 'a tunnel',
      bytes: lines('CONNECT a:443 HTTP/1.1', 'Host: a:443'),
      reason: 'method_refused',
    },
  ]
  for (const { what, bytes, reason } of cases) {
    const { port, seen, refused } = await startServer(t)
    const { text, closed } = await sendRaw(port, bytes)
    t.equal(text, answerTo(reason), what)
    t.ok(closed, `${what}: closed`)
    t.same(refused, [{ reason, isNew: true }], `${what}: asked once`)
    t.same(seen, [], `${what}: never a request`)
  }
})

t.test('the same bytes behind a request that was answered are answered too', async t => {
  const { port, refused } = await startServer(t)
  const text = await converse(port, GET, 'garbage\r\n\r\n')
  t.ok(
    text.startsWith('HTTP/1.1 200 OK\r\n') && text.endsWith(`ok${answerTo('malformed_request')}`),
  )
  t.same(refused, [{ reason: 'malformed_request', isNew: true }])
})

t.test('a bad body of the only request is answered while nothing else was', async t => {
  const { port, refused, seen } = await startServer(t)
  const { text, closed } = await sendRaw(port, `${lines(...CHUNKED)}5\r\nhello\r\nxyz\r\n`)
  t.equal(text, answerTo('malformed_request'))
  t.ok(closed)
  t.equal(seen.length, 1)
  t.same(refused, [{ reason: 'malformed_request', isNew: false }], 'it is counted already')
})

t.test('where an answer could be taken for that to another request, none is written', async t => {
  const bad = `${lines(...CHUNKED)}xyz\r\n`
  const cases = [
    { what: 'garbage behind a pending request', bytes: `${GET}garbage\r\n\r\n` },
    { what: 'a bad body behind a pending request', bytes: GET + bad },
    { what: 'garbage behind two pending requests', bytes: `${GET + GET}garbage\r\n\r\n` },
    {
      what: 'a head too long behind a pending request',
      bytes: GET + lines('GET / HTTP/1.1', `Pad: ${'x'.repeat(120_000)}`),
    },
    {
      what: 'a tunnel behind a pending request',
      bytes: GET + lines('CONNECT a:443 HTTP/1.1', 'Host: a:443'),
    },
  ]
  for (const { what, bytes } of cases) {
    const { port, refused } = await startServer(t, {}, hold)
    const { text, closed } = await sendRaw(port, bytes)
    t.equal(text, '', what)
    t.ok(closed, `${what}: closed`)
    t.same(refused, [], `${what}: not counted`)
  }
})

t.test('an answer that has begun is broken off by a bad body, not continued by ours', async t => {
  const { port, refused } = await startServer(t, {}, (request, response) => {
    request.on('error', () => undefined).resume()
    response.writeHead(200, ['Content-Length', '10'])
    response.write('five ')
  })
  const text = await converse(port, lines(...CHUNKED), 'xyz\r\n')
  t.match(text, /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nfive $/)
  t.same(refused, [])
})

t.test('a request that does not come in time is answered 408', async t => {
  const limits = { headersTimeoutMs: 100, requestTimeoutMs: 200 }
  const cases = [
    { what: 'half a head', bytes: 'GET / HTTP/1.1\r\nHost: a\r\n' },
    { what: 'half a body', bytes: `${lines(...CHUNKED)}5\r\nhe` },
  ]
  await Promise.all(
    cases.map(async ({ what, bytes }) => {
      const { port, refused } = await startServer(t, limits, hold)
      const { text, closed } = await sendRaw(port, bytes)
      t.match(text, /^HTTP\/1\.1 408 Request Timeout\r\n/, what)
      t.ok(closed, `${what}: closed`)
      t.same(refused, [], `${what}: not a refusal`)
    }),
  )
})

t.test('a client that resets its connection is not written to', async t => {
  const { port, seen, refused } = await startServer(t, {}, hold)
  const socket = connect({ port, host: '127.0.0.1' })
  socket.write(`${lines(...CHUNKED)}5\r\nhe`)
  await eventually(() => seen.length === 1)
  socket.resetAndDestroy()
  const next = await sendRaw(port, 'garbage\r\n\r\n')
  t.match(next.text, / 599 malformed_request/)
  t.same(refused, [{ reason: 'malformed_request', isNew: true }], 'only the next is refused')
})

t.test('a client that resets its tunnel before it is refused does no harm', async t => {
  const { port } = await startServer(t)
  const socket = connect({ port, host: '127.0.0.1' })
  await once(socket, 'connect')
  socket.write(lines('CONNECT a:443 HTTP/1.1', 'Host: a:443'))
  socket.resetAndDestroy()
  t.same((await sendRaw(port, GET)).statuses, [200])
})

t.test('requests that are sent ahead are served one at a time, in order', async t => {
  const answers: (() => void)[] = []
  const { port, seen } = await startServer(t, {}, (request, response) => {
    answers.push(() => response.end(`${request.url ?? ''}\n`))
  })
  const ahead = ['/1', '/2', '/3'].map(path => lines(`GET ${path} HTTP/1.1`, 'Host: a'))
  const answered = sendRaw(port, ahead, { answers: 3 })
  for (let at = 0; at < 3; at++) {
    await eventually(() => answers.length > at)
    t.equal(seen.length, at + 1, `request ${at + 1} is not served before its turn`)
    answers[at]?.()
  }
  const { text, statuses } = await answered
  t.same(statuses, [200, 200, 200])
  t.match(text, /\/1\n[^]*\/2\n[^]*\/3\n$/)
})

t.test('behind an answer that ends the connection nothing is served', async t => {
  const { port, seen } = await startServer(t, {}, (_request, response) => {
    setImmediate(() => response.writeHead(200, ['Connection', 'close']).end('bye'))
  })
  const { statuses, closed } = await sendRaw(port, GET + GET, { answers: 2 })
  t.same(statuses, [200])
  t.ok(closed)
  t.equal(seen.length, 1)
})

t.test('only connections on which nothing is going on are closed on demand', async t => {
  const HELD = lines('GET /held HTTP/1.1', 'Host: a')
  const HALF = 'GET / HTTP/1.1\r\n'
  const { port, seen, sockets, closeIdle } = await startServer(t, {}, (request, response) => {
    if (request.url === '/') response.end('ok')
  })
  const idle = openRaw(port)
  idle.write(GET)
  await idle.until(/ok/)
  const silent = openRaw(port)
  const busy = openRaw(port)
  busy.write(HELD)
  const arriving = openRaw(port)
  arriving.write(HALF)
  const sent = `${GET}${HELD}${HALF}`
  await eventually(() => sockets.length === 4 && bytesReadOf(sockets) === sent.length)
  t.equal(seen.length, 2)
  closeIdle()
  t.equal(await idle.closed(), true, 'one whose request was answered is closed')
  t.equal(await silent.closed(), true, 'one that said nothing is closed')
  t.equal(await busy.closed(50), false, 'one that waits for an answer is not')
  t.equal(await arriving.closed(50), false, 'one with half a request is not')
  for (const connection of [busy, arriving]) connection.reset()
})

t.test('an idle connection is closed when its time is up, and no earlier', async t => {
  const { port } = await startServer(t, { keepAliveTimeoutMs: 100 })
  const { statuses, closed } = await sendRaw(port, GET, { answers: 2 })
  t.same(statuses, [200])
  t.ok(closed)
})

const authority = await createAuthority()
const { certificate: cert, key } = await authority.issue()
const tls = { cert, key }
/** Patience for a handshake on a machine that is busy. */
const patient = { tls, headersTimeoutMs: 60_000, keepAliveTimeoutMs: 60_000 }
const trusting = { ca: authority.certificate, servername: 'localhost' }

t.test('over TLS every event leads to the one entry, and every refusal is the same', async t => {
  const { port, seen, refused } = await startServer(t, { ...patient, maxHeaderBytes: 8_192 })
  const cases: readonly { bytes: string; reason?: Reason }[] = [
    { bytes: GET },
    { bytes: lines('GET / HTTP/1.0') },
    { bytes: lines('GET / HTTP/1.1', 'Expect: 100-continue') },
    { bytes: lines('GET / HTTP/1.1', 'Expect: moon') },
    { bytes: 'hello\r\n\r\n', reason: 'malformed_request' },
    { bytes: lines(...CHUNKED, 'Content-Length: 1'), reason: 'malformed_request' },
    { bytes: lines('CONNECT a:443 HTTP/1.1', 'Host: a:443'), reason: 'method_refused' },
    {
      bytes: lines('GET / HTTP/1.1', `Pad: ${'x'.repeat(40_000)}`),
      reason: 'headers_too_large',
    },
  ]
  for (const { bytes, reason } of cases) {
    const [before, counted] = [seen.length, refused.length]
    const connection = openRaw(port, trusting)
    connection.write(bytes)
    const what = bytes.slice(0, 40)
    t.ok(await connection.until(reason === undefined ? /ok$/ : / 599 /, 20_000), what)
    t.equal(seen.length - before, reason === undefined ? 1 : 0, what)
    t.same(
      refused.slice(counted),
      reason === undefined ? [] : [{ reason, isNew: true }],
      `${what}: counted once, if refused`,
    )
    if (reason !== undefined) t.ok(await connection.closed(20_000), `${what}: closed`)
    connection.reset()
  }
})

/** Node 20 tells of every upgrade when it has let go of the connection, which is not a plain one. */
t.test('over TLS an upgrade that is no WebSocket is a plain request', async t => {
  const { port, seen, refused } = await startServer(t, patient)
  const connection = openRaw(port, trusting)
  const head = ['POST / HTTP/1.1', 'Host: a', 'Connection: Upgrade', 'Upgrade: h2c']
  connection.write(`${lines(...head, 'Content-Length: 5')}hello`)
  t.ok(await connection.until(/ok$/, 20_000))
  t.equal(readAnswer(connection.text())?.status, 200)
  t.same(
    seen.map(({ method, upgrade }) => [method, upgrade]),
    [['POST', undefined]],
  )
  t.same(refused, [])
  connection.reset()
})

t.test('over TLS a WebSocket is the last that is served on its connection', async t => {
  const { port, seen, refused } = await startServer(t, patient)
  const connection = openRaw(port, trusting)
  connection.write(GET)
  t.ok(await connection.until(/ok$/, 20_000))
  connection.write(lines('GET /2 HTTP/1.1', ...WEBSOCKET) + GET)
  t.ok(await connection.closed(20_000))
  t.equal(connection.text().match(/HTTP\/1\.1 200 OK/g)?.length, 2)
  t.same(
    seen.map(({ upgrade }) => upgrade !== undefined),
    [false, true],
  )
  t.same(refused, [])
})

t.test('over TLS a WebSocket that is done sending may still be sent to', async t => {
  const { port, seen } = await startServer(t, patient, () => undefined)
  const client = openRaw(port, trusting)
  client.write(lines('GET / HTTP/1.1', 'Host: a', 'Connection: Upgrade', 'Upgrade: websocket'))
  t.ok(await eventually(() => seen.length === 1, 20_000))
  const { socket } = seen[0]!.upgrade!.take()
  client.end()
  socket.resume()
  await once(socket, 'end')
  await new Promise(resolve => setTimeout(resolve, 50))
  socket.end('late')
  t.ok(await client.closed(20_000))
  t.equal(client.text(), 'late')
})

t.test('what is no handshake is neither answered nor counted', async t => {
  const { port, seen, refused } = await startServer(t, patient)
  const cases: readonly { what: string; bytes: string | Buffer }[] = [
    { what: 'plain HTTP', bytes: GET },
    { what: 'the preface of HTTP/2', bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' },
    { what: 'noise', bytes: Buffer.alloc(500, 0xa7) },
    { what: 'an alert', bytes: Buffer.from('15030100020228', 'hex') },
    { what: 'an empty handshake record', bytes: Buffer.from('1603010000', 'hex') },
    { what: 'a hello of SSL 2', bytes: Buffer.from('802e0100020015000000100100800300', 'hex') },
  ]
  for (const { what, bytes } of cases) {
    const connection = openRaw(port)
    connection.write(bytes)
    connection.end()
    t.ok(await connection.closed(20_000), `${what}: closed`)
    t.notMatch(connection.text(), /HTTP/, `${what}: no answer in HTTP`)
  }
  const gone = openRaw(port)
  gone.write(Buffer.from('1603010200010001fc0303', 'hex'))
  gone.reset()
  const stranger = openRaw(port, { servername: 'localhost' })
  t.ok(await stranger.closed(20_000), 'a client that does not trust us leaves')
  t.same([seen, refused], [[], []])
  const good = openRaw(port, trusting)
  good.write(GET)
  t.ok(await good.until(/ok$/, 20_000), 'and others are served')
  good.reset()
})

t.test('a handshake that does not end is cut after HEADERS_TIMEOUT', async t => {
  const { port, refused } = await startServer(t, { tls, headersTimeoutMs: 300 })
  const hello = Buffer.from('1603010200010001fc0303', 'hex')
  const [silent, half] = [openRaw(port), openRaw(port)]
  half.write(hello)
  t.ok(await silent.closed(20_000), 'without a byte')
  t.ok(await half.closed(20_000), 'half a hello')
  t.same([silent.text(), half.text()], ['', ''])
  t.same(refused, [])
})

t.test('over TLS a request that does not come in time is answered 408', async t => {
  const { port, refused } = await startServer(t, { tls, headersTimeoutMs: 5_000 })
  const connection = openRaw(port, trusting)
  connection.write('GET / HTTP/1.1\r\nHost: a\r\n')
  t.ok(await connection.closed(20_000))
  t.match(connection.text(), /^HTTP\/1\.1 408 /)
  t.same(refused, [])
})

t.test('over TLS requests that are sent ahead are served one at a time, in order', async t => {
  const answers: (() => void)[] = []
  const { port, seen } = await startServer(t, patient, (request, response) => {
    answers.push(() => response.end(`${request.url ?? ''}\n`))
  })
  const connection = openRaw(port, trusting)
  for (const path of ['/1', '/2', '/3']) {
    connection.write(lines(`GET ${path} HTTP/1.1`, 'Host: a'))
  }
  for (let at = 0; at < 3; at++) {
    t.ok(await eventually(() => answers.length > at, 20_000))
    t.equal(seen.length, at + 1, `request ${at + 1} is not served before its turn`)
    answers[at]?.()
  }
  t.ok(await connection.until(/\/1\n[^]*\/2\n[^]*\/3\n$/, 20_000))
  connection.reset()
})

t.test('over TLS a bad body behind a pending request is not answered', async t => {
  const { port, refused } = await startServer(t, patient, hold)
  const connection = openRaw(port, trusting)
  connection.write(`${GET}${lines(...CHUNKED)}xyz\r\n`)
  t.ok(await connection.closed(20_000))
  t.equal(connection.text(), '')
  t.same(refused, [])
})

t.test('over TLS only connections on which nothing is going on are closed on demand', async t => {
  const { port, seen, closeIdle, server } = await startServer(t, patient, (request, response) => {
    if (request.url === '/') response.end('ok')
  })
  const sockets: Socket[] = []
  server.on('connection', (socket: Socket) => sockets.push(socket))
  server.on('secureConnection', (socket: Socket) => sockets.push(socket))
  const [used, busy, arriving, mute] = [1, 2, 3, 4].map(() => openRaw(port, trusting))
  const [silent, shaking] = [openRaw(port), openRaw(port)]
  const hello = Buffer.from('1603010200010001fc0303', 'hex')
  shaking.write(hello)
  used!.write(GET)
  t.ok(await used!.until(/ok$/, 20_000))
  busy!.write(lines('GET /held HTTP/1.1', 'Host: a'))
  const half = 'GET / HTTP/1.1\r\n'
  arriving!.write(half)
  const isRead = ({ length }: string | Buffer) =>
    eventually(() => sockets.some(({ bytesRead }) => bytesRead === length), 20_000)
  t.ok((await isRead(half)) && (await isRead(hello)))
  t.ok(await eventually(() => seen.length === 2 && sockets.length === 10, 20_000))
  closeIdle()
  t.ok(await used!.closed(20_000), 'one whose request was answered is closed')
  t.ok(await silent.closed(20_000), 'one that said nothing is closed')
  t.ok(await mute!.closed(20_000), 'one that said nothing after its handshake is closed')
  t.notOk(await busy!.closed(50), 'one that waits for an answer is not')
  t.notOk(await arriving!.closed(50), 'one with half a request is not')
  t.notOk(await shaking.closed(50), 'one with half a handshake is not')
  arriving!.write('Host: a\r\n\r\n')
  t.ok(await arriving!.until(/ok$/, 20_000), 'it is served')
  for (const connection of [busy!, arriving!, shaking]) connection.reset()
})

t.test('what breaks under TLS after the handshake is no request either', async t => {
  const { port, refused } = await startServer(t, patient)
  const socket = connect({ port, host: '127.0.0.1' })
  const secure = connectTls({ socket, ...trusting })
  secure.on('error', () => undefined)
  secure.write(GET)
  await once(secure, 'data')
  // A record that nobody encrypted, past the client's TLS.
  socket.write(Buffer.from(`1703030020${'a7'.repeat(32)}`, 'hex'))
  await once(socket, 'close')
  t.same(refused, [])
  const next = openRaw(port, trusting)
  next.write(GET)
  t.ok(await next.until(/ok$/, 20_000))
  t.equal(readAnswer(next.text())?.status, 200)
  next.reset()
})
