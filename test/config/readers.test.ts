import t from 'tap'
import {
  Unreadable,
  certificates,
  choice,
  cookieName,
  duration,
  flag,
  headerName,
  isLoopback,
  isSafeServer,
  issuer,
  keyUrlTemplate,
  list,
  ownPath,
  parsed,
  proxyUrl,
  redirectUrl,
  separator,
  serverUrl,
  someOf,
  stringMap,
  text,
  upstreamUrl,
  whole,
  withoutCredentials,
  type Read,
} from '../../src/config/readers.ts'
import { createAuthority } from '../fixtures/certificates.ts'

/** The value, or the message with which the text was refused. */
function read<T>(reader: Read<T>, value: string): T | string {
  try {
    return reader(value)
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error
    return error.message
  }
}

const isRefused = (reader: Read<unknown>, value: string) =>
  String(read(reader, value)).startsWith('must ')

t.test('a text is taken as it is', t => {
  for (const value of ['', ' ', 'a b', '\u00e9\n']) t.equal(read(text, value), value)
  t.end()
})

t.test('a choice is one of its words, exactly', t => {
  const reader = choice('deny', 'allow')
  t.equal(read(reader, 'deny'), 'deny')
  t.equal(read(reader, 'allow'), 'allow')
  for (const value of ['', 'DENY', ' deny', 'deny ', 'denyallow', 'constructor']) {
    t.equal(read(reader, value), `must be one of deny, allow, found '${value}'`)
  }
  t.end()
})

t.test('a flag is true or false, and no other word for them', t => {
  t.equal(read(flag, 'true'), true)
  t.equal(read(flag, 'false'), false)
  for (const value of ['', '1', '0', 'yes', 'no', 'TRUE', 'on', ' true']) {
    t.equal(read(flag, value), `must be one of true, false, found '${value}'`)
  }
  t.end()
})

t.test('a whole number lies within its bounds, and is written in digits', t => {
  const reader = whole(1, 200)
  for (const [value, number] of [
    ['1', 1],
    ['007', 7],
    ['200', 200],
  ] as const) {
    t.equal(read(reader, value), number)
  }
  for (const value of ['0', '201', '', '-1', '+1', '1.0', '1e2', '0x1', ' 1', '1 ', '\u0661']) {
    t.equal(read(reader, value), `must be a whole number from 1 to 200, found '${value}'`)
  }
  const long = '1'.repeat(16)
  t.equal(isRefused(whole(0, Number.MAX_SAFE_INTEGER), long), true, 'more than 15 digits')
  t.end()
})

t.test('a duration is a number and its unit, or 0, up to a bound', t => {
  const reader = duration('7d')
  const cases = [
    { value: '0ms', ms: 0 },
    { value: '0s', ms: 0 },
    { value: '250ms', ms: 250 },
    { value: '5s', ms: 5_000 },
    { value: '2m', ms: 120_000 },
    { value: '12h', ms: 43_200_000 },
    { value: '7d', ms: 604_800_000 },
    { value: '604800s', ms: 604_800_000 },
    { value: '8d' },
    { value: '604801s' },
    { value: '0', ms: 0 },
    { value: '00' },
    { value: '5' },
    { value: '5 s' },
    { value: '5S' },
    { value: '1.5s' },
    { value: '-5s' },
    { value: '1h30m' },
    { value: 's' },
    { value: '' },
    { value: '5sec' },
    { value: '9999999999999d' },
  ]
  for (const { value, ms } of cases) {
    const refusal = `must be a duration such as 250ms, 5s, 2m, 12h or 7d, up to 7d, found '${value}'`
    t.equal(read(reader, value), ms ?? refusal, value)
  }
  t.end()
})

t.test('a duration that must not be nothing has a lower bound, and says so', t => {
  const reader = duration('30s', '1ms')
  t.equal(read(reader, '1ms'), 1)
  for (const value of ['0', '0s', '31s']) {
    t.match(read(reader, value), /, from 1ms up to 30s, found '/, value)
  }
  t.end()
})

t.test('no spelling of a URL shows its credentials', t => {
  const cases = [
    ['https://user:secret@a/b', 'https://…@a/b'],
    ['https://user:sec@ret@a/b', 'https://…@a/b'],
    ['HTTPS:/user:secret@a', 'HTTPS:/…@a'],
    ['http:user:secret@a', '…@a'],
    ['user:secret@proxy:3128', '…@proxy:3128'],
    ['socks5://user:secret@proxy', 'socks5://…@proxy'],
    ['https://a/b@c', 'https://a/b@c'],
    ['/noauth/@a/*', '/noauth/@a/*'],
  ] as const
  for (const [text, shown] of cases) {
    t.match(withoutCredentials(text), shown, text)
    t.notMatch(withoutCredentials(text), 'secret', text)
  }
  t.end()
})

t.test('a list is cut at commas, without spaces around its members, and without empty ones', t => {
  const cases = [
    { value: '', members: [] },
    { value: ' , ,', members: [] },
    { value: 'a', members: ['a'] },
    { value: ' a , b c ,,d, a', members: ['a', 'b c', 'd', 'a'] },
  ]
  for (const { value, members } of cases) t.same(read(list(text), value), members, value)
  t.same(read(list(whole(1, 3)), '1, 3'), [1, 3])
  t.match(read(list(whole(1, 3)), '1,4'), /^must be .* found '4'$/, 'each member is read')
  t.end()
})

t.test('some of something is at least one', t => {
  t.same(read(someOf(text), 'a,b'), ['a', 'b'])
  for (const value of ['', ' ', ',', ' , ']) {
    t.equal(read(someOf(text), value), `must have at least one member, found '${value}'`)
  }
  t.end()
})

t.test("another folder's parser says what a value must be", t => {
  const reader = parsed(value => (value === 'x' ? { x: 1 } : 'be x'))
  t.same(read(reader, 'x'), { x: 1 })
  t.equal(read(reader, 'y'), "must be x, found 'y'")
  t.end()
})

t.test('a value is shown back shortened, since it may have been pasted by mistake', t => {
  t.equal(read(flag, 'x'.repeat(160)), `must be one of true, false, found '${'x'.repeat(160)}'`)
  t.equal(read(flag, 'x'.repeat(161)), `must be one of true, false, found '${'x'.repeat(160)}…'`)
  t.end()
})

t.test('a header name is a token that we may call ours', t => {
  const carrying = 'carries the request'
  const cases: readonly { value: string; refusal?: string }[] = [
    { value: '' },
    { value: 'X-Forwarded-User' },
    { value: 'X_User' },
    { value: 'x.user' },
    { value: 'Authorization' },
    { value: 'Cookies' },
    { value: 'X User', refusal: 'must be a header name' },
    { value: 'X-User:', refusal: 'must be a header name' },
    { value: 'X-User\n', refusal: 'must be a header name' },
    { value: 'X-\u00dcser', refusal: 'must be a header name' },
    { value: 'X(User)', refusal: 'must be a header name' },
    { value: 'Host', refusal: carrying },
    { value: 'cookie', refusal: carrying },
    { value: 'Content-Length', refusal: carrying },
    { value: 'content_length', refusal: carrying },
    { value: 'Expect', refusal: carrying },
    { value: 'Transfer-Encoding', refusal: carrying },
    { value: 'Transfer.Encoding', refusal: carrying },
    { value: 'Connection', refusal: carrying },
    { value: 'Upgrade', refusal: carrying },
    { value: 'TE', refusal: carrying },
    { value: 'X-Amzn-Oidc-Data', refusal: carrying },
    { value: 'x_amzn_oidc_identity', refusal: carrying },
    { value: 'X-Amzn-Oidc-Anything', refusal: carrying },
  ]
  for (const { value, refusal } of cases) {
    const found = read(headerName, value)
    if (refusal === undefined) t.equal(found, value)
    else t.ok(found.includes(refusal) && found.endsWith(`, found '${value}'`), found)
  }
  t.end()
})

t.test('a cookie name is a token with a letter or a digit in it', t => {
  for (const value of ['consoleme_auth', 'a', '0', '__Host-x', '-x', '!#$%&1']) {
    t.equal(read(cookieName, value), value)
  }
  for (const value of ['', '-', '_', '%&', 'a b', 'a=b', 'a;b', '"a"', 'a,b', '\u00e9', 'a\n']) {
    t.equal(read(cookieName, value), `must be a cookie name, found '${value}'`)
  }
  t.end()
})

t.test('a separator is one ASCII punctuation character or a space, and not %', t => {
  const printable = Array.from({ length: 0x7f - 0x20 }, (_, at) => String.fromCharCode(0x20 + at))
  const taken = printable.filter(value => !isRefused(separator, value)).join('')
  t.equal(taken, ' !"#$&\'()*+,-./:;<=>?@[\\]^_`{|}~')
  for (const value of ['', ',,', 'a', '7', '%', '\n', '\t', '\u007f', '\u00b7', ', ']) {
    t.equal(isRefused(separator, value), true, JSON.stringify(value))
  }
  t.end()
})

t.test('an upstream is a scheme, a host and a port, or a socket path', t => {
  const http = (host: string, port: number) => ({ protocol: 'http:', host, port })
  const cases: readonly { value: string; address?: object }[] = [
    { value: 'http://127.0.0.1:8081', address: http('127.0.0.1', 8081) },
    { value: 'http://app', address: http('app', 80) },
    { value: 'http://app/', address: http('app', 80) },
    { value: 'HTTP://App:080', address: http('app', 80) },
    { value: 'http://[::1]:8081', address: http('::1', 8081) },
    { value: 'https://app', address: { protocol: 'https:', host: 'app', port: 443 } },
    { value: 'https://app:8443', address: { protocol: 'https:', host: 'app', port: 8443 } },
    {
      value: 'unix:/run/app.sock',
      address: { protocol: 'http:', host: 'localhost', port: 80, socketPath: '/run/app.sock' },
    },
    { value: '' },
    { value: 'app:8081' },
    { value: '127.0.0.1:8081' },
    { value: 'http://' },
    { value: 'http://app:65536' },
    { value: 'http://app/path' },
    { value: 'http://app?query' },
    { value: 'http://app#hash' },
    { value: 'http://user@app' },
    { value: 'http://:password@app' },
    { value: 'ftp://app' },
    { value: 'ws://app' },
    { value: 'unix:app.sock' },
  ]
  for (const { value, address } of cases) {
    const refusal = `must be http://host[:port], https://host[:port] or unix:/path, found '${value.replace(/\/\/.*@/, '//…@')}'`
    t.same(read(upstreamUrl, value), address ?? refusal, value)
  }
  t.end()
})

t.test('an issuer is a URL, kept as it is written', t => {
  const taken = [
    'https://idp.example.com',
    'https://idp.example.com/',
    'https://IDP.example.com/realms/a',
    'https://login.microsoftonline.com/tid/v2.0',
    'http://127.0.0.1:9/a',
  ]
  for (const value of taken) t.equal(read(issuer, value), value)
  for (const value of [
    '',
    'idp.example.com',
    'https://',
    'https:///a',
    'ftp://a',
    'https:// a',
    'https://u:p@a',
  ]) {
    t.match(
      read(issuer, value),
      /^must be the issuer's URL, exactly as in its tokens, found/,
      value,
    )
  }
  t.end()
})

t.test('a key URL is https, or http to this machine, and has the kid in its path or query', t => {
  const taken = [
    'https://keys.example.com/{region}/{kid}',
    'https://keys-{region}.example.com/{kid}.pem',
    'https://keys.example.com/?kid={kid}',
    'http://127.0.0.1:8000/{kid}',
    'http://127.8.9.10/{kid}',
    'http://localhost/{region}/{kid}',
    'http://[::1]:8000/{kid}',
  ]
  for (const value of taken) t.equal(read(keyUrlTemplate, value), value)
  const refused = [
    '',
    'keys.example.com/{kid}',
    'https://keys.example.com/',
    'https://keys.example.com/kid',
    'https://keys.example.com/{KID}',
    'https://keys.example.com/{kid}/{account}',
    'https://keys.example.com/{{kid}',
    'https://{kid}.example.com/',
    'https://{kid}.example.com/kid',
    'https://{kid}:x@keys.example.com/kid',
    'https://keys.example.com/kid#{kid}',
    'https:///{kid}',
    'https:///keys.example.com/{kid}',
    'https://user:secret@keys.example.com/{kid}',
    'http://keys.example.com/{kid}',
    'http://localhost.example.com/{kid}',
    'http://127.0.0.1.example.com/{kid}',
    'http://127.0.0.1@keys.example.com/{kid}',
    'http://10.0.0.1/{kid}',
    'http://0.0.0.0/{kid}',
    'http://{region}/{kid}',
    'ftp://127.0.0.1/{kid}',
    'file:///keys/{kid}',
  ]
  for (const value of refused) {
    t.match(read(keyUrlTemplate, value), /^must be an https URL \(http only to loopback\)/, value)
  }
  t.end()
})

t.test('a server that documents come from is asked over https, or http on this machine', t => {
  const taken = [
    'https://idp.example.com',
    'https://idp.example.com/.well-known/jwks.json?v=1',
    'https://10.0.0.1:8443/keys',
    'http://127.0.0.1:9/keys',
    'http://127.1/keys',
    'http://localhost:8080',
    'http://LOCALHOST/',
    'http://[::1]:8080/keys',
  ]
  const refused = [
    '',
    'idp.example.com',
    '//idp.example.com/keys',
    'https://',
    'https://?',
    'https://a:65536/',
    'https://a b/',
    ' https://a/',
    'https://a/\n',
    'https://idp.example.com/\u00e9',
    'http://idp.example.com/keys',
    'http://10.0.0.1/',
    'http://0.0.0.0/',
    'http://[::2]/',
    'http://localhost.example.com/',
    'http://127.0.0.1.example.com/',
    'http://127.0.0.1@idp.example.com/',
    'ftp://127.0.0.1/keys',
    'file:///keys',
    'https:///idp.example.com/keys',
    'https:/idp.example.com/keys',
    'https://\\idp.example.com/keys',
    'https://user:secret@idp.example.com/keys',
    'https://user@idp.example.com/keys',
    'https://:secret@idp.example.com/keys',
    'https://@idp.example.com/keys',
  ]
  for (const value of taken) {
    t.equal(read(serverUrl, value), value)
    t.equal(isSafeServer(value), true, value)
  }
  for (const value of refused) {
    t.match(
      read(serverUrl, value),
      /^must be an https URL \(http only to loopback\) without credentials, found/,
      value,
    )
    t.equal(isSafeServer(value), false, value)
  }
  t.end()
})

t.test('a path of our own is canonical and literal, or nothing', t => {
  const taken = ['', '/.auth/sign-out', '/whoami', '/a/', '/a%20b', "/a-b_c~d!$&'()+,=:@"]
  for (const value of taken) t.equal(read(ownPath, value), value)
  const refused = [
    '/',
    'whoami',
    'https://a/whoami',
    '//a',
    '/a//b',
    '/a/../b',
    '/./a',
    '/a;b',
    '/a?b',
    '/a#b',
    '/a*',
    '/a\\b',
    '/a b',
    '/a\n',
    '/%',
    '/a%2fb',
    '/a%252fb',
    '/%2e%2e/a',
    '/\u00e9',
    '/%c3%a9',
  ]
  for (const value of refused) {
    t.equal(
      read(ownPath, value),
      `must be a path that begins with /, without encoded separators, query or wildcards, found '${value}'`,
      JSON.stringify(value),
    )
  }
  t.end()
})

t.test('a redirect leads to a whole URL that a header can hold', t => {
  const taken = [
    'https://idp.example.com/logout?client_id=a&logout_uri=https%3A%2F%2Fb%2F#c',
    'http://app.example.com',
    'https://10.0.0.1:8443/',
  ]
  for (const value of taken) t.equal(read(redirectUrl, value), value)
  const refused = [
    '',
    '/bye',
    '//a/bye',
    'a.example.com',
    'https://',
    'https://?a',
    'https://a:65536/',
    'https://a/b c',
    'https://a/\r\nSet-Cookie: b=c',
    'https://a/\n',
    'https://a/\u00e9',
    ' https://a/',
    'ftp://a/',
    'javascript:alert(1)',
    'data:text/html,a',
    'https:///bye',
    'https://user:secret@a/bye',
  ]
  for (const value of refused) {
    t.equal(
      read(redirectUrl, value),
      `must be an http or https URL without credentials, found '${withoutCredentials(value)}'`,
      JSON.stringify(value),
    )
  }
  t.end()
})

t.test('a proxy is an http or https URL, and never shown', t => {
  for (const value of ['http://proxy:3128', 'https://user:secret@proxy']) {
    t.equal(read(proxyUrl, value), value)
  }
  for (const value of [
    '',
    'proxy:3128',
    'socks5://user:secret@proxy',
    'http://',
    'http:///a',
    'http://a b',
  ]) {
    const refusal = read(proxyUrl, value)
    t.match(
      refusal,
      /^must be the URL of a forward proxy such as http:\/\/proxy\.example\.com:3128/,
    )
    t.notMatch(refusal, 'secret', 'and not what was found')
  }
  t.end()
})

t.test('loopback is 127.0.0.0/8, ::1 and localhost', t => {
  for (const host of ['127.0.0.1', '127.255.255.254', '::1', '[::1]', 'localhost']) {
    t.equal(isLoopback(host), true, host)
  }
  for (const host of ['', '128.0.0.1', '127.0.0', '127.0.0.1.a', 'a127.0.0.1', '0.0.0.0', '::2']) {
    t.equal(isLoopback(host), false, host)
  }
  t.end()
})

t.test('a map is a JSON object from text to text', t => {
  t.same(
    [...(read(stringMap, '{"a":"b","__proto__":"c","":""}') as Map<string, string>)],
    [
      ['a', 'b'],
      ['__proto__', 'c'],
      ['', ''],
    ],
  )
  t.same(read(stringMap, '{}'), new Map())
  for (const [value, found] of [
    ['', 'what is not JSON'],
    ['{', 'what is not JSON'],
    ['{a:1}', 'what is not JSON'],
    ["{'a':'b'}", 'what is not JSON'],
    ['null', 'null'],
    ['[]', 'an array'],
    ['["a"]', 'an array'],
    ['"a"', 'a string'],
    ['1', 'a number'],
  ] as const) {
    const refusal = `must be a JSON object such as {"00g1ab":"ops"}, found ${found}`
    t.equal(read(stringMap, value), refusal, value)
  }
  for (const [value, kind] of [
    ['{"a":1}', 'a number'],
    ['{"a":null}', 'null'],
    ['{"a":["b"]}', 'an array'],
    ['{"a":{}}', 'an object'],
    ['{"b":"c","a":true}', 'a boolean'],
  ] as const) {
    t.equal(read(stringMap, value), `must map text to text; 'a' is mapped to ${kind}`)
  }
  t.end()
})

t.test('certificates are read one by one, and none is left out', async t => {
  const [{ certificate: one }, { certificate: two }] = [
    await createAuthority(),
    await createAuthority(),
  ]
  t.same(read(certificates, one), [one])
  t.same(read(certificates, `one\n${one}two\n${two}`.trim()), [one, two])
  const path = 'holds no PEM certificate: the path of a file goes into UPSTREAM_CA_FILE'
  for (const value of ['/etc/ssl/ca.pem', './ca.pem', '../ca.pem']) {
    t.equal(read(certificates, value), path, value)
  }
  for (const value of ['ca.pem', '/a b', 'secret/key']) {
    t.equal(read(certificates, value), 'holds no PEM certificate', value)
  }
  t.equal(read(certificates, one + two.slice(0, 99)), 'holds a certificate that cannot be read')
})
