/**
 * The program as an operator meets it: how it starts or says why not, what it answers, writes down and
 * counts, how it carries large and slow bodies, and how it leaves.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http, { type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startKeyServer } from '../../simulator/key-server.ts'
import { createSigner } from '../../simulator/signer.ts'
import { eventually, tag } from '../attack/rows.ts'
import { bareNode } from '../fixtures/node.ts'
import { PATIENCE_MS } from '../fixtures/patience.ts'
import { openRaw, readAnswer, lines } from '../fixtures/raw.ts'
import { visit } from '../fixtures/visit.ts'
import {
  ALICE,
  ARN,
  CLIENT,
  ISSUER,
  SETTINGS,
  runProgram,
  startProgram,
  startRig,
  type Rig,
} from '../fixtures/sidecar.ts'

const folder = mkdtempSync(join(tmpdir(), 'sidecar-'))
t.teardown(() => {
  rmSync(folder, { recursive: true })
})

// The application.

/** Requests that wait until somebody lets them go on. */
const held = new Map<string, () => void>()

const application: RequestListener = (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '', 'http://app')
  void (async () => {
    switch (pathname) {
      case '/digest': {
        const hash = createHash('sha256')
        for await (const chunk of request) hash.update(chunk as Buffer)
        response.end(hash.digest('hex'))
        return
      }
      case '/bytes':
        response.writeHead(
          200,
          searchParams.has('chunked') ? {} : { 'Content-Length': LARGE.length },
        )
        await pipeline(Readable.from(pieces(LARGE)), response)
        return
      case '/events':
        response.writeHead(200, { 'Content-Type': 'text/event-stream' })
        for (let nth = 1; nth <= 3; nth++) {
          response.write(`data: ${nth}\n\n`)
          await new Promise<void>(resolve => held.set(`event-${nth}`, resolve))
        }
        response.end()
        return
      case '/held':
        await new Promise<void>(resolve => held.set(searchParams.get('name') ?? '', resolve))
        response.end('held')
        return
      default:
        request.resume()
        response.end(JSON.stringify({ target: request.url, headers: request.rawHeaders }))
    }
  })()
}

const LARGE = randomBytes(20_000_000)
const LARGE_DIGEST = createHash('sha256').update(LARGE).digest('hex')

function* pieces(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000)
}

async function serve(at: number | string): Promise<Server> {
  const server = http.createServer(application)
  if (typeof at === 'string') server.listen(at)
  else server.listen(at, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return server
}
const portOf = (server: { address: () => unknown }) => (server.address() as AddressInfo).port

const appPort = portOf(await serve(0))
await serve(join(folder, 'app.sock'))
const CANARY_RULE = '/open/*'
const [rig, lenient, overUnix] = await Promise.all([
  startRig(t, appPort, {
    NOAUTH_PATHS: CANARY_RULE,
    ACCESS_LOG: 'all',
  }),
  startRig(t, appPort, {
    UNAUTHENTICATED: 'allow',
    ALLOWED_EMAIL_DOMAINS: 'example.com',
    ACCESS_LOG: 'off',
  }),
  startRig(t, 0, { UPSTREAM_URL: `unix:${join(folder, 'app.sock')}` }),
])

/** A kept connection may be closed from the other side just as it is used again. */
const CLOSE = { connection: 'close' }

interface Asking {
  readonly on?: Rig
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
}

async function ask(path: string, { on = rig, method = 'GET', headers = {} }: Asking = {}) {
  const request = http.request({
    ...{ host: '127.0.0.1', port: on.port, path, method, agent: false },
    headers: { Connection: 'close', ...headers },
  })
  request.end()
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  response.setEncoding('utf8')
  let body = ''
  for await (const chunk of response) body += chunk as string
  return { status: response.statusCode ?? 0, headers: response.headers, body }
}
const signedIn = (on: Rig = rig, claims: object = {}) => ({
  'x-amzn-oidc-data': on.token({ ...claims }),
})

/** The records that `on` has written, parsed; every line must be one. */
const records = (output: string): Record<string, unknown>[] =>
  output
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Record<string, unknown>)
const recordOf = async (id: string, on: Rig = rig) => {
  const find = () => records(on.output()).find(record => record['requestId'] === id)
  await eventually(() => find() !== undefined)
  return find()
}

t.test(
  'a configuration that cannot be used ends the start with everything that is wrong',
  async t => {
    writeFileSync(join(folder, 'arn'), ARN)
    const rows: { what: string; settings: Record<string, string>; faults: RegExp[] }[] = [
      {
        what: 'nothing set',
        settings: {},
        faults: [
          /^ {2}ALB_ARNS is required/m,
          /^ {2}ALB_CLIENT_IDS is req/m,
          /^ {2}OIDC_ISSUER is req/m,
        ],
      },
      {
        what: 'one of each',
        settings: {
          ...SETTINGS,
          ALB_ARNS: `${ARN},arn:aws:elasticloadbalancing:*:1:loadbalancer/app/*`,
          OIDC_ISSUER: 'accounts.google.com',
          UPSTREAM_URL: 'ftp://app',
          PORT: '80800',
          KEY_FETCH_TIMEOUT: '2 seconds',
          NOAUTH_PATHS: '/ok/*,/a/../b',
          USER_HEADER: 'X User',
          EMAIL_HEADER: 'x_forwarded_groups',
          GROUPS_MAP: '{"a":1}',
          UNAUTHENTICATED: 'maybe',
          MAX_HEADERS: '0',
        },
        faults: [
          /^ {2}ALB_ARNS must .*ARN/m,
          /^ {2}OIDC_ISSUER must /m,
          /^ {2}UPSTREAM_URL must /m,
          /^ {2}PORT must be a whole number from 0 to 65535/m,
          /^ {2}KEY_FETCH_TIMEOUT must be a duration/m,
          /^ {2}NOAUTH_PATHS must /m,
          /^ {2}USER_HEADER must be a header name/m,
          /^ {2}GROUPS_MAP must /m,
          /^ {2}UNAUTHENTICATED must be one of deny, allow/m,
          /^ {2}MAX_HEADERS must /m,
          /must differ/,
        ],
      },
      {
        what: 'an empty list of load balancers',
        settings: { ...SETTINGS, ALB_ARNS: ' , ' },
        faults: [/^ {2}ALB_ARNS must have at least one member/m],
      },
      {
        what: 'every load balancer',
        settings: { ...SETTINGS, ALB_ARNS: '*' },
        faults: [/^ {2}ALB_ARNS must /m],
      },
      {
        what: 'a file beside the value, and one that is not there',
        settings: {
          ...SETTINGS,
          ALB_ARNS_FILE: join(folder, 'arn'),
          ALB_KEY_URL_FILE: join(folder, 'absent'),
        },
        faults: [
          /^ {2}ALB_ARNS must not be set beside ALB_ARNS_FILE/m,
          /^ {2}ALB_KEY_URL_FILE cannot/m,
        ],
      },
      {
        what: 'an opt-out beside what it leaves out, and dangerous switches of node',
        settings: {
          ...SETTINGS,
          UNSAFE_ALLOW_ANY_CLIENT: 'true',
          NODE_TLS_REJECT_UNAUTHORIZED: '0',
          NODE_OPTIONS: '--insecure-http-parser',
        },
        faults: [
          /^ {2}UNSAFE_ALLOW_ANY_CLIENT must not be true while ALB_CLIENT_IDS is set/m,
          /^ {2}NODE_TLS_REJECT_UNAUTHORIZED must not be 0/m,
          /^ {2}NODE_OPTIONS must not hold --insecure-http-parser/m,
        ],
      },
      {
        what: 'a partition whose keys nobody knows where to find',
        settings: { ...SETTINGS, ALB_ARNS: ARN.replace('arn:aws:', 'arn:aws-cn:') },
        faults: [/^ {2}ALB_KEY_URL is required/m],
      },
    ]
    await Promise.all(
      rows.map(async ({ what, settings, faults }) => {
        const program = runProgram(t, settings)
        t.equal(await program.ended, 'exit 78', what)
        t.equal(program.stdout(), '', `${what}: nothing on stdout`)
        t.match(program.stderr(), /^configuration is not usable:\n/m, what)
        for (const fault of faults) t.match(program.stderr(), fault, what)
      }),
    )
  },
)

t.test('a setting may be a file, and what looks mistaken is warned of', async t => {
  for (const [name, value] of [
    ['arns', `${ARN}\n`],
    ['map', '{"ops":"operators"}\n'],
  ] as const) {
    writeFileSync(join(folder, name), value)
  }
  const signer = createSigner({ arn: ARN, client: 'whoever', issuer: 'https://whoever.example' })
  const keys = await startKeyServer({ keys: [signer] })
  t.teardown(keys.close)
  const { port, adminPort, ...program } = await startProgram(t, {
    ...{ ALB_ARNS: undefined, ALB_CLIENT_IDS: undefined, OIDC_ISSUER: undefined },
    ...{ ALB_ARNS_FILE: join(folder, 'arns'), GROUPS_MAP_FILE: join(folder, 'map') },
    ...{ UNSAFE_ALLOW_ANY_CLIENT: 'true', UNSAFE_ALLOW_ANY_ISSUER: 'true' },
    ...{ ALB_KEY_URL: `${keys.url}/{kid}`, UPSTREAM_URL: `http://127.0.0.1:${appPort}` },
    ...{ NOAUTH_PATH: '/x', KEEP_ALIVE_TIMEOUT: '30s' },
    ...{ NOAUTH_PATHS: '/*,/api/get_roles*', UPSTREAM_URL_FLIE: 'x', PORT_NAME: 'x' },
    ...{ ALB_SERVICE_HOST: '10.0.0.1', ALB_SERVICE_PORT: '80', UPSTREAM_PORT_80_TCP: 'x' },
    ...{ ALLOWED_GROUP: 'x', HOSTNAME: 'pod-1' },
  })
  t.match(program.stdout(), /"msg":"listening"/, 'it starts')
  const warnings = records(program.stdout())
    .filter(({ level }) => level === 40)
    .map(({ msg }) => msg as string)
  const expected = [
    /^UNSAFE_ALLOW_ANY_CLIENT: /,
    /^UNSAFE_ALLOW_ANY_ISSUER: /,
    /^KEEP_ALIVE_TIMEOUT /,
    /^NOAUTH_PATH is not a setting; did you mean NOAUTH_PATHS\?/,
    /^UPSTREAM_URL_FLIE is not a setting; did you mean UPSTREAM_URL/,
    /^ALLOWED_GROUP is not a setting; did you mean ALLOWED_GROUPS\?/,
    /'\/\*' opens every path/,
    /'\/api\/get_roles\*' has a \* that does not follow a \//,
  ]
  for (const each of expected)
    t.ok(
      warnings.some(warning => each.test(warning)),
      String(each),
    )
  t.notMatch(warnings.join('\n'), /SERVICE_HOST|SERVICE_PORT|_TCP|HOSTNAME/, 'none of Kubernetes')
  t.equal(program.stderr(), '', 'all of it in the log')

  const page = (await visit(adminPort, { target: '/metrics' })).body
  t.match(page, /^alb_auth_unsafe_settings 1$/m, 'the gauge says so')
  t.match(await rig.metrics(), /^alb_auth_unsafe_settings 0$/m, 'and elsewhere that all is checked')
  const answer = await visit(port, {
    target: '/x',
    headers: [`X-Amzn-Oidc-Data: ${signer.sign(ALICE)}`],
  })
  const { headers } = JSON.parse(answer.body) as { headers: string[] }
  const groups = headers[headers.indexOf('X-Forwarded-Groups') + 1]
  t.equal(groups, 'dev,operators', 'files are read, without their last line feed')
  program.signal('SIGTERM')
  t.equal(await program.ended, 'exit 0')
})

t.test('a port that is taken ends the start', async t => {
  const taken = createServer()
  taken.listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  await Promise.all(
    ['PORT', 'ADMIN_PORT'].map(async variable => {
      const program = runProgram(t, { ...SETTINGS, [variable]: String(portOf(taken)) })
      t.equal(await program.ended, 'exit 1', variable)
      t.match(program.stdout() + program.stderr(), /EADDRINUSE/, `${variable}: says why`)
    }),
  )
})

t.test('the admin port', async t => {
  const admin = (path: string, init?: RequestInit) =>
    fetch(`http://127.0.0.1:${rig.adminPort}${path}`, { ...init, headers: CLOSE })
  const metrics = await admin('/metrics')
  t.match(metrics.headers.get('content-type'), 'text/plain')
  const page = await metrics.text()
  const names = [
    ...['requests_total', 'rejections_total', 'invalid_tokens_total', 'stripped_headers_total'],
    ...['key_cache_lookups_total', 'key_fetches_total', 'key_fetch_duration_seconds'],
    ...['token_lifetime_seconds', 'decision_duration_seconds', 'request_duration_seconds'],
    ...['upstream_errors_total', 'upstream_connections', 'requests_in_flight', 'draining'],
    ...['unsafe_settings', 'build_info'],
  ]
  for (const name of names) t.match(page, new RegExp(`^# TYPE alb_auth_${name} `, 'm'), name)
  t.match(page, /^alb_auth_build_info\{version="[^"]+",node="v\d+[^"]*"\} 1$/m)
  t.equal((await admin('/healthz')).status, 200)
  t.equal((await admin('/readyz')).status, 200)
  t.equal((await admin('/readyz', { method: 'HEAD' })).status, 200)
  t.equal((await admin('/metrics', { method: 'POST' })).status, 405)
  for (const path of ['/', '/metrics/', '/x', '/..//metrics', '/debug', '/%6detrics']) {
    t.equal((await admin(path)).status, 404, path)
  }
  for (const path of ['/metrics', '/healthz', '/readyz']) {
    t.equal((await ask(path)).status, 401, `${path} is a guarded path on the other port`)
    const { body } = await ask(path, { headers: signedIn() })
    t.match(body, `"target":"${path}"`, `${path} is the application's there`)
  }
})

t.test('the admin port outlives what is sent to it', async t => {
  const rows: [what: string, bytes: string][] = [
    ['bytes that are no HTTP', 'HELO\r\n\r\n'],
    ['a tunnel', lines('CONNECT a:443 HTTP/1.1', 'Host: a')],
    [
      'an upgrade',
      lines('GET /metrics HTTP/1.1', 'Host: a', 'Connection: Upgrade', 'Upgrade: h2c'),
    ],
    ['an expectation', lines('GET /metrics HTTP/1.1', 'Host: a', 'Expect: x')],
    ['another version', lines('GET /metrics HTTP/2.0', 'Host: a')],
    ['another form', lines('GET http://a/metrics HTTP/1.1', 'Host: a')],
    ['a name of an object', lines('GET __proto__ HTTP/1.1', 'Host: a')],
    [
      'many headers',
      lines('GET /metrics HTTP/1.1', 'Host: a', ...Array<string>(9_000).fill('a: b')),
    ],
    ['a body', `${lines('POST /metrics HTTP/1.1', 'Host: a', 'Content-Length: 9')}x`],
  ]
  for (const [what, bytes] of rows) {
    const connection = openRaw(rig.adminPort)
    connection.write(bytes)
    await connection.until(/\r\n\r\n/)
    connection.reset()
    t.equal((await visit(rig.adminPort, { target: '/healthz' })).status, 200, what)
  }
})

t.test('our own answers', async t => {
  const root = '1-67891233-abcdef012345678912345678'
  const trace = `Self=1-67891234-12456789abcdef012345678;Root=${root};Sampled=1`
  await t.test('are a problem to a program', async t => {
    const { status, headers, body } = await ask(tag(), { headers: { 'x-amzn-trace-id': trace } })
    t.equal(status, 401)
    t.match(headers, {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'www-authenticate': 'Bearer',
      'x-request-id': root,
    })
    const problem = { type: 'about:blank', title: 'Unauthorized', status, reason: 'token_missing' }
    t.same(JSON.parse(body), problem)
    t.match(await recordOf(root), { reason: 'token_missing', status: 401, route: 'guarded' })
  })
  await t.test('are a page to a person', async t => {
    const page = {
      status: 401,
      headers: { 'content-type': /^text\/html/ },
      body: /^<!doctype html>/i,
    }
    t.match(await ask(tag(), { headers: { accept: 'text/html,*/*;q=0.8' } }), page)
    t.match(await ask(tag(), { headers: { 'sec-fetch-mode': 'navigate' } }), page)
    const fetched = { accept: 'text/html', 'sec-fetch-mode': 'cors' }
    t.match(await ask(tag(), { headers: fetched }), { body: /^\{/ }, 'but not to its scripts')
  })
  await t.test('have no body for HEAD', async t => {
    const connection = openRaw(rig.port)
    connection.write(lines('HEAD /x HTTP/1.1', 'Host: a') + lines('GET /y HTTP/1.1', 'Host: a'))
    t.ok(await connection.until(/ 401 [^]*\r\n\r\nHTTP\/1\.1 401 [^]*\}\n/))
    connection.reset()
  })
  await t.test('hold not a byte of the request', async t => {
    const canary = '"><script>mirrored</script>'
    for (const accept of ['text/html', 'application/json']) {
      const { status, headers, body } = await ask(
        `/${encodeURIComponent(canary)}?${canary.slice(1)}`,
        {
          headers: {
            ...{ accept, 'user-agent': canary, cookie: `a=${canary}`, referer: canary },
            ...{ 'x-amzn-trace-id': `Root=${canary}`, 'x-amzn-oidc-data': `${canary}.b.c` },
            ...{ 'x-request-id': canary, origin: canary },
          },
        },
      )
      t.equal(status, 401)
      t.notMatch(JSON.stringify(headers) + body, /mirrored|script/)
    }
  })
  await t.test('do not say which check failed', async t => {
    const foreign = createSigner({ arn: `${ARN}0`, client: CLIENT, issuer: ISSUER })
    for (const token of [
      foreign.sign(ALICE),
      'a.b.c',
      foreign.sign(ALICE, { header: { alg: 'x' } }),
    ]) {
      const { body } = await ask(tag(), { headers: { 'x-amzn-oidc-data': token } })
      t.same(JSON.parse(body), { type: 'about:blank', title: 'Unauthorized', status: 401 })
    }
  })
  await t.test('are named by the trace id when it is one, and by a new name when not', async t => {
    const ids = new Set<unknown>()
    const rows = ['', 'x', 'Root=1-6789-abc', `Root=${root}x`, `root=${root}`, `Root=${root} ;`]
    for (const trace of rows) {
      const { headers } = await ask(tag(), { headers: { 'x-amzn-trace-id': trace } })
      t.match(headers['x-request-id'], /^[0-9a-f]{8}-[0-9a-f]{4}-/, `'${trace}'`)
      ids.add(headers['x-request-id'])
    }
    t.equal(ids.size, rows.length)
  })
  await t.test('have a log line of the same name, whatever was wrong', async t => {
    const rows: [what: string, bytes: string, reason: string][] = [
      ['no token', lines('GET /x HTTP/1.1', 'Host: a'), 'token_missing'],
      ['two hosts', lines('GET /x HTTP/1.1', 'Host: a', 'Host: b'), 'malformed_request'],
      ['TRACE', lines('TRACE /x HTTP/1.1', 'Host: a'), 'method_refused'],
      ['Expect', lines('GET /x HTTP/1.1', 'Host: a', 'Expect: x'), 'expectation_refused'],
      ['bytes that are no HTTP', 'HELO\r\n\r\n', 'malformed_request'],
      ['CONNECT', lines('CONNECT a:443 HTTP/1.1', 'Host: a:443'), 'method_refused'],
      ['a huge head', lines('GET /x HTTP/1.1', `X: ${'x'.repeat(120_000)}`), 'headers_too_large'],
    ]
    for (const [what, bytes, reason] of rows) {
      const connection = openRaw(rig.port)
      connection.write(bytes)
      await connection.until(/\r\n\r\n[^]*\}/)
      connection.reset()
      const [, id = ''] = /^x-request-id: (\S+)/im.exec(connection.text()) ?? []
      t.match(connection.text(), `"reason":"${reason}"`, what)
      t.match(await recordOf(id), { reason, verdict: 'rejected' }, `${what}: is in the log`)
    }
  })
})

t.test('while no key can be had', async t => {
  const stranger = () => createSigner({ arn: ARN, client: CLIENT, issuer: ISSUER }).sign(ALICE)
  for (const on of [rig, lenient])
    on.keys.answer = (_, response) => Boolean(response.writeHead(503).end())
  const guarded = await ask('/x', { headers: { 'x-amzn-oidc-data': stranger() } })
  t.match(guarded, { status: 503, headers: { 'retry-after': '1' } }, 'a guarded path is 503')
  t.notMatch(guarded.body, /reason/, 'which says nothing of keys')
  const allowed = await ask('/x', { on: lenient, headers: { 'x-amzn-oidc-data': stranger() } })
  t.match(
    allowed,
    { status: 503, headers: { 'retry-after': '1' } },
    'also where nobody need sign in',
  )
  const open = await ask('/open/x', { headers: { 'x-amzn-oidc-data': stranger() } })
  t.equal(open.status, 200, 'an open path is open')
  t.notMatch(open.body, /oidc|x-forwarded-user/i, 'to nobody in particular')
  const series = 'alb_auth_invalid_tokens_total{reason="key_unavailable",source="alb"}'
  t.equal(await rig.metric(series), 1)
  for (const on of [rig, lenient]) on.keys.answer = undefined
  t.match(await ask('/x', { headers: signedIn() }), { status: 200 }, 'and then it is over')
})

t.test('UNAUTHENTICATED=allow lets everybody in, as nobody', async t => {
  const forged = { 'x-forwarded-user': 'mallory', 'x-amzn-oidc-identity': 'mallory' }
  const nobody = await ask('/x', { on: lenient, headers: forged })
  t.equal(nobody.status, 200, 'no token')
  t.notMatch(nobody.body, /mallory|X-Forwarded-User/i)

  const series = 'alb_auth_invalid_tokens_total{reason="token_malformed",source="alb"}'
  const bad = await ask('/x', { on: lenient, headers: { 'x-amzn-oidc-data': 'a.b.c', ...forged } })
  t.equal(bad.status, 200, 'a bad token')
  t.notMatch(bad.body, /mallory|oidc/i)
  t.equal(await lenient.metric(series), 1, 'is counted')

  const alice = await ask('/x', { on: lenient, headers: { ...signedIn(lenient) } })
  t.match(alice.body, /"X-Forwarded-User","alice@example\.com"/, 'a good token')
  const eve = signedIn(lenient, { email: 'eve@evil.example' })
  t.equal((await ask('/x', { on: lenient, headers: eve })).status, 403, 'somebody not allowed')
})

/** T-91. ConsoleMe's challenge tokens are in the path of an open route. */
t.test('nothing that a request carries is written down', async t => {
  const canary = () => `canary-${randomUUID()}`
  const seen = () => rig.output()
  const carried = () => ({
    ...{ cookie: `a=${canary()}`, authorization: `Bearer ${canary()}`, referer: canary() },
    ...{ 'user-agent': canary(), 'x-any': canary(), [canary()]: 'x', host: `${canary()}.example` },
    ...{ 'x-forwarded-for': canary(), 'x-amzn-oidc-accesstoken': canary(), [`x_${canary()}`]: '' },
    ...{ 'x-forwarded-user': canary(), 'x-amzn-trace-id': `Root=${canary()}` },
  })
  const claims = () => ({
    ...{ email: `${canary()}@example.com`, sub: canary(), name: canary(), groups: [canary()] },
    ...{ [canary()]: canary(), email_verified: canary() },
  })
  const token = () => ({ 'x-amzn-oidc-data': rig.token(claims()) })
  const broken = () => ({ 'x-amzn-oidc-data': `${rig.token(claims()).slice(0, -9)}AAAAAAA==` })
  const rows: [path: string, headers: Record<string, string>, status: number][] = [
    [`/open/${canary()}`, {}, 200],
    [`/open/${canary()}?x=${canary()}`, token(), 200],
    [`/open/${canary()}?x=${canary()}`, broken(), 200],
    [`/open/${canary()}`, { 'x-amzn-oidc-data': canary() }, 200],
    [`/x?x=${canary()}`, {}, 401],
    [`/x?x=${canary()}`, token(), 200],
    [`/x?x=${canary()}`, broken(), 401],
    [`/x?x=${canary()}`, { ...token(), 'x-amzn-oidc-identity': canary() }, 401],
    [`/x?x=${canary()}`, { 'x-amzn-oidc-data': canary() }, 401],
    [`/x?x=${canary()}`, { 'x-amzn-oidc-data': `${canary()}.${canary()}.${canary()}` }, 401],
    [`/x#${canary()}`, {}, 400],
    ['/x', { expect: canary() }, 417],
  ]
  for (const [path, headers, status] of rows) {
    const answer = await ask(path, { headers: { ...carried(), ...headers } })
    t.equal(answer.status, status, path.replace(/canary-[0-9a-f-]+/g, '…'))
    await recordOf(answer.headers['x-request-id'] as string)
  }
  const noHttp = openRaw(rig.port)
  noHttp.write(`GET /${canary()} HTTP/1.1\r\n${canary()}\r\n\r\n`)
  t.ok(await noHttp.closed())
  const [, id = ''] = /^x-request-id: (\S+)/im.exec(noHttp.text()) ?? []
  t.ok(await recordOf(id), 'all of it has been written')
  t.notMatch(seen(), /canary/)

  const path = `/guarded/${canary()}`
  await ask(`${path}?secret=${canary()}`)
  await eventually(() => seen().includes(path))
  t.ok(seen().includes(`"path":"${path}"`), 'but the path of a guarded route')
  t.ok(seen().includes(`"rule":"${CANARY_RULE}"`), 'and the rule that opened one')
  t.notMatch(seen(), /secret/)
})

t.test('what is quoted of a bad token is one line of ASCII, and short', async t => {
  const foreign = createSigner({
    arn: `x\n{"level":60}\r\u2028é${'y'.repeat(3_000)}`,
    client: CLIENT,
    issuer: ISSUER,
  })
  const before = rig.output().length
  const { headers } = await ask('/x', { headers: { 'x-amzn-oidc-data': foreign.sign(ALICE) } })
  const record = await recordOf(headers['x-request-id'] as string)
  t.match(record, { reason: 'signer_mismatch', source: 'alb' })
  t.match(record?.['detail'], /^[\x20-\x7e…]{1,400}$/)
  t.equal(records(rig.output().slice(before)).length, 1)
})

t.test('which requests are written down', async t => {
  const paths = [tag(), tag()]
  await ask(paths[0]!, { headers: signedIn() })
  t.ok(await eventually(() => rig.output().includes(paths[0]!)), 'all: one that was let in')
  await ask(paths[1]!, { on: overUnix, headers: signedIn(overUnix) })
  const { headers } = await ask(tag(), { on: overUnix })
  t.ok(await recordOf(headers['x-request-id'] as string, overUnix), 'rejections: one that was not')
  t.notOk(overUnix.output().includes(paths[1]!), 'rejections: no other')
  t.notMatch(lenient.output(), /"msg":"request"/, 'off: none')
  t.match(lenient.output(), /"msg":"listening"/, 'off: but what the program has to say')
})

t.test('an application on a unix socket', async t => {
  const { status, body } = await ask('/x?y', { on: overUnix, headers: signedIn(overUnix) })
  t.equal(status, 200)
  t.match(body, /"target":"\/x\?y"/)
  const connection = openRaw(overUnix.port)
  connection.write(lines('GET /old HTTP/1.0', `X-Amzn-Oidc-Data: ${overUnix.token()}`))
  t.ok(await connection.closed(), 'HTTP/1.0 ends its connection')
  const answer = readAnswer(connection.text())
  t.equal(answer?.status, 200, 'and needs no Host')
  t.match(JSON.parse(answer?.body ?? '{}'), { headers: ['Host', 'localhost'] }, 'we give it one')
})

t.test('large bodies pass both ways, whole', async t => {
  const upload = async (headers: Record<string, string | number>) => {
    const request = http.request({
      ...{ host: '127.0.0.1', port: rig.port, path: '/digest', method: 'POST', agent: false },
      headers: { ...signedIn(), ...headers },
    })
    const answered = once(request, 'response') as Promise<[IncomingMessage]>
    await pipeline(Readable.from(pieces(LARGE)), request)
    const [response] = await answered
    let body = ''
    for await (const chunk of response.setEncoding('utf8')) body += chunk as string
    return body
  }
  t.equal(await upload({ 'Content-Length': LARGE.length }), LARGE_DIGEST, 'up, with a length')
  t.equal(await upload({ 'Transfer-Encoding': 'chunked' }), LARGE_DIGEST, 'up, in chunks')
  for (const path of ['/bytes', '/bytes?chunked']) {
    const headers = { ...signedIn(), ...CLOSE }
    const response = await fetch(`http://127.0.0.1:${rig.port}${path}`, { headers })
    const hash = createHash('sha256').update(Buffer.from(await response.arrayBuffer()))
    t.equal(hash.digest('hex'), LARGE_DIGEST, `down, ${path}`)
  }
})

t.test('what the application says passes when it says it', async t => {
  const headers = { ...signedIn(), ...CLOSE }
  const response = await fetch(`http://127.0.0.1:${rig.port}/events`, { headers })
  t.equal(response.headers.get('content-type'), 'text/event-stream')
  const reader = response.body!.getReader()
  for (let nth = 1; nth <= 3; nth++) {
    const { value } = await reader.read()
    t.equal(Buffer.from(value ?? []).toString(), `data: ${nth}\n\n`, 'before it says the next')
    await eventually(() => held.has(`event-${nth}`))
    held.get(`event-${nth}`)!()
  }
  t.match(await reader.read(), { done: true })
})

/** T-92: a client that could make series could fill the memory of whoever scrapes. */
t.test('no client can add a series', async t => {
  const random = () => randomBytes(6).toString('hex')
  const round = async () => {
    const requests = Array.from({ length: 25 }, async () => {
      await ask(`/${random()}`)
      await ask(`/open/${random()}?${random()}`, { headers: { host: random() } })
      await ask(`/${random()}`, { headers: { ...signedIn(), 'user-agent': random() } })
      await ask(`/x`, { headers: { 'x-amzn-oidc-data': random() } })
      const foreign = rig.signer.sign(ALICE, { header: { signer: random(), kid: random() } })
      await ask(`/x`, { headers: { 'x-amzn-oidc-data': foreign } })
      await ask(`/${random()}`, { method: 'PROPFIND', headers: { [`x-${random()}`]: random() } })
    })
    await Promise.all(requests)
    const page = await rig.metrics()
    return page.split('\n').filter(line => /^alb_auth_/.test(line)).length
  }
  const before = await round()
  t.equal(await round(), before)
})

/** R14: a full pipe is somebody else's fault. */
t.test('a log that nobody reads stops nothing', async t => {
  const child = spawn(...bareNode(['dist/main.js']), {
    env: {
      ...{ PATH: process.env['PATH'], ...SETTINGS, ACCESS_LOG: 'all', DRAIN_DELAY: '0' },
      ...{ NOAUTH_PATHS: '/open/*', UPSTREAM_URL: `http://127.0.0.1:${appPort}` },
    },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const ended = once(child, 'exit')
  t.teardown(() => child.kill('SIGKILL'))
  // Its first lines are read, up to the one that names its ports, and then no more.
  let text = ''
  while (!text.includes('"msg":"listening"')) {
    const next = once(child.stdout, 'data') as Promise<[Buffer]>
    child.stdout.resume()
    const [chunk] = await next
    child.stdout.pause()
    text += chunk.toString()
  }
  const [port = 0] = [...text.matchAll(/"port":(\d+)/g)].map(match => Number(match[1]))
  // A pipe holds 64 KB; this is some ten times as much.
  const long = 'x'.repeat(250)
  for (let round = 0; round < 4; round++) {
    const connection = openRaw(port)
    for (let batch = 0; batch < 25; batch++) {
      const answered = connection.text().length
      connection.write(lines(`GET /${long} HTTP/1.1`, 'Host: a').repeat(15))
      await eventually(() => connection.text().slice(answered).split(' 401 ').length === 16)
    }
    connection.reset()
  }
  t.equal((await visit(port, { target: '/open/x' })).status, 200)
  t.equal((await visit(port, { target: '/x' })).status, 401)
  child.kill('SIGTERM')
  t.ok(await Promise.race([ended, sleep(PATIENCE_MS, false, { ref: false })]), 'nor keeps it')
  child.stdout.destroy()
})

/** T-96: an ALB goes on sending for some seconds after it has been told. */
t.test('leaving', async t => {
  t.jobs = 3
  const start = async (settings: Record<string, string>) => {
    const { port, adminPort, ...program } = await startProgram(t, {
      ...{ UPSTREAM_URL: `http://127.0.0.1:${appPort}`, NOAUTH_PATHS: '/held,/x,/bytes' },
      ...settings,
    })
    const hold = async (name: string) => {
      const connection = openRaw(port)
      connection.write(lines(`GET /held?name=${name} HTTP/1.1`, 'Host: a'))
      await eventually(() => held.has(name))
      return connection
    }
    const admin = (target: string) => visit(adminPort, { target })
    return { program, port, admin, hold }
  }

  /** Waits until nobody listens any more. */
  const refused = (port: number) =>
    eventually(
      () =>
        new Promise<boolean>(resolve => {
          const socket = connect({ port, host: '127.0.0.1' })
          socket.on('error', () => {
            resolve(true)
          })
          socket.on('connect', () => {
            socket.destroy()
            resolve(false)
          })
        }),
    )

  await Promise.all([
    t.test(
      'a signal: unready at once, but serving; a second one: the end',
      { buffered: true },
      async t => {
        const { program, port, admin, hold } = await start({
          DRAIN_DELAY: '5m',
          DRAIN_TIMEOUT: '5m',
        })
        const idle = openRaw(port)
        idle.write(lines('GET /x HTTP/1.1', 'Host: a'))
        await idle.until(/ 200 [^]*\]\}/)
        t.notMatch(idle.text(), /^connection: close/im, 'connections are kept before')
        const stuck = await hold('twice')

        program.signal('SIGTERM')
        t.ok(await program.writes(/"msg":"draining"/))
        t.equal((await admin('/readyz')).status, 503, 'not ready')
        t.equal((await admin('/healthz')).status, 200, 'but alive')
        t.match((await admin('/metrics')).body, /^alb_auth_draining 1$/m)
        const late = openRaw(port)
        late.write(lines('GET /x HTTP/1.1', 'Host: a'))
        await late.closed()
        t.match(readAnswer(late.text()), { status: 200, whole: true }, 'a late one is served')
        t.match(late.text(), /^connection: close\r$/im, 'and told that it is the last')
        idle.write(lines('GET /x HTTP/1.1', 'Host: a'))
        await idle.closed()
        t.match(
          idle.text(),
          / 200 [^]* 200 [^]*^connection: close\r$/im,
          'on an old connection too',
        )

        program.signal('SIGTERM')
        t.ok(await stuck.closed())
        t.equal(await program.ended, 'exit 1')
      },
    ),
    t.test('after the delay nothing that is under way is dropped', { buffered: true }, async t => {
      const { program, port, hold } = await start({ DRAIN_DELAY: '200ms', DRAIN_TIMEOUT: '5m' })
      const inFlight = await hold('drained')
      const download = http.get({ host: '127.0.0.1', port, path: '/bytes', agent: false })
      const [slowly] = (await once(download, 'response')) as [IncomingMessage]
      program.signal('SIGTERM')
      t.ok(await refused(port), 'nobody listens any more')
      held.get('drained')!()
      await inFlight.closed()
      t.match(readAnswer(inFlight.text()), { status: 200, body: 'held', whole: true }, 'in flight')
      await sleep(300)
      const hash = createHash('sha256')
      for await (const chunk of slowly) hash.update(chunk as Buffer)
      t.equal(hash.digest('hex'), LARGE_DIGEST, 'an answer that is read slowly is not cut')
      t.equal(await program.ended, 'exit 0')
    }),
    t.test('who takes too long is cut off', { buffered: true }, async t => {
      const { program, hold } = await start({ DRAIN_TIMEOUT: '500ms' })
      const stuck = await hold('stuck')
      program.signal('SIGINT')
      t.ok(await stuck.closed())
      t.equal(await program.ended, 'exit 0')
    }),
  ])
})

t.test('after all of this', async t => {
  for (const each of [rig, lenient, overUnix]) {
    t.notMatch(each.output(), /"level":(50|60)/, 'nothing was logged as an error')
    const isQuiet = async () => (await each.metric('alb_auth_requests_in_flight')) === 0
    t.ok(await eventually(isQuiet), 'every request was settled')
    t.equal(await each.stop(), 'exit 0')
  }
})
