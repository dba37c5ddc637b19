/**
 * What an application learns of a user that only reads headers, from each identity provider: the
 * provider's tokens in their real shape, its quirks, and whose access token goes with whose sign-in.
 */
import t from 'tap'
import type { Fields } from '../../simulator/signer.ts'
import type { Reason } from '../../src/core/reasons.ts'
import type { IdpName } from '../../src/identity/idp.ts'
import {
  accessTokenFor,
  ALICE_AT_IDP,
  MALLORY,
  NAMESPACED_GROUPS,
  startIdp,
  subjectOf,
} from '../fixtures/idp.ts'
import { startPlace, type Place } from '../fixtures/place.ts'
import { startRecorder } from '../fixtures/recorder.ts'
import { CLIENT } from '../fixtures/sidecar.ts'
import { headersOf, signedIn } from '../fixtures/visit.ts'

const recorder = await startRecorder(t)
const [generic, verifying, cognito, okta, entra, google, auth0, keycloak] = await Promise.all([
  startPlace(t, recorder, 'generic'),
  startPlace(t, recorder, 'generic', { ACCESS_TOKEN: 'required' }),
  startPlace(t, recorder, 'cognito'),
  startPlace(t, recorder, 'okta'),
  startPlace(t, recorder, 'entra'),
  startPlace(t, recorder, 'google'),
  startPlace(t, recorder, 'auth0', {
    GROUPS_CLAIM: NAMESPACED_GROUPS,
    ACCESS_TOKEN_AUDIENCES: 'https://api.example.com',
  }),
  startPlace(t, recorder, 'keycloak'),
])

/** Who is expected to be seen, with which groups, and whether the access token goes on. */
interface Row {
  readonly is: string
  readonly vendor: IdpName
  readonly place: Place
  readonly albClaims?: Fields
  readonly accessClaims?: Fields
  readonly groups: readonly string[]
  readonly forwardsAccessToken: boolean
}

const ALWAYS = { forwardsAccessToken: true }
const NEVER = { forwardsAccessToken: false }
const ROWS: readonly Row[] = [
  { is: 'Cognito', vendor: 'cognito', place: cognito, groups: ['dev,ops'], ...ALWAYS },
  {
    ...{ is: 'Cognito, a user in no group', vendor: 'cognito', place: cognito, ...ALWAYS },
    accessClaims: { 'cognito:groups': undefined },
    groups: [],
  },
  {
    ...{ is: 'Cognito, federated groups', vendor: 'cognito', place: cognito, ...ALWAYS },
    albClaims: { 'custom:groups': '[Team A, Team B]' },
    accessClaims: { 'cognito:groups': undefined },
    groups: ['Team A,Team B'],
  },
  { is: 'Okta', vendor: 'okta', place: okta, groups: ['dev,ops'], ...ALWAYS },
  {
    ...{ is: 'Okta, after the login changed', vendor: 'okta', place: okta, ...ALWAYS },
    accessClaims: { sub: 'alice.renamed@example.com' },
    groups: ['dev,ops'],
  },
  { is: 'Entra ID', vendor: 'entra', place: entra, groups: [], ...NEVER },
  {
    ...{ is: 'Entra ID, app roles', vendor: 'entra', place: entra, ...NEVER },
    albClaims: { roles: ['Task.Write', 'Task.Read'] },
    groups: ['Task.Read,Task.Write'],
  },
  { is: 'Google', vendor: 'google', place: google, groups: [], ...NEVER },
  { is: 'Auth0', vendor: 'auth0', place: auth0, groups: ['dev,ops'], ...ALWAYS },
  {
    ...{ is: 'Keycloak, groups mapper', vendor: 'keycloak', place: keycloak, ...ALWAYS },
    groups: ['/staff/dev,/staff/ops'],
  },
  {
    ...{ is: 'Keycloak, realm roles', vendor: 'keycloak', place: keycloak, ...ALWAYS },
    accessClaims: { groups: undefined },
    groups: ['dev,ops'],
  },
  {
    ...{ is: 'Keycloak, in no group', vendor: 'keycloak', place: keycloak, ...ALWAYS },
    accessClaims: { groups: [] },
    groups: [],
  },
  { is: 'any other', vendor: 'generic', place: generic, groups: ['dev,ops'], ...NEVER },
  {
    is: 'any other, verified',
    vendor: 'generic',
    place: verifying,
    groups: ['dev,ops'],
    ...ALWAYS,
  },
]

t.test('the user and the groups reach the application', async t => {
  for (const { is, vendor, place, albClaims, accessClaims, groups, forwardsAccessToken } of ROWS) {
    const token = place.data({ ...(albClaims && { payload: albClaims }) })
    const accessToken = place.access({ ...(accessClaims && { payload: accessClaims }) })
    const subject = subjectOf(vendor)
    for (const time of ['at first', 'from the cache']) {
      const seen = await place.ask(signedIn(token, accessToken, subject))
      t.equal(seen.status, 200, `${is}, ${time}`)
      t.same(seen.user, [ALICE_AT_IDP.email], `${is}, ${time}: the user`)
      t.same(seen.email, [ALICE_AT_IDP.email], `${is}, ${time}: the e-mail address`)
      t.same(seen.groups, groups, `${is}, ${time}: the groups`)
      t.same(seen.data, [token], `${is}, ${time}: x-amzn-oidc-data byte for byte`)
      t.same(seen.identity, [subject], `${is}, ${time}: x-amzn-oidc-identity`)
      const forwarded = forwardsAccessToken ? [accessToken] : []
      t.same(seen.accessToken, forwarded, `${is}, ${time}: the access token only once verified`)
    }
  }
})

/** T-10: ConsoleMe takes the groups from the access token first, whosever it is. */
t.test("another user's access token is refused, however valid", async t => {
  const rows = [
    { vendor: 'cognito', place: cognito },
    { vendor: 'okta', place: okta },
    { vendor: 'auth0', place: auth0 },
    { vendor: 'keycloak', place: keycloak },
    { vendor: 'generic', place: verifying },
  ] as const
  for (const { vendor, place } of rows) {
    const { data, access, ask, refused, rig } = place
    const [alices, hers] = [data(), access()]
    const [mallorys, his] = [data({ person: MALLORY }), access({ person: MALLORY })]

    t.match(await ask(signedIn(alices, hers)), { status: 200 }, `${vendor}: hers with hers`)
    t.match(await ask(signedIn(mallorys, his)), { status: 200 }, `${vendor}: his with his`)
    // Both pairs are in the cache now; a mixture of them is in none.
    for (const time of ['once', 'twice']) {
      for (const headers of [signedIn(alices, his), signedIn(mallorys, hers)]) {
        const is = `${vendor}: a mixture, ${time}`
        const answer = await refused(t, headers, { is, reason: 'subject_mismatch' })
        t.same(headersOf(answer, 'www-authenticate'), ['Bearer'])
        t.notMatch(answer.body, /subject|access/, 'does not tell which check failed')
      }
    }
    const series = 'alb_auth_rejections_total{reason="subject_mismatch",source="access_token"}'
    t.equal(await rig.metric(series), 4, `${vendor}: counted`)
    t.match(await ask(signedIn(alices, hers)), { groups: [/./] }, `${vendor}: hers, afterwards`)
    await refused(t, signedIn(alices, hers, subjectOf(vendor, MALLORY)), {
      is: `${vendor}: another user's x-amzn-oidc-identity`,
      reason: 'subject_mismatch',
      source: 'alb',
    })
  }
})

t.test('cognito: the access token must be there, and be one', async t => {
  const { data, access, refused } = cognito
  const idToken = { token_use: 'id', aud: CLIENT, at_hash: 'x', nonce: 'n' }
  await refused(t, signedIn(data(), access({ payload: idToken })), {
    is: 'an ID token',
    reason: 'token_use_mismatch',
  })
  await refused(t, signedIn(data()), { is: 'none', reason: 'token_missing' })
  await refused(t, signedIn(data(), 'ya29.a0AfH6SMBx'), { is: 'opaque', reason: 'token_opaque' })
})

/** FACTS 1.11: the access token's `sub` is the login, which its owner may choose. */
t.test('okta: it is `uid` that must be the same, not `sub`', async t => {
  const { data, access, refused } = okta
  const { id, email } = ALICE_AT_IDP
  const rows = [
    { is: 'the login for uid', payload: { uid: email } },
    { is: 'the right sub, and another uid', payload: { sub: id, uid: MALLORY.id } },
    { is: 'uid in another case', payload: { uid: id.toUpperCase() } },
    { is: 'uid in a list', payload: { uid: [id] }, reason: 'claims_invalid' },
    { is: 'no uid', payload: { uid: undefined }, reason: 'claims_invalid' },
    { is: 'an empty uid', payload: { uid: '' }, reason: 'claims_invalid' },
  ] as const
  for (const row of rows) {
    const { is, payload } = row
    const reason = 'reason' in row ? row.reason : 'subject_mismatch'
    await refused(t, signedIn(data(), access({ payload })), { is, reason })
  }
})

/** Above 200 groups Entra ID leaves them out: unknown, which must not be taken for none. */
t.test('entra: groups that were left out are a refusal', async t => {
  const { data, access, ask, refused, idp } = entra
  const overages = [
    { _claim_names: { groups: 'src1' }, _claim_sources: { src1: { endpoint: 'https://g' } } },
    { _claim_names: { roles: 'src1' } },
    { hasgroups: true },
    { hasgroups: 'true' },
  ]
  for (const payload of overages) {
    const is = JSON.stringify(payload).slice(0, 40)
    const answer = await refused(t, signedIn(data({ payload }), access()), {
      ...{ is, reason: 'groups_overage', status: 403, source: 'alb' },
    })
    t.match(answer.body, '"reason":"groups_overage"', `${is}: the user is told`)
  }
  const whole = data({ payload: { _claim_names: {}, hasgroups: false, groups: ['guid'] } })
  t.match(await ask(signedIn(whole)), { status: 200, groups: ['guid'] }, 'nothing left out')
  const nameless = data({ payload: { email: undefined, preferred_username: 'al' } })
  t.match(await ask(signedIn(nameless)), { user: ['al'] }, 'the user where there is no e-mail')
  t.same(idp.requests, [], 'the key set is of no use and is not asked for')
})

t.test('auth0: without an audience the access token is opaque, and that is no groups', async t => {
  const { data, ask, access, refused } = auth0
  const jwe = 'eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..k8Q3.dGV4dA.dGFn'
  for (const token of ['bZ3lWnAbZ8c3n1uYxV4kL0aPq9', jwe]) {
    const seen = await ask(signedIn(data(), token))
    t.match(seen, { status: 200, user: [ALICE_AT_IDP.email] }, token)
    t.same([seen.groups, seen.accessToken], [[], []], `${token}: nothing comes of it`)
  }
  const fromUserinfo = data({ payload: { [NAMESPACED_GROUPS]: ['of userinfo'] } })
  t.same((await ask(signedIn(fromUserinfo))).groups, ['of userinfo'], 'they may be there, too')
  await refused(t, signedIn(data(), access({ payload: { aud: ['https://other.example.com'] } })), {
    is: 'another audience',
    reason: 'audience_mismatch',
  })
})

t.test('keycloak: only its Bearer tokens for our client count', async t => {
  const { data, access, refused } = keycloak
  const rows: readonly { payload: Fields; reason: Reason }[] = [
    { payload: { typ: 'ID' }, reason: 'token_use_mismatch' },
    { payload: { typ: 'Refresh' }, reason: 'token_use_mismatch' },
    { payload: { typ: 'Offline' }, reason: 'token_use_mismatch' },
    { payload: { azp: 'another-client' }, reason: 'client_mismatch' },
    { payload: { azp: undefined }, reason: 'client_mismatch' },
    { payload: { azp: undefined, client_id: CLIENT }, reason: 'client_mismatch' },
  ]
  for (const { payload, reason } of rows) {
    const is = JSON.stringify(payload)
    await refused(t, signedIn(data(), access({ payload })), { is, reason })
  }
})

t.test('google: whatever the access token is, it does not go on', async t => {
  const { data, ask, access } = google
  const evil = await startIdp(t)
  const forged = accessTokenFor(evil, 'generic', {
    person: { ...ALICE_AT_IDP, groups: ['admins'] },
  })
  for (const token of [access(), forged, 'x', 'a.b.c']) {
    const seen = await ask(signedIn(data(), token))
    t.match(seen, { status: 200, user: [ALICE_AT_IDP.email] })
    t.same([seen.groups, seen.accessToken], [[], []], token.slice(0, 12))
  }
})
