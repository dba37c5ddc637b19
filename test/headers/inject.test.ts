/**
 * What the application is told about a user is what was verified, whole, and so written that it
 * reads back as what it was.
 */
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import type { ReceivedHeaders, ScrubbedHeaders } from '../../src/core/headers.ts'
import type { Identity } from '../../src/core/identity.ts'
import {
  clientAddress,
  createInject,
  type Assertion,
  type InjectOptions,
} from '../../src/headers/inject.ts'

const OPTIONS: InjectOptions = {
  userHeader: 'X-Forwarded-User',
  emailHeader: 'X-Forwarded-Email',
  groupsHeader: 'X-Forwarded-Groups',
  clientIpHeader: '',
  groupsSeparator: ',',
  groupsFormat: 'list',
  groupsMaxBytes: 8192,
  forwardOidcHeaders: 'all',
  enforcement: 'enforce',
  trustedHops: 1,
}

const ALICE: Identity = {
  subject: '23d498b2-3031-70d2-8a15-49dd886a087b',
  user: 'alice',
  email: 'alice@example.com',
  groups: ['dev', 'ops'],
  expiresAt: 1_700_000_000,
}

const received = (...list: string[]) => list as readonly string[] as ReceivedHeaders
const scrubbed = (...list: string[]) => list as readonly string[] as ScrubbedHeaders
const NOTHING = received()

/** What is asserted of an identity, given options that differ from the defaults. */
function assertion(options: Partial<InjectOptions>, identity: Partial<Identity> = {}): Assertion {
  const inject = createInject({ ...OPTIONS, ...options })
  const found = inject.assert({ ...ALICE, ...identity })
  if ('outcome' in found) throw new Error(found.reason)
  return found
}

/** The groups header of an identity with these groups. */
function groupsHeader(groups: readonly string[], options: Partial<InjectOptions> = {}) {
  const list = assertion({ userHeader: '', emailHeader: '', ...options }, { groups })
  return list.length === 0 ? undefined : list[1]
}

t.test('the user, the address and the groups go under the names that are set', t => {
  const { email, ...nobody } = ALICE
  const all = [
    'X-Forwarded-User',
    'alice',
    'X-Forwarded-Email',
    email,
    'X-Forwarded-Groups',
    'dev,ops',
  ]
  t.same(assertion({}), all, 'all three')
  t.same(assertion({ userHeader: '' }), all.slice(2), 'without the user')
  t.same(assertion({ groupsHeader: '' }), all.slice(0, 4), 'without groups')
  t.same(
    assertion({ emailHeader: '' }),
    [...all.slice(0, 2), ...all.slice(4)],
    'without the address',
  )
  t.same(assertion({ userHeader: '', emailHeader: '', groupsHeader: '' }), [], 'with none of them')
  t.same(
    assertion({ userHeader: 'user_header' }).slice(0, 2),
    ['user_header', 'alice'],
    'as spelled',
  )
  const found = createInject(OPTIONS).assert(nobody)
  t.same(found, [...all.slice(0, 2), ...all.slice(4)], 'no address, no header')
  t.same(assertion({}, { groups: [] }), all.slice(0, 4), 'no groups, no header')
  t.end()
})

t.test('every value is encoded, so that no claim is more than a claim', t => {
  const cases = [
    { user: 'alice\r\nX-Forwarded-User: root', header: 'alice%0D%0AX-Forwarded-User: root' },
    { user: ' alice', header: '%20alice' },
    { user: 'alice,bob', header: 'alice%2Cbob' },
    { user: 'jörg', header: 'j%C3%B6rg' },
    { user: 'alice%40', header: 'alice%2540' },
  ]
  for (const { user, header } of cases) {
    const list = assertion({}, { user, email: user, groups: [user] })
    t.same([list[1], list[3], list[5]], [header, header, header], JSON.stringify(user))
  }
  t.end()
})

/** T-40: an application that splits the header must not find a group that nobody is in. */
t.test('a groups header reads back as the groups it was made of', t => {
  const cases = [
    { groups: ['dev,admins'], header: 'dev%2Cadmins', why: 'a separator is no second group' },
    { groups: ['a', 'b'], header: 'a,b', why: 'joined without a space' },
    { groups: [' a', 'b '], header: '%20a,b%20', why: 'white space does not vanish' },
    { groups: ['a b', 'c'], header: 'a b,c', why: 'a space within needs nothing' },
    { groups: ['a%2Cb', 'a,b'], header: 'a%252Cb,a%2Cb', why: 'two groups do not become one' },
    { groups: ['"a"', '[b]'], header: '"a",[b]', why: 'other punctuation stays' },
  ]
  for (const { groups, header, why } of cases) {
    t.equal(groupsHeader(groups), header, why)
    t.same(header.split(',').map(decodeURIComponent), groups, `${why}, and reads back`)
  }
  t.equal(groupsHeader(['a,b', 'c;d'], { groupsSeparator: ';' }), 'a,b;c%3Bd', 'another separator')
  t.equal(groupsHeader(['a b', 'c,d'], { groupsSeparator: ' ' }), 'a%20b c,d', 'a space')
  t.end()
})

const anyGroup = fc.string({
  unit: fc.oneof(
    fc.constantFrom(',', ' ', '%', '"', '\\', '\r', '\n', 'a', '|', ';', '[', ']'),
    fc.integer({ min: 0, max: 0xffff }).map(code => String.fromCharCode(code)),
    fc.integer({ min: 0, max: 0x10ffff }).map(code => String.fromCodePoint(code)),
  ),
  minLength: 1,
  maxLength: 8,
})

t.test('any groups read back, from a list and from JSON, out of printable ASCII', t => {
  const separators = fc.constantFrom(',', ';', '|', ' ')
  fc.assert(
    fc.property(
      fc.array(anyGroup, { minLength: 1, maxLength: 6 }),
      separators,
      (groups, separator) => {
        const wellFormed = groups.map(group => group.replace(/\p{Surrogate}/gu, '\ufffd'))
        const list = groupsHeader(groups, { groupsSeparator: separator }) ?? ''
        const json =
          groupsHeader(groups, { groupsSeparator: separator, groupsFormat: 'json' }) ?? ''
        const fromJson = JSON.parse(json) as string[]
        const plain =
          /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(list) && /^\[[\x20-\x7e]*\]$/.test(json)
        const readBack = [list.split(separator), fromJson].map(read => read.map(decodeURIComponent))
        return plain && isDeepStrictEqual(readBack, [wellFormed, wellFormed])
      },
    ),
    { numRuns: 1_000 },
  )
  t.pass()
  t.end()
})

t.test('as JSON, groups are an array of encoded names', t => {
  const cases = [
    { groups: ['a', 'b'], header: '["a","b"]' },
    { groups: ['a,b'], header: '["a,b"]' },
    { groups: ['a"b\\'], header: '["a\\"b\\\\"]' },
    { groups: ['é'], header: '["%C3%A9"]' },
    { groups: ['100%'], header: '["100%25"]' },
    { groups: [' a'], header: '["%20a"]' },
    { groups: [], header: '[]' },
  ]
  for (const { groups, header } of cases) {
    t.equal(groupsHeader(groups, { groupsFormat: 'json' }), header, header)
  }
  t.end()
})

/** T-41: cut in the middle, `admins-readonly` would have been `admins`. */
t.test('groups that do not fit are a refusal and never a shorter list', t => {
  const groups = ['admins-readonly']
  const at = (groupsMaxBytes: number, groupsFormat: InjectOptions['groupsFormat'] = 'list') =>
    createInject({ ...OPTIONS, groupsMaxBytes, groupsFormat }).assert({ ...ALICE, groups })
  const refusal = { outcome: 'rejected', reason: 'groups_too_large', check: 'groups_size' }
  const tooLarge = (detail: string) => ({ ...refusal, detail })

  t.equal((at(16) as Assertion)[5], 'admins-readonly', 'one byte to spare')
  t.equal((at(15) as Assertion)[5], 'admins-readonly', 'exactly')
  t.same(at(14), tooLarge('groups header of 15 bytes, GROUPS_MAX_BYTES is 14'), 'one byte short')
  t.match(at(6), { reason: 'groups_too_large' }, 'where `admins` would have fitted')
  t.match(at(18, 'json'), { reason: 'groups_too_large' }, 'brackets and quotes count')
  t.equal((at(19, 'json') as Assertion)[5], '["admins-readonly"]', 'and fit when there is room')

  const inject = createInject({ ...OPTIONS, groupsMaxBytes: 8 })
  const bytes = { ...ALICE, groups: ['é,'] }
  t.match(inject.assert(bytes), { reason: 'groups_too_large' }, 'encoded bytes count')
  const two = { ...ALICE, groups: ['dev', 'admin'] }
  t.match(inject.assert(two), { reason: 'groups_too_large' }, 'separators count')

  const off = createInject({ ...OPTIONS, groupsMaxBytes: 1, groupsHeader: '' })
  t.notMatch(off.assert(ALICE), { outcome: 'rejected' }, 'not where there is no header')
  t.end()
})

t.test("the ALB's headers go on only where they were verified and are wanted, byte for byte", t => {
  const tokens = [
    'X-Amzn-Oidc-Data',
    'a.b=.c=',
    'x-amzn-oidc-identity',
    'sub',
    'X-AMZN-OIDC-ACCESSTOKEN',
    'o.p.q',
  ]
  const [data, identity, access] = [tokens.slice(0, 2), tokens.slice(2, 4), tokens.slice(4)]
  const headers = received(
    'Host',
    'a',
    ...tokens,
    'x-amzn-oidc-other',
    'x',
    'X_Amzn_Oidc_Data',
    'forged',
  )
  const names = ['x-amzn-oidc-data', 'x-amzn-oidc-identity', 'x-amzn-oidc-accesstoken']
  const cases = [
    { forward: 'all', verified: names, expected: tokens },
    { forward: 'all', verified: names.slice(0, 2), expected: [...data, ...identity] },
    { forward: 'all', verified: names.slice(0, 1), expected: data },
    { forward: 'all', verified: names.slice(2), expected: access },
    { forward: 'all', verified: [], expected: [] },
    { forward: 'all', verified: ['x-amzn-oidc-other', 'host'], expected: [] },
    { forward: 'data', verified: names, expected: data },
    { forward: 'data', verified: names.slice(1), expected: [] },
    { forward: 'none', verified: names, expected: [] },
  ] as const
  for (const { forward, verified, expected } of cases) {
    const off = { userHeader: '', emailHeader: '', groupsHeader: '', forwardOidcHeaders: forward }
    const inject = createInject({ ...OPTIONS, ...off })
    const found = inject.finish(scrubbed(), headers, { assertion: [], verified })
    t.same(found, expected, `${forward}, with ${verified.join(' and ') || 'nothing'} verified`)
  }
  t.end()
})

t.test('what is asserted follows what the client may say; without an identity nothing is', t => {
  const inject = createInject({ ...OPTIONS, clientIpHeader: 'X-Real-IP' })
  const clean = scrubbed('Host', 'a', 'Accept', '*/*', 'Accept', 'text/html')
  const headers = received('X-Forwarded-For', '203.0.113.7', 'X-Forwarded-User', 'mallory')
  const address = ['X-Real-IP', '203.0.113.7']
  const vouched = { assertion: ['U', 'alice'], verified: ['x-amzn-oidc-data'] }
  t.same(inject.finish(clean, headers, vouched), [...clean, ...address, 'U', 'alice'])
  t.same(inject.finish(clean, headers), [...clean, ...address], 'anonymous, with the address')
  t.same(inject.finish(clean, NOTHING), clean, 'anonymous, the address unknown')
  t.same(createInject(OPTIONS).finish(clean, headers), clean, 'anonymous, the address not wanted')
  t.end()
})

t.test('the headers we own are those that have a name', t => {
  const names = { userHeader: 'user_header', clientIpHeader: 'X-Real-IP' }
  t.same(createInject({ ...OPTIONS, ...names }).owned, [
    'user_header',
    'X-Forwarded-Email',
    'X-Forwarded-Groups',
    'X-Real-IP',
  ])
  t.same(createInject({ ...OPTIONS, userHeader: '', emailHeader: '' }).owned, [
    'X-Forwarded-Groups',
  ])
  t.end()
})

/** T-38: everything left of the ALB's own entry is what the client made up. */
t.test("the client's address is the one that the nearest trusted hop saw", t => {
  const cases = [
    { lines: ['203.0.113.7'], hops: 1, address: '203.0.113.7', why: 'alone' },
    {
      lines: ['10.0.0.1, 203.0.113.7'],
      hops: 1,
      address: '203.0.113.7',
      why: 'behind a forged one',
    },
    { lines: ['10.0.0.1,203.0.113.7'], hops: 1, address: '203.0.113.7', why: 'without a space' },
    {
      lines: ['10.0.0.1, 203.0.113.7, 198.51.100.2'],
      hops: 2,
      address: '203.0.113.7',
      why: 'two hops',
    },
    {
      lines: ['10.0.0.1', '203.0.113.7'],
      hops: 1,
      address: '203.0.113.7',
      why: 'on the last line',
    },
    {
      lines: ['10.0.0.1, 203.0.113.7', '198.51.100.2'],
      hops: 2,
      address: '203.0.113.7',
      why: 'over two lines',
    },
    { lines: [' \t203.0.113.7\t '], hops: 1, address: '203.0.113.7', why: 'with white space' },
    { lines: ['203.0.113.7:443'], hops: 1, address: '203.0.113.7', why: 'with a port' },
    { lines: ['203.0.113.7:1'], hops: 1, address: '203.0.113.7', why: 'with a short port' },
    {
      lines: ['2001:db8::21f:5bff:febf:ce22'],
      hops: 1,
      address: '2001:db8::21f:5bff:febf:ce22',
      why: 'IPv6',
    },
    { lines: ['[2001:db8::1]:8080'], hops: 1, address: '2001:db8::1', why: 'IPv6 with a port' },
    { lines: ['[2001:DB8::1]'], hops: 1, address: '2001:DB8::1', why: 'IPv6 in brackets' },
    { lines: ['::ffff:203.0.113.7'], hops: 1, address: '::ffff:203.0.113.7', why: 'IPv4 in IPv6' },
    { lines: ['::1'], hops: 1, address: '::1', why: 'which no port is cut from' },

    { lines: [], hops: 1, address: undefined, why: 'no header' },
    { lines: [''], hops: 1, address: undefined, why: 'an empty header' },
    { lines: ['203.0.113.7'], hops: 2, address: undefined, why: 'fewer entries than hops' },
    { lines: ['203.0.113.7, '], hops: 1, address: undefined, why: 'an empty entry is an entry' },
    { lines: ['203.0.113.7', ''], hops: 1, address: undefined, why: 'and so is an empty line' },
    { lines: ['unknown'], hops: 1, address: undefined, why: 'a word' },
    { lines: ['_hidden'], hops: 1, address: undefined, why: 'an obfuscated name, RFC 7239' },
    { lines: ['app.example.com'], hops: 1, address: undefined, why: 'a host name' },
    { lines: ['203.0.113'], hops: 1, address: undefined, why: 'three numbers' },
    { lines: ['203.0.113.256'], hops: 1, address: undefined, why: 'a number too large' },
    { lines: ['203.0.113.07'], hops: 1, address: undefined, why: 'octal, to some' },
    { lines: ['0xcb.0.113.7'], hops: 1, address: undefined, why: 'hexadecimal' },
    { lines: ['3405803783'], hops: 1, address: undefined, why: 'one number' },
    { lines: ['203.0.113.7/32'], hops: 1, address: undefined, why: 'a network' },
    { lines: ['203.0.113.7:'], hops: 1, address: undefined, why: 'a colon without a port' },
    { lines: ['203.0.113.7:123456'], hops: 1, address: undefined, why: 'a port too long' },
    { lines: ['203.0.113.7:80:80'], hops: 1, address: undefined, why: 'two ports' },
    { lines: ['203.0.113.7 10.0.0.1'], hops: 1, address: undefined, why: 'two addresses' },
    { lines: ['203.0.113.7\0'], hops: 1, address: undefined, why: 'a control behind it' },
    { lines: ['"203.0.113.7"'], hops: 1, address: undefined, why: 'in quotes' },
    { lines: ['fe80::1%eth0'], hops: 1, address: undefined, why: 'a zone, which may be any text' },
    { lines: ['[fe80::1%eth0]:80'], hops: 1, address: undefined, why: 'a zone in brackets' },
    { lines: ['[2001:db8::1'], hops: 1, address: undefined, why: 'half a bracket' },
    { lines: ['2001:db8::1]:80'], hops: 1, address: undefined, why: 'the other half' },
    { lines: ['[]'], hops: 1, address: undefined, why: 'brackets around nothing' },
    { lines: ['2001:db8::1::2'], hops: 1, address: undefined, why: 'two gaps' },
    { lines: ['<script>'], hops: 1, address: undefined, why: 'what a log viewer might run' },
  ]
  for (const { lines, hops, address, why } of cases) {
    const headers = lines.flatMap((line, at) => [
      at % 2 ? 'x-forwarded-for' : 'X-Forwarded-For',
      line,
    ])
    t.equal(clientAddress(headers, hops), address, `${why}: ${JSON.stringify(lines)}`)
  }
  t.end()
})

t.test("only X-Forwarded-For has the client's address, not its twins", t => {
  const twins = ['X_Forwarded_For', 'X-Forwarded-Fo', 'Forwarded', 'X-Real-IP', 'X.Forwarded.For']
  for (const name of twins) t.equal(clientAddress([name, '203.0.113.7'], 1), undefined, name)
  t.end()
})

t.test("under report mode the ALB's headers go on as they came, and ours only when asserted", t => {
  const inject = createInject({ ...OPTIONS, enforcement: 'report' })
  const headers = received(
    ...['Host', 'a', 'X-Amzn-Oidc-Data', 'forged', 'x-amzn-oidc-accesstoken', 'opaque'],
    ...[
      'X_Amzn_Oidc_Data',
      'twin',
      'X-Amzn-Oidc-Da_ta',
      'twin',
      'X-Amzn-Oidc-New',
      'unknown',
      'X-Forwarded-User',
      'mallory',
    ],
  )
  const asCame = [
    ...['X-Amzn-Oidc-Data', 'forged', 'x-amzn-oidc-accesstoken', 'opaque'],
    ...['X-Amzn-Oidc-New', 'unknown'],
  ]
  t.strictSame(inject.finish(scrubbed('Host', 'a'), headers), ['Host', 'a', ...asCame])

  const vouched = { assertion: ['U', 'alice'], verified: ['x-amzn-oidc-data'] }
  t.strictSame(
    inject.finish(scrubbed('Host', 'a'), headers, vouched),
    ['Host', 'a', ...asCame, 'U', 'alice'],
    'what is verified is not put in a second time',
  )
  t.end()
})
