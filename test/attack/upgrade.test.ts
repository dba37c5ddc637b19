/**
 * Ways out of HTTP. Behind an upgrade nobody reads requests any more, so whatever a client says in one
 * must have been judged before, and whatever the application does not plainly agree to must leave the
 * client without a way to talk to it (RFC 6455 §4, THREATS T-33, T-34, T-76–T-78, T-80, D4, D6; the
 * family of websocket smuggling: a wrong `Sec-WebSocket-Version`, a 426, and a proxy that tunnels).
 */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { openRaw, readAnswer, lines, type RawConnection } from '../fixtures/raw.ts'
import { OK, readRequests, startRecorder, valuesIn, type Recorder } from '../fixtures/recorder.ts'
import { ALICE, startRig, type Rig } from '../fixtures/sidecar.ts'
import { each, eventually, tag } from './rows.ts'
import { fold, startOracle } from './oracle.ts'

/** The example of RFC 6455 §1.3. */
const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='

const HOST = 'Host: app.example.com'
const CONNECTION = 'Connection: Upgrade'
const UPGRADE = 'Upgrade: websocket'
const SOCKET = [`Sec-WebSocket-Key: ${KEY}`, 'Sec-WebSocket-Version: 13']
const WEBSOCKET = [CONNECTION, UPGRADE, ...SOCKET]
const agreed = (...headers: string[]) =>
  lines(
    'HTTP/1.1 101 Switching Protocols',
    ...['Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${ACCEPT}`],
    ...headers,
  )

const recorder = await startRecorder(t)
/** Of its own, because report mode lets the ALB's headers through as they came. */
const reported = await startRecorder(t)
const OPEN = { NOAUTH_PATHS: '/open/*', CLIENT_IP_HEADER: 'x-client-ip', ACCESS_LOG: 'off' }
const [rig, allowing, reporting, impatient] = await Promise.all([
  startRig(t, recorder.port, OPEN),
  startRig(t, recorder.port, { ...OPEN, UNAUTHENTICATED: 'allow' }),
  startRig(t, reported.port, { ...OPEN, ENFORCEMENT: 'report' }),
  startRig(t, recorder.port, { ...OPEN, UPSTREAM_HEADERS_TIMEOUT: '300ms' }),
])
const token = rig.token()
const allowingToken = allowing.token()
const impatientToken = impatient.token()
const SIGNED_IN = `X-Amzn-Oidc-Data: ${token}`
const oracle = await startOracle(rig, {
  assertable: {
    'x-forwarded-user': [ALICE.email],
    'x-forwarded-email': [ALICE.email],
    'x-forwarded-groups': ['dev,ops'],
    'x-client-ip': ['192.0.2.7'],
    'x-amzn-oidc-data': [token, allowingToken, impatientToken],
    'x-amzn-oidc-identity': [ALICE.sub],
  },
  mayBreakOff: true,
})
const files = await rig.metric('process_open_fds')

/** What the application does with a request under a path; if nothing else, it agrees to WebSockets. */
type Answering = (socket: Socket) => void
const answers = new Map<string, Answering>()
for (const application of [recorder, reported]) {
  application.answerAt = 'end'
  application.answer = (socket, seen) => {
    // A connection may have been used before: its last request is what is to be answered.
    const { line = '', headers = [] } = readRequests(seen).requests.at(-1) ?? {}
    const [, path = ''] = line.split(' ')
    const answer = answers.get(path)
    if (answer !== undefined) answer(socket)
    else socket.write(valuesIn(headers, 'upgrade').includes('websocket') ? agreed() : OK)
  }
}

/** What looks like a request under `path`, whatever its framing. */
const under = (path: string, application: Recorder = recorder) =>
  application.requests().filter(({ line }) => line.includes(` ${path} `))
/** The connection to the application that `path` was asked on. */
const upstreamOf = (path: string) =>
  recorder.connections.find(({ bytes }) => bytes.includes(` ${path} `))

function ask(path: string, headers: readonly string[], on: Rig = rig, behind = ''): RawConnection {
  const connection = openRaw(on.port)
  connection.write(lines(`GET ${path} HTTP/1.1`, HOST, ...headers) + behind)
  return connection
}

/** The status of the first answer, once its head is there; 0 for a connection that ended without. */
async function statusOf(connection: RawConnection): Promise<number> {
  await connection.until(/^HTTP\/1\.1 (?!100)\d{3} [^]*?\r\n\r\n/m)
  const [, status] = /^HTTP\/1\.1 (?!100)(\d{3}) /m.exec(connection.text()) ?? []
  return Number(status ?? 0)
}

/** What is behind the head of the 101. */
function tunnelled(connection: RawConnection): string {
  const text = connection.text()
  return text.slice(text.indexOf('\r\n\r\n', text.indexOf('HTTP/1.1 101 ')) + 4)
}

const isFreed = (path: string) => eventually(() => upstreamOf(path)?.closed ?? true)
const isAt = (on: Rig, gauge: string, value: number) =>
  eventually(async () => (await on.metric(gauge)) === value)

/** Names as somebody would spell them who knows that servers fold them. */
function spellings(name: string): string[] {
  const words = name.split('-')
  const title = words.map(word => word.charAt(0).toUpperCase() + word.slice(1))
  return [
    ..."- _ . ~ + ' ! # $ % & * ^ ` |".split(' ').map(separator => title.join(separator)),
    words.join('-'),
    words.join('_').toUpperCase(),
    [words[0], words.slice(1).join('-')].join('_'),
    [words.slice(0, -1).join('-'), words.at(-1)].join('_'),
  ]
}

interface Place {
  readonly what: string
  readonly on: Rig
  readonly path: () => string
  readonly headers: readonly string[]
  readonly application?: Recorder
  readonly user: readonly string[]
}

const FORWARDED_FOR = 'X-Forwarded-For: 10.1.1.1, 192.0.2.7'
const open = () => `/open${tag()}`
const PLACES: readonly Place[] = [
  { what: 'guarded', on: rig, path: tag, headers: [SIGNED_IN], user: [ALICE.email] },
  { what: 'open', on: rig, path: open, headers: [], user: [] },
  { what: 'open, signed in', on: rig, path: open, headers: [SIGNED_IN], user: [ALICE.email] },
  { what: 'allowed', on: allowing, path: tag, headers: [], user: [] },
  { what: 'reported', on: reporting, path: tag, headers: [], application: reported, user: [] },
]
const OWNED = ['x-forwarded-user', 'x-forwarded-email', 'x-forwarded-groups', 'x-client-ip']

t.test('a handshake arrives as it was sent, and opens a tunnel', async t => {
  const path = tag()
  const connection = ask(path, [...WEBSOCKET, SIGNED_IN, 'Sec-WebSocket-Protocol: chat', 'X-A: b'])
  t.equal(await statusOf(connection), 101)
  t.same(under(path)[0]?.headers, [
    HOST,
    ...SOCKET,
    ...['Sec-WebSocket-Protocol: chat', 'X-A: b'],
    ...[`X-Forwarded-User: ${ALICE.email}`, `X-Forwarded-Email: ${ALICE.email}`],
    ...['X-Forwarded-Groups: dev,ops', SIGNED_IN],
    ...[CONNECTION, UPGRADE],
  ])
  t.equal(await rig.metric('alb_auth_websockets'), 1)
  connection.reset()
  t.ok(await isFreed(path))
  t.ok(await isAt(rig, 'alb_auth_websockets', 0))
})

/** T-34: oauth2-proxy GHSA-vjrc-mh2v-45x6, on the one kind of request that proxies treat apart. */
t.test('a forged identity arrives in no spelling on a WebSocket', async t => {
  await each(PLACES, async ({ what, on, path, headers, user, application }) => {
    const target = path()
    const forged = OWNED.flatMap(spellings).map(name => `${name}: mallory`)
    const connection = ask(
      target,
      [...forged, ...WEBSOCKET, ...headers, FORWARDED_FOR, ...forged],
      on,
    )
    t.equal(await statusOf(connection), 101, `${what}: is a WebSocket`)
    const seen = under(target, application)[0]?.headers ?? []
    t.notMatch(seen.join('\n'), 'mallory', `${what}: none arrived`)
    t.same(valuesIn(seen, 'x-forwarded-user'), user, `${what}: the user is ours`)
    t.same(valuesIn(seen, 'x-client-ip'), ['192.0.2.7'], `${what}: and the address`)
    connection.reset()
  })
})

t.test('what an ALB would say is taken out of a WebSocket in every spelling', async t => {
  const names = [
    'x-amzn-oidc-data',
    'x-amzn-oidc-identity',
    'x-amzn-oidc-accesstoken',
    'x-amzn-oidc-x',
  ]
  const rows = PLACES.filter(({ on }) => on !== reporting).flatMap(place =>
    names.flatMap(spellings).map(name => ({ ...place, name })),
  )
  await each(rows, async ({ what, on, path, headers, user, name }) => {
    const target = path()
    const connection = ask(target, [`${name}: mallory`, ...WEBSOCKET, ...headers], on)
    const status = await statusOf(connection)
    const [seen] = under(target)
    const found = seen?.headers.filter(header => header.includes('mallory'))
    // A second copy is refused, and so is a lone one that is no token where one is needed.
    t.ok([101, 400, 401].includes(status), `${what}, ${name}: ${status}`)
    t.equal(seen === undefined, status !== 101, `${what}, ${name}: arrives only when agreed to`)
    t.same(found ?? [], [], `${what}, ${name}: but without it`)
    const named = seen === undefined ? [] : valuesIn(seen.headers, 'x-forwarded-user')
    t.ok(
      named.every(name => user.includes(name)),
      `${what}, ${name}: and nobody else is named`,
    )
    connection.reset()
  })
})

t.test('report mode names nobody on a WebSocket, and passes on what came', async t => {
  const path = tag()
  const connection = ask(path, [...WEBSOCKET, 'X-Amzn-Oidc-Data: no.good.token'], reporting)
  t.equal(await statusOf(connection), 101)
  const seen = under(path, reported)[0]?.headers ?? []
  t.same(valuesIn(seen, 'x-amzn-oidc-data'), ['no.good.token'])
  t.same(
    seen.filter(header => OWNED.includes(fold(header.slice(0, header.indexOf(':'))))),
    [],
  )
  connection.reset()
})

interface Refused {
  readonly what: string
  readonly status: number
  readonly line?: (path: string) => string
  readonly host?: readonly string[]
  readonly headers: readonly string[]
}

/** Node's `upgrade` event goes past every handler of requests (http-proxy, and many a middleware). */
t.test('a refused WebSocket never reaches the application, nor does what is behind it', async t => {
  const [header, payload, signature = ''] = token.split('.')
  const expired = rig.signer.sign({ ...ALICE }, { header: { exp: 1 }, payload: { exp: 1 } })
  const rows: readonly Refused[] = [
    { what: 'no token', status: 401, headers: WEBSOCKET },
    { what: 'an empty token', status: 401, headers: [...WEBSOCKET, 'X-Amzn-Oidc-Data:'] },
    {
      what: 'an expired one',
      status: 401,
      headers: [...WEBSOCKET, `X-Amzn-Oidc-Data: ${expired}`],
    },
    {
      what: 'a signature of nothing',
      status: 401,
      headers: [
        ...WEBSOCKET,
        `X-Amzn-Oidc-Data: ${header!}.${payload!}.${'A'.repeat(signature.length)}`,
      ],
    },
    {
      what: 'somebody else’s identity',
      status: 401,
      headers: [...WEBSOCKET, SIGNED_IN, 'X-Amzn-Oidc-Identity: mallory'],
    },
    { what: 'two tokens', status: 400, headers: [...WEBSOCKET, SIGNED_IN, SIGNED_IN] },
    {
      what: 'two tokens, one disguised',
      status: 400,
      headers: [...WEBSOCKET, SIGNED_IN, `X_AMZN_OIDC_DATA: ${token}`],
    },
    { what: 'no Host', status: 400, host: [], headers: [...WEBSOCKET, SIGNED_IN] },
    { what: 'two Hosts', status: 400, host: [HOST, 'Host: b'], headers: [...WEBSOCKET, SIGNED_IN] },
    { what: 'a bad Host', status: 400, host: ['Host: a/b'], headers: [...WEBSOCKET, SIGNED_IN] },
    {
      what: 'absolute form',
      status: 400,
      line: path => `GET http://app.example.com${path} HTTP/1.1`,
      headers: [...WEBSOCKET, SIGNED_IN],
    },
    {
      what: 'an authority for a target',
      status: 400,
      line: () => 'GET //evil.example\\x HTTP/1.1',
      headers: [...WEBSOCKET, SIGNED_IN],
    },
    {
      what: 'a length that is none',
      status: 400,
      headers: [...WEBSOCKET, SIGNED_IN, 'Content-Length: 00'],
    },
    {
      what: 'a coding that is none',
      status: 400,
      headers: [...WEBSOCKET, SIGNED_IN, 'Transfer-Encoding: identity'],
    },
    {
      what: 'a length and a coding',
      status: 400,
      headers: [...WEBSOCKET, SIGNED_IN, 'Content-Length: 5', 'Transfer-Encoding: chunked'],
    },
    { what: 'another expectation', status: 417, headers: [...WEBSOCKET, SIGNED_IN, 'Expect: 200'] },
    {
      what: 'too many headers',
      status: 431,
      headers: [...WEBSOCKET, SIGNED_IN, ...Array.from({ length: 250 }, (_, at) => `X-${at}: a`)],
    },
    {
      what: 'too much of a header',
      status: 431,
      headers: [...WEBSOCKET, SIGNED_IN, `X-A: ${'x'.repeat(85_000)}`],
    },
    {
      what: 'CONNECT',
      status: 405,
      line: () => 'CONNECT app.example.com:80 HTTP/1.1',
      headers: [...WEBSOCKET, SIGNED_IN],
    },
    {
      what: 'TRACE',
      status: 405,
      line: path => `TRACE ${path} HTTP/1.1`,
      headers: [...WEBSOCKET, SIGNED_IN],
    },
  ]
  await each(rows, async ({ what, status, line, host = [HOST], headers }) => {
    const [path, next] = [tag(), tag()]
    const connection = openRaw(rig.port)
    const head = [line?.(path) ?? `GET ${path} HTTP/1.1`, ...host, ...headers]
    const behind = lines(`GET ${next} HTTP/1.1`, HOST, SIGNED_IN)
    connection.write(lines(...head) + behind)
    t.equal(await statusOf(connection), status, what)
    connection.write(behind)
    t.ok(await connection.closed(), `${what}: its connection ends`)
    t.equal([...connection.text().matchAll(/^HTTP\//gm)].length, 1, `${what}: with one answer`)
    t.equal(under(path).length + under(next).length, 0, `${what}: and nothing arrived`)
  })
})

/** T-77, D4: an application that is asked for h2c says yes, and then nobody judges what is said in it. */
t.test('any other Upgrade goes on as a plain request, and its connection ends', async t => {
  interface Row {
    readonly what: string
    readonly method?: string
    readonly version?: string
    readonly headers: readonly string[]
    readonly body?: string
  }
  const chunked = '5\r\nhello\r\n0\r\n\r\n'
  const rows: readonly Row[] = [
    {
      what: 'h2c',
      headers: ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AA'],
    },
    { what: 'h2c behind it', headers: [CONNECTION, 'Upgrade: websocket, h2c', ...SOCKET] },
    { what: 'h2c before it', headers: [CONNECTION, 'Upgrade: h2c, websocket', ...SOCKET] },
    { what: 'two lines', headers: [CONNECTION, UPGRADE, 'Upgrade: h2c', ...SOCKET] },
    { what: 'two equal lines', headers: [CONNECTION, UPGRADE, UPGRADE, ...SOCKET] },
    { what: 'a version', headers: [CONNECTION, 'Upgrade: websocket/13', ...SOCKET] },
    { what: 'a parameter', headers: [CONNECTION, 'Upgrade: websocket;q=1', ...SOCKET] },
    { what: 'a name that begins so', headers: [CONNECTION, 'Upgrade: websockets', ...SOCKET] },
    { what: 'nothing', headers: [CONNECTION, 'Upgrade:', ...SOCKET] },
    { what: 'no Connection', headers: [UPGRADE, ...SOCKET] },
    { what: 'another Connection', headers: ['Connection: keep-alive', UPGRADE, ...SOCKET] },
    { what: 'Connection: upgrades', headers: ['Connection: upgrades', UPGRADE, ...SOCKET] },
    { what: 'HTTP/1.0', version: '1.0', headers: WEBSOCKET },
    { what: 'HEAD', method: 'HEAD', headers: WEBSOCKET },
    { what: 'OPTIONS', method: 'OPTIONS', headers: WEBSOCKET },
    { what: 'POST', method: 'POST', headers: WEBSOCKET },
    {
      what: 'POST with a length',
      method: 'POST',
      headers: [...WEBSOCKET, 'Content-Length: 5'],
      body: 'hello',
    },
    {
      what: 'POST in chunks',
      method: 'POST',
      headers: [...WEBSOCKET, 'Transfer-Encoding: chunked'],
      body: chunked,
    },
    { what: 'a GET with a length', headers: [...WEBSOCKET, 'Content-Length: 5'], body: 'hello' },
    { what: 'a GET with a length of 0', headers: [...WEBSOCKET, 'Content-Length: 0'] },
    {
      what: 'a GET in chunks',
      headers: [...WEBSOCKET, 'Transfer-Encoding: chunked'],
      body: chunked,
    },
    {
      what: 'an h2c POST with an expectation',
      method: 'POST',
      headers: [CONNECTION, 'Upgrade: h2c', 'Expect: 100-continue', 'Content-Length: 5'],
      body: 'hello',
    },
  ]
  await each(rows, async ({ what, method = 'GET', version = '1.1', headers, body = '' }) => {
    const [path, next] = [tag(), tag()]
    const connection = openRaw(rig.port)
    // A parser that knows there will be nothing more gives up on whatever does come.
    const behind = version === '1.0' ? '' : lines(`GET ${next} HTTP/1.1`, HOST, SIGNED_IN)
    connection.write(
      lines(`${method} ${path} HTTP/${version}`, HOST, SIGNED_IN, ...headers) + body + behind,
    )
    t.equal(await statusOf(connection), 200, `${what}: is answered`)
    t.ok(await connection.closed(), `${what}: for the last time`)
    const [seen, ...more] = under(path)
    t.same(more, [], `${what}: arrived once`)
    t.notMatch(
      seen?.headers.join('\n'),
      /^(?:upgrade|http2-settings|expect):|^connection:.*upgrade/im,
      what,
    )
    const framed = recorder.framed().find(({ line: its }) => its === seen?.line)
    t.equal(framed?.body, body === '' ? '' : 'hello', `${what}: with its body`)
    t.equal(under(next).length, 0, `${what}: and nothing behind it`)
  })
})

/** T-33: `Connection` may name what is to be taken out, and the handshake must survive neither more nor less. */
t.test('what Connection names beside upgrade is taken out, but for what we say', async t => {
  interface Row {
    readonly what: string
    readonly headers: readonly string[]
    readonly status: number
    readonly absent?: RegExp
  }
  const rows: readonly Row[] = [
    { what: 'our user', headers: ['Connection: Upgrade, X-Forwarded-User'], status: 101 },
    { what: 'the ALB’s token', headers: ['Connection: X-Amzn-Oidc-Data, Upgrade'], status: 101 },
    { what: 'on two lines', headers: ['Connection: X-Forwarded-User', CONNECTION], status: 101 },
    { what: 'in other words', headers: ['cONNECTION: x-forwarded-user , uPGRADE'], status: 101 },
    { what: 'empty members', headers: ['Connection: ,, upgrade,,'], status: 101 },
    { what: 'close', headers: ['Connection: close, Upgrade'], status: 101 },
    {
      what: 'keep-alive, as Firefox says',
      headers: ['Connection: keep-alive, Upgrade'],
      status: 101,
    },
    {
      what: 'a cookie',
      headers: ['Connection: Upgrade, Cookie', 'Cookie: a=b'],
      status: 101,
      absent: /^cookie:/im,
    },
    {
      // An application that agrees without a key has not agreed to a WebSocket.
      what: 'the key',
      headers: ['Connection: Upgrade, Sec-WebSocket-Key'],
      status: 502,
      absent: /^sec-websocket-key:/im,
    },
  ]
  await each(rows, async ({ what, headers, status, absent }) => {
    const path = tag()
    const connection = ask(path, [...headers, UPGRADE, ...SOCKET, SIGNED_IN])
    t.equal(await statusOf(connection), status, what)
    const seen = under(path)[0]?.headers ?? []
    t.same(valuesIn(seen, 'x-forwarded-user'), [ALICE.email], `${what}: the user arrived`)
    t.same(valuesIn(seen, 'x-amzn-oidc-data'), [token], `${what}: the token arrived`)
    t.same(valuesIn(seen, 'connection'), ['Upgrade'], `${what}: we say Connection`)
    t.same(valuesIn(seen, 'upgrade'), ['websocket'], `${what}: and Upgrade`)
    if (absent !== undefined) t.notMatch(seen.join('\n'), absent, `${what}: gone`)
    connection.reset()
    t.ok(await isFreed(path), `${what}: freed`)
  })
})

t.test('an expectation with a WebSocket is ours to meet', async t => {
  const path = tag()
  const connection = ask(path, [...WEBSOCKET, SIGNED_IN, 'Expect: 100-continue'])
  t.equal(await statusOf(connection), 101)
  t.notMatch(under(path)[0]?.headers.join('\n'), /expect/i)
  connection.reset()
  const refused = ask(tag(), [...WEBSOCKET, 'Expect: 100-continue'])
  t.equal(await statusOf(refused), 401)
  t.notMatch(refused.text(), '100 Continue', 'nobody is told to go on before being judged')
  t.ok(await refused.closed())
})

const EVIL = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'
const LEAK = 'Set-Cookie: leak=1'

/** D4, T-78: only a correct 101 is an agreement; whatever else is said is an answer, or none. */
t.test('anything but a correct 101 opens nothing', async t => {
  const no = (...headers: string[]) => lines('HTTP/1.1 101 Switching Protocols', LEAK, ...headers)
  const accept = `Sec-WebSocket-Accept: ${ACCEPT}`
  const rows: readonly (readonly [what: string, answer: string])[] = [
    ['no accept', no(CONNECTION, UPGRADE)],
    ['an empty accept', no(CONNECTION, UPGRADE, 'Sec-WebSocket-Accept:')],
    ['a wrong accept', no(CONNECTION, UPGRADE, `Sec-WebSocket-Accept: ${ACCEPT.toLowerCase()}`)],
    ['the key for an accept', no(CONNECTION, UPGRADE, `Sec-WebSocket-Accept: ${KEY}`)],
    ['two accepts', no(CONNECTION, UPGRADE, accept, accept)],
    ['two accepts, one wrong', no(CONNECTION, UPGRADE, accept, 'Sec-WebSocket-Accept: x')],
    ['a list of accepts', no(CONNECTION, UPGRADE, `Sec-WebSocket-Accept: ${ACCEPT}, ${ACCEPT}`)],
    ['h2c', no(CONNECTION, 'Upgrade: h2c', accept)],
    ['h2c behind it', no(CONNECTION, 'Upgrade: websocket, h2c', accept)],
    ['two upgrades', no(CONNECTION, UPGRADE, 'Upgrade: h2c', accept)],
    ['a huge head', no(CONNECTION, UPGRADE, accept, `X-A: ${'x'.repeat(120_000)}`)],
    ['a folded header', no(CONNECTION, UPGRADE, accept, 'X-A: b\r\n c')],
    ['a bare CR', no(CONNECTION, UPGRADE, accept, 'X-A: b\rc')],
    ['NUL', no(CONNECTION, UPGRADE, accept, 'X-A: b\0c')],
    ['garbage', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['frames at once', '\x81\x05hello'],
    ['status 099', 'HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n'],
  ]
  await each(rows, async ([what, answer]) => {
    const [path, next] = [tag(), tag()]
    answers.set(path, socket => socket.write(`${answer}${EVIL}`, 'latin1'))
    const connection = ask(path, [...WEBSOCKET, SIGNED_IN])
    t.equal(await statusOf(connection), 502, what)
    connection.write(lines(`GET ${next} HTTP/1.1`, HOST, SIGNED_IN))
    t.ok(await connection.closed(), `${what}: closed`)
    t.notMatch(connection.text(), /evil|leak/, `${what}: nothing of it got through`)
    t.match(
      readAnswer(connection.text()),
      { whole: true, rest: '' },
      `${what}: our answer is whole`,
    )
    t.equal(under(next).length, 0, `${what}: nothing behind it arrived`)
    t.ok(await isFreed(path), `${what}: the application is freed`)
  })
})

t.test('an application that hangs up before its answer is over has not agreed', async t => {
  const rows: readonly (readonly [what: string, answer: string])[] = [
    ['nothing', ''],
    ['half a status line', 'HTTP/1.1 10'],
    ['half a head', agreed().slice(0, -2)],
    ['a 1xx only', lines('HTTP/1.1 103 Early Hints')],
    ['a 101 without Upgrade', lines('HTTP/1.1 101 Switching', CONNECTION)],
    ['a 101 without Connection', lines('HTTP/1.1 101 Switching', UPGRADE)],
  ]
  const ways = { closed: 'end', reset: 'resetAndDestroy' } as const
  const all = rows.flatMap(row => Object.entries(ways).map(way => [...row, ...way] as const))
  await each(all, async ([what, answer, how, way]) => {
    const path = tag()
    answers.set(path, socket => {
      socket.write(answer, () => socket[way]())
    })
    const connection = ask(path, [...WEBSOCKET, SIGNED_IN])
    t.equal(await statusOf(connection), 502, `${what}, ${how}`)
    t.ok(await connection.closed(), `${what}, ${how}: closed`)
    t.match(readAnswer(connection.text()), { whole: true, rest: '' }, `${what}, ${how}: whole`)
    t.ok(await isFreed(path), `${what}, ${how}: freed`)
  })
})

t.test('an application that says nothing is not waited for', async t => {
  const signedIn = `X-Amzn-Oidc-Data: ${impatientToken}`
  const rows: readonly (readonly [what: string, answer: string])[] = [
    ['nothing', ''],
    ['half a head', agreed().slice(0, -2)],
    ['a 1xx', lines('HTTP/1.1 103 Early Hints')],
  ]
  await each(rows, async ([what, answer]) => {
    const path = tag()
    answers.set(path, socket => socket.write(answer))
    const connection = ask(path, [...WEBSOCKET, signedIn], impatient)
    t.equal(await statusOf(connection), 504, what)
    t.ok(await connection.closed(), `${what}: closed`)
    t.ok(await isFreed(path), `${what}: freed`)
  })
  t.ok(await isAt(impatient, 'alb_auth_requests_in_flight', 0))
})

t.test('a 101 that a plain request did not ask for opens nothing', async t => {
  const rows: readonly (readonly [what: string, headers: readonly string[]])[] = [
    ['plain', []],
    ['h2c', [CONNECTION, 'Upgrade: h2c']],
    ['a POST for one', [...WEBSOCKET, 'Content-Length: 0']],
    ['with a key only', SOCKET],
  ]
  await each(rows, async ([what, headers]) => {
    const path = tag()
    answers.set(path, socket => socket.write(`${agreed(LEAK)}${EVIL}`))
    const connection = ask(path, [...headers, SIGNED_IN, 'Connection: close'])
    t.equal(await statusOf(connection), 502, what)
    t.ok(await connection.closed(), `${what}: closed`)
    t.notMatch(connection.text(), /evil|leak/, what)
    t.ok(await isFreed(path), `${what}: freed`)
  })
})

/** T-78: with a wrong version the application says 426 and goes on reading HTTP; nothing may follow. */
t.test('an answer that is no 101 is passed on, and ends both connections', async t => {
  const rows: readonly (readonly [what: string, answer: string, status: number])[] = [
    ['200', lines('HTTP/1.1 200 OK', 'Content-Length: 5') + 'hello', 200],
    [
      '200 in chunks',
      lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked') + '5\r\nhello\r\n0\r\n\r\n',
      200,
    ],
    ['403', lines('HTTP/1.1 403 Forbidden', 'Content-Length: 5') + 'hello', 403],
    [
      '426',
      lines(
        'HTTP/1.1 426 Upgrade Required',
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Content-Length: 5',
      ) + 'hello',
      426,
    ],
    ['302', lines('HTTP/1.1 302 Found', 'Location: /', 'Content-Length: 5') + 'hello', 302],
    [
      'a 200 that dresses as an agreement',
      lines(
        'HTTP/1.1 200 OK',
        CONNECTION,
        UPGRADE,
        `Sec-WebSocket-Accept: ${ACCEPT}`,
        'Content-Length: 5',
      ) + 'hello',
      200,
    ],
    [
      'one behind a 1xx',
      lines('HTTP/1.1 103 Early Hints') +
        lines('HTTP/1.1 403 Forbidden', 'Content-Length: 5') +
        'hello',
      403,
    ],
  ]
  await each(rows, async ([what, answer, status]) => {
    const [path, early, late] = [tag(), tag(), tag()]
    answers.set(path, socket => socket.write(answer))
    const get = (target: string) => lines(`GET ${target} HTTP/1.1`, HOST, SIGNED_IN)
    const version = 'Sec-WebSocket-Version: 1337'
    const headers = [CONNECTION, UPGRADE, `Sec-WebSocket-Key: ${KEY}`, version, SIGNED_IN]
    const connection = ask(path, headers, rig, get(early))
    t.equal(await statusOf(connection), status, what)
    connection.write(get(late))
    t.ok(await connection.closed(), `${what}: closed`)
    const found = readAnswer(connection.text())
    t.match(found, { body: 'hello', whole: true, rest: '' }, `${what}: whole, and the only answer`)
    t.notMatch(
      found?.headers.join('\n'),
      /^(?:upgrade|connection: upgrade)/im,
      `${what}: hop by hop`,
    )
    t.ok(await isFreed(path), `${what}: the application is freed`)
    const { bytes = '' } = upstreamOf(path) ?? {}
    t.notMatch(bytes, / \/row-\d+ HTTP[^]* \/row-/, `${what}: nothing else was said on it`)
    t.equal(under(early).length + under(late).length, 0, `${what}: nor anywhere`)
  })
})

t.test('a large refusal reaches a slow reader whole', async t => {
  const body = 'x'.repeat(1_000_000)
  const rows = [
    ['with a length', lines('HTTP/1.1 403 Forbidden', `Content-Length: ${body.length}`) + body],
    [
      'in chunks',
      lines('HTTP/1.1 403 Forbidden', 'Transfer-Encoding: chunked') +
        `f4240\r\n${body}\r\n0\r\n\r\n`,
    ],
    ['by its end', `${lines('HTTP/1.1 403 Forbidden')}${body}`],
  ] as const
  await each(rows, async ([what, answer]) => {
    const path = tag()
    answers.set(path, socket => {
      if (what === 'by its end') socket.end(answer)
      else socket.write(answer)
    })
    const socket = connect({ port: rig.port, host: '127.0.0.1' })
    socket.on('error', () => undefined)
    // Early bytes must not cut it short either.
    socket.write(lines(`GET ${path} HTTP/1.1`, HOST, ...WEBSOCKET, SIGNED_IN) + 'x'.repeat(1_000))
    let text = ''
    socket.on('data', piece => {
      text += piece.toString('latin1')
      socket.pause()
      setTimeout(() => socket.resume(), 1)
    })
    await eventually(() => socket.closed)
    const found = readAnswer(text)
    t.match(found, { status: 403, whole: true, rest: '' }, what)
    t.equal(found?.body.length, body.length, `${what}: every byte`)
    t.ok(await isFreed(path), `${what}: freed`)
  })
})

t.test('what comes with the 101, or before it, is in its place', async t => {
  const bytes = Buffer.from(Array.from({ length: 512 }, (_, at) => at % 256)).toString('latin1')
  const rows: readonly (readonly [what: string, answer: string, expected: string])[] = [
    ['bytes with the 101', agreed() + bytes, bytes],
    ['an answer behind the 101', agreed() + EVIL, EVIL],
    [
      '1xx before the 101',
      lines('HTTP/1.1 103 Early Hints', LEAK).repeat(20) + agreed() + bytes,
      bytes,
    ],
    ['a length that a 101 cannot have', agreed('Content-Length: 3') + bytes, bytes],
    ['a coding that a 101 cannot have', agreed('Transfer-Encoding: chunked') + bytes, bytes],
    [
      'hop-by-hop headers',
      agreed('Connection: X-Leak', 'X-Leak: leak', 'Keep-Alive: leak') + bytes,
      bytes,
    ],
    ['a nominated accept', agreed('Connection: Sec-WebSocket-Accept') + bytes, bytes],
  ]
  await each(rows, async ([what, answer, expected]) => {
    const path = tag()
    answers.set(path, socket => socket.write(answer, 'latin1'))
    const connection = ask(path, [...WEBSOCKET, SIGNED_IN])
    t.equal(await statusOf(connection), 101, what)
    t.ok(await eventually(() => tunnelled(connection).length >= expected.length), what)
    t.equal(tunnelled(connection), expected, `${what}: byte for byte`)
    const head = connection.text().slice(0, -expected.length)
    t.notMatch(head, /leak|content-length|transfer-encoding|103/i, `${what}: the rest stays here`)
    t.match(head, `Sec-WebSocket-Accept: ${ACCEPT}`, what)
    connection.reset()
    t.ok(await isFreed(path), `${what}: freed`)
  })
})

/** T-78: before the 101 nobody reads what a client sends, unless somebody does. */
t.test('what a client sends before the 101 arrives behind it, in order', async t => {
  for (const pieces of [['early'], ['one', 'two', 'three'], ['x'.repeat(60_000)]]) {
    const path = tag()
    const arrived = new Promise<Socket>(resolve => answers.set(path, resolve))
    const [first = '', ...more] = pieces
    const connection = ask(path, [...WEBSOCKET, SIGNED_IN], rig, first)
    const socket = await arrived
    for (const piece of more) connection.write(piece)
    const said = under(path)[0]?.rest
    t.equal(said, '', 'nothing of it before the application has agreed')
    socket.write(agreed())
    t.equal(await statusOf(connection), 101)
    connection.write('late')
    const expected = `${pieces.join('')}late`
    t.ok(
      await eventually(() => (under(path)[0]?.rest.length ?? 0) >= expected.length),
      'all of it after',
    )
    t.equal(under(path)[0]?.rest, expected)
    connection.reset()
    t.ok(await isFreed(path))
  }
})

/** A client that sends for ever while it is decided must not fill the memory. */
t.test('more than a little before the 101 ends it', async t => {
  const path = tag()
  const arrived = new Promise<Socket>(resolve => answers.set(path, resolve))
  const connection = ask(path, [...WEBSOCKET, SIGNED_IN], rig, 'x'.repeat(40_000))
  await arrived
  connection.write('x'.repeat(100_000))
  t.ok(await connection.closed(), 'the connection ends')
  t.equal(connection.text(), '', 'without an answer')
  t.ok(await isFreed(path), 'and the application is freed')
  t.notMatch(under(path)[0]?.rest, /x/, 'which read none of it')
})

/** http-party/node-http-proxy#1468, #1439: a reset in this moment ends the process there. */
t.test('whoever leaves before the 101 frees the application', async t => {
  for (const leave of ['reset', 'end'] as const) {
    const path = tag()
    const arrived = new Promise<Socket>(resolve => answers.set(path, resolve))
    const connection = ask(path, [...WEBSOCKET, SIGNED_IN])
    await arrived
    connection[leave]()
    t.ok(await isFreed(path), `${leave}: freed`)
    t.ok(await connection.closed(), `${leave}: closed`)
    connection.reset()
  }
  // While the key is fetched there is nothing to free but us.
  const other = rig.signer.sign(ALICE, { header: { kid: '00000000-0000-4000-8000-000000000000' } })
  for (let nth = 0; nth < 20; nth++) {
    const connection = ask(tag(), [...WEBSOCKET, `X-Amzn-Oidc-Data: ${other}`])
    await sleep(nth % 3)
    connection.reset()
  }
  t.ok(await isAt(rig, 'alb_auth_requests_in_flight', 0), 'nothing is left in flight')
})

/**
 * An application whose connections can be half closed. What it is asked for is in the path: how it
 * leaves, and when.
 */
t.test('whoever leaves a tunnel takes the other side along, with all that was said', async t => {
  const sockets = new Map<string, { socket: Socket; text: () => string; isOver: () => boolean }>()
  const server = createServer({ allowHalfOpen: true }, socket => {
    let text = ''
    let over = false
    socket.on('error', () => undefined)
    socket.on('end', () => {
      over = true
    })
    socket.on('data', piece => {
      text += piece.toString('latin1')
      const [head = '', path = ''] = /^GET (\S+) [^]*?\r\n\r\n/.exec(text) ?? []
      if (head === '' || sockets.has(path)) return
      sockets.set(path, { socket, text: () => text.slice(head.length), isOver: () => over })
      socket.write(agreed())
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const { socket } of sockets.values()) socket.destroy()
    server.close()
  })
  const { port } = server.address() as { port: number }
  const duplex = await startRig(t, port)
  const data = duplex.token()

  /** Both ends of a tunnel. */
  async function tunnel() {
    const path = tag()
    const client = connect({ port: duplex.port, host: '127.0.0.1', allowHalfOpen: true })
    let text = ''
    let over = false
    client.on('error', () => undefined)
    client.on('end', () => {
      over = true
    })
    client.on('data', piece => {
      text += piece.toString('latin1')
    })
    client.write(lines(`GET ${path} HTTP/1.1`, HOST, ...WEBSOCKET, `X-Amzn-Oidc-Data: ${data}`))
    await eventually(() => text.includes('\r\n\r\n'))
    const received = () => text.slice(text.indexOf('\r\n\r\n') + 4)
    return {
      app: sockets.get(path)!,
      client: { socket: client, text: received, isOver: () => over },
    }
  }
  const comes = (side: { text: () => string }, expected: string) =>
    eventually(() => side.text() === expected)
  const ends = (side: { isOver: () => boolean; socket: Socket }) =>
    eventually(() => side.isOver() || side.socket.closed)

  for (const [first, second] of [
    ['client', 'app'],
    ['app', 'client'],
  ] as const) {
    const sides = await tunnel()
    sides[first].socket.end('last words')
    t.ok(await comes(sides[second], 'last words'), `${first} ends: its last words arrive`)
    t.ok(await ends(sides[second]), `${first} ends: and its end`)
    sides[second].socket.end('an answer to them')
    t.ok(await comes(sides[first], 'an answer to them'), `${first} ends: it is still answered`)
    t.ok(await ends(sides[first]), `${first} ends: to the end`)
    t.ok(await isAt(duplex, 'alb_auth_websockets', 0), `${first} ends: nothing is left`)
  }
  for (const [first, second] of [
    ['client', 'app'],
    ['app', 'client'],
  ] as const) {
    const sides = await tunnel()
    sides[first].socket.resetAndDestroy()
    t.ok(await ends(sides[second]), `${first} resets: the other learns of it`)
    t.ok(await isAt(duplex, 'alb_auth_websockets', 0), `${first} resets: nothing is left`)
    t.ok(await isAt(duplex, 'alb_auth_upstream_connections', 0), `${first} resets: nowhere`)
  }
  {
    const { app, client } = await tunnel()
    client.socket.resetAndDestroy()
    app.socket.resetAndDestroy()
    t.ok(await isAt(duplex, 'alb_auth_websockets', 0), 'both reset: nothing is left')
  }
  {
    // Nobody reads; the other side goes.
    const { app, client } = await tunnel()
    client.socket.pause()
    app.socket.write(Buffer.alloc(8_000_000, 'x'))
    await sleep(50)
    client.socket.resetAndDestroy()
    t.ok(await ends(app), 'a reader that stood still resets: the other learns of it')
    t.ok(await isAt(duplex, 'alb_auth_websockets', 0), 'and nothing is left')
  }
  t.ok(await isAt(duplex, 'alb_auth_upstream_connections', 0))
  t.equal(await duplex.stop(), 'exit 0')
})

/** T-73: an upgrade among requests that were sent ahead. Nobody may be left waiting for his turn. */
t.test('an upgrade behind requests that are not answered yet leaves nobody waiting', async t => {
  interface Row {
    readonly what: string
    readonly headers: readonly string[]
  }
  const rows: readonly Row[] = [
    { what: 'a WebSocket', headers: [...WEBSOCKET, SIGNED_IN] },
    { what: 'a refused WebSocket', headers: WEBSOCKET },
    { what: 'h2c', headers: [CONNECTION, 'Upgrade: h2c', SIGNED_IN] },
    { what: 'refused h2c', headers: [CONNECTION, 'Upgrade: h2c'] },
    { what: 'a POST', headers: [...WEBSOCKET, SIGNED_IN, 'Content-Length: 0'] },
  ]
  await each(rows, async ({ what, headers }) => {
    const [before, path, next] = [tag(), tag(), tag()]
    const arrived = new Promise<Socket>(resolve => answers.set(before, resolve))
    const connection = openRaw(rig.port)
    const get = (target: string, ...more: readonly string[]) =>
      lines(`GET ${target} HTTP/1.1`, HOST, ...more)
    connection.write(get(before, SIGNED_IN) + get(path, ...headers) + get(next, SIGNED_IN))
    // Large enough to need room on the connection again and again.
    const body = 'x'.repeat(5_000_000)
    void arrived.then(socket => {
      socket.write(lines('HTTP/1.1 200 OK', `Content-Length: ${body.length}`) + body)
    })
    const isTunnel = what === 'a WebSocket'
    await eventually(async () => {
      const text = connection.text()
      return (await connection.closed(1)) || (isTunnel && text.includes('HTTP/1.1 101 '))
    })
    const closed = await connection.closed(1)
    const found = readAnswer(connection.text())
    const isOpen = found?.rest.startsWith('HTTP/1.1 101 ') ?? false
    t.ok(closed || (isTunnel && isOpen), `${what}: it ended`)
    if (found?.whole === true)
      t.equal(found.body.length, body.length, `${what}: first come, first served`)
    connection.reset()
    if (!isOpen) t.equal(under(next).length, 0, `${what}: nothing behind it is served`)
    t.ok(await isFreed(before), `${what}: freed`)
    t.ok(await isFreed(path), `${what}: freed`)
  })
  t.ok(await isAt(rig, 'alb_auth_requests_in_flight', 0), 'nothing is left in flight')
})

t.test('an upgrade on a connection that was kept is like any other', async t => {
  const [before, path, plain] = [tag(), tag(), tag()]
  const connection = ask(before, [SIGNED_IN])
  t.ok(await connection.until(/\r\n\r\nok$/))
  connection.write(lines(`GET ${path} HTTP/1.1`, HOST, ...WEBSOCKET, SIGNED_IN))
  t.ok(await connection.until(/HTTP\/1\.1 101 [^]*\r\n\r\n$/))
  connection.write('through')
  t.ok(await eventually(() => under(path)[0]?.rest === 'through'))
  connection.reset()

  const kept = ask(plain, [SIGNED_IN])
  t.ok(await kept.until(/\r\n\r\nok$/))
  const last = tag()
  kept.write(lines(`GET ${last} HTTP/1.1`, HOST, CONNECTION, 'Upgrade: h2c', SIGNED_IN))
  t.ok(await kept.closed())
  t.equal(under(last).length, 1)
})

/** T-80: in a tunnel that nobody opened, and in thousands. */
t.test('many that come and go leave nothing behind', async t => {
  const ways = ['reset', 'end'] as const
  await each(
    Array.from({ length: 400 }, (_, nth) => nth),
    async nth => {
      const path = tag()
      if (nth % 4 === 3) answers.set(path, socket => socket.write(agreed().replace('s3p', 'S3P')))
      const connection = ask(path, [...WEBSOCKET, ...(nth % 5 === 4 ? [] : [SIGNED_IN])])
      if (nth % 3 > 0) await statusOf(connection)
      connection[ways[nth % 2]!]()
      if (nth % 2 === 1) await connection.closed()
      connection.reset()
    },
  )
  t.ok(await isAt(rig, 'alb_auth_websockets', 0))
})

t.test('whatever was tried, nothing leaked and nobody was believed', async (t: Test) => {
  for (const each of [rig, allowing, reporting, impatient]) {
    t.ok(await isAt(each, 'alb_auth_websockets', 0), 'no WebSocket is left')
    t.ok(await isAt(each, 'alb_auth_upstream_connections', 0), 'no connection is left')
    t.ok(await isAt(each, 'alb_auth_requests_in_flight', 0), 'no request is left')
  }
  t.ok(
    // Three for what may come and go by itself: a scrape, the key server, a log.
    await eventually(async () => (await rig.metric('process_open_fds')) <= files + 3),
    'no file is left open',
  )
  await oracle.check(t, recorder, [allowing, impatient])
})
