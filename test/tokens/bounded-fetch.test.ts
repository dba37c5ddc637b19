import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import { createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { Agent, fetch as undici } from 'undici'
import { startKeyServer, type AnswerKeyRequest } from '../../simulator/key-server.ts'
import { listen } from '../../simulator/loopback.ts'
import {
  createBoundedFetch,
  type DocumentKind,
  type Fetch,
  type Fetched,
} from '../../src/tokens/bounded-fetch.ts'
import { PEM_KEY } from '../../src/tokens/pem-key.ts'
import { givenTime, PATIENCE_MS } from '../fixtures/patience.ts'
import { CLOSED_PORT } from '../fixtures/raw.ts'

const KID = 'c2f80c8b-c05c-4068-af14-17299f7896b1'
/** Long enough for anything that is meant to be answered. */
const PATIENT_MS = PATIENCE_MS

const PAIR = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const PEM = pem(PAIR.publicKey)

function pem(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }).toString()
}

/** Asks for a key, as the ALB's are asked for. */
function createKeyFetch(
  fetch: Fetch,
  timeoutMs: number,
): (url: string) => Promise<Fetched<KeyObject>> {
  return createBoundedFetch(fetch, timeoutMs, PEM_KEY)
}

/** Any bytes, labelled as PEM. */
function labelled(label: string, der: Buffer): string {
  const lines = der.toString('base64').replace(/.{64}(?=.)/g, '$&\n')
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`
}

/** Asks a key server that answers as `answer` does; `asked` counts the requests. */
async function setUp(t: Test, answer: AnswerKeyRequest, timeoutMs = PATIENT_MS) {
  const server = await startKeyServer()
  t.teardown(server.close)
  server.answer = answer
  const fetchKey = createKeyFetch(fetch, timeoutMs)
  return {
    fetched: () => fetchKey(`${server.url}/${KID}`),
    asked: () => server.requests.length,
    server,
  }
}

/** Asks something that listens but need not speak HTTP. */
async function setUpRaw(t: Test, onConnection: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer(socket => {
    connections++
    sockets.add(socket)
    socket.on('error', () => undefined)
    onConnection(socket)
  })
  const url = await listen(server, 0)
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url, connections: () => connections }
}

/** Answers with these, one after the other, and then with the last again. */
function inTurn(...answers: readonly AnswerKeyRequest[]): AnswerKeyRequest {
  let next = 0
  return (...request) => answers[Math.min(next++, answers.length - 1)]!(...request)
}

const answerWith =
  (status: number, body: string | Buffer = '', headers = {}): AnswerKeyRequest =>
  (_request, response) => {
    response.writeHead(status, headers).end(body)
    return true
  }

const hangUp: AnswerKeyRequest = request => {
  request.socket.destroy()
  return true
}

const neverAnswer: AnswerKeyRequest = () => true

function closeOf(what: EventEmitter): Promise<void> {
  return new Promise(resolve => {
    what.once('close', resolve)
  })
}

/** Does not wait for ever for what is due. */
async function soon(due: Promise<unknown>): Promise<void> {
  const late = delay(PATIENCE_MS, 'late', { ref: false })
  if ((await Promise.race([due, late])) === 'late') throw new Error('it never came')
}

const isOurs = (found: Fetched<KeyObject>): boolean =>
  found.outcome === 'ok' && found.value.equals(PAIR.publicKey) && found.value.type === 'public'

t.test('how the key is sent does not matter', async t => {
  const cases: Readonly<Record<string, AnswerKeyRequest>> = {
    'byte by byte': (_request, response) => {
      const send = async () => {
        for (const byte of PEM) {
          response.write(byte)
          await new Promise(resolve => setImmediate(resolve))
        }
        response.end()
      }
      void send()
      return true
    },
    'as text/html': answerWith(200, PEM, { 'Content-Type': 'text/html' }),
    'with no type': answerWith(200, PEM),
    'compressed with gzip': answerWith(200, gzipSync(PEM), { 'Content-Encoding': 'gzip' }),
    'compressed with brotli': answerWith(200, brotliCompressSync(PEM), {
      'Content-Encoding': 'br',
    }),
    'with its length': answerWith(200, PEM, { 'Content-Length': PEM.length }),
    'after early hints': (_request, response) => {
      response.writeEarlyHints({ link: '</x>; rel=preload' })
      response.end(PEM)
      return true
    },
  }
  for (const [is, answer] of Object.entries(cases)) {
    const { fetched } = await setUp(t, answer)
    t.ok(isOurs(await fetched()), is)
  }
})

t.test('only "no such key" means that there is no such key', async t => {
  const xml = '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'
  const cases = [
    { statuses: [403, 404], outcome: 'unknown', requests: 1 },
    { statuses: [201, 202, 203, 204, 205, 206], outcome: 'refused', requests: 1 },
    { statuses: [300, 301, 302, 303, 304, 307, 308, 399], outcome: 'refused', requests: 1 },
    {
      statuses: [400, 401, 402, 405, 406, 409, 410, 418, 429, 451],
      outcome: 'refused',
      requests: 1,
    },
    { statuses: [500, 501, 502, 503, 504, 505, 599], outcome: 'error', requests: 2 },
  ]
  for (const { statuses, outcome, requests } of cases) {
    await Promise.all(
      statuses.flatMap(status =>
        [xml, PEM].map(async body => {
          const { fetched, asked } = await setUp(t, answerWith(status, body))
          t.strictSame(await fetched(), { outcome, detail: `status ${status}` })
          t.equal(asked(), requests, `${status}: ${requests} requests`)
        }),
      ),
    )
  }
})

t.test('an answer without a body is taken for what its status says', async t => {
  const fetchedAs = (status: number) =>
    createKeyFetch(() => Promise.resolve(new Response(null, { status })), PATIENT_MS)('http://x/')
  t.match(await fetchedAs(200), { outcome: 'refused' })
  t.match(await fetchedAs(204), { outcome: 'refused' })
  t.match(await fetchedAs(404), { outcome: 'unknown' })
  t.match(await fetchedAs(500), { outcome: 'error' })
})

t.test('a redirect is not followed, wherever it leads', async t => {
  const target = await setUpRaw(t, socket => {
    socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${PEM.length}\r\n\r\n${PEM}`)
  })
  for (const status of [301, 302, 303, 307, 308]) {
    for (const location of [
      `${target.url}/${KID}`,
      `//${new URL(target.url).host}/`,
      `/${KID}`,
      '',
    ]) {
      const { fetched, asked } = await setUp(t, answerWith(status, PEM, { Location: location }))
      const found = await fetched()
      t.strictSame(found, { outcome: 'refused', detail: `status ${status}` }, `to '${location}'`)
      t.equal(asked(), 1, 'the endpoint was asked once')
    }
  }
  t.equal(target.connections(), 0, 'and nobody else')
})

t.test('a fault is asked about once more, a verdict is not', async t => {
  const xml = '<Error/>'
  const cases = [
    { is: '500, then the key', answers: [answerWith(500), answerWith(200, PEM)], outcome: 'ok' },
    { is: 'cut off, then the key', answers: [hangUp, answerWith(200, PEM)], outcome: 'ok' },
    { is: '503, then 403', answers: [answerWith(503), answerWith(403, xml)], outcome: 'unknown' },
    {
      is: '502, then a page',
      answers: [answerWith(502), answerWith(200, xml)],
      outcome: 'refused',
    },
    { is: '500, then 302', answers: [answerWith(500), answerWith(302)], outcome: 'refused' },
    { is: '500 twice', answers: [answerWith(500), answerWith(500)], outcome: 'error' },
    { is: 'cut off twice', answers: [hangUp, hangUp], outcome: 'error' },
    { is: 'cut off, then 500', answers: [hangUp, answerWith(500)], outcome: 'error' },
  ]
  await Promise.all(
    cases.map(async ({ is, answers, outcome }) => {
      const { fetched, asked } = await setUp(t, inTurn(...answers, answerWith(200, PEM)))
      t.match(await fetched(), { outcome }, is)
      t.equal(asked(), 2, `${is}: two requests`)
    }),
  )
})

t.test('an endpoint that is too slow is given up in time', async t => {
  const dribble = (response: ServerResponse, bytes: string) => {
    let at = 0
    const timer = setInterval(() => response.write(bytes[at++ % bytes.length]), 20)
    response.on('close', () => {
      clearInterval(timer)
    })
    return true
  }
  const cases = (timeoutMs: number): Readonly<Record<string, AnswerKeyRequest>> => ({
    'it never answers': neverAnswer,
    'it sends its head and then nothing': (_request, response) => {
      response.writeHead(200).flushHeaders()
      return true
    },
    'it sends half the key and then nothing': (_request, response) => {
      response.write(PEM.slice(0, 90))
      return true
    },
    'it sends the key but does not end': (_request, response) => {
      response.write(PEM)
      return true
    },
    'it sends the key byte by byte': (_request, response) => dribble(response, PEM),
    'it sends line ends for ever': (_request, response) => dribble(response, '\n'),
    'it sends its head byte by byte': request => {
      const head = `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(1_000)}`
      let at = 0
      const timer = setInterval(() => request.socket.write(head[at++] ?? 'x'), 20)
      request.socket.on('close', () => {
        clearInterval(timer)
      })
      return true
    },
    'it sends early hints for ever': (_request, response) => {
      const timer = setInterval(() => {
        response.writeEarlyHints({ link: '</x>; rel=preload' })
      }, 20)
      response.on('close', () => {
        clearInterval(timer)
      })
      return true
    },
    'it fails first and then never answers': inTurn(answerWith(500), neverAnswer),
    'it fails after most of the time and then never answers': inTurn((_request, response) => {
      setTimeout(() => response.writeHead(500).end(), timeoutMs * 0.87)
      return true
    }, neverAnswer),
  })
  await Promise.all(
    Object.keys(cases(0)).map(async is => {
      const isInTime = await givenTime(750, async timeoutMs => {
        let closed: Promise<unknown> = Promise.resolve()
        const answer = cases(timeoutMs)[is]!
        const { fetched } = await setUp(
          t,
          (request, response, kid) => {
            closed = closeOf(request.socket)
            return answer(request, response, kid)
          },
          timeoutMs,
        )
        const startedAt = performance.now()
        const found = await fetched()
        const ms = performance.now() - startedAt
        t.strictSame(found, { outcome: 'timeout', detail: `no answer within ${timeoutMs} ms` }, is)
        t.ok(ms >= timeoutMs - 5, `${is}: not before ${timeoutMs} ms`)
        await soon(closed)
        // A deadline of its own for the retry would come at 1.87 of the time, or later.
        return ms < timeoutMs * 1.8
      })
      t.ok(isInTime, `${is}: in time`)
    }),
  )
  t.pass('and every connection to it is closed')
})

t.test('an endpoint that sends too much is cut off', async t => {
  const bomb = gzipSync(Buffer.alloc(32 * 1_024 * 1_024, '\n'))
  const limit = 16 * 1_024 * 1_024
  let written = 0
  const flood =
    (status: number, headers = {}): AnswerKeyRequest =>
    (_request, response) => {
      if (!response.headersSent) response.writeHead(status, headers)
      const chunk = Buffer.alloc(65_536, '\n')
      const more = () => {
        let wantsMore = true
        while (wantsMore && !response.destroyed && written < limit) {
          wantsMore = response.write(chunk)
          written += chunk.length
        }
      }
      response.on('drain', more)
      more()
      return true
    }
  const refused = { outcome: 'refused', detail: 'more than 8192 bytes' }
  const cases = [
    { is: 'a body without end', answer: flood(200), found: refused },
    {
      is: 'a body of 1 GiB',
      answer: flood(200, { 'Content-Length': 2 ** 30 }),
      found: refused,
    },
    {
      is: 'a gzip bomb',
      answer: answerWith(200, bomb, { 'Content-Encoding': 'gzip' }),
      found: refused,
    },
    {
      is: 'a key and then line ends without end',
      answer: ((request, response, kid) => {
        response.write(PEM)
        return flood(200)(request, response, kid)
      }) satisfies AnswerKeyRequest,
      found: refused,
    },
    {
      is: 'a 403 without end',
      answer: flood(403),
      found: { outcome: 'unknown', detail: 'status 403' },
    },
    {
      is: 'a 302 without end',
      answer: flood(302),
      found: { outcome: 'refused', detail: 'status 302' },
    },
    {
      is: 'a 500 without end',
      answer: flood(500),
      found: { outcome: 'error', detail: 'status 500' },
    },
  ]
  for (const { is, answer, found } of cases) {
    written = 0
    const closed: Promise<unknown>[] = []
    const { fetched } = await setUp(t, (request, response, kid) => {
      closed.push(closeOf(response))
      return answer(request, response, kid)
    })
    t.strictSame(await fetched(), found, is)
    await soon(Promise.all(closed))
    t.ok(written < limit, `${is}: cut off after ${written} bytes`)
  }
})

t.test('an endpoint that cannot be asked is a fault, and the detail says which', async t => {
  const raw = async (onConnection: (socket: Socket) => void) =>
    `${(await setUpRaw(t, onConnection)).url}/${KID}`
  const head = `HTTP/1.1 200 OK\r\nContent-Length: ${PEM.length}\r\n\r\n`
  const cases = {
    'nobody listens': `http://127.0.0.1:${CLOSED_PORT}/${KID}`,
    'its name is unknown': `http://${'k'.repeat(64)}.invalid/${KID}`,
    'it closes the connection': await raw(socket => socket.end()),
    'it resets the connection': await raw(socket => socket.resetAndDestroy()),
    'it resets after half the head': await raw(socket => {
      socket.once('data', () => socket.write(head.slice(0, 20), () => socket.resetAndDestroy()))
    }),
    'it closes after half the key': await raw(socket => {
      socket.once('data', () => socket.end(`${head}${PEM.slice(0, 90)}`))
    }),
    'it closes before the last chunk': await raw(socket => {
      socket.once('data', () =>
        socket.end(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb2\r\n${PEM}\r\n`),
      )
    }),
    'it speaks SSH': await raw(socket => socket.write('SSH-2.0-OpenSSH_9.2p1\r\n')),
    'it speaks HTTP wrongly': await raw(socket => {
      socket.once('data', () => socket.write('HTTP/1.1 2000 OK\r\n\r\n'))
    }),
    'its head is too long': await raw(socket => {
      socket.once('data', () => socket.write(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}`))
    }),
    'its gzip is none': await raw(socket => {
      socket.once('data', () =>
        socket.end('HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\njunk'),
      )
    }),
    'it does not speak TLS': (await raw(socket => socket.end('HTTP/1.1 400 \r\n\r\n'))).replace(
      'http:',
      'https:',
    ),
    'its port is one that fetch does not use': `http://127.0.0.1:22/${KID}`,
    'its scheme is none': `gopher://127.0.0.1/${KID}`,
    'its URL is none': 'public-keys',
    'its URL is empty': '',
  }
  await Promise.all(
    Object.entries(cases).map(async ([is, url]) => {
      const found = await createKeyFetch(fetch, PATIENT_MS)(url)
      t.match(found, { outcome: 'error', detail: /./ }, is)
    }),
  )
})

t.test('whatever bytes an endpoint sends, there is an answer and it is not a key', async t => {
  const text = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes)),
    fc
      .tuple(fc.integer({ min: 100, max: 999 }), fc.uint8Array({ maxLength: 300 }))
      .map(([status, bytes]) =>
        Buffer.from(
          `HTTP/1.1 ${status} X\r\n\r\n${Buffer.from(bytes).toString('latin1')}`,
          'latin1',
        ),
      ),
    fc
      .uint8Array({ minLength: 1, maxLength: 200 })
      .map(bytes =>
        Buffer.from(`HTTP/1.1 200 OK\r\n\r\n${labelled('PUBLIC KEY', Buffer.from(bytes))}`),
      ),
  )
  const samples = fc.sample(text, 60)
  const outcomes = await Promise.all(
    samples.map(async bytes => {
      const { url } = await setUpRaw(t, socket => {
        socket.once('data', () => socket.end(bytes))
      })
      return (await createKeyFetch(fetch, 1_500)(url)).outcome
    }),
  )
  t.same(
    samples.filter((_, i) => outcomes[i] === 'ok').map(bytes => bytes.toString('latin1')),
    [],
  )
})

t.test('what is thrown and is no Error is not taken for a fault of the network', async t => {
  const aborted: typeof fetch = url => fetch(url, { signal: AbortSignal.abort('not an Error') })
  await t.rejects(createKeyFetch(aborted, PATIENT_MS)('http://127.0.0.1/'), 'not an Error')
})

t.test('every kind of document has its own bound and its own reader', async t => {
  const kind: DocumentKind<{ text: string }> = {
    maxBytes: 10,
    parse: text => (text.startsWith('x') ? { text } : 'does not begin with x'),
  }
  const { server } = await setUp(t, answerWith(500))
  const fetchDocument = createBoundedFetch(fetch, PATIENT_MS, kind)
  const cases: readonly [body: string, found: Fetched<{ text: string }>][] = [
    ['x', { outcome: 'ok', value: { text: 'x' } }],
    ['x'.repeat(10), { outcome: 'ok', value: { text: 'x'.repeat(10) } }],
    ['xé', { outcome: 'ok', value: { text: 'xé' } }],
    ['x'.repeat(11), { outcome: 'refused', detail: 'more than 10 bytes' }],
    [`x${'é'.repeat(5)}`, { outcome: 'refused', detail: 'more than 10 bytes' }],
    ['', { outcome: 'refused', detail: 'does not begin with x' }],
    ['y', { outcome: 'refused', detail: 'does not begin with x' }],
  ]
  for (const [body, found] of cases) {
    server.answer = answerWith(200, body)
    t.strictSame(await fetchDocument(server.url), found, JSON.stringify(body))
  }
})

t.test(
  'a host with two addresses that both refuse is a fault, and the detail says which',
  async t => {
    const addresses = ['127.0.0.1', '127.0.0.2'].map(address => ({ address, family: 4 }))
    const dispatcher = new Agent({
      connect: {
        autoSelectFamily: true,
        lookup: (_host, _options, done) => {
          done(null, addresses)
        },
      },
    })
    const fetchKey = createBoundedFetch(
      (url, init) => undici(url, { ...init, dispatcher }),
      PATIENT_MS,
      PEM_KEY,
    )
    const found = await fetchKey(`http://keys.example:${CLOSED_PORT}/kid`)
    t.match(found, { outcome: 'error', detail: /ECONNREFUSED/ })
  },
)
