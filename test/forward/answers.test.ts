import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import { Duplex } from 'node:stream'
import fc from 'fast-check'
import t from 'tap'
import { createAnswerReader } from '../../src/forward/answers.ts'
import { lines } from '../fixtures/raw.ts'

interface Reading {
  /** The head, the body, and the end with whether the connection can be used again. */
  readonly seen: readonly string[]
  readonly fault: string | undefined
  /** Whether it came to its end. */
  readonly isEnded: boolean
  readonly rest: string
}

/** Reads one answer, cut into pieces at `cuts`, and then the application is done. */
function read(text: string, method = 'GET', cuts: readonly number[] = [], max = 4_096): Reading {
  const seen: string[] = []
  const reader = createAnswerReader(max)
  let body = ''
  let isEnded = false
  reader.expect(method, {
    onHead: ({ status, message, headers }) => {
      seen.push(`${status} ${message}|${headers.join('|')}`)
    },
    onData: piece => {
      body += piece.toString('latin1')
    },
    onEnd: isReusable => {
      isEnded = true
      seen.push(body, isReusable ? 'kept' : 'not kept')
    },
  })
  const bytes = Buffer.from(text, 'latin1')
  const at = [0, ...cuts.map(cut => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  let fault: string | undefined
  for (const [index, from] of at.slice(0, -1).entries()) {
    fault ??= reader.push(bytes.subarray(from, at[index + 1]))
  }
  if (fault === undefined) reader.finish()
  return { seen, fault, isEnded, rest: reader.rest().toString('latin1') }
}

const OK = 'HTTP/1.1 200 OK'
const CHUNKED = 'Transfer-Encoding: chunked'

interface Whole {
  readonly what: string
  readonly text: string
  readonly method?: string
  readonly head: string
  readonly body?: string
  readonly kept?: boolean
}

const WHOLE: readonly Whole[] = [
  {
    what: 'a length',
    text: `${lines(OK, 'A: b', 'content-LENGTH: 5', 'C:\td \t')}hello`,
    head: '200 OK|A|b|content-LENGTH|5|C|d',
    body: 'hello',
  },
  { what: 'an empty one', text: lines(OK, 'Content-Length: 0'), head: '200 OK|Content-Length|0' },
  {
    what: 'chunks',
    text: `${lines(OK, CHUNKED)}5\r\nhello\r\n00A;x="y"\r\n0123456789\r\n0\r\n\r\n`,
    head: '200 OK|Transfer-Encoding|chunked',
    body: 'hello0123456789',
  },
  {
    what: 'chunks with trailers, in other letters',
    text: `${lines(OK, 'transfer-encoding: Chunked')}1;a\r\nx\r\n0\r\nX: y\r\nZ: z\r\n\r\n`,
    head: '200 OK|transfer-encoding|Chunked',
    body: 'x',
  },
  {
    what: 'a HEAD',
    method: 'HEAD',
    text: lines(OK, 'Content-Length: 9'),
    head: '200 OK|Content-Length|9',
  },
  {
    what: 'a HEAD of chunks',
    method: 'HEAD',
    text: lines(OK, CHUNKED),
    head: '200 OK|Transfer-Encoding|chunked',
    kept: false,
  },
  { what: 'a HEAD of something', method: 'HEAD', text: lines(OK), head: '200 OK|' },
  {
    what: '204',
    text: lines('HTTP/1.1 204 No', 'Content-Length: 0'),
    head: '204 No|Content-Length|0',
  },
  {
    what: '204 that speaks of a body, which may follow',
    text: lines('HTTP/1.1 204 No', 'Content-Length: 5'),
    head: '204 No|Content-Length|5',
    kept: false,
  },
  {
    what: '304 that speaks of chunks, which may follow',
    text: lines('HTTP/1.1 304 No', CHUNKED),
    head: '304 No|Transfer-Encoding|chunked',
    kept: false,
  },
  { what: '304', text: lines('HTTP/1.1 304 ', 'Content-Length: 5'), head: '304 |Content-Length|5' },
  {
    what: 'no words',
    text: lines('HTTP/1.1 299', 'Content-Length: 0'),
    head: '299 |Content-Length|0',
  },
  {
    what: 'informational ones in front',
    text: `${lines('HTTP/1.1 100 Continue')}${lines('HTTP/1.1 103 Hints', 'Link: x')}${lines(OK, 'Content-Length: 1')}x`,
    head: '200 OK|Content-Length|1',
    body: 'x',
  },
  {
    what: 'the end of the connection',
    text: `${lines(OK)}until the end`,
    head: '200 OK|',
    body: 'until the end',
    kept: false,
  },
  {
    what: 'close',
    text: lines(OK, 'Connection: x,CLOSE', 'Content-Length: 0'),
    head: '200 OK|Connection|x,CLOSE|Content-Length|0',
    kept: false,
  },
  {
    what: 'HTTP/1.0',
    text: lines('HTTP/1.0 200 OK', 'Content-Length: 0'),
    head: '200 OK|Content-Length|0',
    kept: false,
  },
  {
    what: 'HTTP/1.0 that stays',
    text: lines('HTTP/1.0 200 OK', 'Content-Length: 0', 'Connection: a', 'Connection: keep-alive'),
    head: '200 OK|Content-Length|0|Connection|a|Connection|keep-alive',
  },
  {
    what: 'HTTP/1.0 that cannot decide',
    text: lines('HTTP/1.0 200 OK', 'Content-Length: 0', 'Connection: keep-alive, close'),
    head: '200 OK|Content-Length|0|Connection|keep-alive, close',
    kept: false,
  },
  {
    what: 'an informational one that says it has no body',
    text: `${lines('HTTP/1.1 100 Continue', 'Content-Length: 0')}${lines(OK, 'Content-Length: 0')}`,
    head: '200 OK|Content-Length|0',
  },
  {
    what: 'odd but plain bytes',
    text: lines('HTTP/1.1 200 \x01\xe9', "!#$%&'*+.^_`|~9: \xe9", 'Content-Length: 0'),
    head: "200 \x01\xe9|!#$%&'*+.^_`|~9|\xe9|Content-Length|0",
  },
]

t.test('an answer is read to its end, wherever its pieces are cut', async t => {
  for (const { what, text, method = 'GET', head, body = '', kept = true } of WHOLE) {
    const expected = {
      seen: [head, body, kept ? 'kept' : 'not kept'],
      fault: undefined,
      isEnded: true,
      rest: '',
    }
    t.same(read(text, method), expected, what)
    const everywhere = Array.from({ length: text.length }, (_, at) => at)
    t.same(read(text, method, everywhere), expected, `${what}: byte by byte`)
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 4 }), cuts => {
        return JSON.stringify(read(text, method, cuts).seen) === JSON.stringify(expected.seen)
      }),
      { numRuns: 50 },
    )
  }
})

t.test('what two readers could understand differently is no answer', async t => {
  const rows: [what: string, text: string][] = [
    ['another protocol', 'SSH-2.0'],
    ['another version', lines('HTTP/2.0 200 OK', 'Content-Length: 0')],
    ['no status', lines('HTTP/1.1 OK')],
    ['a short status', lines('HTTP/1.1 20 OK')],
    ['a long status', lines('HTTP/1.1 2000 OK')],
    ['NUL in the words', lines('HTTP/1.1 200 O\0K')],
    ['a bare LF', `HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n`],
    ['a bare CR', lines(OK, 'A: b\rC: d', 'Content-Length: 0')],
    ['a folded line', lines(OK, 'A: b', ' c', 'Content-Length: 0')],
    ['a space before the colon', lines(OK, 'A : b', 'Content-Length: 0')],
    ['no name', lines(OK, ': b', 'Content-Length: 0')],
    ['no colon', lines(OK, 'A', 'Content-Length: 0')],
    ['a control byte', lines(OK, 'A: b\x01', 'Content-Length: 0')],
    ['two lengths', lines(OK, 'Content-Length: 0', 'Content-Length: 0')],
    ['a list of lengths', lines(OK, 'Content-Length: 0, 0')],
    ['a signed length', lines(OK, 'Content-Length: +1')],
    ['a length beyond counting', lines(OK, 'Content-Length: 99999999999999999999')],
    ['a length that could be octal', lines(OK, 'Content-Length: 010')],
    ['a length in hex', lines(OK, 'Content-Length: 0x1')],
    ['a length with a space in it', lines(OK, 'Content-Length: 1 0')],
    ['a length with a fraction', lines(OK, 'Content-Length: 1.0')],
    ['two different lengths', lines(OK, 'Content-Length: 0', 'content-length: 5')],
    ['a length behind a space', lines(OK, 'Content-Length : 0')],
    ['a length behind a vertical tab', lines(OK, 'Content-Length:\x0b0')],
    ['a coding behind a vertical tab', lines(OK, 'Transfer-Encoding:\x0bchunked')],
    ['a coding behind a form feed', lines(OK, 'Transfer-Encoding: chunked\x0c')],
    ['a coding behind a NUL', lines(OK, 'Transfer-Encoding: chunked\0')],
    ['a coding that almost is', lines(OK, 'Transfer-Encoding: xchunked')],
    ['a coding behind a tab', lines(OK, 'Transfer-Encoding:\tchunked')],
    ['a coding in front of a tab', lines(OK, 'Transfer-Encoding: chunked\t')],
    ['a coding in front of a space', lines(OK, 'Transfer-Encoding: chunked ')],
    ['a space in front of an extension', `${lines(OK, CHUNKED)}1 ;a\r\nx\r\n`],
    ['a coding in quotes', lines(OK, 'Transfer-Encoding: "chunked"')],
    ['a coding with a parameter', lines(OK, 'Transfer-Encoding: chunked;a=b')],
    ['a coding and nothing', lines(OK, 'Transfer-Encoding: chunked,')],
    ['no coding', lines(OK, 'Transfer-Encoding:')],
    ['identity', lines(OK, 'Transfer-Encoding: identity', 'Content-Length: 0')],
    ['chunks twice', lines(OK, 'Transfer-Encoding: chunked, chunked')],
    ['a folded coding', lines(OK, 'Transfer-Encoding:', ' chunked')],
    ['chunks in HTTP/1.0', lines('HTTP/1.0 200 OK', CHUNKED) + '0\r\n\r\n'],
    ['100 with a length', lines('HTTP/1.1 100 Continue', 'Content-Length: 5')],
    ['103 with chunks', lines('HTTP/1.1 103 Early Hints', CHUNKED)],
    ['a bare LF and nothing behind it', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n'],
    ['a bare CR between lines', `HTTP/1.1 200 OK\rContent-Length: 0\r\n\r\n`],
    ['CRLF in front', `\r\n${lines(OK, 'Content-Length: 0')}`],
    ['space in front', ` ${lines(OK, 'Content-Length: 0')}`],
    ['a version in other letters', lines('http/1.1 200 OK', 'Content-Length: 0')],
    ['version 1.2', lines('HTTP/1.2 200 OK', 'Content-Length: 0')],
    ['two spaces in front of the status', lines('HTTP/1.1  200 OK', 'Content-Length: 0')],
    ['NUL in a name', lines(OK, 'A\0: b', 'Content-Length: 0')],
    ['a high byte in a name', lines(OK, '\xe9: b', 'Content-Length: 0')],
    ['DEL in a value', lines(OK, 'A: \x7f', 'Content-Length: 0')],
    ['no length at all', lines(OK, 'Content-Length:')],
    ['both framings', lines(OK, 'Content-Length: 5', CHUNKED)],
    ['both framings, the other way', lines(OK, CHUNKED, 'Content-Length: 5')],
    ['another coding', lines(OK, 'Transfer-Encoding: gzip')],
    ['a list of codings', lines(OK, 'Transfer-Encoding: gzip, chunked')],
    ['two codings', lines(OK, CHUNKED, CHUNKED)],
    ['too long a head', lines(OK, `A: ${'x'.repeat(5_000)}`, 'Content-Length: 0')],
    ['a chunk size that is none', `${lines(OK, CHUNKED)}xyz\r\n`],
    ['an empty chunk size', `${lines(OK, CHUNKED)}\r\n`],
    ['a signed chunk size', `${lines(OK, CHUNKED)}-1\r\n`],
    ['a chunk size in C', `${lines(OK, CHUNKED)}0x1\r\nx\r\n`],
    ['a chunk size beyond counting', `${lines(OK, CHUNKED)}fffffffffffff\r\n`],
    ['a bare LF behind a chunk size', `${lines(OK, CHUNKED)}1\nx\r\n0\r\n\r\n`],
    ['a control byte in an extension', `${lines(OK, CHUNKED)}1;\x01\r\nx\r\n`],
    ['a chunk longer than it says', `${lines(OK, CHUNKED)}1\r\nxy\r\n0\r\n\r\n`],
    ['a bare LF behind a chunk', `${lines(OK, CHUNKED)}1\r\nx\n0\r\n\r\n`],
    ['a chunk size of an underscore', `${lines(OK, CHUNKED)}1_0\r\n`],
    ['a chunk size behind a space', `${lines(OK, CHUNKED)} 1\r\nx\r\n`],
    ['a chunk size in front of a space', `${lines(OK, CHUNKED)}1 \r\nx\r\n`],
    ['a bare CR behind a chunk size', `${lines(OK, CHUNKED)}1\rx\r\n0\r\n\r\n`],
    ['a bare CR in an extension', `${lines(OK, CHUNKED)}1;a\rb\r\nx\r\n0\r\n\r\n`],
    ['a bare LF behind the last chunk', `${lines(OK, CHUNKED)}0\n\r\n`],
    ['a bare LF behind trailers', `${lines(OK, CHUNKED)}0\r\nX: y\n\r\n`],
    ['a bare CR in a trailer', `${lines(OK, CHUNKED)}0\r\nX: y\rz\r\n\r\n`],
    ['a folded trailer', `${lines(OK, CHUNKED)}0\r\nX: y\r\n z\r\n\r\n`],
    ['an answer where trailers would be', `${lines(OK, CHUNKED)}0\r\n${lines(OK)}`],
    ['an endless chunk size', `${lines(OK, CHUNKED)}1;${'x'.repeat(20_000)}`],
    ['endless trailers', `${lines(OK, CHUNKED)}0\r\n${'X: y\r\n'.repeat(4_000)}`],
  ]
  for (const [what, text] of rows) {
    const { fault, seen } = read(text)
    t.type(fault, 'string', what)
    t.notOk(seen.includes('kept'), `${what}: and its connection is not kept`)
    const everywhere = Array.from({ length: text.length }, (_, at) => at)
    t.type(read(text, 'GET', everywhere).fault, 'string', `${what}: byte by byte`)
  }
})

/** How node's own client understands the same bytes: like `seen`, or nothing where it refuses them. */
async function readByNode(text: string, method: string): Promise<readonly string[]> {
  const socket = new Duplex({
    read: () => undefined,
    write: (_bytes, _coding, done) => {
      done()
    },
  })
  const request = http.request({ method, createConnection: () => socket, maxHeaderSize: 4_096 })
  const closed = once(request, 'close').catch(() => undefined)
  const seen: string[] = []
  request.on('error', () => undefined)
  request.on('response', (answer: IncomingMessage) => {
    const { statusCode = 0, statusMessage = '', rawHeaders } = answer
    let body = ''
    answer.on('error', () => undefined)
    answer.on('data', (piece: Buffer) => (body += piece.toString('latin1')))
    answer.on('end', () => {
      seen.push(`${statusCode} ${statusMessage}|${rawHeaders.join('|')}`, body)
    })
  })
  request.end()
  socket.push(Buffer.from(text, 'latin1'))
  socket.push(null)
  await closed
  return seen
}

const FRAGMENTS = {
  line: ['HTTP/1.1 200 OK', 'HTTP/1.0 200 OK', 'HTTP/1.1 204 No', 'HTTP/1.1 304 ', 'HTTP/1.1 599'],
  header: [
    ...['Content-Length: 5', 'content-length:0', 'Content-Length: 05', 'Content-Length: 5, 5'],
    ...['Content-Length: +5', 'Content-Length:\t5 ', 'Content-Length: 5\x0b', 'Content-Length :5'],
    ...[CHUNKED, 'transfer-encoding:CHUNKED', 'Transfer-Encoding: chunked,', 'Transfer-Encoding:'],
    ...['Transfer-Encoding: gzip', 'Transfer-Encoding: \tchunked\t', 'Transfer_Encoding: chunked'],
    ...['Connection: close', 'Connection: keep-alive', 'A: b', 'A:\xe9', 'A: \x01', ' folded', 'A'],
    ...['A: b\nContent-Length: 0', 'A: b\rContent-Length: 0', ': b', 'A\0: b', "!#$%&'*+.^_`|~9:"],
  ],
  body: [
    ...['', 'hello', '5\r\nhello\r\n0\r\n\r\n', '0\r\n\r\n', '5;a=b\r\nhello\r\n0\r\n\r\n'],
    ...['5\nhello\n0\n\n', '5 \r\nhello\r\n0\r\n\r\n', '05\r\nhello\r\n00\r\nA: b\r\n\r\n'],
    ...['5\r\nhello\r\n0\r\nA\r\n\r\n', '5\r\nhello6\r\n0\r\n\r\n', '0x5\r\nhello\r\n0\r\n\r\n'],
  ],
}

/** A parser that is stricter than another can be wrong only by refusing. */
t.test('whatever is read here, node reads the same in it', async t => {
  let [understood, refused] = [0, 0]
  const agrees = async (text: string, method: string) => {
    const { seen, fault, isEnded } = read(text, method)
    if (fault !== undefined || !isEnded) refused++
    else {
      understood++
      t.same(await readByNode(text, method), seen.slice(0, 2), JSON.stringify(text))
    }
  }
  for (const { text, method = 'GET' } of WHOLE) await agrees(text, method)
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...FRAGMENTS.line),
      fc.array(fc.constantFrom(...FRAGMENTS.header), { maxLength: 3 }),
      fc.constantFrom(...FRAGMENTS.body),
      fc.constantFrom('GET', 'HEAD'),
      (line, headers, body, method) => agrees(lines(line, ...headers) + body, method),
    ),
    { numRuns: 500 },
  )
  t.ok(understood > 0 && refused > 0)
})

t.test('what comes behind an answer is nobody’s, and condemns the connection', async t => {
  const answers = [
    `${lines(OK, 'Content-Length: 2')}ok`,
    `${lines(OK, CHUNKED)}2\r\nok\r\n0\r\n\r\n`,
    lines('HTTP/1.1 204 No', 'Content-Length: 2'),
  ]
  for (const answer of answers) {
    const { seen, fault } = read(`${answer}evil`)
    t.equal(seen.at(-1), 'not kept')
    t.match(fault, /no request asked for/)
    t.notMatch(seen.join(), /evil/)
  }
  const [first = ''] = answers
  const { seen, fault } = read(`${first}evil`, 'GET', [first.length])
  t.equal(seen.at(-1), 'kept', 'when it comes later, it is kept')
  t.match(fault, /no request asked for/, 'until it comes')
})

/** What node reads at once is 64 KB at most: whoever sends an answer of just that hides what follows. */
t.test('an answer that fills a whole read may not be all there is to read', async t => {
  for (const framing of ['Content-Length', 'Transfer-Encoding']) {
    for (const [size, kept] of [
      [65_535, 'kept'],
      [65_536, 'not kept'],
    ] as const) {
      const room = size - 80
      const text =
        framing === 'Content-Length'
          ? lines(OK, `Content-Length: ${room}`) + 'x'.repeat(room)
          : `${lines(OK, CHUNKED)}${room.toString(16)}\r\n${'x'.repeat(room)}\r\n0\r\n\r\n`
      const padded = text.replace('\r\n', `\r\nA:${' '.repeat(size - text.length - 4)}\r\n`)
      t.equal(padded.length, size)
      t.equal(read(padded).seen.at(-1), kept, `${framing}, ${size} bytes`)
    }
  }
})

t.test('an answer that ends early is cut, one that ends with its connection is not', async t => {
  const rows: [text: string, isEnded: boolean][] = [
    ['', false],
    ['HTTP/1.1 200', false],
    [lines('HTTP/1.1 100 Continue'), false],
    [lines(OK, 'Content-Length: 2') + 'o', false],
    [lines(OK, CHUNKED) + '2\r\nok\r\n', false],
    [lines(OK, CHUNKED) + '2\r\nok\r\n0\r\n', false],
    [lines(OK, CHUNKED) + '2\r\nok', false],
    [lines(OK), true],
    [lines(OK, 'Content-Length: 2') + 'ok', true],
  ]
  for (const [text, isEnded] of rows) t.equal(read(text).isEnded, isEnded, JSON.stringify(text))
})

t.test('a 101 hands over whatever comes behind it', async t => {
  const head = lines('HTTP/1.1 101 Switching', 'Upgrade: websocket')
  t.same(read(`${head}frames`), {
    ...{
      seen: ['101 Switching|Upgrade|websocket'],
      fault: undefined,
      isEnded: false,
      rest: 'frames',
    },
  })
  const all = `${lines('HTTP/1.1 100 Continue')}${head}`
  t.equal(read(all, 'GET', [5, 40]).rest, '')
})

t.test('a reader reads one answer after the other', async t => {
  const reader = createAnswerReader(1_024)
  let ended = 0
  for (const size of [0, 3, 0]) {
    reader.expect('GET', { onHead: () => undefined, onData: () => undefined, onEnd: () => ended++ })
    t.equal(
      reader.push(Buffer.from(lines(OK, `Content-Length: ${size}`) + 'x'.repeat(size))),
      undefined,
    )
  }
  t.equal(ended, 3)
  reader.finish()
  t.equal(ended, 3, 'which has no end of its own')
})
