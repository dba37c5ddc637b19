/**
 * What the load balancer does to every request, whoever sends it: headers, limits, targets that come,
 * fail and go, connections that go quiet, WebSockets, TLS.
 */
import { once } from 'node:events'
import { request as requestHttp, type IncomingMessage } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { connect } from 'node:net'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { createCertificate } from '../../simulator/certificate.ts'
import { ask, close, headerList, listen } from '../../simulator/loopback.ts'
import { createVisitor } from '../../simulator/visitor.ts'
import { arrived, startApp, startRig, until, verified } from './rig.ts'

const OPEN = { defaultAction: 'forward' } as const
const headersIn = (body: string) => (JSON.parse(body) as { headers: [string, string][] }).headers

/** What comes on a connection of its own until it ends, or until `last` is there. */
async function exchange(url: string, text: string, last?: string): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.write(text, 'latin1')
  let answer = ''
  socket.setEncoding('latin1').on('data', chunk => {
    answer += String(chunk)
    if (last !== undefined && answer.includes(last)) socket.destroy()
  })
  socket.on('error', () => undefined)
  await once(socket, 'close')
  return answer
}

t.test('what is added and what is taken out', async t => {
  const app = await startApp(t)
  const { alb } = await startRig(t, { ...OPEN, targets: [app.url] })
  const port = new URL(alb.url).port
  const { body } = await ask(alb.url, '/a//b/../c;d?e', [
    ['X-Forwarded-For', '10.0.0.1'],
    ['X-Forwarded-Proto', 'https'],
    ['X-Amzn-Trace-Id', 'Root=1-abc;Self=1-def;a=b'],
    ['TE', 'trailers'],
    ['x_under_score', '1'],
    ['X-Twice', '1'],
    ['X-Twice', '2'],
  ])
  t.equal((JSON.parse(body) as { url: string }).url, '/a//b/../c;d?e', 'the path as it came')
  const headers = new Map(headersIn(body))
  t.equal(headers.get('X-Forwarded-For'), '10.0.0.1, 127.0.0.1')
  t.equal(headers.get('X-Forwarded-Proto'), 'http')
  t.equal(headers.get('X-Forwarded-Port'), port)
  t.match(headers.get('X-Amzn-Trace-Id'), /^Self=1-[\da-f]{8}-[\da-f]{24};Root=1-abc;a=b$/)
  t.equal(headers.get('Host'), `127.0.0.1:${port}`)
  t.equal(headers.get('x_under_score'), '1')
  t.notOk(headers.has('TE'))
  t.same(arrived({ body }, 'x-twice'), ['1', '2'])
  const plain = new Map(headersIn((await ask(alb.url, '/')).body))
  t.match(plain.get('X-Amzn-Trace-Id'), /^Root=1-[\da-f]{8}-[\da-f]{24}$/)
})

t.test('limits', async t => {
  const app = await startApp(t)
  const { alb } = await startRig(t, { ...OPEN, targets: [app.url] })
  const rows = [
    { is: 'a long line', path: `/${'a'.repeat(16_360)}`, status: 200 },
    { is: 'too long a line', path: `/${'a'.repeat(16_384)}`, status: 414 },
    { is: 'a long header', headers: [['X-A', 'a'.repeat(16_000)]], status: 200 },
    { is: 'too long a header', headers: [['X-A', 'a'.repeat(16_384)]], status: 400 },
    {
      is: 'too many headers',
      headers: Array.from({ length: 5 }, () => ['X-A', 'a'.repeat(15_000)]),
      status: 400,
    },
    { is: '29 proxies', headers: [['X-Forwarded-For', '1,'.repeat(28) + '1']], status: 200 },
    { is: '31 proxies', headers: [['X-Forwarded-For', '1,'.repeat(30) + '1']], status: 463 },
  ] as const
  for (const row of rows) {
    const { path, headers }: { path?: string; headers?: readonly (readonly string[])[] } = row
    const list = (headers ?? []).map(([name = '', value = '']) => [name, value] as const)
    t.equal((await ask(alb.url, path ?? '/', list)).status, row.status, row.is)
  }
  t.match(
    await exchange(alb.url, 'TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'),
    / 405 /,
  )
  t.match(
    await exchange(alb.url, 'no HTTP\r\n\r\n'),
    /^HTTP\/1.1 400 .*\r\nServer: awselb\/2.0\r\n/,
  )
})

t.test('rules see the path as it came, or normalised', async t => {
  const app = await startApp(t)
  const rules = [{ pattern: '/open/*', action: 'forward' }] as const
  const raw = await startRig(t, { defaultAction: 'deny', rules, targets: [app.url] })
  const normal = await startRig(t, {
    ...{ defaultAction: 'deny', rules, targets: [app.url], normalizesPaths: true },
  })
  for (const [path, rawStatus, normalStatus] of [
    ['/open/a', 200, 200],
    ['/open/../secret', 200, 401],
    ['/secret/../open/a', 401, 200],
    ['/Open/a', 401, 401],
    ['/x?/open/a', 401, 401],
  ] as const) {
    t.equal((await ask(raw.alb.url, path)).status, rawStatus, path)
    t.equal((await ask(normal.alb.url, path)).status, normalStatus, `${path}, normalised`)
  }
})

t.test('targets that fail', async t => {
  const { alb } = await startRig(t, OPEN)
  t.equal((await ask(alb.url, '/')).status, 503, 'none')
  const app = await startApp(t, (request, response) => {
    if (request.url === '/reset') request.socket.destroy()
    if (request.url === '/large') response.writeHead(200, { 'X-A': 'a'.repeat(33_000) }).end()
    if (request.url === '/early') response.writeHead(413, { Connection: 'close' }).end('no')
  })
  alb.register(app.url)
  t.equal((await ask(alb.url, '/reset')).status, 502)
  t.equal((await ask(alb.url, '/large')).status, 502, '32K of answer headers')
  const impatient = await startRig(t, { ...OPEN, targets: [app.url], idleTimeoutSeconds: 0.2 })
  const silent = await ask(impatient.alb.url, '/silent')
  t.equal(silent.status, 504, 'nothing for the idle time-out')
  const early = await createVisitor().visit(`${alb.url}/early`, { form: { a: 'b' } })
  t.match(early, { status: 413, body: 'no' }, 'an answer before the end of the request')
  app.server.close()
  app.server.closeAllConnections()
  t.equal((await ask(alb.url, '/')).status, 502, 'gone')
})

t.test('an answer that breaks off breaks off for the client', async t => {
  const app = await startApp(t, (_, response) => {
    response.writeHead(200, { 'Content-Length': '100' }).write('half')
    setTimeout(() => response.destroy(), 50)
  })
  const { alb } = await startRig(t, { ...OPEN, targets: [app.url] })
  await t.rejects(ask(alb.url, '/'))
})

t.test('health checks', async t => {
  const checks: IncomingMessage[] = []
  let isUp = false
  const start = (name: string, healthy: () => boolean) =>
    startApp(t, (request, response) => {
      if (request.url !== '/health') return void response.end(name)
      checks.push(request)
      response.writeHead(healthy() ? 200 : 503).end()
    })
  const good = await start('good', () => true)
  const bad = await start('bad', () => isUp)
  const { alb } = await startRig(t, {
    ...{ ...OPEN, targets: [bad.url] },
    healthCheck: { path: '/health', intervalMs: 50, healthyThreshold: 2 },
  })
  t.ok(await until(() => alb.health()[bad.url] === 'unhealthy'))
  t.equal((await ask(alb.url, '/')).body, 'bad', 'fails open')
  alb.register(good.url)
  t.ok(await until(() => alb.health()[good.url] === 'healthy'))
  const answers = await Promise.all([1, 2, 3, 4].map(() => ask(alb.url, '/')))
  t.same(new Set(answers.map(({ body }) => body)), new Set(['good']))
  isUp = true
  t.ok(await until(() => alb.health()[bad.url] === 'healthy'), 'back in service')
  const both = await Promise.all([1, 2, 3, 4].map(() => ask(alb.url, '/')))
  t.same(both.map(({ body }) => body).sort(), ['bad', 'bad', 'good', 'good'], 'in turn')
  const headers = new Map(headerList(checks[0]!))
  t.equal(headers.get('User-Agent'), 'ELB-HealthChecker/2.0')
  t.equal(headers.get('Host'), new URL(bad.url).host)
})

t.test('a target that is deregistered', async t => {
  let finish: (() => void) | undefined
  const app = await startApp(t, (request, response) => {
    if (request.url === '/slow') finish = () => response.end('done')
    else response.end('quick')
  })
  const { alb } = await startRig(t, { ...OPEN, targets: [app.url] })
  const slow = ask(alb.url, '/slow')
  await until(() => finish !== undefined)
  const gone = alb.deregister(app.url)
  t.equal(alb.health()[app.url], 'draining')
  t.equal((await ask(alb.url, '/')).status, 503, 'no new requests')
  finish?.()
  t.equal((await slow).body, 'done', 'the one in flight is finished')
  await gone
  t.same(alb.health(), {})
  await alb.deregister(app.url)

  const hasty = await startRig(t, {
    ...{ ...OPEN, targets: [app.url], deregistrationDelaySeconds: 0.1 },
  })
  finish = undefined
  const cut = ask(hasty.alb.url, '/slow')
  await until(() => finish !== undefined)
  await hasty.alb.deregister(app.url)
  t.equal((await cut).status, 502, 'cut off after the delay')
})

t.test('WebSockets', async t => {
  const app = await startApp(t)
  const sockets = new WebSocketServer({ noServer: true })
  const seen: IncomingMessage[] = []
  app.server.on('upgrade', (request, socket, head: Buffer) => {
    seen.push(request)
    if (request.url === '/no') {
      socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno')
      return
    }
    sockets.handleUpgrade(request, socket, head, connection => {
      connection.send('welcome')
      connection.on('message', (data, isBinary) => {
        connection.send(data, { binary: isBinary })
      })
    })
  })
  t.teardown(() => {
    for (const client of sockets.clients) client.terminate()
  })
  const rig = await startRig(t, { targets: [app.url] })
  const { alb } = rig
  const url = `${alb.url.replace('http', 'ws')}/socket`

  const stranger = new WebSocket(url)
  const [, answer] = (await once(stranger, 'unexpected-response')) as [unknown, IncomingMessage]
  t.equal(answer.statusCode, 302, 'without a session')
  answer.resume()
  stranger.on('error', () => undefined).terminate()
  t.equal(seen.length, 0)

  const cookie = (await rig.signedIn()).cookieHeader(alb.url)
  const socket = new WebSocket(url, { headers: { Cookie: cookie } })
  const texts: string[] = []
  socket.on('message', data => texts.push((data as Buffer).toString()))
  await once(socket, 'open')
  socket.send('hello')
  t.ok(await until(() => texts.length === 2))
  t.same(texts, ['welcome', 'hello'], 'both ways, from the first frame')
  t.equal(new Map(headerList(seen[0]!)).get('x-amzn-oidc-identity')?.length, 36)
  socket.terminate()

  const hasty = await startRig(t, { ...OPEN, targets: [app.url], idleTimeoutSeconds: 0.2 })
  const idle = new WebSocket(`${hasty.alb.url.replace('http', 'ws')}/socket`)
  idle.on('error', () => undefined)
  await once(idle, 'close')
  t.pass('closed after the idle time-out')

  const refused = new WebSocket(`${alb.url.replace('http', 'ws')}/no`, {
    headers: { Cookie: cookie },
  })
  const [, no] = (await once(refused, 'unexpected-response')) as [unknown, IncomingMessage]
  t.equal(no.statusCode, 404, "the target's own answer")
  no.resume()
  refused.on('error', () => undefined).terminate()

  // A client need not wait for the 101; what comes with the request must not be lost.
  const key = 'dGhlIHNhbXBsZSBub25jZQ=='
  const head = `GET /socket HTTP/1.1\r\nHost: a\r\nCookie: ${cookie}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`
  const frame = Buffer.from([0x82, 0x82, 0, 0, 0, 0, 0x68, 0x69])
  const eager = await exchange(alb.url, head + frame.toString('latin1'), '\x02hi')
  t.match(eager, /^HTTP\/1.1 101 [^]*\r\n\r\n\x81\x07welcome\x82\x02hi/)
})

t.test('HTTPS on both sides', async t => {
  const { key, cert } = await createCertificate()
  const server = createSecureServer({ key, cert }, (request, response) => {
    response.end(JSON.stringify({ headers: headerList(request) }))
  })
  const target = await listen(server, 0, 'https')
  t.teardown(() => close(server))
  const rig = await startRig(t, { targets: [target], https: { key, cert } })
  const visitor = createVisitor()
  const page = await visitor.signIn(`${rig.alb.url}/x`, { name: 'alice', password: 'password' })
  t.match(page, { status: 200, url: /^https:/ })
  t.same(arrived(page, 'x-forwarded-proto'), ['https'])
  t.equal(arrived(page, 'x-amzn-oidc-data').length, 1)
  const asked = await createVisitor().visit(rig.alb.url, { follow: false })
  t.match(asked.headers['set-cookie'], [/; Secure; SameSite=None$/])
  t.match(asked.headers.location, encodeURIComponent(`${rig.alb.url}/oauth2/idpresponse`))
  t.equal((await visitor.visit(rig.alb.httpUrl)).status, 200, 'one session for both listeners')
})

t.test('keys are rotated, and the old ones served until they are withdrawn', async t => {
  const app = await startApp(t)
  const rig = await startRig(t, { targets: [app.url] })
  const visitor = await rig.signedIn()
  const token = async () => arrived(await visitor.visit(rig.alb.url), 'x-amzn-oidc-data')[0]!
  const before = await token()
  const { kid } = rig.alb.rotateKey()
  const after = await token()
  t.equal((await verified(t, rig, after)).header['kid'], kid)
  t.equal((await verified(t, rig, before)).header['kid'], rig.signer.kid)
  rig.keyServer.withdraw(rig.signer.kid)
  const answer = await ask(rig.keyServer.url, `/eu-central-1/${rig.signer.kid}`)
  t.match(answer, { status: 403, body: '<Code>AccessDenied</Code>' })
})

t.test('the layout of GovCloud', async t => {
  const arn = 'arn:aws-us-gov:elasticloadbalancing:us-gov-west-1:1:loadbalancer/app/a/b'
  const { keyUrl, signer } = await startRig(t, { arn })
  const url = new URL(keyUrl.replace('{region}', 'us-gov-west-1').replace('{kid}', signer.kid))
  t.equal(url.pathname, `/aws-elb-public-keys-prod-us-gov-west-1/${signer.kid}`)
  t.equal((await ask(url.origin, url.pathname)).body, signer.publicKeyPem)
})

t.test('HTTP/1.0 without a host has nowhere to come back to', async t => {
  const { alb } = await startRig(t)
  t.match(await exchange(alb.url, 'GET / HTTP/1.0\r\n\r\n'), /^HTTP\/1.1 401 /)
})

t.test('a client that leaves frees the target', async t => {
  let isGone = false
  const app = await startApp(t, request => {
    request.socket.on('close', () => (isGone = true))
    leaving.destroy()
  })
  const { alb } = await startRig(t, { ...OPEN, targets: [app.url] })
  const leaving = requestHttp(alb.url).on('error', () => undefined)
  leaving.end()
  t.ok(await until(() => isGone))
})
