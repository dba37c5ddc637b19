/**
 * The cookies we take out are gone in every spelling that an application might read as theirs, and
 * nothing else of the header changes.
 */
import fc from 'fast-check'
import t from 'tap'
import { DEFAULT_SESSION_COOKIE, ownedCookies, withoutCookies } from '../../src/headers/cookies.ts'

const isOwned = ownedCookies(['AWSALBAuthNonce', 'consoleme_auth'], DEFAULT_SESSION_COOKIE)

t.test("the ALB's cookies and the listed ones go, in every spelling", t => {
  const names = {
    'the session cookie': ['AWSELBAuthSessionCookie', 'awselbauthsessioncookie'],
    'its shards': [
      'AWSELBAuthSessionCookie-0',
      'AWSELBAuthSessionCookie-1',
      'AWSELBAuthSessionCookie-10',
      'AWSELBAUTHSESSIONCOOKIE-3',
    ],
    'anything else that begins like it': [
      'AWSELBAuthSessionCookie-',
      'AWSELBAuthSessionCookie-x',
      'AWSELBAuthSessionCookie_0',
      'AWSELBAuthSessionCookieNew',
    ],
    'the nonce': ['AWSALBAuthNonce', 'awsalbauthnonce'],
    'a listed cookie': ['consoleme_auth', 'CONSOLEME_AUTH', 'Consoleme_Auth'],
    'a listed cookie as PHP would name it': ['consoleme.auth', 'consoleme-auth', 'consoleme+auth'],
    // PHP cuts a name at a NUL, and keeps what stands before a [ as the name of an array.
    'a listed cookie that PHP cuts short': [
      'consoleme_auth%00x',
      'consoleme_auth\0x',
      'consoleme_auth[x]',
      'consoleme_auth[]',
      'consoleme_auth%5Bx%5D',
      'consoleme.auth[x][y]',
    ],
    'a name in white space': [
      ' consoleme_auth',
      'consoleme_auth ',
      '  consoleme_auth  ',
      '\tconsoleme_auth\t',
      ' AWSELBAuthSessionCookie-0 ',
    ],
    // Python's str.strip, and so Tornado, trims these; to us they are latin-1 bytes of the name.
    'a name in U+00A0, U+0085 and what else Unicode calls white space': [
      '\xa0consoleme_auth',
      'consoleme_auth\xa0',
      '\x85consoleme_auth\x85',
      '\xa0\x85 \x1c\x1d\x1e\x1f\x0b\x0cconsoleme_auth',
      '\xc2\xa0consoleme_auth',
      '\xe3\x80\x80consoleme_auth\xe3\x80\x80',
      '\xa0AWSALBAuthNonce',
      '\xa0AWSELBAuthSessionCookie-0',
    ],
    'a name percent-encoded, as PHP decodes it': [
      'consoleme%5Fauth',
      'consoleme%5fauth',
      'consoleme%2Eauth',
      '%63onsoleme_auth',
      '%63%6f%6e%73%6f%6c%65%6d%65%5f%61%75%74%68',
      'consoleme%20auth',
      'consoleme_auth%20',
      '%A0consoleme_auth',
      '%C2%A0consoleme_auth',
      'AWSELBAuthSession%43ookie-0',
      'AWSELBAuthSessionCookie%2D0',
    ],
    'a name in quotes': ['"consoleme_auth"', "'consoleme_auth'"],
  }
  for (const [what, owned] of Object.entries(names)) {
    for (const name of owned) {
      const left = withoutCookies(`a=1; ${name}=x; b=2`, isOwned)
      t.equal(left, 'a=1; b=2', `${what}: ${JSON.stringify(name)}`)
    }
  }
  t.end()
})

t.test('a cookie that only looks like one of them stays', t => {
  const others = [
    'session',
    'consoleme_authentication',
    'my_consoleme_auth',
    'consoleme',
    'consolemeauth',
    'consoleme_auth-0',
    'xAWSELBAuthSessionCookie-0',
    'AWSELBAuthSession',
    'AWSELB',
    'AWSALB',
    'AWSALBAuthNonce2',
    'AWSALBAuthNonce-0',
    'AWSALBCORS',
    'consoleme%255Fauth',
    'consoleme%5_auth',
    '',
    ' ',
    '%',
  ]
  for (const name of others) {
    const header = `a=1; ${name}=x; b=2`
    t.equal(withoutCookies(header, isOwned), header, JSON.stringify(name))
  }
  t.end()
})

t.test(
  'a session cookie of another name goes with its shards, and the default one still does',
  t => {
    const isOwned = ownedCookies([], 'My.Session')
    const cases = [
      { name: 'My.Session', expected: true },
      { name: 'My.Session-0', expected: true },
      { name: 'My.Session-12', expected: true },
      { name: 'my_session-3', expected: true },
      { name: '\xa0my_session-3\x85', expected: true },
      { name: 'My.Session-', expected: true },
      { name: 'My.Session-x', expected: false },
      { name: 'My.Session-0x', expected: false },
      { name: 'My.Session-0-1', expected: false },
      { name: 'My.Sessions', expected: false },
      { name: 'My.Session0', expected: false },
      { name: 'XMy.Session', expected: false },
      { name: 'AWSELBAuthSessionCookie-0', expected: true },
      { name: 'AWSELBAuthSessionCookie', expected: true },
      { name: 'AWSALBAuthNonce', expected: false },
    ]
    for (const { name, expected } of cases) {
      const left = withoutCookies(`${name}=x`, isOwned)
      t.equal(left, expected ? '' : `${name}=x`, JSON.stringify(name))
    }
    t.end()
  },
)

t.test('what is left is left as it was', t => {
  const cases = [
    { value: 'a=1', left: 'a=1', why: 'nothing to take' },
    { value: 'a=1; b=2;c=3 ;  d = 4', left: 'a=1; b=2;c=3 ;  d = 4', why: 'any spacing' },
    { value: 'a=1; a=2; a=1', left: 'a=1; a=2; a=1', why: 'duplicates, in order' },
    { value: 'a="x, y"; b=%20%zz', left: 'a="x, y"; b=%20%zz', why: 'odd values' },
    { value: 'A=1; flag; =empty; b=', left: 'A=1; flag; =empty; b=', why: 'odd pairs' },
    { value: 'a=b=c=consoleme_auth', left: 'a=b=c=consoleme_auth', why: 'a name within a value' },
    { value: 'a=\xe9\xff; b=\x80', left: 'a=\xe9\xff; b=\x80', why: 'latin-1 bytes' },
    { value: 'a=1;;b=2;', left: 'a=1;;b=2;', why: 'empty pairs' },
    { value: '', left: '', why: 'nothing at all' },

    { value: 'consoleme_auth=x', left: '', why: 'the only one goes' },
    { value: 'consoleme_auth', left: '', why: 'without a value too' },
    { value: ' consoleme_auth=x ', left: '', why: 'and with space around it' },
    { value: 'consoleme_auth=x; a=1', left: 'a=1', why: 'the first goes' },
    { value: 'a=1; consoleme_auth=x', left: 'a=1', why: 'the last goes' },
    { value: 'a=1; consoleme_auth=x; b=2', left: 'a=1; b=2', why: 'the middle one goes' },
    { value: 'a=1;consoleme_auth=x;b=2', left: 'a=1;b=2', why: 'without spaces' },
    { value: 'consoleme_auth=x;consoleme_auth=y', left: '', why: 'all copies go' },
    { value: 'a=1; consoleme_auth=x=y=z; b=2', left: 'a=1; b=2', why: 'with = in its value' },
    { value: 'a="1; consoleme_auth=x; b=2"', left: 'a="1; b=2"', why: 'within quotes too' },
    {
      value: 'AWSELBAuthSessionCookie-0=a; x=1; AWSELBAuthSessionCookie-1=b; AWSALBAuthNonce=c',
      left: 'x=1',
      why: 'shards and nonce go from around it',
    },
  ]
  for (const { value, left, why } of cases) {
    t.equal(withoutCookies(value, isOwned), left, `${why}: ${JSON.stringify(value)}`)
  }
  t.end()
})

t.test('of any header, the pairs that are not ours stay in order and to the byte', t => {
  const ours = fc.constantFrom(
    'consoleme_auth=1',
    'AWSELBAuthSessionCookie-0=x',
    'consoleme%5Fauth',
  )
  // Latin-1, as node reads headers; the edges are letters, since the header's own edges are trimmed.
  const theirs = fc
    .string({ unit: fc.integer({ min: 0x21, max: 0xff }).map(code => String.fromCharCode(code)) })
    .map(text => `x${text.replaceAll(';', '')}x`)
  fc.assert(
    fc.property(fc.array(fc.oneof(theirs, ours)), pairs => {
      const kept = pairs.filter(pair => pair.startsWith('x'))
      return withoutCookies(pairs.join(';'), isOwned) === kept.join(';')
    }),
    { numRuns: 1_000 },
  )
  t.pass()
  t.end()
})

/**
 * Python's http.cookies, and whatever uses it, also ends a cookie at white space; RFC 2965 at a comma.
 * What stands between two semicolons goes whole, since it is one cookie to everybody else.
 */
t.test('a cookie that only some parsers see goes with the one it hides in', t => {
  const cases = [
    { value: 'a=b consoleme_auth=x', left: '', why: 'behind a space' },
    { value: 'a=1; b=2 consoleme_auth=x; c=3', left: 'a=1; c=3', why: 'and only that piece' },
    { value: 'a=b\tconsoleme_auth=x; c=3', left: 'c=3', why: 'behind a tab' },
    { value: 'a=b\xa0consoleme_auth=x; c=3', left: 'c=3', why: 'behind U+00A0' },
    { value: 'a=1,consoleme_auth=x', left: '', why: 'behind a comma' },
    { value: 'a=1, AWSELBAuthSessionCookie-0=x; c=3', left: 'c=3', why: 'a shard behind a comma' },
    { value: '$Version=1, a=1 ,\t consoleme%5Fauth=x; c=3', left: 'c=3', why: 'among several' },
    { value: 'a=b consoleme_auth', left: '', why: 'without a value' },
    { value: 'a=b consoleme_authentic=x', left: 'a=b consoleme_authentic=x', why: 'another' },
    {
      value: 'a=b c=consoleme_auth',
      left: 'a=b c=consoleme_auth',
      why: 'as a value behind a space',
    },
    { value: 'a="b, c d"; e=f', left: 'a="b, c d"; e=f', why: 'nothing of ours' },
  ]
  for (const { value, left, why } of cases) {
    t.equal(withoutCookies(value, isOwned), left, `${why}: ${JSON.stringify(value)}`)
  }
  t.end()
})

/** The name is the sender's to choose, so trimming it must not take the square of its length. */
t.test('a very long name ends', t => {
  const dashes = '-'.repeat(80_000)
  for (const name of [
    `x${dashes}x`,
    `${dashes}consoleme_auth${dashes}`,
    dashes,
    '%'.repeat(80_000),
  ]) {
    const owned = name.includes('consoleme')
    t.equal(withoutCookies(`${name}=1; a=1`, isOwned), owned ? 'a=1' : `${name}=1; a=1`)
  }
  t.end()
})

t.test('where nothing is taken out, nothing is changed', t => {
  for (const value of [' a=1', ' consoleme=1', '\tauth=1; %=2', '\ta=1 ; b=2 ', ';', ' ;a=1']) {
    t.equal(withoutCookies(value, isOwned), value, JSON.stringify(value))
  }
  t.end()
})

t.test('which cookies are owned is for the caller to say', t => {
  const value = 'a=1; b=2;c=3'
  t.equal(
    withoutCookies(value, () => false),
    value,
  )
  t.equal(
    withoutCookies(value, () => true),
    '',
  )
  t.equal(
    withoutCookies(value, name => name.trim() === 'b'),
    'a=1;c=3',
    'by the bare name',
  )
  t.end()
})

t.test('a piece that is not taken apart holds no name that taking it apart would find', t => {
  const owned = ownedCookies(['consoleme_auth', 'a-b'], 'Custom.Session')
  const part = fc.oneof(
    fc.constantFrom('consoleme_auth', 'CONSOLEME.AUTH', 'a~b', 'custom session', '%61-b', '-'),
    fc.constantFrom('=', ' ', ',', '\t', '\xa0', '%20', '"'),
    fc.string({ maxLength: 4 }),
  )
  const nameOf = (text: string) => text.split('=')[0] ?? ''
  fc.assert(
    fc.property(fc.array(part, { maxLength: 5 }), parts => {
      const piece = parts.join('').replaceAll(';', '')
      const isOurs = [piece, ...piece.split(/[\s,]/)].some(name => owned(nameOf(name)))
      return withoutCookies(`x=1;${piece};y=2`, owned) === (isOurs ? 'x=1;y=2' : `x=1;${piece};y=2`)
    }),
    { numRuns: 2_000 },
  )
  t.equal(withoutCookies('x=1; a.b=2;y=2', owned), 'x=1;y=2')
  t.equal(withoutCookies('x=1; c=2,a.b=3', owned), 'x=1')
  t.end()
})
