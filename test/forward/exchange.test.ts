/**
 * One exchange at a time, with an application that does what it likes. What becomes of requests that are
 * passed on by the whole of it is in forward.test.ts, what counts as an answer in answers.test.ts.
 */
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Body } from '../../src/core/body.ts'
import type { UpstreamHeaders } from '../../src/core/headers.ts'
import type { TunnelEnd } from '../../src/core/upgrade.ts'
import {
  exchange,
  failed,
  type Forwarded,
  type Outgoing,
  type Stale,
} from '../../src/forward/exchange.ts'
import { requestText } from '../../src/forward/head.ts'
import { createPool, type Connection, type Pool, type PoolOptions } from '../../src/forward/pool.ts'
import { eventually, givenTime, PATIENCE_MS } from '../fixtures/patience.ts'
import { CLOSED_PORT, lines, openRaw, readAnswer, sendRaw } from '../fixtures/raw.ts'
import { startRecorder, type Recorder } from '../fixtures/recorder.ts'
import { until } from '../fixtures/until.ts'

const OK = `${lines('HTTP/1.1 200 OK', 'Content-Length: 2')}ok`
const GET = lines('GET / HTTP/1.1', 'Host: a')
const CHUNKED = lines('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked')

interface Wishes extends Partial<PoolOptions> {
  readonly idleTimeoutMs?: number
  /** What is different about the requests. */
  readonly alter?: Partial<Outgoing>
  /** Headers that are added to every request. */
  readonly headers?: readonly string[]
  readonly seen?: (response: ServerResponse) => void
}

interface Rig {
  readonly port: number
  readonly recorder: Recorder
  readonly pool: Pool
  /** The connections that were used, in order. */
  readonly used: readonly Connection[]
  /** What came of each exchange, in order; a rejection as its message. */
  readonly ended: readonly (Forwarded | Stale | string)[]
  readonly tunnels: readonly (readonly [TunnelEnd, TunnelEnd])[]
}

/** A server that passes requests on, and says `599` where nothing was answered. */
async function startRig(t: Test, answer: Recorder['answer'], wishes: Wishes = {}): Promise<Rig> {
  const { idleTimeoutMs = 0, alter, headers = [], seen, ...options } = wishes
  const recorder = await startRecorder(t)
  recorder.answer = answer
  const pool = createPool(
    {
      ...{ protocol: 'http:', host: '127.0.0.1', port: recorder.port },
      ...{ connectTimeoutMs: PATIENCE_MS, headersTimeoutMs: PATIENCE_MS, maxHeaderBytes: 16_384 },
      ...options,
    },
    () => 0,
  )
  const used: Connection[] = []
  const ended: (Forwarded | Stale | string)[] = []
  const tunnels: [TunnelEnd, TunnelEnd][] = []
  const terms = {
    idleTimeoutMs,
    openTunnel: (...ends: [TunnelEnd, TunnelEnd]) => tunnels.push(ends),
  }
  const server = http.createServer((request, response) => {
    const outgoing = { ...outgoingOf(request, response, headers), ...alter }
    seen?.(response)
    const connection = pool.take('any')
    used.push(connection)
    exchange(outgoing, requestText(outgoing, 'a'), connection, terms)
      .catch((fault: unknown) => String(fault))
      .then(end => {
        const isOpen = typeof end === 'string' || ['failed', 'stale'].includes(end.outcome)
        if (isOpen && !response.headersSent) response.writeHead(599).end()
        else if (isOpen) response.destroy()
        ended.push(end)
      })
      .catch((fault: unknown) => t.fail(String(fault)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    pool.close()
    server.close()
    server.closeAllConnections()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { port: address.port, recorder, pool, used, ended, tunnels }
}

function outgoingOf(
  request: IncomingMessage,
  response: ServerResponse,
  headers: readonly string[],
): Outgoing {
  request.on('error', () => undefined)
  const { method = '', url: target = '', headers: received } = request
  const { 'content-length': length } = received
  const body: Body =
    length === undefined ? { kind: 'none' } : { kind: 'length', bytes: Number(length) }
  return {
    ...{ method, target, hasHost: false, body, request, response },
    headers: headers as UpstreamHeaders,
    expectsContinue: false,
    isClosing: () => false,
  }
}

t.test('a failure carries its reason for the metric and its detail for the log', async t => {
  t.same(failed('upstream_timeout', 'no answer'), {
    outcome: 'failed',
    reason: 'upstream_timeout',
    detail: 'no answer',
  })
})

t.test('an answer is passed on whole, and its connection kept', async t => {
  const rows: [what: string, request: string, answer: string, body: string][] = [
    ['a length', GET, OK, 'ok'],
    ['no body', GET, lines('HTTP/1.1 200 OK', 'Content-Length: 0'), ''],
    ['chunks', GET, `${CHUNKED}1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n`, 'abcdef'],
    [
      'HEAD',
      lines('HEAD / HTTP/1.1', 'Host: a'),
      lines('HTTP/1.1 200 OK', 'Content-Length: 9'),
      '',
    ],
    ['an upload', `${lines('POST / HTTP/1.1', 'Host: a', 'Content-Length: 5')}hello`, OK, 'ok'],
  ]
  for (const [what, request, answer, body] of rows) {
    const rig = await startRig(t, answer, { idleTimeoutMs: PATIENCE_MS })
    rig.recorder.answerAt = 'end'
    const client = openRaw(rig.port)
    const method = request.slice(0, request.indexOf(' '))
    for (const times of [1, 2]) {
      client.write(request)
      await until(() => rig.ended.length === times)
    }
    // The exchange is over a moment before the client has read its answer.
    const second = () => readAnswer(readAnswer(client.text(), method)?.rest ?? '', method)
    await until(() => second()?.whole === true)
    t.match(readAnswer(client.text(), method), { status: 200, body, whole: true }, what)
    t.match(second(), { status: 200, body, whole: true, rest: '' })
    t.match(rig.ended, Array(2).fill({ outcome: 'sent', status: 200 }), what)
    t.equal(rig.used[0], rig.used[1], `${what}: on one connection`)
    t.equal(rig.recorder.connections.length, 1, what)
    client.reset()
  }
})

t.test('a connection with something wrong about it is not kept', async t => {
  const rows: [what: string, answer: Recorder['answer']][] = [
    ['close', lines('HTTP/1.1 200 OK', 'Connection: close', 'Content-Length: 0')],
    ['the end of the connection', socket => socket.end(`${lines('HTTP/1.1 200 OK')}all`)],
    ['bytes behind the answer', `${OK}evil`],
  ]
  for (const [what, answer] of rows) {
    const rig = await startRig(t, answer)
    const { text } = await sendRaw(rig.port, GET)
    t.match(text, /^HTTP\/1\.1 200 OK\r\n/, what)
    t.notMatch(text, /evil/, what)
    await until(() => rig.pool.count() === 0)
    t.match(rig.ended, [{ outcome: 'sent' }], what)
  }
})

t.test('what comes piece by piece goes piece by piece', async t => {
  let application: Socket | undefined
  const rig = await startRig(t, socket => {
    application = socket
    socket.write(CHUNKED)
  })
  const client = openRaw(rig.port)
  client.write(GET)
  t.ok(await client.until(/\r\n\r\n$/), 'the head does not wait for a body')
  application?.write('5\r\nhello\r\n')
  t.ok(await client.until(/hello\r\n$/))
  application?.write('6\r\n')
  await until(() => (rig.used[0]?.socket.bytesRead ?? 0) === CHUNKED.length + 13)
  application?.write(' there\r\n0\r\n\r\n')
  t.ok(await client.until(/ there\r\n0\r\n\r\n$/))
  await until(() => rig.ended.length === 1)
  t.same(rig.ended, [{ outcome: 'sent', status: 200 }])
  client.reset()
})

t.test('an application is read no faster than its client reads', async t => {
  const size = 32_000_000
  const piece = `${(1_000).toString(16)}\r\n${'x'.repeat(1_000)}\r\n`
  for (const isChunked of [true, false]) {
    const rig = await startRig(t, socket => {
      if (isChunked) socket.write(`${CHUNKED}${piece.repeat(size / 1_000)}0\r\n\r\n`)
      else socket.write(lines('HTTP/1.1 200 OK', `Content-Length: ${size}`) + 'x'.repeat(size))
    })
    const client = connect({ port: rig.port, host: '127.0.0.1' })
    client.pause()
    client.write(GET)
    await until(() => rig.used[0]?.socket.isPaused() === true)
    let received = 0
    client.on('data', bytes => (received += bytes.length))
    client.resume()
    await until(() => rig.ended.length === 1)
    t.same(rig.ended, [{ outcome: 'sent', status: 200 }])
    t.equal(rig.used[0]?.socket.isPaused(), false, 'and then it can be used again')
    await until(() => received >= size)
    client.destroy()
  }
})

t.test('an answer that comes before the request is over is the last of both sides', async t => {
  for (const body of ['no', '']) {
    const rig = await startRig(t, lines('HTTP/1.1 413 No', `Content-Length: ${body.length}`) + body)
    const client = openRaw(rig.port)
    client.write(`${lines('POST / HTTP/1.1', 'Host: a', 'Content-Length: 9')}five `)
    t.ok(await client.until(/^HTTP\/1\.1 413 /))
    client.write('rest')
    t.ok(await client.closed())
    t.match(readAnswer(client.text()), { status: 413, body, whole: true })
    t.match(client.text(), /\r\nConnection: close\r\n/)
    await until(() => rig.pool.count() === 0)
  }
})

t.test('a client is told when its connection ends, and not otherwise', async t => {
  for (const isClosing of [true, false]) {
    const rig = await startRig(t, OK, { alter: { isClosing: () => isClosing } })
    const { text, closed } = await sendRaw(rig.port, GET)
    t.equal(text.includes('\r\nConnection: close\r\n'), isClosing)
    t.equal(closed, isClosing)
  }
})

t.test('what waits for a slow client is not overwritten by what is read after it', async t => {
  // More than the kernel takes for a client that does not read, in pieces of all sizes.
  const pieces = Array.from({ length: 400 }, (_, at) => String.fromCharCode(33 + (at % 90)))
  const body = pieces.map((letter, at) => letter.repeat((at * 997) % 40_000))
  const length = `Content-Length: ${body.join('').length}`
  const rig = await startRig(t, socket => {
    socket.write(lines('HTTP/1.1 200 OK', length))
    const send = ([piece, ...rest]: readonly string[]) => {
      if (piece !== undefined) socket.write(piece, 'latin1', () => setImmediate(send, rest))
    }
    send(body)
  })
  const client = connect({ port: rig.port, host: '127.0.0.1' })
  let text = ''
  client.setEncoding('latin1').on('data', (piece: string) => (text += piece))
  client.pause()
  client.write(GET)
  await until(() => rig.used[0]?.socket.isPaused() === true)
  client.resume()
  await until(() => readAnswer(text)?.whole === true)
  t.ok(text.endsWith(`\r\n\r\n${body.join('')}`))
  client.destroy()
})

t.test('a connection that was to be read later, and has nothing more to say, is kept', async t => {
  const rig = await startRig(t, `${CHUNKED}4\r\nlong\r\n5\r\n tale\r\n0\r\n\r\n`, {
    seen: response => {
      const write = response.write.bind(response) as (bytes: Buffer) => boolean
      // As to a client that is slow, from the first piece on: the end has been read by then.
      response.write = (bytes: Buffer) => write(bytes) && false
    },
  })
  for (const which of ['the first', 'the second']) {
    const { text } = await sendRaw(
      rig.port,
      lines('GET / HTTP/1.1', 'Host: a', 'Connection: close'),
    )
    t.match(readAnswer(text), { status: 200, body: 'long tale', whole: true }, which)
  }
  t.equal(rig.used[0], rig.used[1], 'and serves again')
})

t.test('what failed before an answer is told, and nothing was written', async t => {
  const rows: [what: string, wishes: Wishes, answer: Recorder['answer'], end: object][] = [
    [
      'an application that is not there',
      { port: CLOSED_PORT },
      '',
      { outcome: 'failed', reason: 'upstream_unreachable' },
    ],
    [
      'one that does not get as far as TLS',
      { protocol: 'https:', connectTimeoutMs: 50 },
      '',
      { outcome: 'failed', reason: 'upstream_timeout', detail: /CONNECT_TIMEOUT/ },
    ],
    [
      'one that does not answer',
      { headersTimeoutMs: 50 },
      '',
      { outcome: 'failed', reason: 'upstream_timeout', detail: /HEADERS_TIMEOUT/ },
    ],
    [
      'one that speaks something else',
      {},
      'SSH-2.0-x\r\n',
      { outcome: 'failed', reason: 'upstream_invalid', detail: 'no HTTP' },
    ],
    [
      'a status there cannot be, with a body',
      {},
      `${lines('HTTP/1.1 042 No', 'Content-Length: 2')}ok`,
      { outcome: 'failed', reason: 'upstream_invalid', detail: 'status 42' },
    ],
    [
      'a 101 that was not asked for',
      {},
      `${lines('HTTP/1.1 101 Switching', 'Connection: Upgrade', 'Upgrade: websocket')}more`,
      { outcome: 'failed', reason: 'upstream_invalid', detail: /^a 101 / },
    ],
  ]
  for (const [what, wishes, answer, end] of rows) {
    const rig = await startRig(t, answer, wishes)
    t.same((await sendRaw(rig.port, GET)).statuses, [599], what)
    t.match(rig.ended, [end], what)
    t.equal(rig.pool.count(), 0, what)
  }
})

t.test('a connection that had died is stale, one that has answered a byte is not', async t => {
  for (const [word, end] of [
    ['', { outcome: 'stale' }],
    ['HTTP/1.1 2', { outcome: 'failed', reason: 'upstream_unreachable' }],
  ] as const) {
    const rig = await startRig(t, OK)
    await sendRaw(rig.port, GET)
    rig.recorder.answer = socket => socket.end(word)
    t.same((await sendRaw(rig.port, GET)).statuses, [599])
    t.equal(rig.used[0], rig.used[1])
    t.match(rig.ended[1], end)
  }
})

t.test(
  'an answer that breaks off breaks off for the client, behind what there was of it',
  async t => {
    const rows: [what: string, bytes: string, then: (socket: Socket) => void][] = [
      ['short of its length', lines('HTTP/1.1 200 OK', 'Content-Length: 9'), s => s.end('five ')],
      [
        'reset',
        lines('HTTP/1.1 200 OK'),
        s => s.write('five ', () => setImmediate(() => s.resetAndDestroy())),
      ],
      ['a chunk that is none', CHUNKED, s => s.write('5\r\nfive \r\nxyz\r\n')],
    ]
    for (const [what, bytes, then] of rows) {
      const rig = await startRig(t, socket => {
        socket.write(bytes)
        setImmediate(then, socket)
      })
      const { text, closed } = await sendRaw(rig.port, GET)
      t.match(text, /^(?:HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n(?:(?:5\r\n)?five (?:\r\n)?)?)?$/, what)
      t.ok(closed, what)
      await until(() => rig.ended.length === 1)
      t.same(rig.ended, [{ outcome: 'broken_off', status: 200 }], what)
      t.equal(rig.pool.count(), 0, what)
    }
  },
)

t.test('silence in an answer is broken off, whoever is silent', async t => {
  const silent = await startRig(t, `${CHUNKED}5\r\nfive \r\n`, { idleTimeoutMs: 60 })
  t.ok((await sendRaw(silent.port, GET)).closed)
  await until(() => silent.ended.length === 1)
  t.same(silent.ended, [{ outcome: 'broken_off', status: 200 }])

  const size = 64_000_000
  const long = lines('HTTP/1.1 200 OK', `Content-Length: ${size}`) + 'x'.repeat(size)
  const unread = await startRig(t, long, { idleTimeoutMs: 200 })
  const client = connect({ port: unread.port, host: '127.0.0.1' })
  client.pause()
  client.on('error', () => undefined)
  client.write(GET)
  await until(() => unread.ended.length === 1)
  t.same(unread.ended, [{ outcome: 'client_gone', status: 200 }], 'not the application’s fault')
  client.destroy()
  await until(() => unread.pool.count() === 0)
})

t.test('the time for an answer is over when it begins', async t => {
  let ended: Rig['ended'] = []
  const isWhole = await givenTime(100, async ms => {
    const rig = await startRig(
      t,
      socket => {
        socket.write(`${CHUNKED}5\r\nfive \r\n`)
        setTimeout(() => socket.write('0\r\n\r\n'), 2 * ms)
      },
      { headersTimeoutMs: ms },
    )
    const { text } = await sendRaw(rig.port, GET)
    ended = rig.ended
    return text.endsWith('0\r\n\r\n')
  })
  t.ok(isWhole)
  await until(() => ended.length === 1)
  t.same(ended, [{ outcome: 'sent', status: 200 }])
})

t.test('a client that leaves frees the application, wherever the exchange is', async t => {
  const half = `${lines('HTTP/1.1 200 OK', 'Content-Length: 9')}five `
  const upload = `${lines('POST / HTTP/1.1', 'Host: a', 'Content-Length: 9')}five `
  const rows: [what: string, request: string, answer: string, end: object][] = [
    ['before the answer', GET, '', { outcome: 'client_gone' }],
    ['while it sends', upload, '', { outcome: 'client_gone' }],
    ['within the answer', GET, half, { outcome: 'client_gone', status: 200 }],
    ['within both', upload, half, { outcome: 'client_gone', status: 200 }],
    ['behind the head', GET, CHUNKED, { outcome: 'client_gone', status: 200 }],
  ]
  for (const [what, request, answer, end] of rows) {
    const rig = await startRig(t, answer)
    const client = openRaw(rig.port)
    client.write(request)
    await until(() => rig.recorder.requests().length === 1)
    if (answer !== '') t.ok(await client.until(/\r\n\r\n/), what)
    client.reset()
    await until(() => rig.ended.length === 1)
    t.same(rig.ended, [end], what)
    await until(() => rig.pool.count() === 0)
  }
})

t.test('a request whose head is long waits for nothing', async t => {
  const headers = ['X-Long', 'x'.repeat(2_000_000)]
  const rig = await startRig(t, OK, { headers })
  rig.recorder.answerAt = 'end'
  t.same((await sendRaw(rig.port, GET)).statuses, [200])
})

t.test('an upload goes on when there is room again', async t => {
  const size = 32_000_000
  let application: Socket | undefined
  const rig = await startRig(t, () => undefined)
  rig.recorder.answer = socket => {
    application = socket.pause()
  }
  const client = connect({ port: rig.port, host: '127.0.0.1' })
  client.write(lines('POST / HTTP/1.1', 'Host: a', `Content-Length: ${size}`))
  let hasSentAll = false
  client.write('x'.repeat(size), () => {
    hasSentAll = true
  })
  const isFull = () => rig.used[0]?.socket.writableNeedDrain === true
  await until(() => application !== undefined && isFull())
  t.notOk(hasSentAll)
  application?.removeAllListeners('data').on('data', () => undefined)
  application?.resume()
  await until(() => hasSentAll)
  application?.write(OK)
  await until(() => rig.ended.length === 1)
  t.same(rig.ended, [{ outcome: 'sent', status: 200 }])
  client.destroy()
})

/** The example of RFC 6455 §1.3. */
const KEY = ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ==']
const AGREE = lines(
  ...['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade'],
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
)

t.test('a WebSocket is handed over with what came behind its head', async t => {
  const rig = await startRig(t, `${AGREE}hello`, {
    headers: KEY,
    alter: { upgrade: { take: () => ({ socket: client.far, head: Buffer.from('early') }) } },
  })
  const client = await pair(t)
  const asking = openRaw(rig.port)
  asking.write(GET)
  await until(() => rig.ended.length === 1)
  t.same(rig.ended, [{ outcome: 'sent', status: 101 }])
  const [[own, upstream] = []] = rig.tunnels
  t.equal(own?.head.toString(), 'early')
  t.equal(upstream?.head.toString(), 'hello')
  t.equal(rig.pool.count(), 0, 'and is none of the pool’s any more')
  await until(() => client.text().startsWith('HTTP/1.1 101 Switching Protocols\r\n'))
  upstream?.socket.destroy()
  asking.reset()
})

/** A connection, and what arrives at its near end. */
async function pair(t: Test): Promise<{ readonly far: Socket; readonly text: () => string }> {
  const server = http.createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const near = openRaw(address.port)
  const [far] = (await once(server, 'connection')) as [Socket]
  t.teardown(() => {
    far.destroy()
    server.close()
  })
  return { far, text: near.text }
}

t.test('a 101 that does not fit the question is an invalid answer', async t => {
  const rig = await startRig(t, AGREE.replace('s3pP', 'AAAA'), {
    headers: KEY,
    alter: {
      upgrade: {
        take: () => {
          throw new Error('taken')
        },
      },
    },
  })
  t.same((await sendRaw(rig.port, GET)).statuses, [599])
  t.match(rig.ended, [{ outcome: 'failed', reason: 'upstream_invalid' }])
})

t.test('a client that leaves the moment there is an answer is gone', async t => {
  const isClosing = () => {
    response?.destroy()
    return false
  }
  let response: ServerResponse | undefined
  const rig = await startRig(t, OK, { alter: { isClosing }, seen: own => (response = own) })
  t.equal((await sendRaw(rig.port, GET)).text, '')
  await until(() => rig.ended.length === 1)
  t.same(rig.ended, [{ outcome: 'client_gone' }])
  await until(() => rig.pool.count() === 0)
})

/** An exception while bytes are being read would be the end of the process. */
t.test('a fault of ours ends the exchange, not the process', async t => {
  const rig = await startRig(t, OK, {
    alter: {
      isClosing: () => {
        throw new Error('a bug')
      },
    },
  })
  t.same((await sendRaw(rig.port, GET)).statuses, [599])
  t.same(rig.ended, ['Error: a bug'])
  t.equal(rig.pool.count(), 0)
  t.ok(await eventually(() => rig.recorder.connections.every(({ closed }) => closed)))
  await sleep(0)
})
