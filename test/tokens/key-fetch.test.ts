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
import { freePorts, listen } from '../../simulator/loopback.ts'
import { createKeyFetch, parsePublicKey, type FetchedKey } from '../../src/tokens/key-fetch.ts'

const KID = 'c2f80c8b-c05c-4068-af14-17299f7896b1'
/** Long enough for anything that is meant to be answered. */
const PATIENT_MS = 5_000

const PAIR = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const PEM = pem(PAIR.publicKey)
/** What is inside: SubjectPublicKeyInfo. */
const DER = PAIR.publicKey.export({ type: 'spki', format: 'der' })

function pem(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }).toString()
}

/** Any bytes, labelled as PEM. */
function labelled(label: string, der: Buffer): string {
  const lines = der.toString('base64').replace(/.{64}(?=.)/g, '$&\n')
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`
}

/** Made with `openssl req -x509` from a P-256 key. */
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBhTCCASugAwIBAgIUXhhNBipuoJ8vo6l08trvQa8LFyowCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMa2V5cy5leGFtcGxlMCAXDTI2MTEyMDEzNTIyMFoYDzIxMjYx
MDI3MTM1MjIwWjAXMRUwEwYDVQQDDAxrZXlzLmV4YW1wbGUwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAARDlHJU5XS89BqK48Kuz1Hj5OSbdOU+ciwtVi+FtI7ESrFN
F8HJmhXmT2dbXFdXbiDmTuHpM+KEByaUKstIazEYo1MwUTAdBgNVHQ4EFgQU/8vT
xiZklLvgXm2bQY6ivFjrg0gwHwYDVR0jBBgwFoAU/8vTxiZklLvgXm2bQY6ivFjr
g0gwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiBdEXL/weOCgLPL
+EBBE5nKdrbFb7EvvmhkPyFKt4/kTgIhAKQsB8R4plppil4bIzDHBclOUIqy81Ac
8hNlzR/3/CRx
-----END CERTIFICATE-----
`

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
  const late = delay(5_000, 'late', { ref: false })
  if ((await Promise.race([due, late])) === 'late') throw new Error('not within 5 s')
}

const isOurs = (found: FetchedKey): boolean =>
  found.outcome === 'ok' && found.key.equals(PAIR.publicKey) && found.key.type === 'public'

t.test('a P-256 key is taken in every form that a PEM file has', async t => {
  const cases = [
    { is: 'as the endpoint serves it', text: PEM },
    { is: 'with CRLF', text: PEM.replaceAll('\n', '\r\n') },
    { is: 'without a line end behind', text: PEM.trimEnd() },
    { is: 'with empty lines behind', text: `${PEM}\n\r\n\n` },
    { is: 'with its base64 on one line', text: PEM.replace(/(?<=[^-])\n(?=[^-])/g, '') },
    {
      is: 'with its base64 on many lines',
      text: PEM.replace(/^[^-]+$/gm, x => x.replace(/..../g, '$&\n')),
    },
    { is: 'of exactly 8 KiB', text: PEM.padEnd(8_192, '\n') },
  ]
  const { fetched, asked, server } = await setUp(t, answerWith(500))
  for (const { is, text } of cases) {
    server.answer = answerWith(200, text)
    t.ok(isOurs(await fetched()), is)
  }
  t.equal(asked(), cases.length, 'each in one request')
})

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

t.test(
  'an answer that is anything but one P-256 public key is refused, and not asked for again',
  async t => {
    const { privateKey, publicKey } = PAIR
    const other = pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
    const offCurve = Buffer.from(DER)
    offCurve[90]! ^= 1
    const texts: Readonly<Record<string, string | Buffer>> = {
      nothing: '',
      'white space': ' \r\n',
      'an HTML page': '<!DOCTYPE html><title>Sign in to the Wi-Fi</title>',
      'an HTML page with the key in it': `<pre>${PEM}</pre>`,
      'an error of S3': '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
      'a key as JWK': JSON.stringify(publicKey.export({ format: 'jwk' })),
      'a key set': JSON.stringify({ keys: [publicKey.export({ format: 'jwk' })] }),
      'a key in DER': DER,
      'a key in bare base64': DER.toString('base64'),
      'the key and a word': `${PEM}junk`,
      'the key and a NUL': `${PEM}\0`,
      'a word and the key': `junk\n${PEM}`,
      'an empty line and the key': `\n${PEM}`,
      'a byte order mark and the key': `\ufeff${PEM}`,
      'two keys': `${PEM}${other}`,
      'the same key twice': `${PEM}${PEM}`,
      'two keys, the second a comment': `${PEM}# ${other}`,
      'half a key': PEM.slice(0, PEM.length / 2),
      'a key without its last line': PEM.replace(/-----END.*\n/, ''),
      'a key without its first line': PEM.replace(/-----BEGIN.*\n/, ''),
      'a key whose first line is led by a space': ` ${PEM}`,
      'a key with a space inside': PEM.replace('M', 'M '),
      'a key in base64url': PEM.replace(/^M/m, '-'),
      'a key with headers': PEM.replace('\n', '\nProc-Type: 4,ENCRYPTED\n\n'),
      'a key labelled in small letters': PEM.replaceAll('PUBLIC KEY', 'public key'),
      'an empty block': labelled('PUBLIC KEY', Buffer.alloc(0)),
      'padding for a block': PEM.replace(/^[^-]+$/gm, '===='),
      'a block of zeros': labelled('PUBLIC KEY', Buffer.alloc(91)),
      'a key cut short inside': labelled('PUBLIC KEY', DER.subarray(0, -1)),
      'a point that is not on the curve': labelled('PUBLIC KEY', offCurve),
      'a private key': privateKey.export({ type: 'pkcs8', format: 'pem' }),
      'a private key of the old form': privateKey.export({ type: 'sec1', format: 'pem' }),
      'a private key and the key': `${privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()}${PEM}`,
      'the key and a private key': `${PEM}${privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()}`,
      'an encrypted private key': privateKey.export({
        type: 'pkcs8',
        format: 'pem',
        cipher: 'aes-128-cbc',
        passphrase: 'x',
      }),
      'a private key labelled public': labelled(
        'PUBLIC KEY',
        privateKey.export({ type: 'pkcs8', format: 'der' }),
      ),
      'a certificate': CERTIFICATE,
      'a certificate labelled a key': CERTIFICATE.replaceAll('CERTIFICATE', 'PUBLIC KEY'),
      'a key labelled a certificate': PEM.replaceAll('PUBLIC KEY', 'CERTIFICATE'),
      'a key labelled an RSA key': PEM.replaceAll('PUBLIC KEY', 'RSA PUBLIC KEY'),
      'a key of 8 KiB and a byte': PEM.padEnd(8_193, '\n'),
    }
    const { fetched, asked, server } = await setUp(t, answerWith(500))
    for (const [is, text] of Object.entries(texts)) {
      server.answer = answerWith(200, text)
      const before = asked()
      t.match(await fetched(), { outcome: 'refused', detail: /^[ -~]+$/ }, is)
      t.equal(asked() - before, 1)
    }
  },
)

t.test('a key of another kind is refused', t => {
  const curves = ['P-384', 'P-521', 'secp256k1', 'prime192v1', 'brainpoolP256r1']
  const keys: Readonly<Record<string, KeyObject>> = {
    ...Object.fromEntries(
      curves.map(namedCurve => [namedCurve, generateKeyPairSync('ec', { namedCurve }).publicKey]),
    ),
    RSA: generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey,
    'RSA-PSS': generateKeyPairSync('rsa-pss', { modulusLength: 1024 }).publicKey,
    DSA: generateKeyPairSync('dsa', { modulusLength: 1024, divisorLength: 160 }).publicKey,
    Ed25519: generateKeyPairSync('ed25519').publicKey,
    Ed448: generateKeyPairSync('ed448').publicKey,
    X25519: generateKeyPairSync('x25519').publicKey,
  }
  for (const [is, key] of Object.entries(keys)) t.type(parsePublicKey(pem(key)), 'string', is)
  t.equal(parsePublicKey(pem(keys['P-384']!)), 'not a P-256 key')
  t.type(parsePublicKey(PEM), 'object', 'and one of ours is not')
  t.end()
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
  // So far apart that a deadline of its own for the retry would be noticed, on a busy machine too.
  const timeoutMs = 750
  const lateMs = 1_400
  const dribble = (response: ServerResponse, bytes: string) => {
    let at = 0
    const timer = setInterval(() => response.write(bytes[at++ % bytes.length]), 20)
    response.on('close', () => {
      clearInterval(timer)
    })
    return true
  }
  const cases: Readonly<Record<string, AnswerKeyRequest>> = {
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
      const timer = setInterval(() => request.socket.write(head[at++]!), 20)
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
      setTimeout(() => response.writeHead(500).end(), 650)
      return true
    }, neverAnswer),
  }
  await Promise.all(
    Object.entries(cases).map(async ([is, answer]) => {
      let closed: Promise<unknown> = Promise.resolve()
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
      t.strictSame(found, { outcome: 'timeout', detail: 'no answer within KEY_FETCH_TIMEOUT' }, is)
      t.ok(ms >= timeoutMs - 5 && ms < lateMs, `${is}: after ${ms} ms`)
      await soon(closed)
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
  const [freePort = 0] = await freePorts([0])
  const raw = async (onConnection: (socket: Socket) => void) =>
    `${(await setUpRaw(t, onConnection)).url}/${KID}`
  const head = `HTTP/1.1 200 OK\r\nContent-Length: ${PEM.length}\r\n\r\n`
  const cases = {
    'nobody listens': `http://127.0.0.1:${freePort}/${KID}`,
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

t.test('what is thrown and is no Error is not taken for a fault of the key', t => {
  // The only way to make node:crypto throw such a thing: it reads options that nobody gave.
  const { prototype } = Object
  t.teardown(() => Reflect.deleteProperty(prototype, 'encoding'))
  Object.defineProperty(prototype, 'encoding', {
    configurable: true,
    get: () => {
      throw 'not an Error' as unknown as Error
    },
  })
  t.throws(() => parsePublicKey(PEM))
  t.end()
})

t.test(
  'a block that holds anything but the one uncompressed point of one P-256 key is refused',
  t => {
    const nothing = Buffer.from('3019301306072a8648ce3d020106082a8648ce3d03010703020000', 'hex')
    const spelledOut = { namedCurve: 'P-256', paramEncoding: 'explicit' } as const
    const compressed = Buffer.concat([
      Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex'),
      Buffer.from([2 + (DER.at(-1)! & 1)]),
      DER.subarray(27, 59),
    ])
    const blocks: Readonly<Record<string, string>> = {
      'the point at infinity, on which Node 20 and 22 abort': labelled('PUBLIC KEY', nothing),
      'the point at infinity and room for another': labelled(
        'PUBLIC KEY',
        Buffer.concat([nothing, Buffer.alloc(64)]),
      ),
      'the key and bytes behind it': labelled(
        'PUBLIC KEY',
        Buffer.concat([DER, Buffer.from('junk')]),
      ),
      'the key twice': labelled('PUBLIC KEY', Buffer.concat([DER, DER])),
      'the key with its curve spelled out': pem(generateKeyPairSync('ec', spelledOut).publicKey),
      'the key with its point compressed': labelled('PUBLIC KEY', compressed),
      'the key and base64 behind its padding': PEM.replace('==\n', '==AAAA\n'),
    }
    for (const [is, text] of Object.entries(blocks)) t.type(parsePublicKey(text), 'string', is)
    t.end()
  },
)

t.test(
  'a host with two addresses that both refuse is a fault, and the detail says which',
  async t => {
    const [port = 0] = await freePorts([0])
    const addresses = ['127.0.0.1', '127.0.0.2'].map(address => ({ address, family: 4 }))
    const dispatcher = new Agent({
      connect: {
        autoSelectFamily: true,
        lookup: (_host, _options, done) => {
          done(null, addresses)
        },
      },
    })
    const fetchKey = createKeyFetch((url, init) => undici(url, { ...init, dispatcher }), PATIENT_MS)
    const found = await fetchKey(`http://keys.example:${port}/${KID}`)
    t.match(found, { outcome: 'error', detail: /ECONNREFUSED/ })
  },
)
