/**
 * WebSockets as people use them: both ends speak through the `ws` package, and neither must notice that
 * there is somebody between them, until it is time to leave.
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { WebSocket, WebSocketServer, type ClientOptions } from 'ws'
import { openRaw, lines } from '../fixtures/raw.ts'
import { ALICE, startRig, type Rig } from '../fixtures/sidecar.ts'
import { until } from '../fixtures/until.ts'

// The application.

interface Visitor {
  readonly socket: WebSocket
  readonly request: IncomingMessage
  /** The code it was closed with, once it is. */
  readonly code: () => number | undefined
}

const visitors = new Map<string, Visitor>()
const http = createServer((_request, response) => response.end('plain'))
const application = new WebSocketServer({
  server: http,
  perMessageDeflate: { threshold: 0 },
  maxPayload: 64_000_000,
  handleProtocols: protocols => (protocols.has('chat') ? 'chat' : false),
})
application.on('connection', (socket, request) => {
  const { url = '' } = request
  let closedWith: number | undefined
  socket.on('error', () => undefined)
  socket.on('close', code => {
    closedWith = code
  })
  visitors.set(url, { socket, request, code: () => closedWith })
  if (url.startsWith('/echo')) {
    socket.on('message', (data, isBinary) => {
      socket.send(data, { binary: isBinary })
    })
  }
})
http.listen(0, '127.0.0.1')
await once(http, 'listening')
t.teardown(() => {
  for (const client of application.clients) client.terminate()
  http.closeAllConnections()
  http.close()
})
const { port: appPort } = http.address() as AddressInfo

const rig = await startRig(t, appPort, { NOAUTH_PATHS: '/echo/open/*' })

let count = 0

interface Client {
  readonly socket: WebSocket
  readonly path: string
  /** The code it was closed with, once it is. */
  readonly code: () => number | undefined
  /** The other end. */
  readonly visitor: () => Visitor
}

/** Opens a WebSocket through a sidecar, under a path of its own. */
async function open(
  on: Rig,
  { under = '/echo', headers, ...options }: ClientOptions & { readonly under?: string } = {},
  protocols: readonly string[] = [],
): Promise<Client> {
  const path = `${under}/${++count}`
  const socket = new WebSocket(`ws://127.0.0.1:${on.port}${path}`, [...protocols], {
    perMessageDeflate: false,
    headers: { 'X-Amzn-Oidc-Data': on.token(), ...headers },
    ...options,
  })
  let closedWith: number | undefined
  socket.on('close', code => {
    closedWith = code
  })
  await once(socket, 'open')
  socket.on('error', () => undefined)
  return { socket, path, code: () => closedWith, visitor: () => visitors.get(path)! }
}

async function close({ socket, code }: Client, withCode = 1000): Promise<void> {
  socket.close(withCode)
  await until(() => code() !== undefined)
}

const digest = (pieces: readonly Buffer[]): string => {
  const hash = createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return hash.digest('hex')
}

/** Everything that comes back, in order. */
function collect(socket: WebSocket): Buffer[] {
  const pieces: Buffer[] = []
  socket.on('message', (data: Buffer) => pieces.push(data))
  return pieces
}

t.test('random bytes come back the same, in frames of every size', async t => {
  const sizes = [
    ...[0, 1, 2, 124, 125, 126, 127, 128, 255, 256, 4_095, 4_096, 16_384],
    ...[65_534, 65_535, 65_536, 65_537, 131_072, 1_000_000, 8_000_000],
  ]
  for (const perMessageDeflate of [false, true]) {
    const what = perMessageDeflate ? 'deflated' : 'plain'
    const client = await open(rig, { perMessageDeflate })
    t.equal(client.socket.extensions, perMessageDeflate ? 'permessage-deflate' : '', what)
    const received = collect(client.socket)
    const sent = sizes.map(size => randomBytes(size))
    for (const piece of sent) client.socket.send(piece)
    await until(() => received.length === sent.length)
    t.same(
      received.map(({ length }) => length),
      sizes,
      `${what}: message for message`,
    )
    t.equal(digest(received), digest(sent), `${what}: byte for byte`)
    await close(client)
    t.equal(client.code(), 1000)
  }
})

t.test('fragments, text and what is sent between them come back in order', async t => {
  const client = await open(rig)
  const received = collect(client.socket)
  const pongs: string[] = []
  client.socket.on('pong', data => pongs.push(data.toString()))
  const parts = Array.from({ length: 200 }, (_, nth) => randomBytes(nth * 7))
  for (const [nth, part] of parts.entries()) {
    client.socket.send(part, { fin: nth === parts.length - 1, binary: true })
    if (nth % 50 === 0) client.socket.ping(`ping ${nth}`)
  }
  client.socket.send('čaj ☕ 茶')
  await until(() => received.length === 2 && pongs.length === 4)
  t.equal(digest(received.slice(0, 1)), digest(parts))
  t.equal(received[1]?.toString(), 'čaj ☕ 茶')
  t.same(pongs, ['ping 0', 'ping 50', 'ping 100', 'ping 150'])

  const fromApp: string[] = []
  client.visitor().socket.on('pong', data => fromApp.push(data.toString()))
  client.visitor().socket.ping('are you there')
  await until(() => fromApp.length === 1)
  t.same(fromApp, ['are you there'], 'the application may ask, too')
  await close(client)
})

t.test('many talk at once, and each to himself', async t => {
  const clients = await Promise.all(
    Array.from({ length: 20 }, (_, nth) => open(rig, { perMessageDeflate: nth % 2 === 0 })),
  )
  await Promise.all(
    clients.map(async client => {
      const received = collect(client.socket)
      const sent = Array.from({ length: 50 }, () => randomBytes(Math.floor(Math.random() * 20_000)))
      for (const piece of sent) client.socket.send(piece)
      await until(() => received.length === sent.length)
      t.equal(digest(received), digest(sent))
      await close(client)
    }),
  )
})

t.test('both sides learn how the other closed', async t => {
  for (const code of [1000, 1001, 1008, 1011, 3000, 4999]) {
    const client = await open(rig)
    await close(client, code)
    await until(() => client.visitor().code() !== undefined)
    t.equal(client.visitor().code(), code, `the client closed with ${code}`)

    const other = await open(rig)
    other.visitor().socket.close(code, 'because')
    await until(() => other.code() !== undefined)
    t.equal(other.code(), code, `the application closed with ${code}`)
  }
  const client = await open(rig)
  client.socket.terminate()
  await until(() => client.visitor().code() !== undefined)
  t.equal(client.visitor().code(), 1006, 'the client broke off')
  const other = await open(rig)
  other.visitor().socket.terminate()
  await until(() => other.code() !== undefined)
  t.equal(other.code(), 1006, 'the application broke off')
})

t.test('the application learns who it is, and what was agreed is agreed', async t => {
  const forged = { 'X-Forwarded-User': 'mallory', 'X-Amzn-Oidc-Identity': ALICE.sub }
  const origin = 'https://app.example.com'
  const client = await open(rig, { headers: forged, origin }, ['soap', 'chat'])
  t.equal(client.socket.protocol, 'chat')
  t.match(client.visitor().request.headers, {
    'x-forwarded-user': ALICE.email,
    'x-forwarded-email': ALICE.email,
    'x-forwarded-groups': 'dev,ops',
    'x-amzn-oidc-identity': ALICE.sub,
    origin,
  })
  await close(client)

  const anonymous = await open(rig, { under: '/echo/open', headers: { 'X-Amzn-Oidc-Data': 'no' } })
  const { headers } = anonymous.visitor().request
  t.notMatch(Object.keys(headers).join(' '), /oidc|forwarded/)
  await close(anonymous)
})

t.test('whoever is not let in is told so, and the application is not', async t => {
  const before = visitors.size
  for (const headers of [{ 'X-Amzn-Oidc-Data': '' }, { 'X-Amzn-Oidc-Data': 'a.b.c' }]) {
    const socket = new WebSocket(`ws://127.0.0.1:${rig.port}/echo/refused`, { headers })
    socket.on('error', () => undefined)
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage]
    t.equal(response.statusCode, 401)
    socket.terminate()
  }
  t.equal(visitors.size, before)
})

t.test(
  'a WebSocket is one request, counted once it is open, and one WebSocket until it is not',
  async t => {
    const counted = 'alb_auth_requests_total{verdict="authenticated",route="guarded"}'
    const timed = 'alb_auth_request_duration_seconds_count{verdict="authenticated",code="1xx"}'
    const series = () =>
      Promise.all([
        ...[rig.metric(counted), rig.metric('alb_auth_websockets')],
        rig.metric('alb_auth_upstream_connections'),
      ])
    const timings = async () => (await rig.metric(timed)) || 0
    await until(async () => (await rig.metric('alb_auth_websockets')) === 0)
    await until(async () => (await rig.metric('alb_auth_upstream_connections')) === 0)
    const [requests] = await series()
    const observed = await timings()

    const client = await open(rig)
    t.same(await series(), [requests + 1, 1, 1])
    t.equal(await timings(), observed + 1)
    t.equal(await rig.metric('alb_auth_requests_in_flight'), 0)
    const other = await open(rig)
    t.same(await series(), [requests + 2, 2, 2])

    await close(client)
    await close(other)
    await until(async () => (await rig.metric('alb_auth_websockets')) === 0)
    await until(async () => (await rig.metric('alb_auth_upstream_connections')) === 0)
    t.same(await series(), [requests + 2, 0, 0], 'the end is not counted as another')
    t.equal(await timings(), observed + 2)
  },
)

/** They last for hours: one a browser tab would leave nothing for requests. */
t.test('two hundred WebSockets leave every connection to requests', async t => {
  const narrow = await startRig(t, appPort, { UPSTREAM_CONNECTIONS: '2' })
  // Handshakes are requests: two may be under way at a time.
  const clients: Client[] = []
  for (let nth = 0; nth < 100; nth++) {
    clients.push(...(await Promise.all([open(narrow), open(narrow)])))
  }
  t.equal(await narrow.metric('alb_auth_websockets'), 200)
  for (let nth = 0; nth < 3; nth++) {
    const connection = openRaw(narrow.port)
    const signedIn = `X-Amzn-Oidc-Data: ${narrow.token()}`
    connection.write(lines('GET / HTTP/1.1', 'Host: a', signedIn, 'Connection: close'))
    await connection.closed()
    t.match(connection.text(), /^HTTP\/1\.1 200 /)
  }
  await Promise.all(
    clients.map(async ({ socket }, nth) => {
      const received = collect(socket)
      socket.send(`I am ${nth}`)
      await until(() => received.length === 1)
      t.equal(received[0]?.toString(), `I am ${nth}`)
    }),
  )
  await Promise.all(clients.map(client => close(client)))
  await until(async () => (await narrow.metric('alb_auth_websockets')) === 0)
})

t.test('a WebSocket that is too old is closed on both sides with 1001', async t => {
  const aged = await startRig(t, appPort, { WEBSOCKET_MAX_AGE: '1s' })
  const client = await open(aged)
  const received = collect(client.socket)
  const message = randomBytes(10_000)
  // Every echo is answered with the next message, so that some are always on their way.
  const send = () => {
    if (client.socket.readyState === WebSocket.OPEN) client.socket.send(message)
  }
  client.socket.on('message', send)
  for (let nth = 0; nth < 4; nth++) send()
  await until(() => client.code() !== undefined)
  t.equal(client.code(), 1001, 'the client is told')
  await until(() => client.visitor().code() !== undefined)
  t.equal(client.visitor().code(), 1001, 'and so is the application')
  t.ok(
    received.every(piece => piece.equals(message)),
    'between two frames',
  )
  await until(async () => (await aged.metric('alb_auth_websockets')) === 0)
  t.match(await open(aged), { socket: WebSocket }, 'and may come back')
  t.equal(await aged.stop(), 'exit 0')
})

/** @param settings What is not as long as it takes. */
async function drains(t: Test, settings: Readonly<Record<string, string>>) {
  const leaving = await startRig(t, appPort, {
    DRAIN_DELAY: '0s',
    DRAIN_TIMEOUT: '9s',
    ...settings,
  })
  return { leaving, client: await open(leaving), quiet: await open(leaving, { under: '/quiet' }) }
}

t.test('a process that leaves says so to every WebSocket, and goes', async t => {
  const { leaving, client, quiet } = await drains(t, {})
  const stopped = leaving.stop()
  for (const each of [client, quiet]) {
    await until(() => each.code() !== undefined && each.visitor().code() !== undefined)
    t.equal(each.code(), 1001, 'the client is told')
    t.equal(each.visitor().code(), 1001, 'and so is the application')
  }
  t.equal(await stopped, 'exit 0')
  t.match(leaving.output(), '"inTime":true')
})

t.test('a side that never answers the Close is not waited for for ever', async t => {
  for (const settings of [{ DRAIN_TIMEOUT: '500ms' }, {}]) {
    const { leaving, client } = await drains(t, settings)
    // Bytes only: nothing on either side of this one answers to a Close.
    const deaf = openRaw(leaving.port)
    const head = [
      'GET /quiet/deaf HTTP/1.1',
      'Host: a',
      'Connection: Upgrade',
      'Upgrade: websocket',
    ]
    const key = ['Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13']
    deaf.write(lines(...head, ...key, `X-Amzn-Oidc-Data: ${leaving.token()}`))
    t.ok(await deaf.until(/^HTTP\/1\.1 101 [^]*\r\n\r\n/))
    visitors.get('/quiet/deaf')!.socket.pause()
    // Nor does this application, which does not even read it.
    client.visitor().socket.pause()
    const stopped = leaving.stop()
    t.ok(await deaf.closed(), 'it is closed')
    t.equal(await stopped, 'exit 0')
    for (const { socket } of visitors.values()) socket.terminate()
  }
})
