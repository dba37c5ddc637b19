/**
 * Ways out of an open path. A rule that opens `/noauth/v1/challenge_poller/*` must not open whatever
 * some application makes of a path that only begins like that: traversal, encodings, path parameters,
 * doubled slashes, queries (THREATS T-50…T-67; oauth2-proxy CVE-2025-54576 and CVE-2026-41059,
 * fastify-reply-from GHSA-2q7r-29rg-6m5h). Whatever is let through arrives byte for byte: http-proxy
 * and http-proxy-3 resolve, collapse or re-encode it after it was judged (D5).
 */
import { posix } from 'node:path'
import t from 'tap'
import { openRaw, readAnswer, lines } from '../fixtures/raw.ts'
import { startRecorder } from '../fixtures/recorder.ts'
import { ALICE, startRig } from '../fixtures/sidecar.ts'
import { each } from './rows.ts'
import { startOracle } from './oracle.ts'

const recorder = await startRecorder(t)
recorder.answerAt = 'end'
const rig = await startRig(t, recorder.port, {
  NOAUTH_PRESET: 'consoleme',
  NOAUTH_PATHS: 'GET|HEAD /read-only/*',
})
const token = rig.token()
const oracle = await startOracle(rig, {
  assertable: {
    'x-forwarded-user': [ALICE.email],
    'x-forwarded-email': [ALICE.email],
    'x-forwarded-groups': ['dev,ops'],
    'x-amzn-oidc-data': [token],
  },
})

/** The status of a request for `target`, and the targets that arrived because of it. */
async function ask(target: string, { method = 'GET', headers = [] as readonly string[] } = {}) {
  const id = `X-Row: ${++count}`
  const connection = openRaw(rig.port)
  const head = lines(`${method} ${target} HTTP/1.1`, 'Host: a', id, 'Connection: close', ...headers)
  connection.write(head)
  await connection.closed()
  const arrived = recorder
    .framed()
    .filter(request => request.headers.includes(id))
    .map(({ line }) => line.slice(method.length + 1, -' HTTP/1.1'.length))
  return { status: readAnswer(connection.text())?.status, arrived }
}
let count = 0
const signedIn = { headers: [`X-Amzn-Oidc-Data: ${token}`] }

const OPEN = [
  '/noauth/v1/challenge_poller/',
  '/noauth/v1/challenge_poller/6a1c0c5e-6f6f-4e58',
  '/noauth/v1/challenge_poller/a/b/c',
  '/noauth/v1/challenge_poller/%41%20b~_-!$&()*+,=:@',
  '/noauth/v1/challenge_poller/...',
  '/noauth/v1/challenge_poller/.hidden/..hidden/x.',
  '/noauth/v1/challenge_poller/x?next=/../admin//;%00%zz?',
  '/noauth/v1/challenge_generator/alice@example.com',
  '/api/v1/get_roles',
  '/api/v1/get_roles?all=true',
  '/api/v1/get_roles/x',
  '/api/v2/mtls/roles/123456789012/admin',
  '/api/v1/get_credentials',
  '/api/v1/myheaders',
  '/api/v1/myheaders/',
  '/api/v1/myheaders/x',
  '/api/v2/get_resource_url?arn=arn:aws:s3:::bucket',
  '/healthcheck',
  '/healthcheck?',
  '/read-only/x',
]

/** After an open prefix. */
const WAYS_OUT = [
  // Dot segments, plain.
  '/..',
  '/../',
  '/.',
  '/./x',
  '/../admin',
  '/../../../policies',
  '/x/../../../../policies',
  '/x/./../..//admin',
  '/..?x',
  '/../admin?x=y',
  // Encoded, in part and in full.
  '/%2e%2e/admin',
  '/%2E%2E/admin',
  '/.%2e/admin',
  '/%2e./admin',
  '/%2e/x',
  '/..%2fadmin',
  '/..%2Fadmin',
  '/%2e%2e%2fadmin',
  '/%2f..%2fadmin',
  '/%2fadmin',
  '/x%2ejson',
  // Encoded twice and three times.
  '/%252e%252e/admin',
  '/%252e%252e%252fadmin',
  '/..%252fadmin',
  '/%25252e%25252e/admin',
  '/%25%32%65%25%32%65/admin',
  '/%2525',
  '/%25',
  // Backslashes by another name.
  '/..%5cadmin',
  '/..%5Cadmin',
  '/%5c..%5cadmin',
  '/..%255cadmin',
  '/..%c1%9cadmin',
  // Overlong and wide forms.
  '/%c0%ae%c0%ae/admin',
  '/..%c0%afadmin',
  '/%e0%80%ae%e0%80%ae/admin',
  '/%f0%80%80%ae/admin',
  '/%ef%bc%8fadmin',
  '/%ef%bc%8e%ef%bc%8e/admin',
  '/%e2%80%ae',
  '/%u002e%u002e/admin',
  '/%u2215admin',
  '/%c3%a9',
  '/%80',
  '/%ff',
  // Path parameters (Tomcat and its kin).
  ';/../admin',
  ';x=y/../admin',
  '/;/../admin',
  '/..;/admin',
  '/..;x=y/admin',
  '/.;/admin',
  '/..%3b/admin',
  '/%3b/../admin',
  '/..;%2fadmin',
  '/x;y',
  // Doubled slashes.
  '//',
  '//admin',
  '///admin',
  '/x//y',
  '//../admin',
  '//%2e%2e//admin',
  // Controls.
  '/%00',
  '/%00/../admin',
  '/..%00/admin',
  '/.%00./admin',
  '/x%00.json',
  '/%0d%0aX-Forwarded-User:%20mallory',
  '/%0a',
  '/%09',
  '/%1f',
  '/%7f',
  '/%2500',
  // Percent signs that encode nothing.
  '/%',
  '/%2',
  '/%z',
  '/%zz',
  '/%2g',
  '/%%32%65',
  '/a%',
  '/%-1',
  // Where the query or fragment begins for somebody else.
  '/%3f/../admin',
  '/%3Fx',
  '/%253fx',
  '/%23/../admin',
  '/%2523x',
]

/** What only looks like an open path. */
const LOOKALIKES = [
  '/',
  '/admin',
  '/noauth',
  '/noauth/',
  '/noauth/v1',
  '/noauth/v1/challenge_poller',
  '/noauth/v1/challenge_pollerx/y',
  '/noauth/v1/other/x',
  '/NOAUTH/v1/challenge_poller/x',
  '/noauth/v1/Challenge_Poller/x',
  '/xnoauth/v1/challenge_poller/x',
  '/x/noauth/v1/challenge_poller/x',
  '//noauth/v1/challenge_poller/x',
  '/./noauth/v1/challenge_poller/x',
  '/x/../noauth/v1/challenge_poller/x',
  '/noauth//v1/challenge_poller/x',
  '/noauth%2fv1/challenge_poller/x',
  '/%6eoauth/v1/challenge_poller/x',
  '/%2fnoauth/v1/challenge_poller/x',
  '/;/noauth/v1/challenge_poller/x',
  '/noauth;x/v1/challenge_poller/x',
  '/api/v1/get%5froles',
  '/api/v1/get_role',
  '/api/v2/get_roles',
  '/api/v1/myheaders/xy',
  '/api/v1/myheaders/x/',
  '/api/v1/myheaders//',
  '/api/v1/myheaders/%41',
  '/healthcheck/',
  '/healthcheckx',
  '/Healthcheck',
  '/healthcheck%20',
  '/healthcheck.json',
  '/healthcheck;x',
  '/healthcheck%3f',
  '/healthcheck&x',
  '/admin?/noauth/v1/challenge_poller/x',
  '/admin?x=/api/v1/get_roles',
  '/admin?/../healthcheck',
  '/admin;/../healthcheck',
  '/admin%3f/../healthcheck',
  '/admin/..//healthcheck',
  '/http://evil/healthcheck',
  '/%68ealthcheck',
  '/metrics',
  '/healthz',
  '/readyz',
]

const GUARDED = [
  ...['/noauth/v1/challenge_poller', '/api/v1/get_roles'].flatMap(prefix =>
    WAYS_OUT.map(way => prefix + way),
  ),
  ...LOOKALIKES,
]

/** Forms of target that no client sends and that are refused before they are routed. */
const REFUSED = [
  '/healthcheck#/../admin',
  '/healthcheck#',
  '/noauth/v1/challenge_poller\\..\\..\\admin',
  '/noauth/v1/challenge_poller/..\\admin',
  '\\healthcheck',
  '/healthcheck\x80',
  '/healthcheck\xc3\xa9',
  '/healthcheck\0',
  '/healthcheck\x7f',
  'http://a/healthcheck',
  'http://evil/noauth/v1/challenge_poller/x',
  'healthcheck',
  '*',
]

t.test('what the rules mean to open is open', async t => {
  await each(OPEN, async target => {
    t.same(await ask(target), { status: 200, arrived: [target] }, target)
  })
})

t.test(`none of ${GUARDED.length} ways out of an open path lets anybody out`, async t => {
  await each(GUARDED, async target => {
    t.same(await ask(target), { status: 401, arrived: [] }, target)
  })
})

t.test('who is signed in may ask for any of them, and it arrives byte for byte', async t => {
  await each([...OPEN, ...GUARDED], async target => {
    t.same(await ask(target, signedIn), { status: 200, arrived: [target] }, target)
  })
})

t.test('what has no canonical reading for anybody is refused, token or not', async t => {
  await each(REFUSED, async target => {
    const shown = JSON.stringify(target)
    t.same(await ask(target), { status: 400, arrived: [] }, shown)
    t.same(await ask(target, signedIn), { status: 400, arrived: [] }, `${shown}, signed in`)
  })
})

t.test('a rule for some methods opens nothing to others', async t => {
  const rows = [
    { method: 'GET', status: 200 },
    { method: 'HEAD', status: 200 },
    { method: 'POST', status: 401 },
    { method: 'DELETE', status: 401 },
    { method: 'OPTIONS', status: 401 },
    { method: 'PROPFIND', status: 401 },
  ]
  for (const { method, status } of rows) {
    t.equal((await ask('/read-only/x', { method })).status, status, method)
  }
  const headers = ['X-HTTP-Method-Override: GET', 'X-Method-Override: GET']
  t.equal((await ask('/read-only/x?_method=GET', { method: 'POST', headers })).status, 401)
})

/** oauth2-proxy CVE-2026-34457 opened every path to a load balancer's User-Agent (T-66, T-36). */
t.test('nothing that a client says elsewhere opens a path', async t => {
  const headers = [
    ...['User-Agent: ELB-HealthChecker/2.0', 'User-Agent: GoogleHC/1.0'],
    ...[
      'X-Original-URL: /healthcheck',
      'X-Forwarded-Uri: /healthcheck',
      'X-Rewrite-Url: /healthcheck',
    ],
    ...[
      'X-Forwarded-Path: /healthcheck',
      'X-Forwarded-Prefix: /noauth',
      'Forwarded: path=/healthcheck',
    ],
    ...['Referer: http://a/healthcheck', 'X-Forwarded-For: 127.0.0.1', 'X-Real-IP: 127.0.0.1'],
  ]
  for (const header of headers) {
    t.same(await ask('/admin', { headers: [header] }), { status: 401, arrived: [] }, header)
  }
})

/**
 * What applications make of a path, each in its own way. No token and another path than an open one in
 * any of them would be the bypass.
 */
const READINGS: Readonly<Record<string, (path: string) => string>> = {
  'as a URL': path => new URL(path, 'http://a').pathname,
  'decoded and normalised': path => posix.normalize(decodeURIComponent(path)),
  'decoded twice': path => posix.normalize(decodeURIComponent(decodeURIComponent(path))),
  'without path parameters': path => posix.normalize(path.replace(/;[^/]*/g, '')),
  'with backslashes as slashes': path => posix.normalize(path.replaceAll('\\', '/')),
}

t.test('what arrived without a token is an open path however it is read', t => {
  const anonymous = recorder
    .framed()
    .filter(({ headers }) => !headers.some(header => /^x-forwarded-user:/i.test(header)))
    .map(({ line }) => line.split(' ')[1]!.replace(/\?.*/, ''))
  t.ok(anonymous.length >= OPEN.length)
  const opened =
    /^\/(?:noauth\/v1\/challenge_(?:poller|generator)\/.*|api\/v1\/get_(?:roles|credentials).*|api\/v2\/mtls\/roles\/.*|api\/v1\/myheaders(?:\/.?)?|api\/v2\/get_resource_url.*|healthcheck|read-only\/.*)$/
  for (const [how, read] of Object.entries(READINGS)) {
    t.same(
      anonymous.filter(path => !opened.test(read(path))),
      [],
      how,
    )
  }
  t.end()
})

t.test('after all of this', async t => {
  await oracle.check(t, recorder)
})
