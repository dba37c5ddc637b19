/**
 * What a client says about itself: every spelling of every header that only the sidecar may write, on
 * every kind of request; the ways to have the next hop drop what was written; and headers by which an
 * application would go somewhere else than where the request was judged to go.
 */
import t, { type Test } from 'tap'
import { openRaw, readAnswer, lines } from '../fixtures/raw.ts'
import { startRecorder, valuesIn, type FramedRequest, type Recorder } from '../fixtures/recorder.ts'
import { ALICE, startRig, type Rig } from '../fixtures/sidecar.ts'
import { each, tag } from './rows.ts'
import { startOracle } from './oracle.ts'

const HOST = 'Host: app.example.com'
const CLOSE = 'Connection: close'

interface Place {
  readonly rig: Rig
  readonly recorder: Recorder
  readonly token: string
  readonly send: (bytes: string | Buffer) => ReturnType<typeof exchange>
  /** The one request that arrived under `path`; throws unless it is one. */
  readonly arrived: (path: string) => FramedRequest
  /** How many did. */
  readonly count: (path: string) => number
  /** Adds to what the sidecar may say. */
  readonly believe: (said: Partial<Record<'user' | 'email' | 'groups' | 'token', string>>) => void
  readonly check: (t: Test) => Promise<void>
}

/** A sidecar that calls the user `userHeader` and the groups `groupsHeader`. */
async function startPlace(
  settings: Readonly<Record<string, string>>,
  { user = 'x-forwarded-user', groups = 'x-forwarded-groups', address = 'x-client-ip' } = {},
): Promise<Place> {
  const recorder = await startRecorder(t)
  recorder.answerAt = 'end'
  const rig = await startRig(t, recorder.port, {
    NOAUTH_PATHS: '/open/*',
    USER_HEADER: user,
    GROUPS_HEADER: groups,
    CLIENT_IP_HEADER: address,
    STRIP_COOKIES: 'consoleme_auth',
    ...settings,
  })
  const token = rig.token()
  const assertable: Record<string, string[]> = {
    [user]: [ALICE.email],
    [groups]: ['dev,ops'],
    [address]: ['192.0.2.7'],
    'x-forwarded-email': [ALICE.email],
    'x-amzn-oidc-data': [token],
    'x-amzn-oidc-identity': [ALICE.sub],
  }
  const oracle = await startOracle(rig, { assertable })
  const under = (path: string) => recorder.framed().filter(({ line }) => line.includes(`${path} `))
  return {
    rig,
    recorder,
    token,
    send: bytes => exchange(rig.port, bytes),
    arrived: path => {
      const [request, ...more] = under(path)
      if (request !== undefined && more.length === 0) return request
      throw new Error(`${under(path).length} requests arrived under ${path}`)
    },
    count: path => under(path).length,
    believe: said => {
      const names = { user, email: 'x-forwarded-email', groups, token: 'x-amzn-oidc-data' }
      for (const key of ['user', 'email', 'groups', 'token'] as const) {
        if (said[key] !== undefined) assertable[names[key]]!.push(said[key])
      }
    },
    check: t => oracle.check(t, recorder),
  }
}

async function exchange(port: number, bytes: string | Buffer) {
  const connection = openRaw(port)
  connection.write(bytes)
  const closed = await connection.closed()
  return { closed, answer: readAnswer(connection.text()) }
}

const [place, keeping, rejecting] = await Promise.all([
  startPlace({}),
  startPlace(
    { NONSTANDARD_HEADERS: 'keep' },
    { user: 'user_header', groups: 'group_header', address: 'x-real-ip' },
  ),
  startPlace({ NONSTANDARD_HEADERS: 'reject' }),
])
const SIGNED_IN = `X-Amzn-Oidc-Data: ${place.token}`

/** Names as somebody would spell them who knows that servers fold them. */
function spellings(name: string): string[] {
  const words = name.split(/[-_]/)
  const title = words.map(word => word.charAt(0).toUpperCase() + word.slice(1))
  const separators = "- _ . ~ + ' ! # $ % & * ^ ` |".split(' ')
  return [
    ...separators.map(separator => title.join(separator)),
    ...separators.map(separator => words.join(separator)),
    words.join('-').toUpperCase(),
    words.join('_').toUpperCase(),
    // One separator unlike the rest, at either end.
    [words[0], words.slice(1).join('-')].join('_'),
    [words.slice(0, -1).join('-'), words.at(-1)].join('_'),
    [words.slice(0, -1).join('_'), words.at(-1)].join('-'),
    [words.slice(0, -1).join('-'), words.at(-1)].join('.'),
  ]
}

const METHODS = ['GET', 'HEAD', 'OPTIONS', 'POST']

/**
 * WSGI, CGI and PHP read `X_Forwarded_User`, `X-Forwarded-User` and `X.Forwarded.User` as one variable
 * (oauth2-proxy CVE-2025-64484, GHSA-vjrc-mh2v-45x6), and nothing says that an ALB takes
 * `x-amzn-oidc-*` from clients on rules that do not authenticate (THREATS T-31, T-34).
 */
t.test('a forged identity arrives in no spelling, by no method, on no path', async t => {
  const owned = ['x-forwarded-user', 'x-forwarded-email', 'x-forwarded-groups', 'x-client-ip']
  const forged = owned.flatMap(name => spellings(name).map(each => `${each}: mallory`))
  const oidc = [...new Set(spellings('x-amzn-oidc-invented').map(each => `${each}: mallory`))]
  const rows = METHODS.flatMap(method => [
    { method, where: '', signedIn: [SIGNED_IN] },
    { method, where: '/open', signedIn: [SIGNED_IN] },
    { method, where: '/open', signedIn: [] },
  ])
  await each(rows, async ({ method, where, signedIn }) => {
    const what = `${method} ${where === '' ? 'guarded' : 'open'}, ${signedIn.length} token`
    const path = where + tag()
    const { answer } = await place.send(
      lines(
        `${method} ${path} HTTP/1.1`,
        HOST,
        CLOSE,
        ...forged.slice(0, 120),
        ...oidc,
        ...signedIn,
      ),
    )
    t.equal(answer?.status, 200, what)
    const rest = where + tag()
    await place.send(
      lines(`${method} ${rest} HTTP/1.1`, ...forged.slice(120), ...signedIn, HOST, CLOSE),
    )
    for (const each of [path, rest]) {
      const headers = place.arrived(each).headers
      t.notMatch(headers.join('\n'), /mallory/, what)
      const users = valuesIn(headers, 'x-forwarded-user')
      t.same(users, signedIn.length === 0 ? [] : [ALICE.email], `${what}: the user`)
    }
  })
})

t.test("a twin of the ALB's headers arrives in no spelling either", async t => {
  const names = ['x-amzn-oidc-data', 'x-amzn-oidc-identity', 'x-amzn-oidc-accesstoken']
  const rows = names.flatMap(name => spellings(name).map(spelling => ({ name, spelling })))
  await each(rows, async ({ name, spelling }) => {
    const path = `/open${tag()}`
    const method = METHODS[spelling.length % METHODS.length]!
    const { answer } = await place.send(
      lines(`${method} ${path} HTTP/1.1`, HOST, `${spelling}: mallory`, CLOSE),
    )
    t.equal(answer?.status, 200, `${spelling} on an open path`)
    t.notMatch(place.arrived(path).headers.join('\n'), /mallory|oidc/i, `${spelling} ends here`)

    // Beside the true one, the twin makes two of one name; a twin of another name just goes.
    const guarded = tag()
    const beside = await place.send(
      lines(`${method} ${guarded} HTTP/1.1`, HOST, SIGNED_IN, `${spelling}: mallory`, CLOSE),
    )
    const own = spelling.toLowerCase() === name
    if (name === 'x-amzn-oidc-data') {
      t.equal(beside.answer?.status, 400, `${spelling} beside the true one`)
      if (method !== 'HEAD') t.match(beside.answer?.body, '"reason":"duplicate_header"', spelling)
      t.equal(place.count(guarded), 0, `${spelling} beside the true one: not forwarded`)
    } else if (own && name === 'x-amzn-oidc-identity') {
      t.equal(beside.answer?.status, 401, `${spelling} of somebody else`)
    } else {
      t.notMatch(place.arrived(guarded).headers.join('\n'), /mallory/, `${spelling} beside a token`)
    }
  })
})

/** Node joins copies with `, ` or keeps the first, applications take the last: T-30. */
t.test('a second copy of what the ALB sends once is refused', async t => {
  const data = (value: string) => `X-Amzn-Oidc-Data: ${value}`
  const identity = `X-Amzn-Oidc-Identity: ${ALICE.sub}`
  const rows = [
    { what: 'the true token twice', headers: [SIGNED_IN, SIGNED_IN] },
    { what: 'a forged one first', headers: [data('a.b.c'), SIGNED_IN] },
    { what: 'a forged one last', headers: [SIGNED_IN, data('a.b.c')] },
    { what: 'an empty one first', headers: [data(''), SIGNED_IN] },
    { what: 'an empty one last', headers: [SIGNED_IN, data('')] },
    { what: 'in another case', headers: [SIGNED_IN, 'x-AMZN-oidc-DATA: a.b.c'] },
    { what: 'with underscores', headers: ['X_AMZN_OIDC_DATA: a.b.c', SIGNED_IN] },
    { what: 'two twins', headers: ['X_AMZN_OIDC_DATA: a', 'X.AMZN.OIDC.DATA: b'] },
    { what: 'fifty', headers: Array.from({ length: 50 }, () => SIGNED_IN) },
    { what: 'two identities', headers: [SIGNED_IN, identity, identity] },
    { what: 'an identity and its twin', headers: [SIGNED_IN, identity, 'X_Amzn_Oidc_Identity: x'] },
    {
      what: 'two access tokens',
      headers: [SIGNED_IN, 'X-Amzn-Oidc-Accesstoken: a', 'X-Amzn-Oidc-AccessToken: b'],
    },
  ]
  await each(
    rows.flatMap(row => ['', '/open'].map(where => ({ ...row, where }))),
    async ({ what, headers, where }) => {
      const path = where + tag()
      const { answer, closed } = await place.send(lines(`GET ${path} HTTP/1.1`, HOST, ...headers))
      t.match({ closed, status: answer?.status }, { closed: true, status: 400 }, `${what} ${where}`)
      t.match(answer?.body, '"reason":"duplicate_header"', `${what} ${where}`)
      t.equal(place.count(path), 0, `${what} ${where}: not forwarded`)
    },
  )
})

t.test('one token in two values is no token', async t => {
  for (const value of [
    `a.b.c, ${place.token}`,
    `${place.token},`,
    `${place.token} x`,
    `"${place.token}"`,
  ]) {
    const path = tag()
    const { answer } = await place.send(
      lines(`GET ${path} HTTP/1.1`, HOST, `X-Amzn-Oidc-Data: ${value}`, CLOSE),
    )
    t.equal(answer?.status, 401)
    t.equal(place.count(path), 0)
  }
})

/**
 * D3: http-proxy (and both its forks) skip the event in which headers are stripped and injected for
 * requests that carry `Expect`; what a client forged there arrives (web-incoming.js:131), since that is
 * how GHSA-6x33-pw7p-hmpq was mended (http-party/node-http-proxy#1447).
 */
t.test('a forged identity does not ride on Expect', async t => {
  for (const where of ['', '/open']) {
    const path = where + tag()
    const { answer } = await place.send(
      lines(
        `POST ${path} HTTP/1.1`,
        ...[HOST, CLOSE, 'Expect: 100-continue', 'Content-Length: 2', SIGNED_IN],
        ...['X-Forwarded-User: mallory', 'X_Forwarded_Groups: admins', 'X-Amzn-Oidc-New: mallory'],
      ) + '{}',
    )
    t.equal(answer?.status, 200)
    const request = place.arrived(path)
    t.match(request, { body: '{}' })
    t.notMatch(request.headers.join('\n'), /mallory|admins|expect/i)
    t.same(valuesIn(request.headers, 'x-forwarded-user'), [ALICE.email])
  }
})

/**
 * `Connection: close, X-Forwarded-User` asks the next hop, an nginx beside the application say, to
 * drop what we assert: the user becomes nobody, or whatever nobody is allowed (T-33).
 */
t.test('Connection takes away nothing that we or the ALB say', async t => {
  const rows = [
    ['Connection: close, X-Forwarded-User, X-Forwarded-Groups'],
    ['Connection: x-forwarded-user', CLOSE],
    ['Connection: X_FORWARDED_USER,close'],
    ['Connection: close', 'Connection: X-Forwarded-User', 'Connection: X-Amzn-Oidc-Data'],
    [`Connection: close,${'x,'.repeat(2_000)}X-Forwarded-User`],
    ['Connection: close, content-length, transfer-encoding, host, cookie'],
    ['Connection: close, connection, keep-alive, x-amzn-trace-id, x-forwarded-for'],
    ['Connection: close, ,\t,;, "X-Forwarded-User"'],
  ]
  await each(rows, async headers => {
    const path = tag()
    const { answer } = await place.send(
      lines(
        `POST ${path} HTTP/1.1`,
        ...[HOST, ...headers, SIGNED_IN, `X-Amzn-Oidc-Identity: ${ALICE.sub}`],
        ...['Content-Length: 5', 'X-Forwarded-For: 198.51.100.1, 192.0.2.7'],
        'X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678',
      ) + 'hello',
    )
    const what = headers.join(' + ').slice(0, 70)
    t.equal(answer?.status, 200, what)
    const { headers: found, body } = place.arrived(path)
    const said = (name: string) => valuesIn(found, name)
    t.same(said('x-forwarded-user'), [ALICE.email], `${what}: user`)
    t.same(said('x-forwarded-groups'), ['dev,ops'], `${what}: groups`)
    t.same(said('x-amzn-oidc-data'), [place.token], `${what}: token`)
    t.same(said('x-amzn-oidc-identity'), [ALICE.sub], `${what}: subject`)
    t.same(said('x-client-ip'), ['192.0.2.7'], `${what}: address`)
    t.same(said('x-forwarded-for'), ['198.51.100.1, 192.0.2.7'], `${what}: X-Forwarded-For`)
    t.equal(said('x-amzn-trace-id').length, 1, `${what}: trace`)
    t.same(said('host'), ['app.example.com'], `${what}: Host`)
    t.equal(body, 'hello', `${what}: body`)
    t.notMatch(said('connection').join(), /x-|x,|host|length/i, `${what}: ends here`)
  })
})

t.test('nor lets it pass', async t => {
  for (const { on, names } of [
    { on: place, names: ['X-Forwarded-User', 'x_forwarded_groups', 'X-Client-Ip'] },
    { on: keeping, names: ['User_Header', 'user-header', 'X-Real-IP'] },
  ]) {
    const named = [...names, 'X-Amzn-Oidc-New', 'X_Amzn_Oidc_Identity', 'X-Original-Url']
    for (const where of ['', '/open']) {
      const path = where + tag()
      await on.send(
        lines(
          `GET ${path} HTTP/1.1`,
          ...[HOST, `Connection: close, ${named.join(', ')}`],
          ...named.map(name => `${name}: mallory`),
          `X-Amzn-Oidc-Data: ${on.token}`,
        ),
      )
      t.notMatch(on.arrived(path).headers.join('\n'), /mallory/, where)
    }
  }
})

/** RFC 9110 §7.6.1; http-proxy and its forks pass all of these on (http-party/node-http-proxy#446). */
t.test('hop-by-hop headers end here', async t => {
  const path = tag()
  const { answer } = await place.send(
    lines(
      `GET ${path} HTTP/1.1`,
      ...[HOST, SIGNED_IN, 'Connection: close, X-Hop, X-Two', 'X-Hop: gone', 'x-TWO: gone'],
      ...['Keep-Alive: gone', 'Proxy-Connection: gone', 'Proxy-Authorization: gone'],
      ...['Proxy-Authenticate: gone', 'TE: gone', 'Trailer: gone', 'Upgrade: gone'],
      ...['HTTP2-Settings: gone', 'Keep_Alive: gone', 'Transfer_Encoding: gone'],
      ...['Content_Length: gone', 'Accept: stays', 'Authorization: stays', 'X-Hops: stays'],
    ),
  )
  t.equal(answer?.status, 200)
  const { headers } = place.arrived(path)
  t.notMatch(headers.join('\n'), /gone/)
  t.equal(headers.filter(header => header.endsWith('stays')).length, 3)
})

t.test('in the keeping sidecar, framing and hops by another name end here too', async t => {
  const path = tag()
  await keeping.send(
    lines(
      `POST ${path} HTTP/1.1`,
      ...[HOST, `X-Amzn-Oidc-Data: ${keeping.token}`, CLOSE, 'Content-Length: 2'],
      ...['Transfer_Encoding: gone', 'Content_Length: gone', 'Keep.Alive: gone', 'TE_: stays'],
    ) + '{}',
  )
  const { headers, body } = keeping.arrived(path)
  t.equal(body, '{}')
  t.notMatch(headers.join('\n'), /gone/)
})

/**
 * Symfony, IIS and Django middleware route by these headers: an open path, and `X-Original-URL` to a
 * guarded one (oauth2-proxy CVE-2026-40575, GHSA-7x63-xv5r-3p2x judged by such a header; T-35, T-36).
 */
t.test('headers that would send the request elsewhere end here', async t => {
  const names = ['x-original-url', 'x-rewrite-url', 'x-http-method-override']
  const more = ['x-http-method', 'x-method-override']
  const forged = [...names, ...more].flatMap(name =>
    [name, name.toUpperCase(), name.replaceAll('-', '_')].map(each => `${each}: /admin`),
  )
  for (const where of ['', '/open']) {
    for (const method of METHODS) {
      const path = where + tag()
      await place.send(lines(`${method} ${path} HTTP/1.1`, HOST, SIGNED_IN, ...forged, CLOSE))
      t.notMatch(place.arrived(path).headers.join('\n'), /admin/, `${method} ${where}`)
    }
  }
})

t.test('NONSTANDARD_HEADERS', async t => {
  const odd = ['X_Custom: 1', 'X.Custom: 1', 'X~Custom: 1', "X'Custom: 1", '_: 1', '!: 1', '9_: 1']
  await t.test('drop', async t => {
    const path = tag()
    await place.send(lines(`GET ${path} HTTP/1.1`, HOST, SIGNED_IN, ...odd, 'X-Custom: 1', CLOSE))
    const { headers } = place.arrived(path)
    t.same(
      headers.filter(header => header.endsWith(': 1')),
      ['X-Custom: 1'],
    )
  })
  await t.test('keep keeps them, but nothing that folds to a header of ours', async t => {
    const forged = ['user_header', 'group_header', 'x-forwarded-email', 'x-real-ip'].flatMap(name =>
      spellings(name).map(each => `${each}: mallory`),
    )
    for (const where of ['', '/open']) {
      const rows = [forged.slice(0, 90), forged.slice(90)]
      for (const row of rows) {
        const path = where + tag()
        const { answer } = await keeping.send(
          lines(
            `GET ${path} HTTP/1.1`,
            ...[HOST, `X-Amzn-Oidc-Data: ${keeping.token}`, ...odd, ...row, CLOSE],
            'X-Forwarded-For: 192.0.2.7',
          ),
        )
        t.equal(answer?.status, 200)
        const { headers } = keeping.arrived(path)
        t.same(
          headers.filter(header => header.endsWith(': 1')),
          odd,
          'kept, in order',
        )
        t.notMatch(headers.join('\n'), /mallory/)
        t.same(valuesIn(headers, 'user_header'), [ALICE.email])
        t.same(valuesIn(headers, 'group_header'), ['dev,ops'])
        t.same(valuesIn(headers, 'x-real-ip'), ['192.0.2.7'])
      }
    }
    const nobody = `/open${tag()}`
    await keeping.send(
      lines(`GET ${nobody} HTTP/1.1`, HOST, 'User-Header: mallory', 'user.header: mallory', CLOSE),
    )
    t.notMatch(keeping.arrived(nobody).headers.join('\n'), /mallory|user.header/i)
  })
  await t.test('reject', async t => {
    const signedIn = `X-Amzn-Oidc-Data: ${rejecting.token}`
    for (const header of [...odd, 'X_Forwarded_User: mallory', 'X_Amzn_Oidc_Identity: mallory']) {
      for (const where of ['', '/open']) {
        const path = where + tag()
        const { answer, closed } = await rejecting.send(
          lines(`GET ${path} HTTP/1.1`, HOST, signedIn, header),
        )
        t.match({ closed, status: answer?.status }, { closed: true, status: 400 }, header)
        t.match(answer?.body, '"reason":"malformed_request"', header)
        t.equal(rejecting.count(path), 0, `${header}: not forwarded`)
      }
    }
    const path = tag()
    const { answer } = await rejecting.send(lines(`GET ${path} HTTP/1.1`, HOST, signedIn, CLOSE))
    t.equal(answer?.status, 200, 'names of letters, digits and hyphens pass')
  })
})

/** The session cookie is between browser and ALB; ConsoleMe's own outranks the ALB's identity. */
t.test('cookies', async t => {
  const rows = [
    { cookies: 'a=1; AWSELBAuthSessionCookie-0=x; b=2', guarded: 'a=1; b=2' },
    { cookies: 'AWSELBAuthSessionCookie-0=x; AWSELBAuthSessionCookie-1=y', guarded: undefined },
    { cookies: 'awselbauthsessioncookie-0=x; a=1', guarded: 'a=1' },
    { cookies: 'AWSELBAuthSessionCookie=x;a=1', guarded: 'a=1' },
    { cookies: 'AWSALBAuthNonce=x; a=1', guarded: 'a=1' },
    {
      cookies: 'a=1; consoleme_auth=x; b=2',
      guarded: 'a=1; b=2',
      open: 'a=1; consoleme_auth=x; b=2',
    },
    { cookies: 'a=1; ConsoleMe_Auth=x', guarded: 'a=1', open: 'a=1; ConsoleMe_Auth=x' },
    { cookies: 'a=1;consoleme_auth =x', guarded: 'a=1', open: 'a=1;consoleme_auth =x' },
    { cookies: 'consoleme%5Fauth=x; a=1', guarded: 'a=1', open: 'consoleme%5Fauth=x; a=1' },
    { cookies: 'a="consoleme_auth=x"; b', guarded: 'a="consoleme_auth=x"; b' },
    { cookies: 'z=3; y=2; x=1; y=4; AWSALB=sticky', guarded: 'z=3; y=2; x=1; y=4; AWSALB=sticky' },
    {
      cookies: 'xconsoleme_auth=x; consoleme_authx=y',
      guarded: 'xconsoleme_auth=x; consoleme_authx=y',
    },
  ]
  await each(rows, async ({ cookies, guarded, open = guarded }) => {
    const rows: [where: string, left: string | undefined][] = [
      ['', guarded],
      ['/open', open],
    ]
    for (const [where, left] of rows) {
      const path = where + tag()
      await place.send(lines(`GET ${path} HTTP/1.1`, HOST, SIGNED_IN, `Cookie: ${cookies}`, CLOSE))
      const found = valuesIn(place.arrived(path).headers, 'cookie')
      t.same(found, left === undefined ? [] : [left], `${where}: ${cookies}`)
    }
  })
  const path = tag()
  const two = ['Cookie: a=1; consoleme_auth=x', 'cookie: consoleme_auth=y', 'COOKIE: b=2']
  await place.send(lines(`GET ${path} HTTP/1.1`, HOST, SIGNED_IN, ...two, CLOSE))
  const { headers } = place.arrived(path)
  t.same(valuesIn(headers, 'cookie'), ['a=1', 'b=2'], 'in every Cookie line')
})

/** Bytes that make two header lines of one, or one of two, for some reader (T-32). */
t.test('a header section that is not one is refused', async t => {
  const rows = [
    { what: 'a value folded onto a second line', header: 'X-A: b\r\n c' },
    { what: 'a value folded with a tab', header: 'X-A: b\r\n\tc' },
    { what: 'a fold before the first header', header: '', first: ' X-A: b' },
    { what: 'a space before the colon', header: 'X-A : b' },
    { what: 'a space before the colon of the token', header: 'X-Amzn-Oidc-Identity : mallory' },
    { what: 'a tab before the colon', header: 'X-A\t: b' },
    { what: 'a space in the name', header: 'X A: b' },
    { what: 'no name', header: ': b' },
    { what: 'no colon', header: 'X-A' },
    { what: 'a byte above 0x7f in the name', header: 'X-\xe9: b' },
    { what: 'a no-break space in the name', header: 'X-Forwarded-User\xa0: mallory' },
    { what: 'NUL in the name', header: 'X-\0A: b' },
    { what: 'NUL in the value', header: 'X-A: b\0c' },
    { what: 'another control in the value', header: 'X-A: b\x01c' },
    { what: 'DEL in the value', header: 'X-A: b\x7fc' },
    { what: 'a bare CR in the value', header: 'X-A: b\rX-Forwarded-User: mallory' },
    { what: 'a bare LF in the value', header: 'X-A: b\nX-Forwarded-User: mallory' },
    { what: 'a bare LF in the value of the token', header: 'X-Amzn-Oidc-New: b\nX-B: c' },
    { what: 'a vertical tab before the value', header: 'X-A:\x0bb' },
    { what: 'parentheses in the name', header: 'X-(A): b' },
    { what: 'a quoted name', header: '"X-A": b' },
    { what: 'a name in brackets', header: '[X-A]: b' },
  ]
  await each(rows, async ({ what, header, first }) => {
    const path = tag()
    const head = [...(first === undefined ? [] : [first]), HOST, SIGNED_IN]
    const { answer, closed } = await place.send(
      lines(`GET ${path} HTTP/1.1`, ...head, ...(header === '' ? [] : [header])),
    )
    t.match({ closed, status: answer?.status }, { closed: true, status: 400 }, what)
    t.match(answer?.body, '"reason":"malformed_request"', what)
    t.equal(place.count(path), 0, `${what}: not forwarded`)
  })
})

t.test('what is nobody else’s business arrives as it was', async t => {
  const path = tag()
  const sent = [
    ...['host: app.example.com', 'ACCEPT: */*', 'X-Twice: b', 'x-twice: a', 'X-Empty:'],
    ...['X-Latin: \xe9\xff\x80', 'X-Utf8: \xc3\xa9', 'X-Tab: a\tb', 'X-Quote: "a\\"b"'],
    ...['X-Forwarded-For: 198.51.100.1, 192.0.2.7', 'X-Forwarded-Proto: https'],
    ...['X-Forwarded-Port: 443', 'Authorization: Bearer a.b.c', 'Forwarded: for=1', 'X-A: x,y , z'],
    ...['User-Agent: GoogleHC/1.0', '0: 0', 'X-----: -', 'Sec-WebSocket-Protocol: a', 'Via: 1.1 a'],
  ]
  await place.send(lines(`GET ${path} HTTP/1.1`, ...sent, SIGNED_IN, CLOSE))
  const { headers } = place.arrived(path)
  const spaced = sent.map(header => (header.endsWith(':') ? `${header} ` : header))
  t.same(headers.slice(0, sent.length), spaced, 'names, values, order and duplicates')
})

const trim = (text: string): string => text.replace(/^[\t\n\v\f\r ]+|[\t\n\v\f\r ]+$/g, '')

/**
 * T-39, T-40: a group called `dev,admins` is one group, and a line feed in a name ends nothing. Whoever
 * names a group at the identity provider does not thereby choose headers.
 */
t.test('a claim is one value, whatever is in it', async t => {
  const names = [
    ...[
      'a\r\nX-Forwarded-User: mallory',
      'a\nb',
      'a\0b',
      'a,b',
      ',',
      '%2C',
      '100%',
      'é',
      'Ł',
      '用户',
    ],
    ...[
      '\u{1f600}',
      '\u2028',
      ' lead',
      'trail ',
      'in side',
      '\t',
      '"quoted"',
      'a;b=c',
      'a\\',
      '\x7f',
    ],
    ...['X-Forwarded-User: mallory', '\ufeff', 'admin\u0000', 'admin\u00a0', '\u0085admin', '<b>'],
  ]
  await each(names, async name => {
    const path = tag()
    const what = JSON.stringify(name).replace(/[^\x20-\x7e]/gu, encodeURIComponent)
    const groups = [name, 'admins']
    // A name of nothing but white space is nobody's.
    const email = trim(name) === '' ? ALICE.email : name
    const token = place.rig.token({ email, groups })
    const { answer } = await place.send(
      lines(`GET ${path} HTTP/1.1`, HOST, `X-Amzn-Oidc-Data: ${token}`, CLOSE),
    )
    t.equal(answer?.status, 200, what)
    const { headers } = place.arrived(path)
    const [user = '', ...others] = valuesIn(headers, 'x-forwarded-user')
    t.same(others, [], `${what}: one user`)
    t.match(user, /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/, `${what}: of plain ASCII`)
    t.equal(decodeURIComponent(user), trim(email), `${what}: to be read back`)
    const [list = ''] = valuesIn(headers, 'x-forwarded-groups')
    const read = list.split(',').map(decodeURIComponent)
    const trimmed = groups.map(trim).filter(group => group !== '')
    t.same(new Set(read), new Set(trimmed), `${what}: and its group`)
    t.same(valuesIn(headers, 'x-amzn-oidc-data'), [token], `${what}: the token as it was`)
    place.believe({ user, email: user, groups: list, token })
  })
})

/** Cut in the middle, `admins-readonly` is `admins` (T-41). */
t.test('groups arrive whole, or the request does not', async t => {
  for (const [length, status] of [
    [8_192, 200],
    [8_193, 403],
    [10_000, 403],
  ] as const) {
    const path = tag()
    const group = 'g'.repeat(length)
    const token = place.rig.token({ groups: [group] })
    const { answer } = await place.send(
      lines(`GET ${path} HTTP/1.1`, HOST, `X-Amzn-Oidc-Data: ${token}`, CLOSE),
    )
    t.equal(answer?.status, status, `${length} bytes`)
    t.equal(place.count(path), status === 200 ? 1 : 0)
    if (status === 403) t.match(answer?.body, '"reason":"groups_too_large"')
    else place.believe({ groups: group, token })
  }
})

/** T-42: ALB users with many cookies and two tokens send far more than node's default allows. */
t.test('limits on size and count are exact, and far above what an ALB sends', async t => {
  const send = async (head: readonly string[], target = tag()) => {
    const bytes = lines(`GET ${target} HTTP/1.1`, ...head)
    const { answer, closed } = await place.send(bytes)
    const arrived = place.count(target) === 0 ? undefined : place.arrived(target)
    return { status: answer?.status, body: answer?.body, closed, arrived }
  }
  const refused = { status: 431, closed: true, body: '"reason":"headers_too_large"' }
  const base = [HOST, SIGNED_IN, CLOSE]
  const filled = (count: number) => [
    ...base,
    ...Array.from({ length: count - base.length }, (_, at) => `X-${at}: x`),
  ]
  const most = await send(filled(200))
  t.equal(most.status, 200, '200 lines pass')
  t.equal(most.arrived?.headers.filter(header => /^X-\d/.test(header)).length, 197, 'all of them')
  t.match(await send(filled(201)), refused, '201 do not')
  t.match(await send(filled(1_000)), refused, '1000 do not')

  const sized = (bytes: number, target: string) => {
    const without = lines(`GET ${target} HTTP/1.1`, ...base, 'Cookie: ').length - 2
    return [...base, `Cookie: ${'c'.repeat(bytes - without)}`]
  }
  const edge = tag()
  t.equal((await send(sized(81_920, edge), edge)).status, 200, '81920 bytes pass')
  const over = tag()
  t.match(await send(sized(81_921, over), over), refused, '81921 do not')
  const far = tag()
  t.match(await send(sized(200_000, far), far), refused, 'nor do 200000')

  const cookies = Array.from({ length: 15 }, (_, at) => `c${at}=${'x'.repeat(4_000)}`).join('; ')
  const cookie = await send([...base, `Cookie: ${cookies}`])
  t.equal(cookie.status, 200, '60 KB of cookies pass')
  t.same(valuesIn(cookie.arrived?.headers ?? [], 'cookie'), [cookies], 'whole')

  const target = `/${'t'.repeat(90_000)}`
  t.match(await send(base, target), refused, 'a target counts too')
})

t.test('what was taken out is counted by why', async t => {
  const series = (kind: string) =>
    place.rig.metric(`alb_auth_stripped_headers_total{kind="${kind}"}`)
  const kinds = ['oidc', 'identity', 'nonstandard', 'listed']
  const before = await Promise.all(kinds.map(series))
  await place.send(
    lines(
      `GET /open${tag()} HTTP/1.1`,
      ...[HOST, CLOSE, 'X-Amzn-Oidc-Data: forged', 'X_Amzn_Oidc_New: forged'],
      ...['X-Forwarded-User: m', 'X_Forwarded_User: m', 'X.Forwarded.Groups: m'],
      ...['X_Custom: 1', 'X-Original-Url: /admin'],
    ),
  )
  const after = await Promise.all(kinds.map(series))
  t.same(
    after.map((count, at) => count - before[at]!),
    [2, 3, 1, 1],
  )
})

t.test('after all of this', async t => {
  for (const each of [place, keeping, rejecting]) await each.check(t)
})
