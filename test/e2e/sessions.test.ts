/**
 * Signing in again, signing out, and who am I: what the sidecar answers itself, with tokens that
 * really expire. The one thing made of the request is the path of a redirect to ourselves, so most of
 * this asks whether it can be made to lead anywhere else.
 *
 * @see THREATS T-94; oauth2-proxy pkg/app/redirect/validator_test.go for the targets
 */
import t, { type Test } from 'tap'
import type { ReadAnswer } from '../fixtures/raw.ts'
import { ALICE_AT_IDP } from '../fixtures/idp.ts'
import { givenTime, reached } from '../fixtures/patience.ts'
import { startPlace, type Place, type Seen } from '../fixtures/place.ts'
import { startRecorder, valuesIn } from '../fixtures/recorder.ts'
import { headersOf, lineOf, signedIn, visit } from '../fixtures/visit.ts'
import { each } from '../attack/rows.ts'

const ORIGIN = 'https://app.example.com'
const SIGN_OUT = '/.auth/sign-out'
const WHOAMI = '/.auth/whoami'
const LOGOUT = 'https://idp.example.com/logout?client_id=x&logout_uri=https%3A%2F%2Fapp.example.com'
const MARKER = 'alb_auth_reauthenticated'
const NAVIGATION = ['Sec-Fetch-Mode: navigate', 'Accept: text/html,application/xhtml+xml']

const recorder = await startRecorder(t)
const [plain, custom, rejecting, lenient, off] = await Promise.all([
  startPlace(t, recorder, 'cognito', { CLOCK_TOLERANCE: '0s', NOAUTH_PATHS: '/open*' }),
  startPlace(t, recorder, 'generic', {
    ...{ ALB_SESSION_COOKIE: 'my.session', WHOAMI_PATH: WHOAMI, NOAUTH_PATHS: '/*' },
    ...{ SIGN_OUT_PATH: SIGN_OUT, SIGN_OUT_REDIRECT_URL: LOGOUT },
  }),
  startPlace(t, recorder, 'cognito', { CLOCK_TOLERANCE: '0s', ACCESS_TOKEN_EXPIRED: 'reject' }),
  startPlace(t, recorder, 'generic', {
    ...{ CLOCK_TOLERANCE: '0s', ACCESS_TOKEN: 'required', ACCESS_TOKEN_EXPIRED: 'ignore-claims' },
    ...{ SIGN_OUT_PATH: SIGN_OUT, SIGN_OUT_REDIRECT_URL: LOGOUT, WHOAMI_PATH: WHOAMI },
  }),
  startPlace(t, recorder, 'generic', { ENFORCEMENT: 'report', WHOAMI_PATH: WHOAMI }),
])

const now = () => Math.floor(Date.now() / 1_000)
const past = () => ({ exp: now() - 10 })
const expired = (place: Place) => place.data({ header: past(), payload: past() })

/** The ALB's cookie, whole and in four shards, each made to expire. */
function expiresSession(t: Test, answer: ReadAnswer, is: string, name = 'AWSELBAuthSessionCookie') {
  const cookies = headersOf(answer, 'set-cookie')
  for (const shard of ['', '-0', '-1', '-2', '-3']) {
    const [cookie = '', ...more] = cookies.filter(each => each.startsWith(`${name}${shard}=`))
    t.same(more, [], `${is}: ${name}${shard} once`)
    t.match(cookie, /^[^=]+=; /, `${is}: ${name}${shard} is emptied`)
    t.match(cookie, /; Path=\/(?:;|$)/, is)
    t.match(cookie, /; Max-Age=0/, is)
    t.match(cookie, /; Expires=Thu, 01 Jan 1970 00:00:00 GMT/, is)
    t.match(cookie, /; Secure/, is)
    t.notMatch(cookie, /Domain/i, `${is}: as the ALB set it, for this host`)
  }
}

/** A redirect to sign in again at the same place. */
function reauthenticates(t: Test, answer: ReadAnswer, location: string, is: string, name?: string) {
  t.equal(answer.status, 302, `${is}: 302`)
  t.same(headersOf(answer, 'location'), [location], `${is}: to the same path`)
  expiresSession(t, answer, is, name)
  const markers = headersOf(answer, 'set-cookie').filter(each => each.startsWith(`${MARKER}=`))
  t.equal(markers.length, 1, `${is}: one marker`)
  t.match(markers[0], /^[^=]+=[^;]+; Path=\/; Max-Age=60; .*SameSite=Lax/, `${is}: for a minute`)
  t.match(markers[0], /; Secure; HttpOnly/, is)
  t.same(headersOf(answer, 'cache-control'), ['no-store'], is)
}

t.test('a navigation with an expired ALB token is sent to sign in again, once', async t => {
  const data = expired(plain)
  const target = '/policies?view=mine&next=%2Fhome'
  const headers = [...signedIn(data, plain.access()), ...NAVIGATION]
  for (const method of ['GET', 'HEAD']) {
    const { answer, arrived } = await plain.ask(headers, { method, target })
    reauthenticates(t, answer, target, method)
    t.notOk(arrived, `${method}: not forwarded`)
    t.match(await lineOf(plain.rig.output, answer), {
      ...{ verdict: 'rejected', reason: 'token_expired', source: 'alb', status: 302 },
    })
  }
  for (const cookie of [`${MARKER}=1`, `a=b; ${MARKER}=1; c=d`, `a=b;${MARKER}=0`, `${MARKER}=`]) {
    const { answer, status } = await plain.ask([...headers, `Cookie: ${cookie}`])
    t.equal(status, 401, `with ${cookie}`)
    t.same(headersOf(answer, 'location'), [], `with ${cookie}: no redirect`)
    t.match(answer.body, '<!doctype html>', `with ${cookie}: a page`)
    t.match(answer.body, 'Reload the page', `with ${cookie}: which says what to do`)
  }
  for (const cookie of [`x${MARKER}=1`, `${MARKER}2=1`, `a=${MARKER}`, `a="x, ${MARKER}=1"`]) {
    const { status } = await plain.ask([...headers, `Cookie: ${cookie}`])
    t.equal(status, 302, `${cookie} is not the marker`)
  }
  const byAccept = [...signedIn(data, plain.access()), 'Accept: application/xml, TEXT/HTML;q=0.9']
  reauthenticates(t, (await plain.ask(byAccept, { target })).answer, target, 'by Accept alone')
})

t.test('what is no navigation, or is not expired, is refused as it is', async t => {
  const good = plain.access()
  const stale = signedIn(expired(plain), good)
  const rows = [
    { is: 'an XHR', headers: stale },
    { is: 'fetch', headers: [...stale, 'Sec-Fetch-Mode: cors', 'Accept: text/html'] },
    { is: 'an image', headers: [...stale, 'Sec-Fetch-Mode: no-cors', 'Accept: image/*'] },
    { is: 'a WebSocket', headers: [...stale, 'Sec-Fetch-Mode: websocket', 'Accept: text/html'] },
    { is: 'JSON', headers: [...stale, 'Accept: application/json'] },
    ...['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'get', 'PROPFIND'].map(method => ({
      ...{ is: method, method, headers: [...stale, ...NAVIGATION, 'Content-Length: 0'] },
    })),
    { is: 'no token', headers: NAVIGATION },
    { is: 'no access token', headers: [...signedIn(plain.data()), ...NAVIGATION] },
    { is: 'a forged token', headers: [...signedIn('a.b.c', good), ...NAVIGATION] },
    {
      is: 'an expired token of another load balancer',
      headers: [
        ...signedIn(plain.data({ header: { ...past(), signer: 'x' }, payload: past() }), good),
        ...NAVIGATION,
      ],
    },
  ]
  await each(rows, async row => {
    const { is, headers } = row
    const method = 'method' in row ? row.method : 'GET'
    const { answer, arrived } = await plain.ask(headers, { method })
    // Node's parser knows no lower-case methods.
    t.equal(answer.status, method === 'get' ? 400 : 401, is)
    t.same(headersOf(answer, 'location'), [], `${is}: no redirect`)
    t.same(headersOf(answer, 'set-cookie'), [], `${is}: no cookies`)
    t.notOk(arrived, `${is}: not forwarded`)
  })
})

/** FACTS 1.3: the ALB keeps a session whose access token has expired, and goes on sending it. */
t.test('an access token that expires beside a good ALB token', async t => {
  const places = { reauthenticate: plain, reject: rejecting, 'ignore-claims': lenient }
  let expiresAt = 0
  const makePairs = (exp: number) =>
    Object.entries(places).map(([policy, place]) => {
      const lasting = place.access({ payload: { jti: 'lasting' } })
      const short = place.access({ payload: { exp, jti: `until ${exp}` } })
      return { policy, place, data: place.data(), lasting, short, before: [] as Seen[] }
    })
  let pairs: ReturnType<typeof makePairs> = []
  await givenTime(2_000, async ms => {
    expiresAt = Math.ceil((Date.now() + ms) / 1_000)
    pairs = makePairs(expiresAt)
    await Promise.all(
      pairs.map(async ({ place, data, short, before }) => {
        for (let time = 0; time < 2; time++) before.push(await place.ask(signedIn(data, short)))
      }),
    )
    return Date.now() < expiresAt * 1_000
  })
  for (const { policy, place, data, lasting, short, before } of pairs) {
    // Both go through the cache: it must not make a token live longer.
    for (const [at, time] of ['at first', 'from the cache'].entries()) {
      t.match(before[at], { status: 200, groups: ['dev,ops'] }, `${policy}, ${time}: still good`)
      t.same(before[at]?.accessToken, [short], `${policy}, ${time}: forwarded`)
    }
    t.match(await place.ask(signedIn(data, lasting)), { status: 200 }, policy)
  }
  await reached(expiresAt)
  for (const { policy, place, data, lasting, short } of pairs) {
    t.match(await place.ask(signedIn(data, lasting)), { status: 200 }, `${policy}: the other one`)
    const { answer, status, ...seen } = await place.ask([...signedIn(data, short), ...NAVIGATION], {
      target: `/expired-${policy}`,
    })
    const xhr = await place.ask(signedIn(data, short))
    const post = await place.ask([...signedIn(data, short), ...NAVIGATION, 'Content-Length: 0'], {
      method: 'POST',
    })
    if (policy === 'ignore-claims') {
      t.equal(status, 200, `${policy}: goes on`)
      t.same(seen.user, [ALICE_AT_IDP.email], `${policy}: as the user`)
      t.same(seen.accessToken, [], `${policy}: but the access token does not`)
      t.same(seen.groups, ['dev,ops'], `${policy}: with the groups that the ALB vouches for`)
      t.match([xhr, post], [{ status: 200 }, { status: 200 }], policy)
      continue
    }
    if (policy === 'reauthenticate') {
      reauthenticates(t, answer, `/expired-${policy}`, policy)
    } else {
      t.equal(status, 401, `${policy}: refused`)
      t.same(headersOf(answer, 'set-cookie'), [], `${policy}: and left signed in`)
    }
    const expected = { reason: 'token_expired', source: 'access_token' }
    t.match(await lineOf(place.rig.output, answer), expected, policy)
    t.match([xhr, post], [{ status: 401 }, { status: 401 }], `${policy}: programs get a status`)
    t.notOk(seen.arrived || xhr.arrived || post.arrived, `${policy}: nothing was forwarded`)
  }
})

t.test('under ignore-claims, an expired access token does not bring its groups', async t => {
  const { ask, data, access } = lenient
  const groups = { payload: { exp: now() - 5, groups: ['admins'] } }
  const seen = await ask(signedIn(data({ payload: { groups: undefined } }), access(groups)))
  t.match(seen, { status: 200, user: [ALICE_AT_IDP.email] })
  t.same([seen.groups, seen.accessToken], [[], []])
  const broken = access(groups).replace(/.{20}$/, 'A'.repeat(20))
  t.match(await ask(signedIn(data(), broken)), { status: 401 }, 'expired and broken is broken')
})

/** Everything here comes back to the one who asked; it must not come back as somebody else's page. */
t.test('a redirect to ourselves leads nowhere else', async t => {
  const evil = 'evil.example.org'
  const targets = [
    ...['/', '/policies', '/a/b/c?d=e', '/?', '/??', '/a?//evil.example.org', '/a?b=https://x'],
    ...[
      `//${evil}`,
      `///${evil}`,
      `////${evil}/`,
      `//${evil}/%2e%2e`,
      `//${evil}//`,
      `//${evil}:443`,
    ],
    ...[`//${evil}?a=b`, `//user@${evil}`, `//user:pw@${evil}/`, `//app.example.com@${evil}`],
    ...[`//${evil}/app.example.com`, `//[::1]/`, '//127.0.0.1/', '//2130706433', '//0x7f.1/'],
    ...['//', '///', '////////', '//./', '//../', `//./${evil}`, `//../${evil}`, `//%2f${evil}`],
    ...[`/./${evil}`, `/.//${evil}`, `/..//${evil}`, `/.///${evil}`, `/./.././/${evil}`],
    ...[
      `/a/..//${evil}`,
      `/a/../..//${evil}`,
      `/%2e//${evil}`,
      `/%2e%2e//${evil}`,
      `/.%2e//${evil}`,
    ],
    ...[`/%2f${evil}`, `/%2f%2f${evil}`, `/%2F%2F${evil}`, `/%252f%252f${evil}`, `/%5c${evil}`],
    ...[`/%5c%5c${evil}`, `/%09/${evil}`, `/%09//${evil}`, `/%20//${evil}`, `/%00//${evil}`],
    ...[`/%0d%0aLocation:%20https://${evil}`, `/%0aSet-Cookie:a=b`, `/%E5%98%8A%E5%98%8DX:y`],
    ...[`/@${evil}`, `/%40${evil}`, `/:@${evil}`, `/https:/${evil}`, `/https://${evil}`],
    ...[`/https:${evil}`, `/http%3A%2F%2F${evil}`, '/javascript:alert(1)', '/data:text/html,x'],
    ...[`/;//${evil}`, `/;@${evil}`, `/,//${evil}`, `/.${evil}`, `/..${evil}`, `/~//${evil}`],
    ...[`/*//${evil}`, `/'//${evil}`, `/"//${evil}`, '/<script>', '/{a}|`^', `/$//${evil}`],
    ...[`/?//${evil}`, `/?@${evil}`, `/?url=//${evil}`, `/&//${evil}`, `/=//${evil}`],
    ...[`/%ff%fe//${evil}`, `/%u002f${evil}`, `/%c0%af${evil}`, `/%e3%80%82${evil}`, '/%', '/%zz'],
    ...[
      `/${'/'.repeat(500)}${evil}`,
      `//${evil}#`.replace('#', '%23'),
      `//${evil}%00.app.example.com`,
    ],
  ]
  const refused = [
    ...[`/\\${evil}`, `\\\\${evil}`, `/\\/${evil}`, `//\\${evil}`, `/a\\..\\${evil}`, `\\/${evil}`],
    ...[
      `https://${evil}/`,
      `http:${evil}`,
      evil,
      '*',
      `/#//${evil}`,
      `/a\t//${evil}`,
      '/a//\u00e9',
    ],
    ...[`/ //${evil}`, `\t//${evil}`, `/\u0000//${evil}`, `@${evil}`, '?a', ''],
  ]
  t.ok(targets.length >= 60, `${targets.length} targets`)
  const stale = [...signedIn(expired(plain), plain.access()), ...NAVIGATION]
  await each(targets, async target => {
    const answer = await visit(plain.rig.port, { target, headers: stale })
    t.equal(answer.status, 302, `${target.slice(0, 60)}: 302`)
    const [location = '', ...more] = headersOf(answer, 'location')
    t.same(more, [], 'one Location')
    // As every browser reads it, and as it is read where the path was asked for.
    for (const base of [
      `${ORIGIN}/`,
      `${ORIGIN}/a/b?c`,
      ORIGIN + (target.startsWith('//') ? '/' : target),
    ]) {
      t.equal(
        new URL(location, base).origin,
        ORIGIN,
        `${target.slice(0, 60)}: ${location.slice(0, 60)}`,
      )
    }
    t.match(location, /^\/(?![/\\])[\x21-\x7e]*$/, 'one slash in front, no control, no space')
    const expected = target.replace(/^\/+/, '/')
    t.equal(location, expected, 'the target, but for a run of slashes')
    t.equal(headersOf(answer, 'set-cookie').length, 6, 'no header of the sender among ours')
  })
  await each(refused, async target => {
    const answer = await visit(plain.rig.port, { target, headers: stale })
    t.equal(answer.status, 400, `${JSON.stringify(target)}: 400`)
    t.same(headersOf(answer, 'location'), [], `${JSON.stringify(target)}: no redirect`)
  })
  for (const header of [`Host: ${evil}`, `X-Forwarded-Host: ${evil}`, `Forwarded: host=${evil}`]) {
    if (header.startsWith('Host')) continue
    const answer = await visit(plain.rig.port, { target: '/a', headers: [...stale, header] })
    t.same(headersOf(answer, 'location'), ['/a'], header)
  }
})

t.test('an open path asks nobody to sign in again', async t => {
  const stale = [...signedIn(expired(plain), plain.access()), ...NAVIGATION]
  const { status, user } = await plain.ask(stale, { target: '/open-1' })
  t.match({ status, user }, { status: 200, user: [] })
})

t.test('a session cookie by another name', async t => {
  // Every path of this sidecar is open but its own.
  const stale = [...signedIn(expired(custom)), ...NAVIGATION]
  const { answer } = await custom.ask(stale, { target: WHOAMI })
  reauthenticates(t, answer, WHOAMI, 'whoami, expired', 'my.session')
})

t.test('signing out', async t => {
  const rows = [
    { method: 'GET' },
    { method: 'HEAD' },
    { method: 'POST', headers: ['Content-Length: 3'], body: 'a=b' },
    { method: 'GET', target: `${SIGN_OUT}?rd=https://evil.example.org` },
    { method: 'GET', target: `${SIGN_OUT}?` },
    { method: 'GET', headers: signedIn('a.b.c') },
    { method: 'GET', headers: signedIn(expired(custom)) },
    { method: 'GET', headers: signedIn(custom.data()) },
  ]
  for (const { headers = [], target = SIGN_OUT, ...row } of rows) {
    const is = `${row.method} ${target} ${headers.join().slice(0, 30)}`
    const answer = await visit(custom.rig.port, { target, headers, ...row })
    t.equal(answer.status, 302, is)
    t.same(headersOf(answer, 'location'), [LOGOUT], `${is}: where the operator said`)
    expiresSession(t, answer, is, 'my.session')
    t.equal(headersOf(answer, 'set-cookie').length, 5, `${is}: no marker`)
  }
  for (const method of ['PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    const headers = ['Content-Length: 0']
    const answer = await visit(custom.rig.port, { method, target: SIGN_OUT, headers })
    t.same(headersOf(answer, 'set-cookie'), [], `${method} signs nobody out`)
    t.equal(answer.status, 200, `${method} is the application's`)
  }
  t.notOk(
    recorder.framed().some(({ line }) => /^(?:GET|HEAD|POST) \/\.auth\/sign-out/.test(line)),
    'signing out is not forwarded',
  )
})

t.test('our own paths are reached by their own spelling alone', async t => {
  const spellings = [
    ...['/.auth/sign-out/', '//.auth/sign-out', '/.auth//sign-out', '/./.auth/sign-out'],
    ...['/x/../.auth/sign-out', '/.auth/./sign-out', '/.auth%2fsign-out', '/%2eauth/sign-out'],
    ...['/.auth/sign%2Dout', '/.AUTH/sign-out', '/.auth/sign-out;a=b', '/.auth/sign-out%3f'],
    ...[
      '/.auth/sign-out%00',
      '/.auth/sign-out%20',
      '/.auth/sign-ou',
      '/.auth',
      '/?/.auth/sign-out',
    ],
  ]
  const both = [...spellings, ...spellings.map(each => each.replaceAll('sign-out', 'whoami'))]
  await each(both, async target => {
    const headers = signedIn(lenient.data(), lenient.access())
    const answer = await visit(lenient.rig.port, { target, headers })
    t.match(answer, { status: 200, body: 'ok' }, `${target} is the application's`)
    const nobody = await visit(lenient.rig.port, { target })
    t.equal(nobody.status, 401, `${target} is guarded as any other path`)
    t.same(headersOf(answer, 'set-cookie'), [], target)
    t.same(headersOf(answer, 'location'), [], target)
  })
})

t.test('our own paths are off unless they are asked for', async t => {
  const headers = signedIn(plain.data(), plain.access())
  for (const target of [SIGN_OUT, WHOAMI]) {
    const seen = await plain.ask(headers, { target })
    t.match(seen, { status: 200, arrived: true }, `${target} is the application's`)
    t.match(await plain.ask([], { target }), { status: 401, arrived: false }, target)
  }
})

t.test('who am I', async t => {
  const whoami = async (place: Place, headers: readonly string[], method = 'GET') =>
    visit(place.rig.port, { method, target: `${WHOAMI}?a=b`, headers })
  const nowSeconds = now()
  const data = lenient.data({ payload: { groups: ['b', 'ä,'] } })
  const access = lenient.access({ nowSeconds, payload: { groups: ['z', 'a'] } })
  const answer = await whoami(lenient, signedIn(data, access))
  t.equal(answer.status, 200)
  t.same(headersOf(answer, 'content-type'), ['application/json'])
  t.same(headersOf(answer, 'cache-control'), ['no-store'])
  t.same(headersOf(answer, 'x-content-type-options'), ['nosniff'])
  const { expiresAt, ...identity } = JSON.parse(answer.body) as Record<string, unknown>
  const { email } = ALICE_AT_IDP
  t.same(identity, { user: email, email, groups: ['a', 'z'] }, 'who, and nothing else')
  t.equal(expiresAt, nowSeconds + 600, 'until the first of the proofs expires')
  const head = await whoami(lenient, signedIn(data, access), 'HEAD')
  t.match(head, { status: 200, body: '' }, 'HEAD')

  // On this sidecar every path is open, but not this one.
  const rows: readonly (readonly [string, Place, string[]])[] = [
    ['nobody', custom, []],
    ['a forged token', custom, signedIn('a.b.c')],
    ['an expired one', custom, signedIn(expired(custom))],
    ['no access token', lenient, signedIn(data)],
    ["another identity's header", custom, signedIn(custom.data(), undefined, 'x')],
    ['nobody, in report mode', off, []],
    ['a forged token, in report mode', off, signedIn('a.b.c')],
  ]
  for (const [is, place, headers] of rows) {
    const refused = await whoami(place, headers)
    t.equal(refused.status, 401, is)
    t.notMatch(refused.body, /email|groups/, is)
  }
  t.match(await whoami(custom, signedIn(custom.data())), { status: 200 }, 'a good one')
  t.match(await whoami(off, signedIn(off.data())), { status: 200 }, 'a good one, in report mode')
  const post = await whoami(custom, [...signedIn(custom.data()), 'Content-Length: 0'], 'POST')
  t.equal(post.body, 'ok', "POST is the application's")
  t.notOk(
    recorder.framed().some(({ line }) => /^(?:GET|HEAD) \/\.auth\/whoami\?/.test(line)),
    'the question is not forwarded',
  )
})

t.test("the marker and the ALB's cookies do not reach the application", async t => {
  const cookies = `a=b; ${MARKER}=1; AWSELBAuthSessionCookie-0=x; c=d; AWSALBAuthNonce=n`
  for (const [place, target] of [
    [plain, '/guarded'],
    [plain, '/open-cookies'],
    [custom, '/open-too'],
  ] as const) {
    const more = 'Cookie: my.session-1=y; e=f'
    const { request, status } = await place.ask(
      [...signedIn(place.data(), place.access()), `Cookie: ${cookies}`, more],
      { target },
    )
    t.equal(status, 200, target)
    const found = valuesIn(request?.headers ?? [], 'cookie').join('; ')
    t.match(found, /^a=b; c=d/, `${target}: other cookies stay`)
    t.notMatch(found, /alb_auth|AWS/, `${target}: ours and the ALB's go`)
    t.equal(found.includes('my.session-1'), place === plain, `${target}: by the name that is set`)
  }
})
