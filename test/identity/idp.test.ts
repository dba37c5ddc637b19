import t from 'tap'
import { IDPS, type IdpName } from '../../src/identity/idp.ts'
import { createNormalize } from '../../src/identity/normalize.ts'
import { accessClaimsFor, ALICE_AT_IDP, NAMESPACED_GROUPS, subjectOf } from '../fixtures/idp.ts'
import { CLIENT } from '../fixtures/sidecar.ts'

const NAMES = Object.keys(IDPS) as IdpName[]

t.test('the providers are these', t => {
  const expected = ['auth0', 'cognito', 'entra', 'generic', 'google', 'keycloak', 'okta']
  t.same([...NAMES].sort(), expected)
  t.end()
})

t.test('every row says why it is as it is, in one line', t => {
  for (const name of NAMES) t.match(IDPS[name].trap, /^[A-Z`][^\n]{20,}\.$/, name)
  t.end()
})

t.test('an access token is verified where somebody else than the provider can', t => {
  const expected = {
    ...{ generic: 'ignore', cognito: 'required', okta: 'required', entra: 'ignore' },
    ...{ google: 'ignore', auth0: 'optional', keycloak: 'required' },
  }
  t.same(Object.fromEntries(NAMES.map(name => [name, IDPS[name].accessToken])), expected)
  t.end()
})

/** FACTS 1.11, against tokens of the vendors' own shape. */
t.test('each row finds in its tokens what it looks for', t => {
  const groups: Readonly<Record<IdpName, readonly string[]>> = {
    generic: ['dev', 'ops'],
    cognito: ['dev', 'ops'],
    okta: ['dev', 'ops'],
    entra: [],
    google: [],
    auth0: [],
    keycloak: ['/staff/dev', '/staff/ops'],
  }
  for (const name of NAMES) {
    const row = IDPS[name]
    const claims = accessClaimsFor({ issuer: 'https://idp.example.com' }, name)
    if (row.accessToken !== 'ignore') {
      const client = row.clientClaims.find(claim => Object.hasOwn(claims, claim))
      t.equal(claims[client ?? ''], CLIENT, `${name}: the client`)
      t.equal(claims[row.subjectClaim], subjectOf(name), `${name}: the subject that the ALB knows`)
      t.equal(row.requireTokenUse, 'token_use' in claims, `${name}: token_use`)
    }
    const normalize = createNormalize({
      ...{ userClaims: row.userClaims, emailClaims: row.emailClaims },
      ...{ groupsClaims: row.groupsClaims, groupsSources: ['access_token', 'alb'] as const },
      ...{ groupsSplit: '', userCase: 'keep', groupsCase: 'keep', keepsGroup: () => true },
      ...{ groupsMap: new Map(), allowedGroups: [], allowedEmailDomains: [] },
      requireEmailVerified: false,
    })
    const subject = subjectOf(name)
    const found = normalize({
      subject,
      albClaims: { sub: subject, email: ALICE_AT_IDP.email },
      accessClaims: claims,
      expiresAt: 1,
    })
    const { email } = ALICE_AT_IDP
    t.strictSame(found, { subject, user: email, email, groups: groups[name], expiresAt: 1 }, name)
  }
  t.ok(NAMESPACED_GROUPS in accessClaimsFor({ issuer: 'x' }, 'auth0'), 'of a name of its own')
  t.end()
})

t.test('nothing in a row is a pattern or a path by accident', t => {
  for (const name of NAMES) {
    const { clientClaims, subjectClaim, userClaims, emailClaims, groupsClaims } = IDPS[name]
    const claims = [...clientClaims, subjectClaim, ...userClaims, ...emailClaims, ...groupsClaims]
    for (const claim of claims) {
      t.match(claim, /^(?:[a-z_]+(?::[a-z]+)?|\/realm_access\/roles)$/, `${name}: ${claim}`)
    }
  }
  t.end()
})
