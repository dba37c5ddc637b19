/**
 * `ENFORCEMENT=report`, by which an operator finds out what would be refused before anything is: the
 * application must be as safe as it was without us, and the counters must tell the truth.
 */
import t, { type Test } from 'tap'
import { createSigner } from '../../simulator/signer.ts'
import { createIdpKey } from '../fixtures/idp.ts'
import { startPlace } from '../fixtures/place.ts'
import { startRecorder, valuesIn } from '../fixtures/recorder.ts'
import { ARN, CLIENT, startRig } from '../fixtures/sidecar.ts'
import { logged, signedIn, visit } from '../fixtures/visit.ts'
import { eventually } from '../attack/rows.ts'

const recorder = await startRecorder(t)
const place = await startPlace(t, recorder, 'generic', {
  ...{ ENFORCEMENT: 'report', ACCESS_TOKEN: 'optional', CLOCK_TOLERANCE: '0s' },
  ...{ ALLOWED_GROUPS: 'dev', NOAUTH_PATHS: '/open*', CLIENT_IP_HEADER: 'X-Client-Ip' },
  ...{ REQUIRE_EMAIL_VERIFIED: 'true', GROUPS_MAX_BYTES: '64' },
})
const { rig, idp, data, access, ask } = place

const now = Math.floor(Date.now() / 1_000)
const past = { exp: now - 60 }
const stranger = createSigner({ arn: `${ARN.slice(0, -1)}0`, client: CLIENT, issuer: idp.issuer })
const unlisted = createSigner({ arn: ARN, client: CLIENT, issuer: idp.issuer })
const unreachable = createSigner({ arn: ARN, client: CLIENT, issuer: idp.issuer })
rig.keys.publish(stranger)
rig.keys.answer = (_request, response, kid) => {
  if (kid === unreachable.kid) response.writeHead(500).end()
  return kid === unreachable.kid
}
const claims = {
  sub: '00u1alice5d7',
  email: 'a@example.com',
  groups: ['dev'],
  email_verified: true,
}

/** Somebody claims to be another: headers of the application's, and of the ALB's. */
const FORGED = [
  'X-Forwarded-User: root@example.com',
  'X-Forwarded-Email: root@example.com',
  'x-forwarded-GROUPS: admins',
  'X_Forwarded_User: root@example.com',
  'X.Forwarded.Groups: admins',
  'X-Client-Ip: 192.0.2.66',
]

const foreign = stranger.sign(claims)
const good = data()
const rows = [
  { is: 'no token', headers: [], reason: 'token_missing', source: 'none' },
  { is: 'rubbish', headers: signedIn('a.b.c'), reason: 'token_malformed' },
  { is: 'another ALB', headers: signedIn(foreign), reason: 'signer_mismatch' },
  {
    is: 'another client',
    headers: signedIn(data({ header: { client: 'x' } })),
    reason: 'client_mismatch',
  },
  {
    is: 'another issuer',
    headers: signedIn(data({ header: { iss: 'https://evil.example.org' } })),
    reason: 'issuer_mismatch',
  },
  {
    is: 'expired',
    headers: signedIn(data({ header: past, payload: past })),
    reason: 'token_expired',
  },
  {
    is: 'alg none',
    headers: signedIn(data({ header: { alg: 'none' } })),
    reason: 'algorithm_refused',
  },
  { is: 'a broken signature', headers: signedIn(brokenly(good)), reason: 'signature_invalid' },
  { is: 'no such key', headers: signedIn(unlisted.sign(claims)), reason: 'key_unknown' },
  {
    is: 'keys not to be had',
    headers: signedIn(unreachable.sign(claims)),
    reason: 'key_unavailable',
  },
  {
    is: "another user's identity header",
    headers: signedIn(good, undefined, 'somebody'),
    reason: 'subject_mismatch',
  },
  {
    is: 'an expired access token',
    headers: signedIn(good, access({ payload: past })),
    reason: 'token_expired',
    source: 'access_token',
  },
  {
    is: 'a broken access token',
    headers: signedIn(good, brokenly(access())),
    reason: 'signature_invalid',
    source: 'access_token',
  },
  {
    is: 'an access token for another client',
    headers: signedIn(good, access({ payload: { client_id: 'x' } })),
    reason: 'client_mismatch',
    source: 'access_token',
  },
  {
    is: "another user's access token",
    headers: signedIn(good, access({ payload: { sub: 'mallory' } })),
    reason: 'subject_mismatch',
    source: 'access_token',
  },
  {
    is: 'an access token under an unknown key',
    headers: signedIn(good, access({ key: createIdpKey() })),
    reason: 'key_unknown',
    source: 'access_token',
  },
  {
    is: 'no user (403)',
    headers: signedIn(data({ payload: { email: undefined } })),
    reason: 'identity_missing',
  },
  {
    is: 'an address nobody verified (403)',
    headers: signedIn(data({ payload: { email_verified: 'false' } })),
    reason: 'email_unverified',
  },
  {
    is: 'groups left out (403)',
    headers: signedIn(data({ payload: { hasgroups: true } })),
    reason: 'groups_overage',
  },
  {
    is: 'none of the groups (403)',
    headers: signedIn(data({ payload: { groups: ['sales'] } })),
    reason: 'not_allowed',
  },
  {
    is: 'too many groups (403)',
    headers: signedIn(data({ payload: { groups: ['dev', 'x'.repeat(80)] } })),
    reason: 'groups_too_large',
    source: 'none',
  },
]

function brokenly(token: string): string {
  const [head = '', body = '', tail = ''] = token.split('.')
  const bytes = Buffer.from(tail, 'base64url')
  bytes.writeUInt8(bytes.readUInt8(20) ^ 1, 20)
  return `${head}.${body}.${bytes.toString('base64url')}${/=*$/.exec(tail)?.[0] ?? ''}`
}

const oidcLines = (headers: readonly string[]) =>
  headers.filter(header => /^x-amzn-oidc/i.test(header))

t.test('nothing is refused for its token, and everything is told', async t => {
  for (const { is, headers, reason, source = 'alb' } of rows) {
    const series = `{reason="${reason}",source="${source}"}`
    const before = await rig.metric(`alb_auth_would_reject_total${series}`)
    t.ok(before >= 0, `${is}: the counter was born before`)
    const target = `/${is.replace(/[^a-z]/gi, '-')}`
    const sent = [...headers, 'X-Amzn-Oidc-Invented: as it came']
    const { status, request } = await ask([...FORGED, ...sent], { target })
    t.equal(status, 200, `${is}: goes on`)
    const arrived = request?.headers ?? []
    t.same(oidcLines(arrived), sent, `${is}: the ALB's headers as they came, byte for byte`)
    t.notMatch(arrived.join('\n'), /root@|admins|192\.0\.2\.66/, `${is}: forged headers end here`)
    const names = ['x-forwarded-user', 'x-forwarded-email', 'x-forwarded-groups']
    const said = names.flatMap(name => valuesIn(arrived, name))
    t.same(said, [], `${is}: nobody is named`)

    t.equal(await rig.metric(`alb_auth_would_reject_total${series}`), before + 1, `${is}: counted`)
    const find = () =>
      logged(rig.output()).find(line => line['path'] === target && line['msg'] === 'request')
    t.ok(await eventually(() => find() !== undefined), `${is}: logged`)
    t.match(find(), { verdict: 'anonymous', wouldReject: true, reason, source, status: 200 }, is)
  }
  const page = await rig.metrics()
  const total = [...page.matchAll(/^alb_auth_would_reject_total\{.* (\d+)$/gm)]
  t.equal(
    total.reduce((sum, [, count]) => sum + Number(count), 0),
    rows.length,
    'each was counted under one reason and no other',
  )
  const others = [...page.matchAll(/^alb_auth_(?:rejections|invalid_tokens)_total\{.* [1-9]\d*$/gm)]
  t.same(others, [], 'and as nothing else')
  t.notMatch(rig.output(), new RegExp(good.slice(0, 40)), 'no token was logged')
})

t.test('who is verified is named', async t => {
  const mine = access({ payload: { groups: ['dev', 'ops'] } })
  const seen = await ask([...FORGED, ...signedIn(good, mine, '00u1alice5d7')], { target: '/good' })
  t.match(seen, { status: 200, user: ['alice@example.com'], groups: ['dev,ops'] })
  t.same(seen.data, [good], 'each header of the ALB once')
  t.same(seen.identity, ['00u1alice5d7'])
  t.same(seen.accessToken, [mine])
  t.notMatch(seen.request?.headers.join('\n'), /root@|admins/)
})

/** docs/metrics.md: a rising rate means that somebody sends what only the ALB should. */
t.test("the ALB's headers are counted as foreign exactly where they were not verified", async t => {
  const series = 'alb_auth_stripped_headers_total{kind="oidc"}'
  const before = await rig.metric(series)
  await ask(signedIn(good, undefined, '00u1alice5d7'), { target: '/verified' })
  t.equal(await rig.metric(series), before, 'verified')
  await ask(signedIn(foreign, undefined, 'x'), { target: '/unverified' })
  t.equal(await rig.metric(series), before + 2, 'not verified, though they went on')
})

t.test('the session is left alone', async t => {
  const stale = signedIn(data({ header: past, payload: past }))
  const { answer } = await ask([...stale, 'Sec-Fetch-Mode: navigate'], { target: '/stale' })
  t.equal(answer.status, 200)
  t.notMatch(answer.headers.join('\n'), /set-cookie|location/i)
})

t.test('an open path is not counted: it would not have been refused', async t => {
  const count = async () =>
    [...(await rig.metrics()).matchAll(/^alb_auth_would_reject_total\{.* (\d+)$/gm)].reduce(
      (sum, [, each]) => sum + Number(each),
      0,
    )
  const before = await count()
  const seen = await ask([...FORGED, ...signedIn(foreign)], { target: '/open' })
  t.match(seen, { status: 200, user: [], groups: [] })
  t.equal(await count(), before)
})

t.test('what is malformed is refused all the same', async t => {
  const line = `X-Amzn-Oidc-Data: ${good}`
  const requests: readonly [string, Parameters<typeof visit>[1], number][] = [
    ['two tokens', { headers: [line, line] }, 400],
    ['a token and its twin', { headers: [line, 'X_Amzn_Oidc_Data: x'] }, 400],
    ['two identities', { headers: ['X-Amzn-Oidc-Identity: a', 'x-amzn-oidc-identity: b'] }, 400],
    ['a backslash', { target: '/a\\b' }, 400],
    ['a target elsewhere', { target: 'http://evil.example.org/' }, 400],
    ['two lengths', { method: 'POST', headers: ['Content-Length: 1', 'Content-Length: 1'] }, 400],
    ['TRACE', { method: 'TRACE' }, 405],
    ['an expectation', { headers: ['Expect: something'] }, 417],
    ['too many headers', { headers: Array.from({ length: 201 }, (_, i) => `X-${i}: 1`) }, 431],
  ]
  const before = recorder.framed().length
  for (const [is, how, status] of requests) {
    t.equal((await visit(rig.port, how)).status, status, is)
  }
  t.equal(recorder.framed().length, before, 'and not forwarded')
})

/** The operator must not forget it: it is the one mode in which anybody gets in. */
t.test('the start warns of it', async (t: Test) => {
  t.match(rig.output(), /ENFORCEMENT=report/)
  const enforcing = await startRig(t, recorder.port)
  t.notMatch(enforcing.output(), /ENFORCEMENT=report/)
  t.match(await visit(enforcing.port), { status: 401 })
})
