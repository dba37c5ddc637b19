/**
 * The port for the platform. What it says is for whoever runs this; nobody gets there through the
 * port of the load balancer, nobody changes anything there, and no flood of requests makes its page
 * of metrics grow (THREATS T-92, T-93; oauth2-proxy CVE-2026-34457, GHSA-5hvv-m4w4-gf6v, where whoever
 * called himself a health check was let in).
 */
import t from 'tap'
import { lines, openRaw } from '../fixtures/raw.ts'
import { startRecorder } from '../fixtures/recorder.ts'
import { ALICE, startRig } from '../fixtures/sidecar.ts'
import { headersOf, visit } from '../fixtures/visit.ts'
import { startOracle } from './oracle.ts'
import { each } from './rows.ts'

const recorder = await startRecorder(t)
recorder.answerAt = 'end'
const rig = await startRig(t, recorder.port, {
  NOAUTH_PRESET: 'consoleme',
  ACCESS_LOG: 'off',
  FORWARD_OIDC_HEADERS: 'none',
})
const CANARIES = Array.from({ length: 300 }, (_, at) => `canary-${at}`)
const user = [ALICE.email, ...CANARIES.map(who => `${who}@example.com`)]
const oracle = await startOracle(rig, {
  assertable: {
    ...{
      'x-forwarded-user': user,
      'x-forwarded-email': user,
      'x-forwarded-groups': ['dev,ops', ...CANARIES],
    },
  },
})
const OURS = ['/metrics', '/healthz', '/readyz']

t.test('the port of the load balancer has nothing of it', async t => {
  const ways = OURS.flatMap(path => [
    ...[path, `${path}/`, `/${path}`, `${path}?`, `${path};a`, `/x/..${path}`, path.toUpperCase()],
    ...[`/%${path.charCodeAt(1).toString(16)}${path.slice(2)}`, `/healthcheck/..${path}`],
  ])
  await each(ways, async target => {
    for (const headers of [
      [],
      ['User-Agent: ELB-HealthChecker/2.0'],
      ['User-Agent: kube-probe/1.30', 'X-Forwarded-Port: 9090', 'X-Original-URL: /metrics'],
    ]) {
      const { status, body } = await visit(rig.port, { target, headers })
      t.equal(status, 401, `${target} ${headers.join()}`)
      t.notMatch(body, /alb_auth_|ok\n|ready/, target)
    }
  })
  t.same(recorder.framed(), [], 'and the application did not hear of it')
  for (const target of OURS) {
    const headers = [`X-Amzn-Oidc-Data: ${rig.token()}`]
    const { status, body } = await visit(rig.port, { target, headers })
    t.match({ status, body }, { status: 200, body: 'ok' }, `${target} is the application's`)
  }
})

t.test('Host does not choose the port', async t => {
  for (const host of [`127.0.0.1:${rig.adminPort}`, 'localhost:9090', '[::1]:9090']) {
    const connection = openRaw(rig.port)
    connection.write(lines('GET /metrics HTTP/1.1', `Host: ${host}`, 'Connection: close'))
    await connection.closed()
    t.match(connection.text(), /^HTTP\/1\.1 401 /, host)
  }
})

t.test('it does three things, and nothing for whoever asks otherwise', async t => {
  const rows = [
    ...['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'].map(method => ({
      method,
      target: '/healthz',
    })),
    ...[
      '/',
      '/debug',
      '/debug/pprof',
      '/json/list',
      '/heapdump',
      '/env',
      '/config',
      '/quitquitquit',
    ],
    ...[
      '/__proto__',
      '/constructor',
      '/metrics/',
      '//metrics',
      '/METRICS',
      '/readyz%00',
      '/../metrics',
    ],
    ...['/drain', '/logging?level=debug', '/.auth/sign-out', '/favicon.ico'],
  ].map(row => (typeof row === 'string' ? { method: 'GET', target: row } : row))
  await each(rows, async ({ method, target }) => {
    const answer = await visit(rig.adminPort, { method, target })
    t.equal(answer.status, method === 'GET' ? 404 : 405, `${method} ${target}`)
    t.notMatch(answer.body, /alb_auth_|nodejs_/, `${method} ${target}`)
    t.same(headersOf(answer, 'cache-control'), ['no-store'], `${method} ${target}`)
  })
})

t.test('what cannot be read there harms nobody', async t => {
  const rows = [
    ...[
      '\0',
      '\x16\x03\x01\x02\x00',
      'GET',
      'GET / HTTP/9.9\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    ],
    'GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n',
    `GET /metrics HTTP/1.1\r\nHost: a\r\n${'a: b\r\n'.repeat(10_000)}\r\n`,
    'GET /healthz HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    'CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n',
  ]
  for (const bytes of rows) {
    const connection = openRaw(rig.adminPort)
    connection.write(bytes)
    connection.end()
    t.ok(await connection.closed(), JSON.stringify(bytes.slice(0, 40)))
    connection.reset()
  }
  t.equal((await visit(rig.adminPort, { target: '/healthz' })).status, 200)
})

/** T-92: a series for each path, user or kid is a page that whoever asks can make as long as they like. */
t.test('no request makes the page of metrics longer, or writes on it', async t => {
  const seriesNow = async () =>
    (await rig.metrics())
      .split('\n')
      .map(line => line.replace(/ [^ ]*$/, ''))
      .filter(line => line.startsWith('alb_auth_') && !/_bucket|_sum|_count/.test(line))
  const before = await seriesNow()
  await each([...CANARIES.entries()], async ([at, who]) => {
    const methods = ['GET', 'POST', 'PROPFIND', 'M-SEARCH', 'QUERY']
    const tokens = [rig.token({ email: `${who}@example.com`, groups: [who] }), who, `${who}.a.b`]
    await visit(rig.port, {
      method: methods[at % methods.length] ?? 'GET',
      target: `/${who}?${who}`,
      headers: [
        `X-Amzn-Oidc-Data: ${tokens[at % tokens.length]}`,
        ...[`User-Agent: ${who}`, `X-${who}: ${who}`, `X_${who}: a`, `X-Amzn-Oidc-${who}: a`],
      ],
    }).catch(() => undefined)
  })
  t.notMatch(await rig.metrics(), /canary/)
  t.same(await seriesNow(), before, 'the same series as before')
})

t.test('after all of this', t => oracle.check(t, recorder))
