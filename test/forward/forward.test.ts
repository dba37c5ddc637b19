import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Body } from '../../src/core/body.ts'
import type { UpstreamHeaders } from '../../src/core/headers.ts'
import {
  createForward,
  type Forward,
  type Forwarded,
  type ForwardOptions,
  type Outgoing,
} from '../../src/forward/forward.ts'
import { createAuthority } from '../fixtures/certificates.ts'
import { comesTrue, givenTime, PATIENCE_MS } from '../fixtures/patience.ts'
import { CLOSED_PORT, lines, openRaw, sendRaw } from '../fixtures/raw.ts'
import { startRecorder, type Recorder } from '../fixtures/recorder.ts'
import { stretch } from '../fixtures/timers.ts'
import { until } from '../fixtures/until.ts'

interface Rig {
  readonly port: number
  readonly forward: Forward
  /** How many exchanges have begun. */
  readonly begun: () => number
  /** How each exchange ended, in order. */
  readonly ended: readonly Forwarded[]
  /** What was reported beside them, as `kind: detail`. */
  readonly reported: readonly string[]
  /** Resolves to the end of the next exchange. */
  readonly nextEnd: () => Promise<Forwarded>
}

type Alter = (outgoing: Outgoing) => Partial<Outgoing>

/**
 * A server that passes every request on, its header list but for the framing, and says `599 reason`
 * where that failed.
 */
async function startRig(
  t: Test,
  options: Partial<ForwardOptions> & { readonly port?: number },
  alter: Alter = () => ({}),
): Promise<Rig> {
  const reported: string[] = []
  const ended: Forwarded[] = []
  const waiting: ((end: Forwarded) => void)[] = []
  let begun = 0
  const forward = createForward({
    protocol: 'http:',
    host: '127.0.0.1',
    port: 0,
    connections: 8,
    connectTimeoutMs: PATIENCE_MS,
    headersTimeoutMs: PATIENCE_MS,
    idleTimeoutMs: 0,
    maxHeaderBytes: 16_384,
    webSocketMaxAgeMs: 0,
    telemetry: {
      upstreamFailed: (kind, detail) => reported.push(`${kind}: ${detail}`),
    },
    ...options,
  })
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    const outgoing = outgoingOf(request, response)
    request.on('error', () => undefined)
    begun++
    void forward.forward({ ...outgoing, ...alter(outgoing) }).then(end => {
      if (end.outcome === 'failed') response.writeHead(599, end.reason).end()
      ended.push(end)
      waiting.shift()?.(end)
    })
  }
  const server = http.createServer({ requireHostHeader: false }, onRequest)
  server.on('checkContinue', onRequest)
  const port = await listen(t, server)
  t.teardown(() => {
    forward.close()
    server.closeAllConnections()
  })
  const nextEnd = () => new Promise<Forwarded>(resolve => waiting.push(resolve))
  return { port, forward, begun: () => begun, ended, reported, nextEnd }
}

/** What the steps before would have made of a request. */
function outgoingOf(request: IncomingMessage, response: ServerResponse): Outgoing {
  const { method = '', url: target = '', headers, rawHeaders } = request
  const { 'content-length': length, 'transfer-encoding': coding } = headers
  const framed: Body = length === undefined ? { kind: 'none' } : lengthOf(Number(length))
  const body: Body = coding === undefined ? framed : { kind: 'chunked' }
  const framing = /^(?:content-length|transfer-encoding|expect|connection)$/i
  const kept = rawHeaders.flatMap((name, at) =>
    at % 2 === 0 && !framing.test(name) ? [name, rawHeaders[at + 1] ?? ''] : [],
  )
  return {
    method,
    target,
    headers: kept as readonly string[] as UpstreamHeaders,
    hasHost: headers.host !== undefined,
    body,
    expectsContinue: headers.expect !== undefined,
    request,
    response,
    isClosing: () => false,
  }
}

const lengthOf = (bytes: number): Body => ({ kind: 'length', bytes })

/** Listens on a free port of 127.0.0.1, or on `path`, until the test is over. */
async function listen(t: Test, server: Server, path?: string): Promise<number> {
  if (path === undefined) server.listen(0, '127.0.0.1')
  else server.listen(path)
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** A recording application, and the rig in front of it. */
async function startBoth(
  t: Test,
  answer: Recorder['answer'],
  options: Partial<ForwardOptions> = {},
  alter?: Alter,
): Promise<Rig & { readonly recorder: Recorder }> {
  const recorder = await startRecorder(t)
  recorder.answer = answer
  return { recorder, ...(await startRig(t, { port: recorder.port, ...options }, alter)) }
}

const answer = (head: string, body = '', ...headers: readonly string[]) =>
  lines(`HTTP/1.1 ${head}`, ...headers, `Content-Length: ${body.length}`) + body
const OK = answer('200 OK', 'ok')

/** What came back, cut into its parts. */
function parts(text: string) {
  const end = text.indexOf('\r\n\r\n')
  const [line = '', ...headers] = text.slice(0, end).split('\r\n')
  return { line, headers, body: text.slice(end + 4) }
}

const GET = lines('GET / HTTP/1.1', 'Host: a')

t.test('a request goes on as it was admitted, with its framing stated anew', async t => {
  const { port, recorder } = await startBoth(t, OK)
  const cases = [
    {
      sent: lines('GET /a/../b?c=%00 HTTP/1.1', 'hOST: App', 'X-a: 1', 'x-A: 2', 'Empty:'),
      line: 'GET /a/../b?c=%00 HTTP/1.1',
      headers: ['hOST: App', 'X-a: 1', 'x-A: 2', 'Empty: '],
    },
    {
      sent: `${lines('POST / HTTP/1.1', 'Host: a', 'content-length: 5')}hello`,
      line: 'POST / HTTP/1.1',
      headers: ['Host: a', 'Content-Length: 5'],
      rest: 'hello',
    },
    {
      sent: lines('POST / HTTP/1.1', 'Host: a'),
      line: 'POST / HTTP/1.1',
      headers: ['Host: a', 'Content-Length: 0'],
    },
    {
      sent: `${lines('DELETE / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked')}3\r\nabc\r\n0\r\n\r\n`,
      line: 'DELETE / HTTP/1.1',
      headers: ['Host: a', 'Transfer-Encoding: chunked'],
      rest: '3\r\nabc\r\n0\r\n\r\n',
    },
    {
      sent: `${lines('GET / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked')}0\r\nTrailer: x\r\n\r\n`,
      line: 'GET / HTTP/1.1',
      headers: ['Host: a', 'Transfer-Encoding: chunked'],
      rest: '0\r\n\r\n',
    },
    {
      sent: lines('GET / HTTP/1.0'),
      line: 'GET / HTTP/1.1',
      headers: ['Host: 127.0.0.1'],
    },
  ]
  for (const { sent, line, headers, rest = '' } of cases) {
    recorder.reset()
    const { statuses } = await sendRaw(port, sent)
    t.same(statuses, [200], line)
    const [seen] = recorder.requests()
    const own = seen?.headers.filter(header => header !== 'Connection: keep-alive')
    t.same({ ...seen, headers: own }, { line, headers, rest }, line)
  }
})

t.test('an answer goes on as it came, but for what belongs to one connection', async t => {
  const cases = [
    {
      answer: 'headers and body',
      sent: `${lines('HTTP/1.1 299 Qu\u00eete Fine', 'dATE: then', 'Set-Cookie: a', 'X: 1', 'Set-Cookie: b', 'Content-Length: 2')}ok`,
      line: 'HTTP/1.1 299 Qu\u00eete Fine',
      headers: ['dATE: then', 'Set-Cookie: a', 'X: 1', 'Set-Cookie: b', 'Content-Length: 2'],
      body: 'ok',
    },
    {
      answer: 'a chunked body',
      sent: `${lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked', 'Connection: X-Hop', 'X-Hop: 1')}3\r\nabc\r\n0\r\nTrailer: x\r\n\r\n`,
      line: 'HTTP/1.1 200 OK',
      headers: ['Transfer-Encoding: chunked'],
      body: '3\r\nabc\r\n0\r\n\r\n',
    },
    {
      answer: 'a body that ends with its connection',
      sent: `${lines('HTTP/1.0 200 OK', 'Connection: close')}abc`,
      line: 'HTTP/1.1 200 OK',
      headers: ['Transfer-Encoding: chunked'],
      body: '3\r\nabc\r\n0\r\n\r\n',
      closes: true,
    },
    {
      answer: 'no body',
      sent: lines('HTTP/1.1 204 No Content', 'Content-Length: 0'),
      line: 'HTTP/1.1 204 No Content',
      headers: [],
      body: '',
    },
    {
      answer: 'a length without a body',
      sent: lines('HTTP/1.1 304 Not Modified', 'Content-Length: 7', 'ETag: x'),
      line: 'HTTP/1.1 304 Not Modified',
      headers: ['Content-Length: 7', 'ETag: x'],
      body: '',
    },
    {
      answer: 'to a HEAD',
      ask: lines('HEAD / HTTP/1.1', 'Host: a'),
      sent: lines('HTTP/1.1 200 OK', 'Content-Length: 7'),
      line: 'HTTP/1.1 200 OK',
      headers: ['Content-Length: 7'],
      body: '',
    },
    {
      answer: 'announced by informational ones',
      sent: lines('HTTP/1.1 100 Continue') + lines('HTTP/1.1 103 Early Hints', 'Link: x') + OK,
      line: 'HTTP/1.1 200 OK',
      headers: ['Content-Length: 2'],
      body: 'ok',
    },
  ]
  for (const { answer, ask = GET, sent, line, headers, body, closes = false } of cases) {
    const { port, ended, reported } = await startBoth(t, (socket: Socket) => {
      socket.write(sent, 'latin1')
      if (closes) socket.end()
    })
    const { text } = await sendRaw(port, ask)
    const found = parts(text)
    t.equal(found.line, line, answer)
    const own = found.headers.filter(header => !/^(?:Connection|Keep-Alive):/.test(header))
    t.same(own, headers, `${answer}: its headers`)
    t.equal(found.body, body, `${answer}: its body`)
    await until(() => ended.length === 1)
    t.match(ended, [{ outcome: 'sent', status: Number(line.slice(9, 12)) }], answer)
    t.same(reported, [], answer)
  }
})

t.test('no header line of an answer is left out', async t => {
  const many = Array.from({ length: 3_000 }, (_, at) => `a: ${at}`)
  const sent = answer('200 OK', 'ok', ...many, 'Set-Cookie: last')
  const { port } = await startBoth(t, sent, { maxHeaderBytes: 81_920 })
  const { headers } = parts((await sendRaw(port, GET)).text)
  t.equal(headers.filter(header => header.startsWith('a: ')).length, 3_000)
  t.ok(headers.includes('Set-Cookie: last'))
})

t.test('no head waits for the first byte of its body', async t => {
  const { port, recorder } = await startBoth(t, (socket: Socket) => {
    socket.write(lines('HTTP/1.1 200 OK', 'Content-Type: text/event-stream', 'Connection: close'))
  })
  const upload = connect({ port, host: '127.0.0.1' })
  t.teardown(() => upload.destroy())
  upload.write(lines('POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked'))
  await until(() => recorder.requests().length === 1).catch(() => undefined)
  t.equal(recorder.requests().length, 1, 'the head of a request is there before its body')

  const events = connect({ port, host: '127.0.0.1' })
  t.teardown(() => events.destroy())
  let text = ''
  events.on('data', chunk => (text += chunk.toString()))
  events.write(GET)
  await until(() => text !== '').catch(() => undefined)
  t.match(text, /^HTTP\/1\.1 200 OK\r\n/, 'the head of an answer is there before its body')
})

t.test('bodies stream both ways while the other is still under way', async t => {
  const { port } = await startBoth(t, (socket: Socket) => {
    socket.write(`${lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked')}5\r\nhello\r\n`)
    socket.on('data', chunk => {
      const text = chunk.toString()
      if (text.includes('ping')) socket.write('4\r\npong\r\n')
      if (text.includes('bye!')) socket.write('0\r\n\r\n')
    })
  })
  const socket = connect({ port, host: '127.0.0.1' })
  let text = ''
  socket.on('data', chunk => (text += chunk.toString()))
  socket.write(`${lines('POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked')}1\r\n.\r\n`)
  await until(() => text.includes('hello'))
  socket.write('4\r\nping\r\n')
  await until(() => text.includes('pong'))
  socket.write('4\r\nbye!\r\n0\r\n\r\n')
  await once(socket, 'close')
  t.match(text, /pong\r\n0\r\n\r\n$/)
})

t.test('a large body arrives whole in both directions', async t => {
  const size = 4 * 1_048_576
  let received = 0
  const application = http.createServer((request, response) => {
    response.writeHead(200, { 'Content-Length': size })
    request.on('data', (chunk: Buffer) => {
      received += chunk.length
    })
    request.pipe(response)
  })
  const { port } = await startRig(t, { port: await listen(t, application) })
  const sent = new Uint8Array(size).fill(7)
  const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: sent })
  const back = new Uint8Array(await response.arrayBuffer())
  t.equal(received, size)
  t.equal(back.length, size)
  t.ok(back.every(byte => byte === 7))
})

t.test('a client that waits for 100 gets it from us, and the application no Expect', async t => {
  const { port, recorder } = await startBoth(t, OK)
  const head = lines('POST / HTTP/1.1', 'Host: a', 'Content-Length: 5', 'Expect: 100-continue')
  const socket = connect({ port, host: '127.0.0.1' })
  t.teardown(() => socket.destroy())
  socket.write(head)
  const [first] = (await once(socket, 'data')) as [Buffer]
  t.match(first.toString(), /^HTTP\/1\.1 100 Continue\r\n\r\n/)
  socket.write('hello')
  await until(() => recorder.requests()[0]?.rest === 'hello')
  t.notMatch(recorder.connections[0]?.bytes, /expect/i)
})

t.test('an application on a socket path or a v6 address is reached too', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'forward-'))
  t.teardown(() => {
    rmSync(directory, { recursive: true })
  })
  const socketPath = join(directory, 'app.sock')
  const application = http.createServer((request, response) => {
    response.end(request.headers.host)
  })
  await listen(t, application, socketPath)
  const local = await startRig(t, { host: 'localhost', port: 80, socketPath })
  t.match((await sendRaw(local.port, lines('GET / HTTP/1.0'))).text, /localhost$/)

  const v6 = http.createServer((request, response) => {
    response.end(request.headers.host)
  })
  v6.listen(0, '::1')
  const isListening = await once(v6, 'listening').then(
    () => true,
    () => false,
  )
  t.teardown(() => v6.close())
  const address = v6.address()
  const port = typeof address === 'object' && address !== null ? address.port : 9
  const remote = await startRig(t, { host: '::1', port })
  const { text } = await sendRaw(remote.port, lines('GET / HTTP/1.0'))
  t.match(text, isListening ? /\[::1\]$/ : / 599 upstream_unreachable\r\n/)
})

/** A client that could choose the name would choose which certificate passes for the application's. */
t.test('an application over TLS is verified, whatever Host a client sends', async t => {
  const authority = await createAuthority()
  const serve = async (names: readonly string[]) => {
    const { certificate: cert, key } = await authority.issue({ names })
    const heard: string[] = []
    const application = https.createServer({ cert, key }, (request, response) => {
      heard.push(request.headers.host ?? '')
      response.end('ok')
    })
    application.on('tlsClientError', () => undefined)
    return { port: await listen(t, application), heard }
  }
  const [own, foreign] = [await serve(['localhost']), await serve(['app.example.com'])]
  const options = {
    ...({ protocol: 'https:', host: 'localhost', ca: [authority.certificate] } as const),
    ...{ connectTimeoutMs: 20_000, headersTimeoutMs: 20_000 },
  }
  const get = lines('GET / HTTP/1.1', 'Host: app.example.com')
  const ask = async (port: number) => (await sendRaw(port, get, { patienceMs: 20_000 })).text

  const good = await startRig(t, { ...options, port: own.port })
  t.match(await ask(good.port), / 200 OK[^]*ok/)
  t.match(await ask(good.port), / 200 OK[^]*ok/)
  t.same(own.heard, ['app.example.com', 'app.example.com'])

  const bad = await startRig(t, { ...options, port: foreign.port })
  // More than once: a session of the first try must not stand for the second.
  for (let at = 0; at < 3; at++) {
    t.match(await ask(bad.port), / 599 upstream_unreachable\r\n/)
    t.match(bad.reported[at], /^unreachable: Hostname\/IP does not match/)
  }
  t.same(foreign.heard, [], 'and hears nothing')

  const system = await startRig(t, { ...options, ca: undefined, port: own.port })
  t.match(await ask(system.port), / 599 upstream_unreachable\r\n/)
})

t.test('what fails before an answer has a reason, and the response is untouched', async t => {
  const mute = createServer(socket => {
    socket.on('error', () => undefined).resume()
  })
  const plain = createServer(socket => {
    socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n')
  })
  const recorder = await startRecorder(t)
  const cut = (bytes: string) => (socket: Socket) => {
    socket.write(bytes)
    socket.end()
  }
  const upgrade = ['Connection: Upgrade', 'Upgrade: websocket']
  const port = recorder.port
  const cases: readonly {
    application: string
    options?: Partial<ForwardOptions>
    answer?: Recorder['answer']
    reason: string
    report: RegExp
  }[] = [
    {
      application: 'that refuses the connection',
      options: { port: CLOSED_PORT },
      reason: 'upstream_unreachable',
      report: /^unreachable: .*ECONNREFUSED/,
    },
    {
      application: 'that hangs up',
      answer: cut(''),
      reason: 'upstream_unreachable',
      report: /^unreachable: the application closed the connection$/,
    },
    {
      application: 'that hangs up within the head of its answer',
      answer: cut('HTTP/1.1 200 OK\r\nA: b\r\n'),
      reason: 'upstream_unreachable',
      report: /^unreachable: /,
    },
    {
      application: 'that resets the connection',
      answer: socket => socket.resetAndDestroy(),
      reason: 'upstream_unreachable',
      report: /^unreachable: read ECONNRESET/,
    },
    {
      application: 'that does not speak TLS',
      options: { protocol: 'https:', port: await listen(t, plain) },
      reason: 'upstream_unreachable',
      report: /^unreachable: /,
    },
    {
      application: 'that does not get as far as TLS',
      options: { protocol: 'https:', port: await listen(t, mute), connectTimeoutMs: 50 },
      reason: 'upstream_timeout',
      report: /^timeout: .*UPSTREAM_CONNECT_TIMEOUT/,
    },
    {
      application: 'that does not answer',
      options: { port, headersTimeoutMs: 50 },
      answer: () => undefined,
      reason: 'upstream_timeout',
      report: /^timeout: .*UPSTREAM_HEADERS_TIMEOUT/,
    },
    {
      application: 'that says 100 and no more',
      options: { port, headersTimeoutMs: 50 },
      answer: lines('HTTP/1.1 100 Continue'),
      reason: 'upstream_timeout',
      report: /^timeout: .*UPSTREAM_HEADERS_TIMEOUT/,
    },
    {
      application: 'that speaks something else',
      answer: 'SSH-2.0-OpenSSH_9.6\r\n',
      reason: 'upstream_invalid',
      report: /^invalid: no HTTP$/,
    },
    {
      application: 'whose header name has a space in it',
      answer: answer('200 OK', 'ok', 'A : b'),
      reason: 'upstream_invalid',
      report: /^invalid: a head that is none$/,
    },
    {
      application: 'that frames its answer in two ways',
      answer: answer('200 OK', 'ok', 'Transfer-Encoding: chunked'),
      reason: 'upstream_invalid',
      report: /^invalid: a length beside a transfer coding$/,
    },
    {
      application: 'whose head is too long',
      answer: answer('200 OK', 'ok', `Pad: ${'x'.repeat(20_000)}`),
      reason: 'upstream_invalid',
      report: /^invalid: a head of more than MAX_HEADER_BYTES$/,
    },
    {
      application: 'that switches protocols unasked',
      answer: lines('HTTP/1.1 101 Switching Protocols', ...upgrade),
      reason: 'upstream_invalid',
      report: /^invalid: a 101 that was not asked for/,
    },
    {
      application: 'that switches protocols without saying to which',
      answer: lines('HTTP/1.1 101 Switching Protocols'),
      reason: 'upstream_invalid',
      report: /^invalid: a 101 that was not asked for/,
    },
    {
      application: 'whose status there cannot be',
      answer: answer('042 Answer', 'ok'),
      reason: 'upstream_invalid',
      report: /^invalid: status 42$/,
    },
  ]
  for (const { application, options, answer, reason, report } of cases) {
    recorder.answer = answer ?? OK
    const { forward, ended, reported, ...rig } = await startRig(t, { port, ...options })
    const { text } = await sendRaw(
      rig.port,
      lines('GET / HTTP/1.1', 'Host: a', 'Connection: close'),
    )
    t.ok(text.startsWith(`HTTP/1.1 599 ${reason}\r\n`), `${application}: ${text}`)
    t.match(ended, [{ outcome: 'failed', reason }], application)
    t.match(reported, [report], application)
    t.equal(reported.length, 1, `${application}: reported once`)
    await until(() => forward.connections() === 0)
  }
})

/** Answers the first request of a connection and does `then` at the second. */
const onceThen = (then: (socket: Socket) => void) => (socket: Socket, seen: string) => {
  if (seen.split(' HTTP/1.1\r\n').length === 2) socket.write(OK)
  else then(socket)
}

t.test('a request is sent again only if a reused connection died without a byte', async t => {
  const die = (socket: Socket) => socket.destroy()
  const stammer = (socket: Socket) => {
    socket.write('HTTP/1.1 2')
    setTimeout(() => socket.destroy(), 20)
  }
  const empty = 'Content-Length: 0'
  const cases: readonly {
    request: string
    then?: (socket: Socket) => void
    sent: string
    again: boolean
  }[] = [
    ...['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'].flatMap(method => [
      { request: method, sent: lines(`${method} /2 HTTP/1.1`, 'Host: a'), again: true },
      {
        request: `${method} with an empty body`,
        sent: lines(`${method} /2 HTTP/1.1`, 'Host: a', empty),
        again: true,
      },
      {
        request: `${method} with a body`,
        sent: `${lines(`${method} /2 HTTP/1.1`, 'Host: a', 'Content-Length: 1')}x`,
        again: false,
      },
    ]),
    ...['POST', 'PATCH', 'PROPFIND', 'LOCK'].map(method => ({
      request: method,
      sent: lines(`${method} /2 HTTP/1.1`, 'Host: a', empty),
      again: false,
    })),
    { request: 'GET after a byte', then: stammer, sent: lines('GET /2 HTTP/1.1'), again: false },
  ]
  for (const { request, then = die, sent, again } of cases) {
    const found = { statuses: [] as readonly number[], targets: [] as unknown[], end: {} }
    // An unused connection is not kept for long, and a slow machine may be too late for it.
    const isReused = await comesTrue(async () => {
      const { port, recorder, ended } = await startBoth(t, onceThen(then))
      await sendRaw(port, lines('GET /1 HTTP/1.1', 'Host: a', 'Connection: close'))
      const close = '\r\nConnection: close\r\n'
      found.statuses = (await sendRaw(port, sent.replace(/\r\n/, close))).statuses
      found.targets = recorder.requests().map(({ line }) => line.split(' ')[1])
      found.end = ended[1]!
      return recorder.connections[0]!.bytes.includes(' /2 ')
    })
    t.ok(isReused, `${request}: on a connection that had been used`)
    t.same(found.statuses, [again ? 200 : 599], request)
    t.same(found.targets, again ? ['/1', '/2', '/2'] : ['/1', '/2'], request)
    if (!again) t.match(found.end, { outcome: 'failed', reason: 'upstream_unreachable' }, request)
  }
})

t.test('a request is sent again on a new connection, whatever else was kept', async t => {
  let statuses: (readonly number[])[] = []
  let connections = 0
  const areReused = await comesTrue(async () => {
    // The first two are answered together, so that there are two connections to reuse.
    const held: Socket[] = []
    const { port, recorder } = await startBoth(t, (socket, seen) => {
      if (seen.split(' HTTP/1.1\r\n').length > 2) socket.destroy()
      else if (held.push(socket) === 2) for (const each of held) each.write(OK)
      else if (held.length > 2) socket.write(OK)
    })
    const both = await Promise.all([1, 2].map(() => sendRaw(port, GET)))
    statuses = [...both, await sendRaw(port, GET)].map(answer => answer.statuses)
    connections = recorder.connections.length
    return recorder.requests().length === 4
  })
  t.ok(areReused, 'two requests at first, then one on an old connection and one more')
  t.same(statuses, [[200], [200], [200]])
  t.equal(connections, 3, 'which is new')
})

t.test('a request is not sent a third time, nor again on a new connection', async t => {
  let statuses: (readonly number[])[] = []
  const isReused = await comesTrue(async () => {
    const { port, recorder } = await startBoth(t, OK)
    const first = await sendRaw(port, GET)
    recorder.answer = socket => socket.destroy()
    statuses = [first, await sendRaw(port, GET)].map(answer => answer.statuses)
    return recorder.requests().length === 3
  })
  t.ok(isReused, 'one request at first, then one on the old connection and one on a new one')
  t.same(statuses, [[200], [599]])

  const { port, recorder } = await startBoth(t, socket => socket.destroy())
  t.same((await sendRaw(port, GET)).statuses, [599])
  t.equal(recorder.requests().length, 1, 'once on a new one')
})

t.test('as many requests again as connections may wait; one more is refused', async t => {
  const held: Socket[] = []
  const rig = await startBoth(t, socket => held.push(socket), { connections: 2 })
  const { port, forward, reported, recorder } = rig
  const waiting = [1, 2, 3, 4].map(() => sendRaw(port, GET))
  await until(() => held.length === 2 && rig.begun() === 4)
  t.match((await sendRaw(port, GET)).text, /^HTTP\/1\.1 599 upstream_saturated\r\n/)
  t.match(reported, [/^saturated: UPSTREAM_CONNECTIONS are busy/])
  t.equal(recorder.connections.length, 2)
  t.equal(forward.connections(), 2)

  for (let at = 0; at < 4; at++) {
    await until(() => held.length > at)
    held[at]?.write(OK)
  }
  const answers = await Promise.all(waiting)
  t.same(
    answers.map(({ statuses }) => statuses),
    [[200], [200], [200], [200]],
  )
  t.equal(recorder.connections.length, 2, 'the waiting ones reused what there was')
  recorder.answer = OK
  t.same((await sendRaw(port, GET)).statuses, [200], 'and then there is room again')
})

t.test('a place that is waited for too long, or by nobody any more, is given up', async t => {
  const endless = `${lines('HTTP/1.1 200 OK', 'Content-Length: 9')}five `
  const occupied = async (options: Partial<ForwardOptions> = {}) => {
    const rig = await startBoth(t, endless, { connections: 1, ...options })
    const occupant = openRaw(rig.port)
    t.teardown(occupant.reset)
    occupant.write(GET)
    return { ...rig, isOccupied: await occupant.until(/^HTTP\/1\.1 200 [^]*five $/) }
  }
  const { port, begun, ended, reported, recorder } = await occupied()
  const leaving = connect({ port, host: '127.0.0.1' })
  leaving.write(GET)
  await until(() => begun() === 2)
  leaving.destroy()
  await until(() => ended.length === 1)
  t.same(ended, [{ outcome: 'client_gone' }])
  t.same(reported, [])
  t.equal(recorder.requests().length, 1, 'it was not sent')

  let late = { text: '', reported: [] as readonly string[], requests: 0 }
  await givenTime(200, async headersTimeoutMs => {
    const rig = await occupied({ headersTimeoutMs })
    const { text } = await sendRaw(rig.port, GET)
    late = { text, reported: rig.reported, requests: rig.recorder.requests().length }
    return rig.isOccupied
  })
  t.match(late.text, /^HTTP\/1\.1 599 upstream_timeout\r\n/)
  t.same(late.reported, ['timeout: no free connection within UPSTREAM_HEADERS_TIMEOUT'])
  t.equal(late.requests, 1, 'nor was this one sent')
})

t.test('connections are kept for reuse until they are all closed', async t => {
  const isKept = await comesTrue(async () => {
    const { port, forward, recorder } = await startBoth(t, OK)
    t.equal(forward.connections(), 0)
    for (let at = 0; at < 3; at++) t.same((await sendRaw(port, GET)).statuses, [200])
    const open = forward.connections()
    forward.close()
    await until(() => forward.connections() === 0)
    return recorder.connections.length === 1 && open === 1
  })
  t.ok(isKept, 'three requests, one connection')
})

t.test('the answer says that its connection ends, when it does', async t => {
  for (const isClosing of [true, false]) {
    const { port } = await startBoth(t, OK, {}, () => ({ isClosing: () => isClosing }))
    const { text, closed } = await sendRaw(port, GET)
    t.equal(parts(text).headers.includes('Connection: close'), isClosing)
    t.equal(closed, isClosing)
  }
})

t.test('an answer that breaks off breaks off for the client too', async t => {
  const cases: readonly { answer: string; sent: string; leave?: (socket: Socket) => void }[] = [
    {
      answer: 'short of its length',
      sent: `${lines('HTTP/1.1 200 OK', 'Content-Length: 9')}five `,
    },
    {
      answer: 'short of its last chunk',
      sent: `${lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked')}5\r\nfive \r\n`,
    },
    {
      answer: 'reset, where its end would have been that of the connection',
      sent: `${lines('HTTP/1.1 200 OK', 'Connection: close')}five `,
      leave: socket => socket.resetAndDestroy(),
    },
    {
      answer: 'with a chunk that is none',
      sent: `${lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked')}5\r\nfive \r\nxyz\r\n`,
    },
  ]
  for (const { answer, sent, leave = (socket: Socket) => socket.destroy() } of cases) {
    let application: Socket | undefined
    const { port, ended, reported } = await startBoth(t, socket => {
      application = socket
      socket.write(sent)
    })
    const client = openRaw(port)
    client.write(GET)
    await client.until(/five /)
    leave(application!)
    t.ok(await client.closed(), answer)
    t.match(client.text(), /five (?:\r\n)?$/, `${answer}: no end`)
    await until(() => ended.length === 1)
    t.same(ended, [{ outcome: 'broken_off', status: 200 }], answer)
    t.same(reported, ['aborted: the answer broke off'], answer)
  }
})

t.test('an answer that pauses for too long is broken off, one that goes on is not', async t => {
  const head = lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked')
  const pausing = await startBoth(t, `${head}5\r\nfive \r\n`, { idleTimeoutMs: 60 })
  const { text, closed } = await sendRaw(pausing.port, GET, { answers: 2 })
  t.match(text, /five \r\n$/)
  t.ok(closed)
  await until(() => pausing.ended.length === 1)
  t.same(pausing.ended, [{ outcome: 'broken_off', status: 200 }])

  let found = { body: '', ended: [] as readonly Forwarded[] }
  await givenTime(200, async idleTimeoutMs => {
    const { port, ended } = await startBoth(
      t,
      socket => {
        socket.write(head)
        let left = 10
        const timer = setInterval(() => {
          socket.write(left-- > 0 ? '4\r\ntick\r\n' : '0\r\n\r\n')
          if (left < 0) clearInterval(timer)
        }, idleTimeoutMs / 5)
        socket.on('close', () => {
          clearInterval(timer)
        })
      },
      { idleTimeoutMs },
    )
    found = { body: parts((await sendRaw(port, GET)).text).body, ended }
    return found.body.endsWith('0\r\n\r\n')
  })
  t.match(found.body, /^(?:4\r\ntick\r\n){10}0\r\n\r\n$/)
  await until(() => found.ended.length === 1)
  t.same(found.ended, [{ outcome: 'sent', status: 200 }])
})

t.test('a request that makes progress pushes back the time for its answer', async t => {
  const isAnswered = await givenTime(200, async headersTimeoutMs => {
    const { port } = await startBoth(
      t,
      socket => {
        socket.on('data', chunk => {
          if (chunk.toString().includes('last')) socket.write(OK)
        })
      },
      { headersTimeoutMs },
    )
    const client = openRaw(port)
    t.teardown(client.reset)
    client.write(lines('POST / HTTP/1.1', 'Host: a', 'Content-Length: 44'))
    for (let at = 0; at < 10; at++) {
      client.write('more')
      await new Promise(resolve => setTimeout(resolve, headersTimeoutMs / 5))
    }
    client.write('last')
    await client.until(/^HTTP\/1\.1 \d{3} /)
    return client.text().startsWith('HTTP/1.1 200 ')
  })
  t.ok(isAnswered)
})

t.test('a client that left is not asked for', async t => {
  const { port, recorder, nextEnd, reported } = await startBoth(t, OK, {}, ({ response }) => {
    response.destroy()
    return {}
  })
  const end = nextEnd()
  t.equal((await sendRaw(port, GET)).text, '')
  t.same(await end, { outcome: 'client_gone' })
  t.same(recorder.requests(), [], 'nothing was sent')
  t.same(reported, [], "and nothing is the application's fault")
})

t.test('a client that leaves frees the connection to the application at once', async t => {
  const cases: readonly {
    leaves: string
    sent: string
    answer: Recorder['answer']
    end: object
  }[] = [
    {
      leaves: 'before the answer',
      sent: GET,
      answer: () => undefined,
      end: { outcome: 'client_gone' },
    },
    {
      leaves: 'while it still sends',
      sent: `${lines('POST / HTTP/1.1', 'Host: a', 'Content-Length: 9')}five `,
      answer: () => undefined,
      end: { outcome: 'client_gone' },
    },
    {
      leaves: 'in the middle of the answer',
      sent: GET,
      answer: `${lines('HTTP/1.1 200 OK', 'Content-Length: 9')}five `,
      end: { outcome: 'client_gone', status: 200 },
    },
    {
      leaves: 'in the middle of both',
      sent: `${lines('POST / HTTP/1.1', 'Host: a', 'Content-Length: 9')}five `,
      answer: `${lines('HTTP/1.1 200 OK', 'Content-Length: 9')}five `,
      end: { outcome: 'client_gone', status: 200 },
    },
  ]
  for (const { leaves, sent, answer, end } of cases) {
    const { port, recorder, nextEnd, forward, reported } = await startBoth(t, answer)
    const ended = nextEnd()
    const socket = connect({ port, host: '127.0.0.1' })
    socket.write(sent)
    if (typeof answer === 'string') await once(socket, 'data')
    else await until(() => recorder.requests().length === 1)
    socket.destroy()
    t.same(await ended, end, leaves)
    await until(() => forward.connections() === 0)
    t.same(reported, [], `${leaves}: nothing failed`)
  }
})

t.test('a client that leaves between the head of an answer and its body is gone', async t => {
  const { port, nextEnd, forward } = await startBoth(t, OK, {}, ({ response }) => ({
    // Asked the moment the head is there.
    isClosing: () => {
      response.destroy()
      return false
    },
  }))
  const end = nextEnd()
  t.equal((await sendRaw(port, GET)).text, '')
  t.same(await end, { outcome: 'client_gone' })
  await until(() => forward.connections() === 0)
})

t.test('an answer that comes before the request is over reaches its client', async t => {
  // How long the rest of a body is waited for.
  stretch(t, 1_000)
  const complete: boolean[] = []
  const { port, ended, forward } = await startBoth(
    t,
    answer('413 Content Too Large', 'no'),
    {},
    ({ request, response }) => {
      response.once('finish', () => complete.push(request.complete))
      return {}
    },
  )
  const body = 'x'.repeat(200_000)
  const head = lines('POST / HTTP/1.1', 'Host: a', `Content-Length: ${body.length + 1}`)
  const socket = connect({ port, host: '127.0.0.1' })
  t.teardown(() => socket.destroy())
  let text = ''
  socket.on('data', chunk => (text += chunk.toString()))
  socket.write(`${head}.`)
  await until(() => text.endsWith('no'))
  socket.write(body)
  await once(socket, 'end')
  const { line, headers } = parts(text)
  t.equal(line, 'HTTP/1.1 413 Content Too Large')
  t.ok(headers.includes('Connection: close'))
  t.same(complete, [true], 'the rest of the body was read')
  await until(() => ended.length === 1)
  t.same(ended, [{ outcome: 'sent', status: 413 }])
  await until(() => forward.connections() === 0)
})

/** The example of RFC 6455 §1.3. */
const ASK = ['GET /ws HTTP/1.1', 'Host: a', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
const AGREE = [
  ...['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade'],
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
]

/** As the server hands a WebSocket over: its connection can be taken out of HTTP. */
const asWebSocket: Alter = ({ request, response }) => ({
  upgrade: {
    take: () => {
      const { socket } = request
      response.detachSocket(socket)
      socket.removeAllListeners('data')
      return { socket, head: Buffer.from('early ') }
    },
  },
})

t.test('a WebSocket is a tunnel once the application has agreed to it', async t => {
  const agree = `${lines(...AGREE)}hello `
  const answer = (socket: Socket) => {
    socket.write(agree)
    socket.on('data', piece => socket.write(piece))
  }
  const { port, recorder, forward, ended } = await startBoth(t, answer, {}, asWebSocket)
  const client = openRaw(port)
  client.write(lines(...ASK))
  t.ok(await client.until(/\r\n\r\nhello early $/))
  t.match(client.text(), /^HTTP\/1\.1 101 Switching Protocols\r\n/)
  t.same(ended, [{ outcome: 'sent', status: 101 }], 'which is its end as a request')
  const [request] = recorder.requests()
  t.equal(request?.line, 'GET /ws HTTP/1.1')
  t.same(request?.headers, [...ASK.slice(1), 'Connection: Upgrade', 'Upgrade: websocket'])
  t.equal(forward.webSockets(), 1)
  t.equal(forward.connections(), 1)
  forward.closeWebSockets()
  t.ok(await client.closed())
  await until(() => forward.webSockets() === 0)
  t.equal(forward.connections(), 0)
})

/** Tunnels have an agent of their own, which must not forget what the other one knows. */
t.test('a WebSocket goes to an application over TLS only if its certificate holds', async t => {
  const authority = await createAuthority()
  const serve = async (names: readonly string[]) => {
    const { certificate: cert, key } = await authority.issue({ names })
    const heard: string[] = []
    const application = https.createServer({ cert, key })
    application.on('tlsClientError', () => undefined)
    application.on('upgrade', (request, socket) => {
      heard.push(request.url ?? '')
      socket.on('error', () => undefined)
      socket.write(`${lines(...AGREE)}hello `)
      socket.pipe(socket)
    })
    return { port: await listen(t, application), heard }
  }
  const [own, foreign] = [await serve(['localhost']), await serve(['app.example.com'])]
  const ca = [authority.certificate]
  const cases = [
    { what: 'ours', to: own, ca, isGood: true },
    { what: 'for another host', to: foreign, ca, isGood: false },
    { what: 'from no known authority', to: own, ca: undefined, isGood: false },
  ]
  for (const { what, to, ca, isGood } of cases) {
    const heard = to.heard.length
    const { port, forward } = await startRig(
      t,
      {
        ...{ protocol: 'https:', host: 'localhost', port: to.port, ca },
        ...{ connectTimeoutMs: 20_000, headersTimeoutMs: 20_000 },
      },
      asWebSocket,
    )
    const client = openRaw(port)
    client.write(lines(...ASK, 'Host: app.example.com'))
    const expected = isGood ? /hello early $/ : / 599 upstream_unreachable\r\n/
    t.ok(await client.until(expected, 20_000), what)
    t.equal(to.heard.length - heard, isGood ? 1 : 0, `${what}: what it heard`)
    forward.closeWebSockets()
    client.reset()
  }
})

t.test('a WebSocket that the application does not agree to is answered as it answers', async t => {
  const refusal = answer('403 No', 'not you', 'A: b')
  const { port, forward, ended } = await startBoth(t, refusal, {}, asWebSocket)
  const { text } = await sendRaw(port, lines(...ASK))
  t.match(text, /^HTTP\/1\.1 403 No\r\nA: b\r\n[^]*not you$/)
  t.match(ended, [{ outcome: 'sent', status: 403 }])
  t.equal(forward.webSockets(), 0)
})

t.test('a 101 that does not accept what was asked for is an invalid answer', async t => {
  const wrong = lines(...AGREE.slice(0, 3), 'Sec-WebSocket-Accept: AAAA')
  const { port, forward, reported } = await startBoth(t, wrong, {}, asWebSocket)
  const { text } = await sendRaw(port, lines(...ASK))
  t.match(text, /^HTTP\/1\.1 599 upstream_invalid\r\n/)
  t.match(reported, [/^invalid: a 101 /])
  await until(() => forward.connections() === 0)
})

t.test('a client that leaves before the 101 leaves no connection behind', async t => {
  const { port, recorder, forward, nextEnd } = await startBoth(t, () => undefined, {}, asWebSocket)
  const end = nextEnd()
  const client = openRaw(port)
  client.write(lines(...ASK))
  await until(() => recorder.requests().length === 1)
  client.reset()
  t.match(await end, { outcome: 'client_gone' })
  await until(() => forward.connections() === 0)
})
