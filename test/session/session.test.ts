import fc from 'fast-check'
import t from 'tap'
import type { Reason } from '../../src/core/reasons.ts'
import { rejected, type SourceName } from '../../src/core/verdict.ts'
import {
  createSession,
  MARKER_COOKIE,
  ownLocation,
  type Arrival,
  type SessionOptions,
} from '../../src/session/session.ts'

const LOGOUT = 'https://idp.example.com/logout?client_id=x'
const ORIGIN = 'https://app.example.com'

function setUp(options: Partial<SessionOptions> = {}) {
  return createSession({
    sessionCookie: 'AWSELBAuthSessionCookie',
    signOutPath: '/.auth/sign-out',
    signOutRedirectUrl: LOGOUT,
    whoamiPath: '/.auth/whoami',
    renewsAccessToken: true,
    ...options,
  })
}

const EXPIRED = 'Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly'
/** `Set-Cookie` headers that make every shard expire. */
const shards = (name: string) =>
  ['', '-0', '-1', '-2', '-3'].flatMap(each => ['Set-Cookie', `${name}${each}=; ${EXPIRED}`])

const MARKER = [
  'Set-Cookie',
  'alb_auth_reauthenticated=1; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax',
]

const arrival = (more: Partial<Arrival> = {}): Arrival => ({
  ...{ method: 'GET', target: '/a?b=c', isNavigation: true, cookies: [] },
  ...more,
})

const over = (source: SourceName = 'alb', reason: Reason = 'token_expired') =>
  rejected(reason, { source })

t.test('our own paths are these, by these methods', t => {
  const { ownPath } = setUp()
  const rows: readonly [method: string, target: string, own: string | undefined][] = [
    ['GET', '/.auth/sign-out', 'sign_out'],
    ['HEAD', '/.auth/sign-out', 'sign_out'],
    ['POST', '/.auth/sign-out', 'sign_out'],
    ['GET', '/.auth/sign-out?rd=/x', 'sign_out'],
    ['GET', '/.auth/sign-out?', 'sign_out'],
    ['GET', '/.auth/sign-out??', 'sign_out'],
    ['PUT', '/.auth/sign-out', undefined],
    ['DELETE', '/.auth/sign-out', undefined],
    ['get', '/.auth/sign-out', undefined],
    ['GET', '/.auth/whoami', 'whoami'],
    ['HEAD', '/.auth/whoami?x', 'whoami'],
    ['POST', '/.auth/whoami', undefined],
    ['GET', '/.auth/sign-out/', undefined],
    ['GET', '//.auth/sign-out', undefined],
    ['GET', '/.auth//sign-out', undefined],
    ['GET', '/.auth/./sign-out', undefined],
    ['GET', '/.AUTH/sign-out', undefined],
    ['GET', '/.auth%2fsign-out', undefined],
    ['GET', '/%2eauth/sign-out', undefined],
    ['GET', '/.auth/sign-out%3f', undefined],
    ['GET', '/.auth/sign-out;x', undefined],
    ['GET', '/.auth/sign-out&', undefined],
    ['GET', '/?/.auth/sign-out', undefined],
    ['GET', '/', undefined],
    ['GET', '', undefined],
  ]
  for (const [method, target, own] of rows)
    t.equal(ownPath(method, target), own, `${method} ${target}`)
  t.end()
})

t.test('a path that is not set is off', t => {
  const { ownPath } = setUp({ signOutPath: '', whoamiPath: '' })
  for (const target of ['/', '/.auth/sign-out', '/.auth/whoami', '/?', '//']) {
    for (const method of ['GET', 'POST']) t.equal(ownPath(method, target), undefined, target)
  }
  t.end()
})

t.test('signing out expires every shard, and leads where the operator said', t => {
  for (const sessionCookie of ['AWSELBAuthSessionCookie', 'my.session']) {
    t.strictSame(setUp({ sessionCookie }).signOut(), {
      status: 302,
      headers: ['Location', LOGOUT, ...shards(sessionCookie)],
      contentType: 'text/plain; charset=utf-8',
      body: '',
    })
  }
  t.end()
})

t.test('who am I is what was verified, and nothing that the application need not know', t => {
  const { whoami } = setUp()
  const identity = { subject: 'secret', user: 'a', groups: ['x', 'y'], expiresAt: 1.5 }
  t.strictSame(whoami({ ...identity, email: 'a@example.com' }), {
    status: 200,
    headers: [],
    contentType: 'application/json',
    body: '{"user":"a","email":"a@example.com","groups":["x","y"],"expiresAt":1.5}\n',
  })
  t.equal(whoami(identity).body, '{"user":"a","groups":["x","y"],"expiresAt":1.5}\n')
  t.end()
})

t.test('a navigation that came too late is sent to sign in again', t => {
  const { reauthenticate } = setUp({ sessionCookie: 'my.session' })
  const expected = {
    status: 302,
    headers: ['Location', '/a?b=c', ...shards('my.session'), ...MARKER],
    contentType: 'text/plain; charset=utf-8',
    body: '',
  }
  t.strictSame(reauthenticate(over(), arrival()), expected)
  t.strictSame(reauthenticate(over(), arrival({ method: 'HEAD' })), expected)
  t.strictSame(reauthenticate(over('access_token'), arrival()), expected)
  t.end()
})

t.test('whoever is no navigation, or is not too late, is not', t => {
  const { reauthenticate } = setUp()
  const { reauthenticate: strict } = setUp({ renewsAccessToken: false })
  t.equal(
    strict(over('access_token'), arrival()),
    undefined,
    'an access token, where it is not worth it',
  )
  t.ok(strict(over('alb'), arrival()), 'but the ALB token is')
  const rows: readonly [is: string, refusal: ReturnType<typeof over>, more: Partial<Arrival>][] = [
    ['a program', over(), { isNavigation: false }],
    ...['POST', 'PUT', 'DELETE', 'OPTIONS', 'get'].map(
      (method): [string, ReturnType<typeof over>, Partial<Arrival>] => [method, over(), { method }],
    ),
    ['no token', rejected('token_missing'), {}],
    ['a bad signature', over('alb', 'signature_invalid'), {}],
    ['a token not yet valid', over('access_token', 'token_not_yet_valid'), {}],
    ['a user who may not', over('alb', 'not_allowed'), {}],
  ]
  for (const [is, refusal, more] of rows)
    t.equal(reauthenticate(refusal, arrival(more)), undefined, is)
  t.end()
})

/** A clock that is wrong would otherwise send a browser round in circles. */
t.test('nobody is sent twice in a minute', t => {
  const { reauthenticate } = setUp()
  const rows: readonly [cookies: readonly string[], isMarked: boolean][] = [
    [[`${MARKER_COOKIE}=1`], true],
    [[`${MARKER_COOKIE}=`], true],
    [[`a=b; ${MARKER_COOKIE}=1`], true],
    [[`a=b;${MARKER_COOKIE}=1;c=d`], true],
    [['a=b', `${MARKER_COOKIE}=1`], true],
    [[`  ${MARKER_COOKIE}=1  `], true],
    [[], false],
    [[''], false],
    [[MARKER_COOKIE], false],
    [[`x${MARKER_COOKIE}=1`], false],
    [[`${MARKER_COOKIE}x=1`], false],
    [[`a=${MARKER_COOKIE}=1`], false],
  ]
  for (const [cookies, isMarked] of rows) {
    const reply = reauthenticate(over(), arrival({ cookies }))
    t.equal(reply === undefined, isMarked, JSON.stringify(cookies))
  }
  t.end()
})

/** T-94. Any admitted target: visible ASCII that begins with a slash. */
t.test('a redirect to ourselves stays with us, whatever the target', t => {
  const visible = fc.integer({ min: 0x21, max: 0x7e }).map(code => String.fromCharCode(code))
  const risky = fc.constantFrom(
    ...[
      '/',
      '//',
      '\\',
      '/\\',
      '.',
      '..',
      '@',
      ':',
      '%2f',
      '%5c',
      '%09',
      '?',
      'https:',
      'evil.com',
    ],
  )
  const target = fc
    .array(fc.oneof(risky, visible), { maxLength: 12 })
    .map(all => `/${all.join('')}`)
  fc.assert(
    fc.property(target, text => {
      const location = ownLocation(text)
      const { origin } = new URL(location, `${ORIGIN}/a/b?c`)
      return origin === ORIGIN && /^\/(?![/\\])/.test(location) && text.endsWith(location.slice(1))
    }),
    { numRuns: 5_000 },
  )
  t.end()
})

t.test('and is the target itself, but for a run of slashes', t => {
  const rows = [
    ['/', '/'],
    ['//', '/'],
    ['/a', '/a'],
    ['/a//b', '/a//b'],
    ['//evil.com', '/evil.com'],
    ['///evil.com//x', '/evil.com//x'],
    ['/\\evil.com', '/evil.com'],
    ['\\\\evil.com', '/evil.com'],
    ['/.//evil.com', '/.//evil.com'],
    ['/%2f%2fevil.com', '/%2f%2fevil.com'],
    ['/?//evil.com', '/?//evil.com'],
  ] as const
  for (const [target, location] of rows) t.equal(ownLocation(target), location, target)
  t.end()
})
