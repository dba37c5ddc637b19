/**
 * A path is canonical when no application can read it as another one: the condition under which an
 * open rule may exempt it from authentication. Attacks are numbered as in THREATS §1.C.
 */
import { posix } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { isCanonical, pathOf, whyNotCanonical } from '../../src/route/path.ts'
import { matches } from '../../src/route/pattern.ts'

t.test('a plain path is canonical', t => {
  const plain = [
    '/',
    '/a',
    '/a/',
    '/noauth/v1/challenge_poller/3fd3-x_Y~z',
    '/a.b/c.d',
    '/.well-known/openid-configuration',
    '/a/.hidden',
    '/a/..b',
    '/a/b..',
    '/a/...',
    '/a/b./c',
    '/a:b@c!d$e&f(g)h*i+j,k=l',
    '/it\'s|<odd>{but}^`visible`"[]',
    '/a%20b',
    '/%41%7a',
    '/a%2Bb%2b',
    '/a%7Eb%7e',
  ]
  for (const path of plain) t.equal(isCanonical(path), true, path)
  t.end()
})

t.test('a path that somebody could read as another one is not canonical', t => {
  const at = '/noauth/v1/challenge_poller'
  const attacks = {
    'T-50 dot segments; fastify-reply-from GHSA-2q7r-29rg-6m5h': [
      `${at}/../../../policies`,
      `${at}/x/..`,
      `${at}/x/.`,
      `${at}/./x`,
      `${at}/../x`,
      '/..',
      '/.',
      '/../',
      '/./',
      '/a/../../b',
    ],
    'T-51 dots and slashes encoded once': [
      `${at}/%2e%2e/%2e%2e/policies`,
      `${at}/.%2e/x`,
      `${at}/%2e./x`,
      `${at}/%2E%2E/x`,
      `${at}/%2e`,
      `${at}/..%2f..%2fpolicies`,
      `${at}/%2e%2e%2fpolicies`,
      `${at}%2f..%2f..%2fpolicies`,
      `${at}%2F..%2Fpolicies`,
      `${at}/x%2fy`,
    ],
    'T-51 overlong UTF-8 and %u': [
      `${at}/%c0%ae%c0%ae/x`,
      `${at}/%c0%af`,
      `${at}/%C1%9C`,
      `${at}/%e0%80%ae`,
      `${at}/%u002e%u002e/x`,
      `${at}/%u2215`,
    ],
    'T-52 encoded twice': [
      `${at}/%252e%252e%252fpolicies`,
      `${at}/%252E`,
      `${at}/%25%32%65%25%32%65/x`,
      `${at}/%2%65`,
      `${at}/%%32%65`,
      `${at}/x%252fy`,
      `${at}/%25252e`,
      `${at}/100%25`,
    ],
    'T-53 path parameters; Tomcat /..;/': [
      `${at}/..;/..;/policies`,
      `${at}/;/../policies`,
      `${at};x=/../policies`,
      `${at}/x;jsessionid=1`,
      `${at}/x;`,
      `${at}/..%3b/policies`,
      `${at}/x%3Bv=1`,
    ],
    'T-54 empty segments': ['//admin', `/${at}`, `${at}//x`, `${at}//..//admin`, `${at}/x//`, '//'],
    'T-55 backslashes': [
      '/noauth\\..\\admin',
      `${at}\\..\\..\\policies`,
      `${at}/x\\`,
      '\\noauth',
      `${at}/..%5c..%5cpolicies`,
      `${at}/%5C`,
    ],
    'T-56, T-57 other forms of a target': [
      'http://evil/noauth/../admin',
      'http://[',
      'evil.example:443',
      '*',
      '',
      'noauth/v1',
      '.',
    ],
    'T-58 fragment; oauth2-proxy CVE-2026-41059, GHSA-pxq7-h93f-9jrg': [
      `${at}/x#/../admin`,
      `${at}/#`,
      '/#',
      `${at}/x%23/../admin`,
      `${at}/%23`,
    ],
    'T-59 NUL and controls': [
      `${at}/x%00`,
      `${at}/%00/../admin`,
      `${at}/x%0d%0aX-Amzn-Oidc-Data:%20x`,
      `${at}/x%0a`,
      `${at}/x%09`,
      `${at}/x%1F`,
      `${at}/x%7f`,
      `${at}/x\0`,
      `${at}/x\n`,
      `${at}/x\r\n`,
      `${at}/x\t`,
      `${at}/x y`,
      `${at}/x `,
      `${at}/x\x7f`,
    ],
    'T-60 a percent sign that encodes nothing': [
      `${at}/%`,
      `${at}/%z`,
      `${at}/%2`,
      `${at}/%zz`,
      `${at}/%2g`,
      `${at}/%g2`,
      `${at}/%/x`,
      `${at}/%2/x`,
      `${at}/x%`,
      `${at}/%-1`,
      `${at}/%+f`,
    ],
    'T-61 beyond ASCII': [
      `${at}/é`,
      `${at}/\xe9`,
      `${at}/\x85`,
      `${at}/\xa0`,
      `${at}/\u2025/x`,
      `${at}/\uff0f..\uff0fadmin`,
      `${at}/\u{1f600}`,
      `${at}/\ud800`,
      `${at}/%ef%bc%8f`,
      `${at}/%e2%80%ae`,
      `${at}/%80`,
      `${at}/%FF`,
      `${at}/%c3%a9`,
    ],
    'T-62 a query that was not cut off, or is disguised': [`${at}/x%3fy`, `${at}/%3F/../admin`],
    'T-63 a suffix that is trimmed by somebody': [
      `${at}/x%2ejson/..`,
      `${at}/x/.%20/..`,
      `${at}%09`,
    ],
    'T-67 our own paths, disguised': [
      '/healthcheck/.',
      '/health%2echeck',
      '//healthcheck',
      '/healthcheck;',
    ],
  }
  for (const [attack, paths] of Object.entries(attacks)) {
    for (const path of paths)
      t.equal(isCanonical(path), false, `${attack}: ${JSON.stringify(path)}`)
  }
  t.end()
})

t.test('of all encoded bytes only those of plain visible characters and the space pass', t => {
  const refused = '/\\.;%?#'
  for (let byte = 0; byte <= 0xff; byte++) {
    const hex = byte.toString(16).padStart(2, '0')
    const plain = byte >= 0x20 && byte <= 0x7e && !refused.includes(String.fromCharCode(byte))
    const both = [isCanonical(`/a/%${hex}`), isCanonical(`/a/%${hex.toUpperCase()}/b`)]
    t.same(both, [plain, plain], `%${hex}`)
  }
  t.end()
})

t.test('of all raw bytes only visible ones without a second meaning pass', t => {
  const refused = '\\;#%'
  for (let code = 0; code <= 0x17f; code++) {
    const character = String.fromCharCode(code)
    const plain = code >= 0x21 && code <= 0x7e && !refused.includes(character)
    t.equal(isCanonical(`/a${character}b`), plain, JSON.stringify(character))
  }
  t.end()
})

t.test('the same question asked twice has the same answer', t => {
  // A RegExp with the g or y flag would remember where it stopped.
  for (const path of ['/a//b', '/a', '/a%2fb', '/a%20b']) {
    t.equal(isCanonical(path), isCanonical(path), path)
  }
  t.end()
})

/**
 * The promise itself: a path that is canonical and matches an open rule stays under that rule's
 * prefix whatever the application does to it. Four kinds of application are asked.
 */
t.test('no application moves an open path out from under its rule', t => {
  const prefix = '/noauth/v1/x/'
  const opened = (path: string) => isCanonical(path) && matches(`${prefix}*`, path)

  let open = 0
  fc.assert(
    fc.property(hostileTargets(prefix), target => {
      const path = pathOf(target)
      if (!opened(path)) return true
      open++
      return Object.values(readings(path)).every(reading => reading.startsWith(prefix))
    }),
    { numRuns: 6_000 },
  )
  t.ok(open > 200, 'and enough of the paths were open for that to mean something')

  const unguarded = fc.check(
    fc.property(hostileTargets(prefix), target => {
      const path = pathOf(target)
      if (!matches(`${prefix}*`, path)) return true
      return Object.values(readings(path)).every(reading => reading.startsWith(prefix))
    }),
    { numRuns: 6_000 },
  )
  t.equal(
    unguarded.failed,
    true,
    'the same paths do escape when nobody asks whether they are canonical',
  )
  t.end()
})

t.test('each of those applications is fooled by something we refuse', t => {
  const fooled = {
    whatwg: '/noauth/v1/x/%2e%2e/admin',
    decoding: '/noauth/v1/x/..%2fadmin',
    decodingTwice: '/noauth/v1/x/%252e%252e/admin',
    tomcat: '/noauth/v1/x/..;v=1/admin',
    iis: '/noauth/v1/x/..\\admin',
  } satisfies Record<keyof ReturnType<typeof readings>, string>
  const readers = ['whatwg', 'decoding', 'decodingTwice', 'tomcat', 'iis'] as const
  for (const reader of readers) {
    const path = fooled[reader]
    t.equal(readings(path)[reader], '/noauth/v1/admin', `${reader} reads ${path} as another path`)
    t.equal(isCanonical(path), false, `and ${path} is not canonical`)
  }
  t.end()
})

t.test('why a path is not canonical is said exactly when it is not', t => {
  const cases = [
    ['a', /does not begin with \//],
    ['/a//b', /empty segment/],
    ['/a/../b', /\. or \.\. segment/],
    ['/a;b', /path parameter/],
    ['/a%2', /two hex digits/],
    ['/%2E%2e/', /encoded dot/],
    ['/a%5cb', /encoded slash or backslash/],
    ['/%252e', /encoded %/],
    ['/a%00', /readers of paths disagree/],
    ['/\u00e9', /readers of paths disagree/],
  ] as const
  for (const [path, why] of cases) t.match(whyNotCanonical(path), why, path)
  t.equal(whyNotCanonical('/a/b%20c'), undefined)
  for (const path of ['/a%2eb', '/a%2Eb']) t.match(whyNotCanonical(path), 'encoded dot', path)
  for (const path of ['/a%2fb', '/a%2Fb', '/a%5cb', '/a%5Cb']) {
    t.match(whyNotCanonical(path), 'encoded slash or backslash', path)
  }
  const piece = fc.constantFrom('/', '.', '%', '2', 'e', '25', ';', 'a', '\\', '#')
  fc.assert(
    fc.property(fc.array(piece), pieces => {
      const path = pieces.join('')
      return (whyNotCanonical(path) === undefined) === isCanonical(path)
    }),
  )
  t.end()
})

t.test('the path of a target ends at its first question mark', t => {
  const cases = [
    { target: '/a', path: '/a' },
    { target: '/a?', path: '/a' },
    { target: '/a?b=c', path: '/a' },
    { target: '/a?b?c', path: '/a' },
    { target: '/?', path: '/' },
    { target: '?', path: '' },
    { target: '', path: '' },
    // T-62, oauth2-proxy CVE-2025-54576 (GHSA-7rh7-c77v-6434) judged path and query together.
    { target: '/admin?/noauth/v1/challenge_poller/x', path: '/admin' },
    { target: '/admin?x=/api/v1/get_roles', path: '/admin' },
    { target: '/admin%3f/noauth', path: '/admin%3f/noauth' },
    { target: '/a#b?c', path: '/a#b' },
  ]
  for (const { target, path } of cases) t.equal(pathOf(target), path, target)
  t.end()
})

/** Targets made of everything that was ever used to confuse two readers of a path. */
function hostileTargets(prefix: string): fc.Arbitrary<string> {
  const dots = ['.', '..', '...', '%2e', '%2E', '%2e%2e', '%252e', '%c0%ae', '%u002e', '..%20']
  const slashes = ['/', '//', '\\', '%2f', '%2F', '%5c', '%252f', '/./', '/../', '/..']
  const rest = [';', ';a=b', '%3b', '?', '%3f', '#', '%23', '%', '%2', '%00', '%20', '%25', '%41']
  const words = ['a', 'noauth', 'v1', 'x', 'admin', 'é', '\xa0', '*', '~', '%7e', '=']
  const piece = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...words, '/') },
    { weight: 1, arbitrary: fc.constantFrom(...dots, ...slashes, ...rest) },
  )
  const tail = fc.array(piece, { maxLength: 8 }).map(pieces => pieces.join(''))
  const head = fc.constantFrom(prefix, prefix, prefix, prefix.slice(0, -1), '/', '')
  return fc.tuple(head, tail).map(parts => parts.join(''))
}

/** What four kinds of application take a path for. */
function readings(path: string) {
  return {
    whatwg: new URL(`http://application${path}`).pathname,
    decoding: posix.normalize(decoded(path)),
    decodingTwice: posix.normalize(decoded(decoded(path))),
    tomcat: posix.normalize(decoded(path.replace(/;[^/]*/g, ''))),
    iis: posix.normalize(decoded(path).replaceAll('\\', '/')),
  }
}

/** As lenient as any decoder: what is no encoding stays. */
function decoded(path: string): string {
  return path.replace(/(?:%[0-9A-Fa-f]{2})+/g, encoded => {
    try {
      return decodeURIComponent(encoded)
    } catch {
      return Buffer.from(encoded.replaceAll('%', ''), 'hex').toString('latin1')
    }
  })
}
