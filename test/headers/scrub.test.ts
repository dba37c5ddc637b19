/**
 * Nothing that only we or the load balancer may say gets past, in whatever spelling and on whatever
 * path; everything else gets past as it was.
 */
import t from 'tap'
import type { ReceivedHeaders } from '../../src/core/headers.ts'
import { createScrub, type ScrubOptions, type Scrubbed } from '../../src/headers/scrub.ts'

const OWNED = [
  'X-Forwarded-User',
  'X-Forwarded-Email',
  'X-Forwarded-Groups',
  'user_header',
  'X-Real-IP',
]

const OPTIONS: ScrubOptions = {
  owned: OWNED,
  listed: ['x-original-url', 'x-rewrite-url', 'x-http-method-override'],
  nonstandard: 'drop',
  sessionCookie: 'AWSELBAuthSessionCookie',
  ownCookies: [],
  guardedCookies: ['consoleme_auth'],
}

type Route = 'open' | 'guarded'

function scrub(
  list: readonly string[],
  options: Partial<ScrubOptions> = {},
  route: Route = 'guarded',
) {
  return createScrub({ ...OPTIONS, ...options })(list as ReceivedHeaders, route)
}

/** What is left of a list; the request is not one that is refused. */
function left(...args: Parameters<typeof scrub>): readonly string[] {
  return taken(...args).headers
}

function taken(...args: Parameters<typeof scrub>): Scrubbed {
  const found = scrub(...args)
  if ('outcome' in found) throw new Error(found.detail)
  return found
}

/** The names of a list of `name`s, each with a value. */
const withValues = (names: readonly string[]) => names.flatMap(name => [name, 'forged'])

/** Every way to separate the words of `name`, and four ways to write each. */
function spellings(name: string): readonly string[] {
  const [first = '', ...words] = name.split(/[^A-Za-z0-9]/)
  let separated = [first]
  for (const word of words) {
    separated = separated.flatMap(start =>
      ['-', '_', '.', '~', '+', "'"].map(each => start + each + word),
    )
  }
  const mixed = (text: string) =>
    text.toLowerCase().replace(/(.)(.)/g, (_, one: string, two: string) => one + two.toUpperCase())
  return separated.flatMap(text => [text, text.toLowerCase(), text.toUpperCase(), mixed(text)])
}

/**
 * T-31, oauth2-proxy CVE-2025-64484 (GHSA-vjrc-mh2v-45x6): WSGI, CGI and PHP read `X_Forwarded_User`
 * as `X-Forwarded-User`, so a twin is as good as the name itself.
 */
t.test('a header that only we may send is removed in every spelling', t => {
  const oidc = ['data', 'identity', 'accesstoken', 'unheard-of'].map(name => `x-amzn-oidc-${name}`)
  for (const name of [...OWNED, ...oidc]) {
    const twins = spellings(name)
    for (const nonstandard of ['drop', 'keep'] as const) {
      for (const route of ['open', 'guarded'] as const) {
        const found = left(withValues(twins), { nonstandard }, route)
        t.same(found, [], `${name}: ${twins.length} spellings, ${nonstandard}, ${route}`)
      }
    }
  }
  t.end()
})

t.test('a header that only resembles ours stays', t => {
  const others = [
    'X-Forwarded-Users',
    'X-Forwarded-Use',
    'XForwarded-User',
    'X-Forwarded--User',
    'X-Forwarded-User-',
    '-X-Forwarded-User',
    'X-Amzn-Oidc',
    'X-Amzn-OidcData',
    'X-Amzn-Trace-Id',
    'X-X-Amzn-Oidc-Data',
    'Users-Header',
    'Authorization',
    'X-Forwarded-For',
    'X-Forwarded-Proto',
    'X-Forwarded-Port',
    'Forwarded',
  ]
  t.same(left(withValues(others)), withValues(others))
  t.end()
})

t.test('names beyond letters, digits and - are dropped, refused or kept as set', t => {
  const names = ['X_Custom', 'X.Custom', "X'Custom", 'X~Custom', 'X Custom', 'X\xe9', '_', '']
  const list = ['Accept', '*/*', ...withValues(names)]
  t.same(left(list, { nonstandard: 'drop' }), ['Accept', '*/*'], 'drop')
  t.same(left(list, { nonstandard: 'keep' }), list, 'keep')
  for (const name of [
    ...names,
    'X_Forwarded_User',
    'x-amzn_oidc-data',
    'content_length',
    'x_original_url',
  ]) {
    const refused = scrub(['Accept', '*/*', name, 'x'], { nonstandard: 'reject' })
    t.match(refused, { outcome: 'rejected', reason: 'malformed_request' }, `reject ${name}`)
    t.notMatch(refused, { detail: /X[^-]/ }, 'and the detail holds nothing of the request')
  }
  t.end()
})

t.test('where such names are refused, the others are scrubbed as ever', t => {
  const list = [
    'Host',
    'a',
    'X-Amzn-Oidc-Data',
    'x',
    'X-Forwarded-User',
    'x',
    'TE',
    'x',
    'X-Original-Url',
    'x',
  ]
  t.same(left(list, { nonstandard: 'reject' }), ['Host', 'a'])
  t.end()
})

t.test('what belongs to one connection ends here, and framing is not ours to pass on', t => {
  const names = [
    'Connection',
    'Keep-Alive',
    'Proxy-Connection',
    'Proxy-Authenticate',
    'Proxy-Authorization',
    'TE',
    'Trailer',
    'Transfer-Encoding',
    'Upgrade',
    'HTTP2-Settings',
    'Content-Length',
    'Expect',
  ]
  t.same(left(withValues(names)), [], 'as spelled in RFC 9110')
  t.same(left(withValues(names.map(name => name.toUpperCase()))), [], 'in upper case')
  for (const name of names.filter(each => each.includes('-'))) {
    t.same(left(withValues(spellings(name)), { nonstandard: 'keep' }), [], `every twin of ${name}`)
  }
  t.same(
    left(['Content-Type', 'a/b', 'TE-X', 'y']),
    ['Content-Type', 'a/b', 'TE-X', 'y'],
    'no others',
  )
  t.end()
})

/**
 * T-33: whatever `Connection` names, the next hop drops. A client may do without what it could as well
 * not have sent, but not without what the load balancer says or the application needs.
 */
t.test('Connection takes away what the client sent, and nothing that others said', t => {
  const rest = [
    ...['Host', 'app.example', 'X-Forwarded-For', '203.0.113.7', 'X-Forwarded-Proto', 'https'],
    ...['X-Forwarded-Port', '443', 'X-Amzn-Trace-Id', 'Root=1', 'X-Amzn-Tls-Version', 'TLSv1.3'],
    ...['Accept', '*/*'],
  ]
  const custom = ['X-Custom', 'a', 'x-other', 'b', 'X-CUSTOM', 'c']
  const cases = [
    { connection: ['X-Custom'], expected: ['x-other', 'b'], why: 'every copy of the header named' },
    { connection: ['x-custom'], expected: ['x-other', 'b'], why: 'in any case' },
    { connection: ['close, X-Custom,x-other'], expected: [], why: 'among others' },
    {
      connection: [' \tX-Custom\t , ,,'],
      expected: ['x-other', 'b'],
      why: 'with white space and gaps',
    },
    { connection: ['X-Custom', 'x-other'], expected: [], why: 'on two lines' },
    { connection: ['X_Custom'], expected: custom, why: 'not by a twin, which is another header' },
    { connection: ['X-Cust'], expected: custom, why: 'not by a part of its name' },
    { connection: ['host'], expected: custom, why: 'not Host' },
    { connection: ['Host, HOST ,hOsT'], expected: custom, why: 'not Host in any case' },
    {
      connection: ['x-forwarded-for, X-Forwarded-Proto, x-forwarded-port'],
      expected: custom,
      why: "not the ALB's",
    },
    {
      connection: ['x-amzn-trace-id, x-amzn-tls-version'],
      expected: custom,
      why: 'nor its X-Amzn-*',
    },
    { connection: [''], expected: custom, why: 'nor anything when it names nothing' },
  ]
  for (const { connection, expected, why } of cases) {
    const lines = connection.flatMap(value => ['Connection', value])
    t.same(left([...lines, ...rest, ...custom]), [...rest, ...expected], `before: ${why}`)
    t.same(left([...rest, ...custom, ...lines]), [...rest, ...expected], `behind: ${why}`)
  }
  const hosts = ['Hostess', 'a', 'My-Host', 'b']
  t.same(
    left(['Connection', 'hostess, my-host', ...hosts]),
    [],
    'Host is kept, not what looks like it',
  )
  const kept = { nonstandard: 'keep' } as const
  t.same(left(['Connection', 'X_A', 'X_A', 'x', 'X-A', 'y'], kept), ['X-A', 'y'], 'a kept name too')
  t.end()
})

t.test('a header that only we may send is removed all the same when Connection names it', t => {
  const list = [
    'Connection',
    'X-Forwarded-User, x-amzn-oidc-data',
    'X-Forwarded-User',
    'mallory',
    'X-Amzn-Oidc-Data',
    'x',
  ]
  const found = taken(list)
  t.same(found.headers, [])
  t.same(found.stripped, { identity: 1 }, 'and counted as such, not as hop-by-hop')
  t.equal(found.claimed, 1)
  t.end()
})

/** T-35, T-36: oauth2-proxy CVE-2026-40575 judged by a header what the application asked for. */
t.test('listed headers are removed in every spelling, and only those', t => {
  for (const name of OPTIONS.listed) {
    for (const nonstandard of ['drop', 'keep'] as const) {
      t.same(left(withValues(spellings(name)), { nonstandard }), [], `${name}, ${nonstandard}`)
    }
  }
  t.same(left(['X-Original-Url', '/admin'], { listed: [] }), ['X-Original-Url', '/admin'])
  t.same(left(['X-Any_thing', 'x'], { listed: ['x_any-thing'], nonstandard: 'keep' }), [])
  t.end()
})

t.test("the ALB's cookies go on every path, listed ones on guarded paths only", t => {
  const shards = 'AWSELBAuthSessionCookie-0=a; AWSELBAuthSessionCookie-1=b; AWSALBAuthNonce=c'
  const cases = [
    {
      cookie: `a=1; ${shards}; consoleme_auth=x; b=2`,
      open: 'a=1; consoleme_auth=x; b=2',
      guarded: 'a=1; b=2',
    },
    { cookie: shards, open: undefined, guarded: undefined },
    { cookie: 'consoleme_auth=x', open: 'consoleme_auth=x', guarded: undefined },
    { cookie: 'a=1', open: 'a=1', guarded: 'a=1' },
    { cookie: '', open: '', guarded: '' },
  ]
  for (const { cookie, ...expected } of cases) {
    for (const route of ['open', 'guarded'] as const) {
      const value = expected[route]
      const list = ['Host', 'a', ...(value === undefined ? [] : ['cOOkie', value])]
      t.same(left(['Host', 'a', 'cOOkie', cookie], {}, route), list, `${route}: ${cookie}`)
    }
  }
  const two = ['Cookie', `a=1; ${shards}`, 'cookie', 'AWSELBAuthSessionCookie-2=d', 'Cookie', 'b=2']
  t.same(left(two), ['Cookie', 'a=1', 'Cookie', 'b=2'], 'each of several Cookie headers')
  const renamed = left(['Cookie', 'My-0=a; My=b; Myth=c'], { sessionCookie: 'My' }, 'open')
  t.same(renamed, ['Cookie', 'Myth=c'], 'a session cookie of another name')
  t.end()
})

t.test('cookies are taken out of Cookie headers and no others', t => {
  const value = 'AWSELBAuthSessionCookie-0=a; b=1'
  for (const name of ['Cookie2', 'Set-Cookie', 'X-Cookie', 'Accept', 'Cooki']) {
    t.same(left([name, value]), [name, value], name)
  }
  t.end()
})

t.test('everything else passes as it was: order, duplicates, spelling, values', t => {
  const list = [
    ...['hOsT', 'app.example:8443', 'Accept', 'text/html', 'accept', 'a/b', 'ACCEPT', ''],
    ...[
      'X-Forwarded-For',
      '1.2.3.4, 5.6.7.8',
      'X-Forwarded-For',
      '9.9.9.9',
      'Cookie',
      'a=1;  b="2"',
    ],
    ...[
      'User-Agent',
      '  two  spaces  ',
      'X-Latin',
      'caf\xe9',
      'Authorization',
      'Bearer x-amzn-oidc-data',
    ],
    ...[
      'Content-Type',
      'a/b',
      'Origin',
      'null',
      'Sec-WebSocket-Key',
      'x',
      'X-1-2-3',
      '4',
      '0',
      '0',
    ],
  ]
  t.same(left(list), list, 'on a guarded path')
  t.same(left(list, {}, 'open'), list, 'on an open path')
  t.same(left([]), [], 'nothing stays nothing')
  const mixed = list.flatMap((item, at) => (at % 2 ? [item, 'X-Forwarded-User', 'x'] : [item]))
  t.same(left(mixed), list, 'with ours between them')
  t.end()
})

t.test('counts what was taken by its kind', t => {
  const list = [
    ...['Host', 'a', 'Connection', 'x-hop', 'X-Hop', 'x', 'TE', 'x', 'Cookie', 'consoleme_auth=x'],
    ...['X-Amzn-Oidc-Data', 'x', 'x-amzn-oidc-identity', 'x', 'X-AMZN-OIDC-ACCESSTOKEN', 'x'],
    ...['X_Amzn_Oidc_Data', 'x', 'X-Amzn-Oidc-Other', 'x', 'x-amzn-oidc-', 'x'],
    ...['X-Forwarded-User', 'x', 'x_forwarded_user', 'x', 'USER-HEADER', 'x', 'user_header', 'x'],
    ...['X-Original-Url', 'x', 'x_rewrite_url', 'x', 'X_Unknown', 'x', 'Proxy_Connection', 'x'],
  ]
  const dropped = taken(list)
  t.strictSame(dropped.stripped, { oidc: 3, identity: 4, listed: 2, nonstandard: 1 })
  t.equal(dropped.claimed, 3, "the ALB's own three, in its own spelling, are counted apart")
  const kept = taken(list, { nonstandard: 'keep' })
  t.strictSame(kept.stripped, { oidc: 3, identity: 4, listed: 2 }, 'a kept name is not counted')
  t.same(kept.headers, ['Host', 'a', 'X_Unknown', 'x'])

  const nothing = taken(['Host', 'a'])
  t.strictSame(nothing.stripped, {}, 'nothing taken, nothing counted')
  t.equal(nothing.claimed, 0)
  t.end()
})

t.test('one request leaves nothing behind for the next', t => {
  const run = createScrub(OPTIONS)
  const first = run(
    [
      'Connection',
      'x-a',
      'X-A',
      '1',
      'X-Forwarded-User',
      'x',
    ] as readonly string[] as ReceivedHeaders,
    'open',
  )
  const second = run(['X-A', '1'] as readonly string[] as ReceivedHeaders, 'open')
  t.strictSame(first, { headers: [], stripped: { identity: 1 }, claimed: 0 })
  t.strictSame(second, { headers: ['X-A', '1'], stripped: {}, claimed: 0 })
  t.end()
})
