/**
 * Verified claims become one identity, or a reason why not; equal users make equal headers.
 */
import fc from 'fast-check'
import t from 'tap'
import type { Claims } from '../../src/core/identity.ts'
import { createNormalize, type NormalizeOptions } from '../../src/identity/normalize.ts'

const OPTIONS: NormalizeOptions = {
  userClaims: ['email'],
  emailClaims: ['email'],
  groupsClaims: ['groups'],
  groupsSources: ['access_token', 'alb'],
  groupsSplit: '',
  userCase: 'keep',
  groupsCase: 'keep',
  keepsGroup: () => true,
  groupsMap: new Map(),
  allowedGroups: [],
  allowedEmailDomains: [],
  requireEmailVerified: false,
}

const ALICE = { sub: 's', email: 'Alice@Example.com', groups: ['ops', 'Dev'] }

function normalize(claims: Claims, options: Partial<NormalizeOptions> = {}) {
  const proof = { subject: 's', albClaims: claims, expiresAt: 1_700_000_000 }
  return createNormalize({ ...OPTIONS, ...options })(proof)
}

/** The groups of somebody who has these in their claims. */
function groupsOf(groups: unknown, options: Partial<NormalizeOptions> = {}): readonly string[] {
  const found = normalize({ ...ALICE, groups }, options)
  if ('outcome' in found) throw new Error(found.reason)
  return found.groups
}

t.test('an identity is what the claims say, and until when', t => {
  t.strictSame(normalize(ALICE), {
    subject: 's',
    user: 'Alice@Example.com',
    email: 'Alice@Example.com',
    groups: ['Dev', 'ops'],
    expiresAt: 1_700_000_000,
  })
  const named = { userClaims: ['username', '/profile/nick'], groupsClaims: ['cognito:groups'] }
  t.strictSame(
    normalize({ profile: { nick: ' bob ' }, 'cognito:groups': '[a, b]' }, named),
    { subject: 's', user: 'bob', groups: ['a', 'b'], expiresAt: 1_700_000_000 },
    'from other claims, and without an address no email at all',
  )
  t.end()
})

t.test('without a user there is no identity', t => {
  const cases = [
    { claims: {}, why: 'no claim' },
    { claims: { sub: 'somebody' }, why: 'a subject is not a user' },
    { claims: { email: null }, why: 'null' },
    { claims: { email: '' }, why: 'empty' },
    { claims: { email: '  ' }, why: 'blank' },
    { claims: { email: 7 }, why: 'a number' },
    { claims: { email: ['alice@example.com'] }, why: 'an array' },
    { claims: { email: { email: 'alice@example.com' } }, why: 'an object' },
    {
      claims: JSON.parse('{"__proto__":{"email":"alice@example.com"}}') as Claims,
      why: 'T-14: a prototype',
    },
  ]
  for (const { claims, why } of cases) {
    const refusal = { outcome: 'rejected', reason: 'identity_missing', source: 'alb' }
    t.match(normalize(claims), { ...refusal, detail: 'no text under USER_CLAIM email' }, why)
  }
  const inherited = { userClaims: ['constructor', '/__proto__/x', 'toString'] }
  const refused = normalize(ALICE, inherited)
  const detail = 'no text under USER_CLAIM constructor,/__proto__/x,toString'
  t.match(refused, { reason: 'identity_missing', detail }, 'T-14: a name that walks prototypes')
  t.end()
})

t.test('case is changed where asked, and for A to Z only', t => {
  const claims = {
    email: 'ALICE@Example.COM',
    groups: ['OPS', 'Ärzte', '\u212aings', '\u0130stanbul'],
  }
  const kept = normalize(claims)
  t.match(kept, { user: 'ALICE@Example.COM', email: 'ALICE@Example.COM' }, 'kept')
  const lower = normalize(claims, { userCase: 'lower' })
  t.match(lower, { user: 'alice@example.com', email: 'ALICE@Example.COM' }, 'the user alone')
  const groups = normalize(claims, { groupsCase: 'lower' })
  t.match(groups, { user: 'ALICE@Example.COM' }, 'not the user with the groups')
  // The Kelvin sign's lower case is a plain k: `\u212aings` would become the group `kings`.
  const expected = ['ops', 'Ärzte', '\u0130stanbul', '\u212aings']
  t.strictSame(groupsOf(claims.groups, { groupsCase: 'lower' }), expected, 'groups alone')
  const kelvin = normalize({ email: '\u212aelvin@\u212a.example' }, { userCase: 'lower' })
  t.match(kelvin, { user: '\u212aelvin@\u212a.example' }, 'the Kelvin sign is not a k')
  t.end()
})

t.test('groups are filtered, mapped, brought to one case, trimmed, de-duplicated and sorted', t => {
  const map = new Map([
    ['g-1', 'Admins'],
    ['g-2', ' admins '],
    ['g-3', ''],
    ['g-4', '  '],
    ['Dev', 'developers'],
    ['developers', 'nobody'],
    ['x', '__proto__'],
  ])
  const cases = [
    { groups: ['b', 'a', 'b'], options: {}, expected: ['a', 'b'], why: 'sorted, once each' },
    {
      groups: ['b', 'B', 'a', 'É', 'Z', '10', '9'],
      options: {},
      expected: ['10', '9', 'B', 'Z', 'a', 'b', 'É'],
      why: 'sorted by code unit, in any locale',
    },
    { groups: [' a', 'a '], options: {}, expected: ['a'], why: 'trimmed before they are compared' },
    {
      groups: ['Dev', 'dev', 'DEV'],
      options: { groupsCase: 'lower' },
      expected: ['dev'],
      why: 'one case before they are compared',
    },
    {
      groups: ['Dev', 'dev'],
      options: {},
      expected: ['Dev', 'dev'],
      why: 'two cases are two groups',
    },
    {
      groups: ['aws-a', 'b', 'aws-c'],
      options: { keepsGroup: (group: string) => group.startsWith('aws-') },
      expected: ['aws-a', 'aws-c'],
      why: 'filtered',
    },
    { groups: ['a'], options: { keepsGroup: () => false }, expected: [], why: 'filtered to none' },
    {
      groups: ['g-1', 'b'],
      options: { groupsMap: map },
      expected: ['Admins', 'b'],
      why: 'mapped, or left',
    },
    {
      groups: ['g-1', 'g-2'],
      options: { groupsMap: map, groupsCase: 'lower' },
      expected: ['admins'],
      why: 'mapped, then one case, then once',
    },
    {
      groups: ['g-3', 'g-4', 'b'],
      options: { groupsMap: map },
      expected: ['b'],
      why: 'mapped to nothing is left out',
    },
    {
      groups: ['Dev'],
      options: { groupsMap: map },
      expected: ['developers'],
      why: 'mapped once, not again',
    },
    {
      groups: ['dev'],
      options: { groupsMap: map, groupsCase: 'lower' },
      expected: ['dev'],
      why: 'mapped by the name as it came',
    },
    {
      groups: ['G-1'],
      options: { groupsMap: map, groupsCase: 'lower' },
      expected: ['g-1'],
      why: 'the case changes after the map',
    },
    {
      groups: ['g-1'],
      options: { groupsMap: map, keepsGroup: (group: string) => group === 'Admins' },
      expected: [],
      why: 'the filter sees the name as it came',
    },
    {
      groups: ['x', 'constructor'],
      options: { groupsMap: map },
      expected: ['__proto__', 'constructor'],
      why: 'T-14: names are only names',
    },
    { groups: 'a b', options: { groupsSplit: ' ' }, expected: ['a', 'b'], why: 'a string, split' },
    { groups: 'a b', options: {}, expected: [], why: 'a string, not split' },
    { groups: undefined, options: {}, expected: [], why: 'T-13: absent' },
    { groups: null, options: {}, expected: [], why: 'T-13: null' },
    { groups: [1, { a: 1 }, ['b']], options: {}, expected: [], why: 'T-13: not text' },
  ] as const
  for (const { groups, options, expected, why } of cases) {
    t.strictSame(groupsOf(groups, options), expected, why)
  }
  const many = Array.from({ length: 10_000 }, (_, at) => `g${at % 5_000}`)
  t.equal(groupsOf(many).length, 5_000, 'T-13: ten thousand of them')
  t.end()
})

t.test('equal sets of groups are equal lists', t => {
  const names = fc.array(fc.string(), { maxLength: 8 })
  fc.assert(
    fc.property(names, groups => {
      const once = groupsOf(groups)
      const again = groupsOf([...groups].reverse().concat(groups))
      return JSON.stringify(once) === JSON.stringify(again)
    }),
  )
  t.pass()
  t.end()
})

t.test('groups that the provider left out refuse the request', t => {
  const refusal = { outcome: 'rejected', reason: 'groups_overage', source: 'alb' }
  t.match(normalize({ ...ALICE, hasgroups: true }), refusal)
  t.match(normalize({ ...ALICE, _claim_names: { groups: 'src1' } }), refusal)
  const roles = { ...ALICE, _claim_names: { roles: 'src1' } }
  t.match(
    normalize(roles, { groupsClaims: ['roles'] }),
    refusal,
    'under the name that is configured',
  )
  t.match(normalize(roles), { user: 'Alice@Example.com' }, 'but not under another')
  t.end()
})

t.test('where ALLOWED_GROUPS is set, one of them must be held', t => {
  const refusal = {
    outcome: 'rejected',
    reason: 'not_allowed',
    source: 'alb',
    check: 'allowed_groups',
    detail: 'none of the groups is in ALLOWED_GROUPS',
  }
  const upper = new Map([['g-1', 'ADMINS']])
  const cases = [
    { groups: ['ops', 'x'], options: {}, allowed: true, why: 'one of them' },
    { groups: ['admins', 'ops'], options: {}, allowed: true, why: 'both' },
    { groups: ['x'], options: {}, allowed: false, why: 'none of them' },
    { groups: [], options: {}, allowed: false, why: 'no groups at all' },
    { groups: undefined, options: {}, allowed: false, why: 'no claim' },
    { groups: 'ops', options: {}, allowed: false, why: 'a string that is no list' },
    { groups: ['ops,admins'], options: {}, allowed: false, why: 'T-40: names in a name' },
    { groups: ['ops-readonly'], options: {}, allowed: false, why: 'a longer name' },
    { groups: ['op'], options: {}, allowed: false, why: 'a shorter name' },
    { groups: ['OPS'], options: {}, allowed: false, why: 'another case' },
    {
      groups: ['OPS'],
      options: { groupsCase: 'lower' },
      allowed: true,
      why: 'the case as it becomes',
    },
    {
      groups: ['g-1'],
      options: { groupsMap: upper, groupsCase: 'lower' },
      allowed: true,
      why: 'the name as mapped',
    },
    {
      groups: ['ops'],
      options: { groupsMap: new Map([['ops', 'x']]) },
      allowed: false,
      why: 'not the name as it came',
    },
    {
      groups: ['ops'],
      options: { keepsGroup: () => false },
      allowed: false,
      why: 'not what was filtered',
    },
  ] as const
  for (const { groups, options, allowed, why } of cases) {
    const found = normalize({ ...ALICE, groups }, { allowedGroups: ['admins', 'ops'], ...options })
    if (allowed) t.match(found, { user: 'Alice@Example.com' }, why)
    else t.strictSame(found, refusal, why)
  }
  t.end()
})

t.test('where ALLOWED_EMAIL_DOMAINS is set, the address must be in one of them', t => {
  const cases = [
    { email: 'alice@example.com', allowed: true, why: 'in the first' },
    { email: 'alice@kelvin.example', allowed: true, why: 'in the second' },
    { email: 'alice@EXAMPLE.com', allowed: true, why: 'in any case' },
    { email: ' alice@example.com ', allowed: true, why: 'in white space' },
    { email: 'alice+x@example.com', allowed: true, why: 'with a tag' },
    { email: 'alice@other.example', allowed: false, why: 'in neither' },
    { email: 'alice@sub.example.com', allowed: false, why: 'in a subdomain' },
    { email: 'alice@notexample.com', allowed: false, why: 'in a longer one' },
    { email: 'alice@example.com.', allowed: false, why: 'with a dot behind' },
    { email: 'alice@example.com.evil.example', allowed: false, why: 'as a prefix' },
    { email: 'alice@com', allowed: false, why: 'in its parent' },
    { email: 'alice@', allowed: false, why: 'in nothing' },
    { email: '@example.com', allowed: false, why: 'nobody in it' },
    { email: 'example.com', allowed: false, why: 'the domain alone' },
    { email: '@', allowed: false, why: 'an @ alone' },
    {
      email: 'alice@evil.example@example.com',
      allowed: false,
      why: 'oauth2-proxy GHSA-c5c4-8r6x-56w3',
    },
    { email: 'alice@example.com@evil.example', allowed: false, why: 'the same turned round' },
    { email: '"a@b"@example.com', allowed: false, why: 'an @ in quotes is a second one' },
    { email: 'alice@example.com,bob@evil.example', allowed: false, why: 'two addresses' },
    { email: 'alice@\u212aelvin.example', allowed: false, why: 'the Kelvin sign is not a k' },
    { email: 'alice@ex\u0430mple.com', allowed: false, why: 'a Cyrillic а' },
    { email: 'alice@example\uff0ecom', allowed: false, why: 'a full-width dot' },
    { email: 'alice\uff20example.com', allowed: false, why: 'a full-width @' },
    { email: 7, allowed: false, why: 'a number' },
    { email: ['alice@example.com'], allowed: false, why: 'an array' },
    { email: undefined, allowed: false, why: 'no address' },
  ]
  const options = { userClaims: ['sub'], allowedEmailDomains: ['example.com', 'kelvin.example'] }
  for (const { email, allowed, why } of cases) {
    const found = normalize({ ...ALICE, email }, options)
    const expected = allowed
      ? { user: 's' }
      : { outcome: 'rejected', reason: 'not_allowed', source: 'alb' }
    t.match(found, expected, `${why}: ${JSON.stringify(email)}`)
  }
  t.match(
    normalize({ ...ALICE, email: 'alice@evil.example\r\n' }, options),
    { detail: "ALLOWED_EMAIL_DOMAINS does not hold 'evil.example'" },
    'the operator is told which domain it was',
  )
  t.match(
    normalize({ sub: 's' }, options),
    { detail: 'ALLOWED_EMAIL_DOMAINS does not hold nothing' },
    'or that there was none',
  )
  t.match(
    normalize({ ...ALICE, email: 'a@b@c' }),
    { user: 'a@b@c' },
    'without the list anybody may pass',
  )
  t.end()
})

t.test('where both lists are set, both must be satisfied', t => {
  const options = { allowedGroups: ['ops'], allowedEmailDomains: ['example.com'] }
  const cases = [
    { claims: ALICE, expected: { user: ALICE.email } },
    {
      claims: { ...ALICE, groups: ['x'] },
      expected: { reason: 'not_allowed', detail: /ALLOWED_GROUPS/ },
    },
    {
      claims: { ...ALICE, email: 'a@x' },
      expected: { reason: 'not_allowed', detail: /ALLOWED_EMAIL/ },
    },
  ]
  for (const { claims, expected } of cases) {
    t.match(normalize(claims, options), expected, JSON.stringify(claims))
  }
  t.end()
})

t.test('an address that must be verified is, by a boolean or its text, and by nothing else', t => {
  const cases = [
    { verified: true, passes: true },
    { verified: 'true', passes: true },
    // A real ALB token says "false" in text, which is truthy.
    { verified: 'false', passes: false },
    { verified: false, passes: false },
    { verified: 'True', passes: false },
    { verified: ' true ', passes: false },
    { verified: 1, passes: false },
    { verified: '1', passes: false },
    { verified: [true], passes: false },
    { verified: {}, passes: false },
    { verified: null, passes: false },
    { verified: undefined, passes: false },
  ]
  for (const { verified, passes } of cases) {
    const claims = { ...ALICE, email_verified: verified }
    const refusal = { outcome: 'rejected', reason: 'email_unverified', source: 'alb' }
    const what = verified === undefined ? 'no claim' : JSON.stringify(verified)
    t.match(
      normalize(claims, { requireEmailVerified: true }),
      passes ? { user: ALICE.email } : refusal,
      what,
    )
    t.match(normalize(claims), { user: ALICE.email }, `${what}, when nobody asks`)
  }
  t.end()
})

t.test('of several reasons the first is given', t => {
  const claims = { hasgroups: true, email_verified: false }
  const options = { requireEmailVerified: true, allowedGroups: ['x'] }
  const verified = { ...claims, email: 'a@b', email_verified: true }
  t.match(normalize(claims, options), { reason: 'identity_missing' })
  t.match(normalize({ ...claims, email: 'a@b' }, options), { reason: 'email_unverified' })
  t.match(normalize(verified, options), { reason: 'groups_overage' })
  t.match(normalize({ ...verified, hasgroups: false }, options), { reason: 'not_allowed' })
  t.end()
})

/** T-14, T-13: whatever JSON a provider signs, it is read and not run, and what comes out is typed. */
t.test('no payload reaches a prototype or comes out as anything but text', t => {
  const keys = [
    '__proto__',
    'constructor',
    'prototype',
    'groups',
    'email',
    'hasgroups',
    '_claim_names',
    'toString',
    'length',
    '0',
  ]
  const { json } = fc.letrec<{ json: string; members: string[]; fields: [string, string][] }>(
    tie => ({
      json: fc.oneof(
        { maxDepth: 4, withCrossShrink: true },
        fc.constantFrom(
          'null',
          'true',
          '0',
          '1e999',
          '""',
          '"admin"',
          '" a "',
          '"[a, b]"',
          '"a@b"',
        ),
        tie('members').map(each => `[${each.join(',')}]`),
        tie('fields').map(each => `{${each.map(([key, value]) => `"${key}":${value}`).join(',')}}`),
      ),
      members: fc.array(tie('json'), { maxLength: 3 }),
      fields: fc.array(fc.tuple(fc.constantFrom(...keys), tie('json')), { maxLength: 5 }),
    }),
  )
  const options = {
    userClaims: ['email', '/__proto__/email', '/constructor/prototype/email'],
    groupsClaims: ['groups', '/__proto__/groups', '__proto__', '/constructor/groups', '/groups/0'],
  }
  let identities = 0
  fc.assert(
    fc.property(json, json, (email, rest) => {
      const found = normalize(
        JSON.parse(`{"email":${email},"__proto__":${rest},"groups":${rest}}`) as Claims,
        options,
      )
      const clean = ['groups', 'email', 'hasgroups', '_claim_names', '0'].every(key => !(key in {}))
      if ('outcome' in found) return clean
      identities++
      const texts = [found.user, ...found.groups]
      const sorted = [...new Set(found.groups)].sort()
      return (
        clean &&
        texts.every(text => typeof text === 'string' && text !== '' && text.trim() === text) &&
        JSON.stringify(found.groups) === JSON.stringify(sorted)
      )
    }),
    { numRuns: 3_000 },
  )
  t.ok(identities > 100, 'and enough of the payloads held a user for that to mean something')
  t.equal(({} as Claims)['groups'], undefined, 'no object has groups now')
  t.equal(([] as unknown as Claims)['groups'], undefined, 'no array either')
  t.end()
})
