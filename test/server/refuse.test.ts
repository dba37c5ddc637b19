import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { REASONS, REASON_NAMES, isReason, type Reason } from '../../src/core/reasons.ts'
import { isNavigation } from '../../src/core/navigation.ts'
import { rawRefusal, refusalFor, sendReply } from '../../src/server/refuse.ts'
import { lines, sendRaw } from '../fixtures/raw.ts'
import { stretch } from '../fixtures/timers.ts'

const ID = '1-67891233-abcdef012345678912345678'
const SECRET = 'c2VjcmV0'

/**
 * A server that refuses every request: for the reason that its path names, closing if `?close`. It
 * does so as the pipeline does, never from within the parser's own callback, where nothing is
 * complete yet.
 */
async function startRefuser(t: Test): Promise<number> {
  const server = http.createServer((request: IncomingMessage, response: ServerResponse) => {
    const [path = '', query] = (request.url ?? '').slice(1).split('?')
    const reason = isReason(path) ? path : 'internal_error'
    queueMicrotask(() => {
      const reply = refusalFor(reason, request.rawHeaders)
      sendReply(request, response, reply, { requestId: ID, close: query === 'close' })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

const parts = (text: string) => {
  const end = text.indexOf('\r\n\r\n')
  const [line = '', ...headers] = text.slice(0, end).split('\r\n')
  return { line, headers, body: text.slice(end + 4) }
}

/** What every answer of ours says beside its content. */
const COMMON = ['Cache-Control: no-store', 'X-Content-Type-Options: nosniff', `X-Request-Id: ${ID}`]
const EXTRA: Readonly<Record<number, string>> = {
  401: 'WWW-Authenticate: Bearer',
  405: 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
  503: 'Retry-After: 1',
}

/** The header lines of an answer, but for what node adds about date and connection. */
function headersOf(reason: Reason, type: string, body: string): string[] {
  const extra = EXTRA[REASONS[reason].status]
  const content = [`Content-Type: ${type}`, `Content-Length: ${body.length}`]
  return [...content, ...COMMON, ...(extra === undefined ? [] : [extra])]
}

const isOurs = (header: string) => !/^(?:Date|Connection|Keep-Alive):/.test(header)

function problemOf(reason: Reason) {
  const { status, disclosed } = REASONS[reason]
  const title = http.STATUS_CODES[status]
  return { type: 'about:blank', title, status, ...(disclosed && { reason }) }
}

t.test('every reason is answered to a program as a problem, and to a person as a page', async t => {
  const port = await startRefuser(t)
  const ask = async (reason: Reason, accept: string) => {
    const head = [`GET /${reason} HTTP/1.1`, 'Host: a', 'Connection: close', `Accept: ${accept}`]
    return parts((await sendRaw(port, lines(...head))).text)
  }
  for (const reason of REASON_NAMES) {
    const { status } = REASONS[reason]
    const line = `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? ''}`
    const problem = await ask(reason, '*/*')
    const headers = headersOf(reason, 'application/problem+json', problem.body)
    t.equal(problem.line, line, reason)
    t.same(problem.headers.filter(isOurs), headers, reason)
    t.same(JSON.parse(problem.body), problemOf(reason), reason)

    const page = await ask(reason, 'text/html')
    const pageHeaders = headersOf(reason, 'text/html; charset=utf-8', page.body)
    t.equal(page.line, line, `${reason}, as a page`)
    t.same(page.headers.filter(isOurs), pageHeaders, `${reason}, as a page`)
    t.match(page.body, /^<!doctype html>.+<p>[A-Z].+\.<\/p>.+<\/html>\n$/, `${reason}, as a page`)
    t.notMatch(page.body, reason, `${reason} is not on the page`)
  }
})

t.test('reasons that are not disclosed cannot be told apart by their answers', t => {
  const hidden = REASON_NAMES.filter(name => !REASONS[name].disclosed)
  for (const reason of hidden) {
    const twin = hidden.find(name => REASONS[name].status === REASONS[reason].status)!
    t.equal(rawRefusal(reason, ID), rawRefusal(twin, ID), `${reason} reads as ${twin}`)
    t.notMatch(rawRefusal(reason, ID), reason)
  }
  t.end()
})

t.test('no byte of the request is in the answer', async t => {
  const port = await startRefuser(t)
  for (const accept of ['*/*', 'text/html']) {
    const { text } = await sendRaw(
      port,
      lines(
        `POST /token_missing?${SECRET} HTTP/1.1`,
        `Host: ${SECRET}`,
        `Accept: ${accept}, ${SECRET}`,
        `Origin: https://${SECRET}`,
        `Cookie: a=${SECRET}`,
        'Content-Length: 8',
      ) + SECRET,
    )
    t.match(text, / 401 /)
    t.notMatch(text, SECRET, accept)
  }
})

t.test('the connection is kept only behind a request that was read whole', async t => {
  const port = await startRefuser(t)
  const cases = [
    { request: 'without a body', ask: 'GET /token_missing', closes: false },
    { request: 'that is to close', ask: 'GET /token_missing?close', closes: true },
    { request: 'with an empty body', ask: 'POST /token_missing', body: [0, ''], closes: false },
    { request: 'with half a body', ask: 'POST /token_missing', body: [8, 'half'], closes: true },
  ] as const
  for (const { request, ask, closes, ...more } of cases) {
    const [length, body] = 'body' in more ? more.body : [undefined, '']
    const framing = length === undefined ? [] : [`Content-Length: ${length}`]
    const { text, closed } = await sendRaw(
      port,
      lines(`${ask} HTTP/1.1`, 'Host: a', ...framing) + body,
    )
    t.equal(/^Connection: close$/m.test(text.replaceAll('\r', '')), closes, request)
    if (!closes) t.equal(closed, false, `${request}: the connection is open`)
  }
})

t.test('a whole body that nobody wanted does not keep the answer from its client', async t => {
  // How long the rest of a body is waited for.
  stretch(t, 1_000)
  const port = await startRefuser(t)
  const body = 'x'.repeat(200_000)
  const { statuses, closed } = await sendRaw(
    port,
    lines('POST /not_allowed HTTP/1.1', 'Host: a', `Content-Length: ${body.length}`) + body,
  )
  t.same(statuses, [403])
  t.equal(closed, true)
})

t.test('a navigation is what Fetch Metadata says, else what accepts HTML', t => {
  const cases = [
    { headers: ['Sec-Fetch-Mode', 'navigate'], is: true },
    { headers: ['sec-fetch-mode', 'navigate', 'Accept', '*/*'], is: true },
    { headers: ['Sec-Fetch-Mode', 'cors', 'Accept', 'text/html'], is: false },
    { headers: ['Sec-Fetch-Mode', '', 'Accept', 'text/html'], is: false },
    { headers: ['Accept', 'text/html,application/xhtml+xml;q=0.9'], is: true },
    { headers: ['ACCEPT', 'application/json', 'accept', 'TEXT/HTML'], is: true },
    { headers: ['Accept', '*/*'], is: false },
    { headers: ['X-Accept', 'text/html'], is: false },
    { headers: [], is: false },
  ]
  for (const { headers, is } of cases) t.equal(isNavigation(headers), is, headers.join())
  t.end()
})

t.test('the raw answer is the same answer, and ends its connection', t => {
  for (const reason of REASON_NAMES) {
    const { status } = REASONS[reason]
    const { line, headers, body } = parts(rawRefusal(reason, ID))
    t.equal(line, `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? ''}`, reason)
    t.same(JSON.parse(body), problemOf(reason), reason)
    t.same(headers.filter(isOurs), headersOf(reason, 'application/problem+json', body), reason)
    t.ok(headers.includes('Connection: close'), reason)
  }
  t.end()
})
