/**
 * The authenticate action against AWS's description of it: who is sent where, what the cookie holds,
 * what a target is told, and every way in which signing in can go wrong.
 */
import { createServer } from 'node:http'
import t from 'tap'
import { decodeJwt } from 'jose'
import { createAuthenticate } from '../../simulator/authenticate.ts'
import { close, listen } from '../../simulator/loopback.ts'
import { createOidcClient, type Granted } from '../../simulator/oidc-client.ts'
import { createSessionCookies, parseCookies } from '../../simulator/session-cookie.ts'
import { asksPassword, createVisitor, type Page } from '../../simulator/visitor.ts'
import { arrived, startApp, startRig, until, verified, ALICE, BOB } from './rig.ts'

const DAY_MS = 24 * 60 * 60 * 1000
const SHARD = 'AWSELBAuthSessionCookie'

const app = await startApp(t)
const rig = await startRig(t, {
  targets: [app.url],
  rules: [
    { pattern: '/open*', action: 'forward' },
    { pattern: '/allow*', action: 'allow' },
    { pattern: '/deny*', action: 'deny' },
  ],
  sessionTimeout: (7 * DAY_MS) / 1000,
})
const { alb } = rig
const idp = rig.idp!
const cookiesOf = ({ headers }: Page) => headers['set-cookie'] ?? []
const forged = [
  ['X-Amzn-Oidc-Data', 'forged'],
  ['x_amzn_oidc_data', 'forged too'],
] as const

t.beforeEach(() => {
  rig.clock.ahead = 0
  Object.assign(idp.settings, {
    ...{ accessToken: 'jwt', shape: 'generic', accessTokenSeconds: 3600 },
    ...{ refreshTokens: true, bloatBytes: 0 },
  })
})

t.test('without a session, to the identity provider', async t => {
  const page = await createVisitor().visit(`${alb.url}/x?y=1`, { follow: false })
  t.equal(page.status, 302)
  const url = new URL(page.headers.location ?? '')
  t.equal(url.origin + url.pathname, idp.authorizationEndpoint)
  const { state, ...parameters } = Object.fromEntries(url.searchParams)
  t.same(parameters, {
    client_id: rig.oidc.clientId,
    redirect_uri: `${alb.url}/oauth2/idpresponse`,
    response_type: 'code',
    scope: 'openid email profile groups',
  })
  t.notMatch(Buffer.from(state!.split('.')[3]!, 'base64url').toString('latin1'), '/x', 'sealed')
  t.match(cookiesOf(page), [/^AWSALBAuthNonce=[\w-]+; Expires=.*; Path=\/; HttpOnly$/])
  const post = await createVisitor().visit(`${alb.url}/x`, { form: {}, follow: false })
  t.equal(post.status, 302, 'whatever the method')
})

t.test('with one, the three headers, signed', async t => {
  const visitor = createVisitor()
  const page = await visitor.signIn(`${alb.url}/x?y=1`, ALICE, {
    headers: [['Accept', 'text/html'], ...forged],
  })
  t.match(page, { status: 200, url: `${alb.url}/x?y=1` }, 'back where they came from')
  const [data, ...more] = arrived(page, 'x-amzn-oidc-data')
  t.same(more, [], "the client's is replaced")
  t.same(arrived(page, 'x_amzn_oidc_data'), ['forged too'], 'by exact name only')
  const { header, payload } = await verified(t, rig, data!)
  t.same(Object.keys(header), ['typ', 'kid', 'alg', 'iss', 'client', 'signer', 'exp'])
  t.match(header, {
    ...{ typ: 'JWT', alg: 'ES256', iss: idp.issuer, client: rig.oidc.clientId },
    ...{ signer: rig.signer.arn, kid: rig.signer.kid },
  })
  const claims = {
    email: 'alice@example.com',
    email_verified: true,
    groups: ['engineering', 'on-call'],
  }
  t.match(payload, claims)
  t.notOk(
    'exp' in payload || 'iss' in payload,
    'the documentation promises them in the header only',
  )
  t.same(arrived(page, 'x-amzn-oidc-identity'), [payload['sub']])
  const access = decodeJwt(arrived(page, 'x-amzn-oidc-accesstoken')[0]!)
  t.match(access, { iss: idp.issuer, sub: payload['sub'], groups: claims.groups })
  t.match(visitor.cookieHeader(alb.url), `${SHARD}-0=`)
  t.notMatch(visitor.cookieHeader(alb.url), `${SHARD}-1=`)
})

t.test('what each action does', async t => {
  const stranger = createVisitor()
  const visit = (path: string) =>
    stranger.visit(`${alb.url}${path}`, { follow: false, headers: forged })
  t.same(arrived(await visit('/open'), 'x-amzn-oidc-data'), ['forged'], 'forward: passed on')
  t.same(arrived(await visit('/allow'), 'x-amzn-oidc-data'), ['forged'], 'allow: passed on')
  t.equal((await visit('/deny')).status, 401)
  const visitor = await rig.signedIn()
  const seen = async (path: string) =>
    arrived(await visitor.visit(`${alb.url}${path}`), 'x-amzn-oidc-identity')
  t.equal((await seen('/allow')).length, 1, 'allow: with the identity of a session')
  t.equal((await seen('/deny')).length, 1, 'deny: the same')
  t.equal((await seen('/open')).length, 0, 'forward: without')
  rig.clock.ahead = 8 * DAY_MS
  t.equal((await visitor.visit(`${alb.url}/deny`, { follow: false })).status, 302, 'deny: expired')
  t.equal((await seen('/allow')).length, 0, 'allow: expired')
})

t.test('coming back from the provider', async t => {
  const visitor = createVisitor()
  const asked = await visitor.visit(`${alb.url}/`, { follow: false })
  const state = new URL(asked.headers.location!).searchParams.get('state')!
  const callback = (parameters: Record<string, string>) =>
    `${alb.url}/oauth2/idpresponse?${new URLSearchParams(parameters).toString()}`
  const rows = [
    { is: 'without a state', parameters: { code: 'x' }, status: 401 },
    { is: 'with a made-up state', parameters: { code: 'x', state: 'x.x.x.x.x' }, status: 401 },
    { is: 'without a code', parameters: { state }, status: 401 },
    { is: 'with a made-up code', parameters: { code: 'x', state }, status: 561 },
    { is: 'denied', parameters: { error: 'access_denied', state }, status: 401 },
    { is: 'refused', parameters: { error: 'invalid_scope', state }, status: 561 },
  ]
  for (const { is, parameters, status } of rows) {
    t.equal((await visitor.visit(callback(parameters))).status, status, is)
  }
  // RFC 6749 §10.12: another's code in this one's browser.
  const other = createVisitor()
  t.equal((await other.visit(callback({ code: 'x', state }))).status, 401, 'without the nonce')
  other.setCookie(alb.url, 'AWSALBAuthNonce', 'another')
  t.equal((await other.visit(callback({ code: 'x', state }))).status, 401, 'with another nonce')
  const session = (await rig.signedIn()).cookieHeader(alb.url).replace(/.*-0=/, '')
  t.equal((await visitor.visit(callback({ code: 'x', state: session }))).status, 401, 'a session')

  rig.clock.ahead = 15 * 60 * 1000 + 2000
  t.equal((await visitor.visit(callback({ code: 'x', state }))).status, 401, 'after 15 minutes')
})

t.test('an access token that expires is refreshed', async t => {
  const visitor = await rig.signedIn()
  rig.clock.ahead = 2 * 60 * 60 * 1000
  const before = idp.requests.length
  const pages = await Promise.all([1, 2, 3].map(() => visitor.visit(`${alb.url}/`)))
  t.same(
    pages.map(({ status }) => status),
    [200, 200, 200],
  )
  t.same(new Set(idp.requests.slice(before)), new Set(['GET /me', 'POST /token']))
  for (const page of pages) t.match(cookiesOf(page), [new RegExp(`^${SHARD}-0=`)])
  const after = idp.requests.length
  t.equal((await visitor.visit(`${alb.url}/`)).status, 200)
  t.equal(idp.requests.length, after, 'fresh again')

  rig.clock.ahead = 4 * 60 * 60 * 1000
  idp.forgetSessions()
  const page = await visitor.visit(`${alb.url}/`, { follow: false })
  t.match(page, { status: 302 }, 'signed out there, so asked to sign in')
})

t.test('the many requests of a page make one refresh', async t => {
  const jar = createSessionCookies({ isSecure: false, now: () => 2000 })
  const claims = { sub: 'u' }
  const session = { claims, accessToken: 'a', refreshToken: 'r', accessTokenExpiresAt: 1000 }
  const [cookie = ''] = (await jar.write({ ...session, startedAt: 0 }, new Map())) ?? []
  const cookies = parseCookies([cookie])
  let reads = 0
  let refreshes = 0
  let answer: (granted: Granted) => void = () => undefined
  const { admit } = createAuthenticate({
    ...{ isSecure: false, sessionTimeout: 3600, now: () => 2000, metrics: { ...alb.metrics } },
    cookies: { ...jar, read: of => jar.read(of).finally(() => reads++) },
    oidc: {
      ...createOidcClient(rig.oidc, 1000),
      refresh: () => {
        refreshes++
        return new Promise(resolve => (answer = resolve))
      },
    },
  })
  const visitor = { cookies, host: 'a', target: '/' }
  const admissions = [1, 2, 3].map(() => admit(visitor, 'authenticate'))
  await until(() => reads === 3)
  await new Promise(setImmediate)
  answer({ outcome: 'granted', claims, accessToken: 'b' })
  for (const admission of await Promise.all(admissions)) {
    t.match(admission, { outcome: 'session', session: { accessToken: 'b' } })
  }
  t.equal(refreshes, 1)
})

t.test(
  'without refresh tokens, an expired access token goes on until the session ends',
  async t => {
    Object.assign(idp.settings, { refreshTokens: false, accessTokenSeconds: 60 })
    const visitor = await rig.signedIn(BOB)
    rig.clock.ahead = 6 * DAY_MS
    const page = await visitor.visit(`${alb.url}/`)
    const access = decodeJwt(arrived(page, 'x-amzn-oidc-accesstoken')[0]!)
    t.ok(access.exp! * 1000 < Date.now() + rig.clock.ahead, 'expired by days')
    const { header } = await verified(t, rig, arrived(page, 'x-amzn-oidc-data')[0]!)
    t.ok(Number(header['exp']) * 1000 > Date.now() + rig.clock.ahead, 'beside a fresh ALB token')
    rig.clock.ahead = 7 * DAY_MS + 2000
    t.match(await visitor.visit(`${alb.url}/`, { follow: false }), { status: 302 })
  },
)

t.test('large sessions come in shards, too large ones not at all', async t => {
  idp.settings.bloatBytes = 5500
  const visitor = await rig.signedIn()
  const names = visitor.cookieHeader(alb.url).match(/AWSELB\w+-\d/g)
  t.same(
    names,
    [0, 1, 2].map(n => `${SHARD}-${n}`),
  )
  t.equal((await visitor.visit(`${alb.url}/`)).status, 200)
  idp.settings.bloatBytes = 0
  rig.clock.ahead = 2 * 60 * 60 * 1000
  t.equal((await visitor.visit(`${alb.url}/`)).status, 200, 'refreshed')
  t.same(visitor.cookieHeader(alb.url).match(/AWSELB\w+-\d/g), [`${SHARD}-0`], 'the rest expired')

  idp.settings.bloatBytes = 9000
  const page = await createVisitor().signIn(`${alb.url}/`, ALICE)
  t.equal(page.status, 500, '11K of claims and access token')
  t.equal(alb.metrics.ELBAuthUserClaimsSizeExceeded, 1)
})

t.test('a session that is not ours is none', async t => {
  const visitor = await rig.signedIn()
  const header = visitor.cookieHeader(alb.url)
  const other = await startRig(t, { targets: [app.url] })
  const visit = (url: string, cookie: string) =>
    createVisitor().visit(url, { follow: false, headers: [['Cookie', cookie]] })
  t.equal((await visit(`${alb.url}/`, header)).status, 200)
  t.equal((await visit(`${other.alb.url}/`, header)).status, 302, "another load balancer's")
  const at = header.indexOf('-0=') + 200
  const bent = header.slice(0, at) + (header[at] === 'A' ? 'B' : 'A') + header.slice(at + 1)
  t.equal((await visit(`${alb.url}/`, bent)).status, 302, 'changed')
  const state = new URL((await visit(`${alb.url}/`, '')).headers.location!).searchParams.get(
    'state',
  )!
  t.equal((await visit(`${alb.url}/`, `${SHARD}-0=${state}`)).status, 302, 'a state is no session')
})

t.test('tokens in other shapes', async t => {
  idp.settings.accessToken = 'opaque'
  const opaque = await (await rig.signedIn()).visit(`${alb.url}/`)
  t.match(arrived(opaque, 'x-amzn-oidc-accesstoken')[0], /^[\w-]{43}$/)

  const pool = await startRig(t, { targets: [app.url], shape: 'cognito' })
  const page = await (await pool.signedIn()).visit(`${pool.alb.url}/`)
  const { header, payload } = await verified(t, pool, arrived(page, 'x-amzn-oidc-data')[0]!)
  t.match(payload, { exp: header['exp'], iss: header['iss'], email_verified: 'true' })
  t.notOk('groups' in payload, 'groups are in the access token only')
  const access = decodeJwt(arrived(page, 'x-amzn-oidc-accesstoken')[0]!)
  t.match(access, { token_use: 'access', client_id: pool.oidc.clientId, sub: payload['sub'] })
  t.same(access['cognito:groups'], ['engineering', 'on-call'])
  t.notOk('aud' in access)
})

t.test('a provider that fails', async t => {
  const answers = { token: { status: 200, body: '' }, me: { status: 200, body: '' } }
  const server = createServer((request, response) => {
    const { status, body } = request.url === '/me' ? answers.me : answers.token
    response.writeHead(status).end(body)
  })
  const issuer = await listen(server, 0)
  t.teardown(() => close(server))
  const client = { clientId: 'c', clientSecret: 's' }
  const failing = await startRig(t, {
    oidc: {
      ...{ issuer, authorizationEndpoint: `${issuer}/a`, ...client },
      ...{ tokenEndpoint: `${issuer}/token`, userInfoEndpoint: `${issuer}/me` },
    },
  })
  const idToken = (claims: object) =>
    `e30.${Buffer.from(JSON.stringify({ iss: issuer, aud: 'c', sub: 'u', ...claims })).toString('base64url')}.`
  const tokens = (id_token?: string) => JSON.stringify({ access_token: 'a', id_token })
  const rows = [
    { is: 'a token error', token: { status: 400, body: '{"error":"x"}' }, expected: 561 },
    { is: 'no JSON', token: { status: 200, body: '<html>' }, expected: 561 },
    {
      is: 'no access token',
      token: { body: JSON.stringify({ id_token: idToken({}) }) },
      expected: 561,
    },
    { is: 'no ID token', token: { body: tokens() }, expected: 401 },
    { is: 'no JWT for an ID token', token: { body: tokens('x') }, expected: 561 },
    { is: 'another issuer', token: { body: tokens(idToken({ iss: 'x' })) }, expected: 561 },
    { is: 'another audience', token: { body: tokens(idToken({ aud: 'x' })) }, expected: 561 },
    { is: 'no userinfo', me: { status: 401, body: '' }, expected: 561 },
    { is: "another's userinfo", me: { status: 200, body: '{"sub":"v"}' }, expected: 561 },
    { is: 'everything right', expected: 302 },
  ]
  for (const { is, token, me, expected } of rows) {
    Object.assign(answers, {
      token: { status: 200, body: tokens(idToken({ aud: ['c'] })), ...token },
      me: me ?? { status: 200, body: '{"sub":"u"}' },
    })
    const visitor = createVisitor()
    const asked = await visitor.visit(`${failing.alb.url}/`, { follow: false })
    const state = new URL(asked.headers.location!).searchParams.get('state')!
    const callback = `${failing.alb.url}/oauth2/idpresponse?${new URLSearchParams({ code: 'x', state }).toString()}`
    t.equal((await visitor.visit(callback, { follow: false })).status, expected, is)
    if (expected === 302) {
      await close(server)
      t.equal((await visitor.visit(callback, { follow: false })).status, 500, 'nobody listens')
    }
  }
})

t.test('signing out at the provider ends the session when its access token expires', async t => {
  const visitor = await rig.signedIn()
  const confirm = await visitor.visit(rig.signOutUrl!)
  const left = await visitor.submit(confirm, { logout: 'yes' })
  t.match(left, { status: 200, url: `${alb.url}/signed-out` }, 'the cookie is still good')
  rig.clock.ahead = 2 * 60 * 60 * 1000
  t.ok(asksPassword(await visitor.visit(`${alb.url}/`)), 'the refresh fails')
})

t.test('who does not know the password does not get in', async t => {
  for (const who of [
    { name: 'alice', password: 'wrong' },
    { name: 'constructor', password: 'password' },
  ]) {
    const page = await createVisitor().signIn(`${alb.url}/`, who)
    t.ok(asksPassword(page), who.name)
    t.equal(page.status, 401)
    t.match(page.body, 'role="alert"', 'and is told so')
  }
  t.match(await createVisitor().visit(`${idp.issuer}/interaction/none`), { status: 400 })
})
