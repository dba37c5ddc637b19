/**
 * Redirects that lead away. A session that is over is renewed by a redirect to the page that was
 * asked for; whoever sends a victim to `//evil.example` hopes to see them arrive there with the trust
 * of this host, or to go in a circle (THREATS T-94, T-44, T-95).
 *
 * @see oauth2-proxy CVE-2020-5233 (GHSA-qqxw-m5fj-f7gv), CVE-2020-11053 (GHSA-j7px-6hwj-hpjg),
 * CVE-2020-4037 (GHSA-5m6c-jp6f-2vcv); ConsoleMe's `redirect(request.uri)`
 */
import t from 'tap'
import { startRecorder } from '../fixtures/recorder.ts'
import { ALICE, startRig } from '../fixtures/sidecar.ts'
import { headersOf, visit } from '../fixtures/visit.ts'
import { startOracle } from './oracle.ts'
import { each } from './rows.ts'

const ORIGIN = 'https://app.example.com'
const LOGOUT = 'https://idp.example.com/logout'
const recorder = await startRecorder(t)
const rig = await startRig(t, recorder.port, {
  ...{ CLOCK_TOLERANCE: '0s', SIGN_OUT_PATH: '/.auth/sign-out', SIGN_OUT_REDIRECT_URL: LOGOUT },
  ...{ WHOAMI_PATH: '/.auth/whoami', NOAUTH_PATHS: '/open/*' },
})
const oracle = await startOracle(rig, { assertable: {} })
const past = { exp: Math.floor(Date.now() / 1_000) - 60 }
const expired = rig.signer.sign(ALICE, { header: past, payload: past })
const NAVIGATION = ['Sec-Fetch-Mode: navigate', 'Accept: text/html']
const OVER = [`X-Amzn-Oidc-Data: ${expired}`, ...NAVIGATION]

/** Each is what an advisory was written for; the part behind `/` is what it was followed by there. */
const ELSEWHERE = [
  {
    advisory: 'CVE-2020-5233',
    targets: ['//evil.example', '//evil.example/%2f..', '///evil.example'],
  },
  {
    advisory: 'CVE-2020-11053',
    targets: ['/%0a/evil.example', '/%0b/evil.example', '/%09/evil.example', '/%0d/evil.example'],
  },
  {
    advisory: 'CVE-2020-4037',
    targets: [
      ...['/%09/%5Cevil.example', '/%5Cevil.example', '/.%5Cevil.example', '/%5C%5Cevil.example'],
      ...['/./%5Cevil.example', '/././/evil.example', '/../../../..//evil.example/'],
      ...['/x/..//evil.example', '//%09/evil.example', '//%5Cevil.example/..;/'],
    ],
  },
  {
    advisory: 'T-94',
    targets: [
      ...[
        '//evil.example/%2e%2e',
        '//evil.example:443/',
        '//user@evil.example',
        '////evil.example',
      ],
      ...['//', '//?', '///?//evil.example', '//evil.example?https://app.example.com'],
      ...['/%2f/evil.example', '/https://evil.example', '/@evil.example', '/:80//evil.example'],
      ...['//%00evil.example', '//evil%E3%80%82example', '//[::1]/', '//2130706433/'],
    ],
  },
]

t.test('a redirect to ourselves stays with us', async t => {
  await each(
    ELSEWHERE.flatMap(({ advisory, targets }) => targets.map(target => ({ advisory, target }))),
    async ({ advisory, target }) => {
      const answer = await visit(rig.port, { target, headers: OVER })
      const what = `${advisory}: ${target}`
      t.equal(answer.status, 302, what)
      const [location = '', ...more] = headersOf(answer, 'location')
      t.same(more, [], `${what}: one Location`)
      for (const base of [`${ORIGIN}/`, `${ORIGIN}/a/b`, `${ORIGIN}//evil.example/`]) {
        t.equal(new URL(location, base).origin, ORIGIN, `${what} from ${base}`)
      }
      t.notMatch(location, /^\/[/\\]/, what)
      t.equal(answer.body, '', `${what}: nothing of it is on the page`)
    },
  )
})

t.test('what no target may hold is not redirected at all', async t => {
  const targets = [
    ...['/\\evil.example', '/\t/evil.example', '\\\\evil.example', '/x#//evil.example'],
    ...['http://evil.example/', 'https:evil.example', '/é', '/\x0b/evil.example', '/\x85/evil'],
  ]
  await each(targets, async target => {
    const answer = await visit(rig.port, { target, headers: OVER }).catch(() => undefined)
    const what = target.replace(/[^\x20-\x7e]/g, '…')
    t.equal(answer?.status, 400, what)
    t.same(headersOf(answer ?? { headers: [] }, 'location'), [], what)
  })
})

/** CR and LF cannot be in a target; encoded they stay so, and no header is made of them. */
t.test('no header is made of a target', async t => {
  const answer = await visit(rig.port, {
    target: '/%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<script>?x=%0d%0aLocation:%20//evil',
    headers: OVER,
  })
  t.equal(answer.status, 302)
  t.equal(headersOf(answer, 'location').length, 1)
  t.same(
    headersOf(answer, 'set-cookie').filter(cookie => cookie.startsWith('a=')),
    [],
  )
})

t.test('nobody is sent in a circle', async t => {
  const [, ...rest] = headersOf(await visit(rig.port, { headers: OVER }), 'set-cookie').reverse()
  t.ok(rest.length > 0, 'the session is forgotten, and the marker comes with it')
  const again = [...OVER, 'Cookie: alb_auth_reauthenticated=1']
  const answer = await visit(rig.port, { headers: again })
  t.equal(answer.status, 401)
  t.same(headersOf(answer, 'location'), [])
})

t.test('signing out leads where the operator said, whatever the client says', async t => {
  const asks = ['', '?redirect=//evil.example', '?rd=https://evil.example', '?next=%2f%2fevil', '?']
  const headers = ['Referer: https://evil.example/', 'Origin: https://evil.example']
  const hosts = ['X-Forwarded-Host: evil.example', 'X-Auth-Request-Redirect: //evil.example']
  for (const query of asks) {
    const answer = await visit(rig.port, {
      target: `/.auth/sign-out${query}`,
      headers: [...headers, ...hosts],
    })
    t.equal(answer.status, 302, query)
    t.same(headersOf(answer, 'location'), [LOGOUT], query)
  }
})

/** T-67: a path of ours in disguise is the application's, and guarded. */
t.test('our own paths are exactly themselves', async t => {
  const disguised = [
    ...['/.auth/sign-out/', '//.auth/sign-out', '/.auth//sign-out', '/.auth/./sign-out'],
    ...['/.auth/%73ign-out', '/%2eauth/sign-out', '/.AUTH/sign-out', '/.auth/sign-out;x'],
    ...['/open/../.auth/sign-out', '/.auth/whoami/', '/.auth/whoami%20', '/x?/.auth/whoami'],
  ]
  await each(disguised, async target => {
    const answer = await visit(rig.port, { target })
    t.equal(answer.status, 401, target)
    t.same(headersOf(answer, 'set-cookie'), [], target)
    t.notMatch(answer.body, /"user"/, target)
  })
  t.equal((await visit(rig.port, { target: '/.auth/whoami' })).status, 401, 'nobody is nobody')
  const forged = ['X-Forwarded-User: mallory', 'X-Amzn-Oidc-Identity: mallory']
  t.equal((await visit(rig.port, { target: '/.auth/whoami', headers: forged })).status, 401)
})

t.test('none of it reached the application', t => {
  t.same(recorder.framed(), [])
  t.end()
})

t.test('after all of this', t => oracle.check(t, recorder))
