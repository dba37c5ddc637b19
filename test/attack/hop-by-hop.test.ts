/**
 * Headers that are for one hop only, both ways. Whoever names ours in `Connection` has the next hop drop
 * it; whoever gets `Upgrade`, `TE` or `Trailer` through speaks with a program that did not expect it
 * (THREATS T-33, T-43, T-76, T-77; RFC 9110 §7.6.1). Further rows are in headers.test.ts.
 *
 * @see http-party/node-http-proxy#446, #1488, #1647; http-proxy-3#28; fastify-reply-from
 * GHSA-v2v2-hph8-q5xp
 */
import t from 'tap'
import { openRaw, lines, readAnswer } from '../fixtures/raw.ts'
import { startRecorder, valuesIn } from '../fixtures/recorder.ts'
import { ALICE, startRig } from '../fixtures/sidecar.ts'
import { headersOf, visit } from '../fixtures/visit.ts'
import { startOracle } from './oracle.ts'
import { each, tag } from './rows.ts'

const recorder = await startRecorder(t)
recorder.answerAt = 'end'
const rig = await startRig(t, recorder.port, { NOAUTH_PATHS: '/open/*' })
const token = rig.token()
const oracle = await startOracle(rig, {
  assertable: {
    'x-forwarded-user': [ALICE.email],
    'x-forwarded-email': [ALICE.email],
    'x-forwarded-groups': ['dev,ops'],
    'x-amzn-oidc-data': [token],
    'x-amzn-oidc-identity': [ALICE.sub],
  },
})
const SIGNED_IN = [`X-Amzn-Oidc-Data: ${token}`, `X-Amzn-Oidc-Identity: ${ALICE.sub}`]

async function send(head: readonly string[], { method = 'GET', body = '', target = tag() } = {}) {
  const connection = openRaw(rig.port)
  connection.write(lines(`${method} ${target} HTTP/1.1`, 'Host: a', ...SIGNED_IN, ...head) + body)
  await connection.closed()
  const arrived = recorder.framed().filter(({ line }) => line.includes(` ${target} `))
  return { status: readAnswer(connection.text(), method)?.status, arrived }
}

const OURS = ['X-Forwarded-User', 'X-Forwarded-Email', 'X-Forwarded-Groups', 'X-Amzn-Oidc-Data']

/** One row for each of ours in each spelling of a list; what is asserted comes through all of them. */
t.test('Connection takes away none of ours, however it is written', async t => {
  const rows = OURS.flatMap(name =>
    [
      [`Connection: close, ${name}`],
      [`Connection: ${name}, close`],
      [`connection:${name.toLowerCase()},close`],
      [`CONNECTION: close ,\t${name.toUpperCase()}\t,`],
      [`Connection: ${name}`, 'Connection: close'],
      ['Connection: close', `Connection: ${name}`, `Connection: ${name}`],
      [`Connection: close, "${name}"`],
      [`Connection: close, ${name.replaceAll('-', '_')}`],
      [`Connection: close;${name}`, 'Connection: close'],
      [`Connection: ${'a,'.repeat(500)}${name},close`],
      [`Proxy-Connection: ${name}`, 'Connection: close, Proxy-Connection'],
      [`Keep-Alive: ${name}`, 'Connection: close, keep-alive'],
    ].map(head => ({ name, head })),
  )
  await each(rows, async ({ name, head }) => {
    const { status, arrived } = await send(head)
    const what = head.join(' + ').slice(0, 80)
    t.equal(status, 200, what)
    t.equal(valuesIn(arrived[0]?.headers ?? [], name.toLowerCase()).length, 1, what)
    const connection = valuesIn(arrived[0]?.headers ?? [], 'connection').join()
    t.notMatch(connection, new RegExp(name, 'i'), `${what}: and is not named further on`)
  })
})

/** GHSA-v2v2-hph8-q5xp: what Connection names may not be what says how long the body is, or what it is. */
t.test('nor what the body is framed and read by', async t => {
  const names = ['Content-Length', 'Content-Type', 'Host', 'Content-Encoding', 'Transfer-Encoding']
  await each(names, async name => {
    const target = tag()
    const { status, arrived } = await send(
      [`Connection: close, ${name}`, 'Content-Length: 7', 'Content-Type: text/plain'],
      { method: 'POST', body: 'a=b&c=d', target },
    )
    t.equal(status, 200, name)
    t.equal(arrived.length, 1, `${name}: one request`)
    t.equal(arrived[0]?.body, 'a=b&c=d', `${name}: with its body`)
    t.same(valuesIn(arrived[0]?.headers ?? [], 'host').length, 1, `${name}: and its host`)
  })
})

/** #1647: one request with `Trailer` ended the process. T-77: nobody is led to HTTP/2 over clear text. */
t.test('what is for this hop ends here, whatever the method', async t => {
  const hops = [
    'Trailer: X',
    'TE: trailers',
    'Upgrade: h2c',
    'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA',
  ]
  const more = [
    'Keep-Alive: timeout=1',
    'Proxy-Connection: keep-alive',
    'Proxy-Authorization: Basic x',
  ]
  const rows = ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'PROPFIND'].flatMap(
    method => [...hops, ...more].map(header => ({ method, header })),
  )
  await each(rows, async ({ method, header }) => {
    const name = header.split(':')[0] ?? ''
    for (const connection of ['close', `close, ${name}`]) {
      const { status, arrived } = await send([header, `Connection: ${connection}`], { method })
      const what = `${method}, ${header}, ${connection}`
      t.equal(status, 200, what)
      t.same(valuesIn(arrived[0]?.headers ?? [], name.toLowerCase()), [], what)
    }
  })
})

/** The way back: the ALB, or whoever is before it, must not be told to drop or keep what is not ours. */
t.test('an answer keeps its own hop to itself', async t => {
  const hops = [
    ...[
      'Connection: X-Secret, Set-Cookie, keep-alive',
      'X-Secret: gone',
      'Keep-Alive: timeout=999',
    ],
    ...['Proxy-Authenticate: Basic realm="gone"', 'TE: gone', 'Trailer: gone', 'Upgrade: gone'],
    ...['Proxy-Connection: gone', 'Set-Cookie: stays=1', 'Set-Cookie: stays=2', 'X-Public: stays'],
  ]
  recorder.answer = `${lines('HTTP/1.1 200 OK', 'Content-Length: 2', ...hops)}ok`
  const answer = await visit(rig.port, { target: tag(), headers: SIGNED_IN })
  recorder.answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
  t.equal(answer.status, 200)
  t.notMatch(answer.headers.join('\n'), /gone|999/)
  t.same(headersOf(answer, 'connection'), ['close'])
  t.equal(headersOf(answer, 'x-public').length, 1)
})

t.test('after all of this', t => oracle.check(t, recorder))
