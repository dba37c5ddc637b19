import t, { type Test } from 'tap'
import type { ReceivedHeaders } from '../../src/core/headers.ts'
import { createAccessTokenVerifier } from '../../src/tokens/access-token.ts'
import { parseAlbArn } from '../../src/tokens/alb-arn.ts'
import { createAlbVerifier } from '../../src/tokens/alb-token.ts'
import {
  createVerifyCredentials,
  type CredentialsOptions,
  type Proven,
} from '../../src/tokens/credentials.ts'
import type { VerifiedAccessToken } from '../../src/tokens/access-token.ts'
import type { VerificationKey } from '../../src/tokens/jwks.ts'
import { createVerifiedCache } from '../../src/tokens/verified-cache.ts'
import { createClock } from '../fixtures/clock.ts'
import { recordEvents } from '../fixtures/events.ts'
import {
  accessClaimsFor,
  accessTokenFor,
  createIdpKey,
  type IdpKey,
  type TokenOverrides,
} from '../fixtures/idp.ts'
import { ALICE, ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'
import { createSignerAt, publicKeyOf } from '../fixtures/token-signers.ts'

const KEY = createIdpKey()
const MALLORY = 'mallory'

/** A list as node would hand it over, admitted. */
const received = (...list: readonly string[]): ReceivedHeaders => list as ReceivedHeaders

/** Text as it stands in a header: its UTF-8 bytes, read as latin-1. */
const onTheWire = (text: string): string => Buffer.from(text).toString('latin1')

/** Both verifiers and both caches, at a clock that stands still; `verified` is what was worked out. */
function setUp(options: Partial<CredentialsOptions> = {}, entries = 100) {
  const clock = createClock()
  const signer = createSignerAt(clock)
  const albKey = publicKeyOf(signer)
  const accessKey: VerificationKey = { key: KEY.publicKey, thumbprint: '', isWithdrawn: false }
  const telemetry = recordEvents()
  const toleranceSeconds = 0
  const albVerifier = createAlbVerifier({
    arns: [parseAlbArn(ARN)!],
    clients: [CLIENT],
    issuers: [ISSUER],
    ...{ toleranceSeconds, clock, telemetry },
    findKey: () => Promise.resolve(albKey),
  })
  const accessVerifier = createAccessTokenVerifier({
    algorithms: ['RS256'],
    issuers: [ISSUER],
    audiences: [],
    clientClaims: ['client_id'],
    clients: [CLIENT],
    requireTokenUse: false,
    subjectClaim: 'sub',
    ...{ toleranceSeconds, clock, telemetry },
    findKey: () =>
      accessKey.isWithdrawn
        ? Promise.resolve({ reason: 'key_unknown', detail: 'withdrawn' })
        : accessKey,
  })
  const verified: string[] = []
  const cache = { entries, bytes: 1e7, toleranceSeconds, clock, telemetry }
  const verify = createVerifyCredentials({
    accessToken: 'optional',
    expiredAccessToken: 'reject',
    proven: createVerifiedCache<Proven>({ source: 'alb', ...cache }),
    accessTokens: createVerifiedCache<VerifiedAccessToken>({ source: 'access_token', ...cache }),
    telemetry,
    verifyAlbToken: token => {
      verified.push('alb')
      return albVerifier(token)
    },
    verifyAccessToken: token => {
      verified.push('access')
      return accessVerifier(token)
    },
    ...options,
  })
  const sign = (sub: string = ALICE.sub) => signer.sign({ ...ALICE, sub })
  const overrides = ({ payload, ...rest }: TokenOverrides): TokenOverrides => ({
    ...{ nowSeconds: clock.wallSeconds(), ...rest },
    payload: { sub: ALICE.sub, ...payload },
  })
  const idp = { issuer: ISSUER, current: (): IdpKey => KEY }
  const access = (more: TokenOverrides = {}) => accessTokenFor(idp, 'generic', overrides(more))
  const accessClaims = (more: TokenOverrides = {}) =>
    accessClaimsFor(idp, 'generic', overrides(more))
  /** What was worked out since the last call. */
  const work = () => verified.splice(0)
  const now = clock.wallSeconds()
  return { verify, sign, access, accessClaims, work, telemetry, clock, accessKey, now }
}

const beside = (data: string, accessToken?: string, identity?: string): ReceivedHeaders =>
  received(
    ...['X-Amzn-Oidc-Data', data],
    ...(accessToken === undefined ? [] : ['X-Amzn-Oidc-Accesstoken', accessToken]),
    ...(identity === undefined ? [] : ['X-Amzn-Oidc-Identity', identity]),
  )

t.test('a request without the token is without credentials, whatever else it says', async t => {
  const { verify, work } = setUp({ accessToken: 'required' })
  const cases = [
    { headers: received(), is: 'no header at all' },
    { headers: received('Host', 'app.example'), is: 'another header' },
    { headers: received('X-Amzn-Oidc-Identity', ALICE.sub), is: 'an identity alone' },
    { headers: received('X-Amzn-Oidc-Accesstoken', 'e30.e30.'), is: 'an access token alone' },
    { headers: received('X-Amzn-Oidc-Data2', 'x'), is: 'a longer name' },
    { headers: received('X_Amzn_Oidc_Data', 'x'), is: 'a name the ALB does not use' },
    { headers: received('Cookie', 'x-amzn-oidc-data=x'), is: 'a cookie of that name' },
    { headers: received('Via', 'x-amzn-oidc-data'), is: 'a value like the name' },
  ]
  for (const { headers, is } of cases) t.equal(await verify(headers), 'absent', is)
  t.same(work(), [], 'nothing was verified')
})

t.test('a believed token is credentials, and names the headers it proved', async t => {
  const { verify, sign, now } = setUp()
  const token = sign()
  const expected = {
    outcome: 'verified',
    subject: ALICE.sub,
    albClaims: { ...ALICE, exp: now + 120, iss: ISSUER },
    expiresAt: now + 120,
    verifiedHeaders: ['x-amzn-oidc-data'],
  }
  t.strictSame(await verify(received('x-amzn-oidc-data', token)), expected, 'alone')
  t.strictSame(await verify(received('X-AMZN-OIDC-DATA', token)), expected, 'in capitals')
  t.strictSame(
    await verify(
      received('Host', 'a', 'X-Amzn-Oidc-Identity', ALICE.sub, 'X-Amzn-Oidc-Data', token),
    ),
    { ...expected, verifiedHeaders: ['x-amzn-oidc-data', 'x-amzn-oidc-identity'] },
    'beside the identity it proves',
  )
  t.strictSame(await verify(beside(token, 'opaque')), expected, 'beside an opaque access token')
})

t.test(
  'a believed access token adds its claims, and its header to those that are true',
  async t => {
    const { verify, sign, access, accessClaims, now } = setUp()
    const token = access({ lifetimeSeconds: 60, payload: { jti: 'x' } })
    const found = await verify(beside(sign(), token, ALICE.sub))
    t.strictSame(found, {
      outcome: 'verified',
      subject: ALICE.sub,
      albClaims: { ...ALICE, exp: now + 120, iss: ISSUER },
      accessClaims: accessClaims({ lifetimeSeconds: 60, payload: { jti: 'x' } }),
      expiresAt: now + 60,
      verifiedHeaders: ['x-amzn-oidc-data', 'x-amzn-oidc-identity', 'x-amzn-oidc-accesstoken'],
    })
    const longer = await verify(beside(sign(), access()))
    t.match(longer, { expiresAt: now + 120 }, 'the first of the two to expire')
  },
)

t.test('a refused token is refused for its own reason, whatever the identity says', async t => {
  const { verify, sign } = setUp()
  const token = sign()
  const cases = [
    { token: '', reason: 'token_malformed' },
    { token: 'opaque', reason: 'token_malformed' },
    { token: token.slice(0, -4), reason: 'token_malformed' },
    { token: token.replace(/[^.]{8}==$/, 'AAAAAAAA=='), reason: 'signature_invalid' },
    { token: 'x'.repeat(20_000), reason: 'token_too_large' },
  ]
  for (const { token, reason } of cases) {
    for (const identity of [[], ['X-Amzn-Oidc-Identity', ALICE.sub]]) {
      const found = await verify(received('X-Amzn-Oidc-Data', token, ...identity))
      t.match(found, { outcome: 'rejected', source: 'alb', reason })
    }
  }
})

t.test('an identity that is not the signed subject is refused', async t => {
  const { verify, sign } = setUp()
  const cases = [
    { sub: 'alice', identity: 'mallory', is: 'another user' },
    { sub: 'alice', identity: '', is: 'nobody' },
    { sub: 'alice', identity: 'Alice', is: 'in another case' },
    { sub: 'alice', identity: 'alice ', is: 'with a space behind' },
    { sub: 'alice', identity: ' alice', is: 'with a space in front' },
    { sub: 'alice ', identity: 'alice', is: 'without a space that is signed' },
    { sub: 'alice', identity: 'alic', is: 'cut short' },
    { sub: 'alice', identity: 'alice2', is: 'with a suffix' },
    { sub: 'alice', identity: 'alice, alice', is: 'twice' },
    { sub: '1', identity: '01', is: 'the same number' },
    { sub: 'alice', identity: '%61lice', is: 'encoded for a URL' },
    { sub: 'zoë', identity: 'zoe', is: 'without its accent' },
    { sub: 'zoë', identity: onTheWire('zoe\u0308'), is: 'decomposed' },
    { sub: 'zo\ufffd', identity: 'zo\xff\xff', is: 'bytes that are not UTF-8, more of them' },
    { sub: '__proto__', identity: 'constructor', is: 'another inherited name' },
  ]
  for (const { sub, identity, is } of cases) {
    t.strictSame(
      await verify(received('X-Amzn-Oidc-Data', sign(sub), 'X-Amzn-Oidc-Identity', identity)),
      {
        outcome: 'rejected',
        reason: 'subject_mismatch',
        source: 'alb',
        check: 'alb_identity',
        detail: 'x-amzn-oidc-identity differs from the signed sub',
      },
      is,
    )
  }
})

t.test('an identity is the signed subject in UTF-8, which is how the ALB writes it', async t => {
  const { verify, sign } = setUp()
  const cases = [
    { sub: 'alice', identity: 'alice', is: 'ASCII' },
    { sub: 'zoë', identity: onTheWire('zoë'), is: 'UTF-8' },
    { sub: '用户', identity: onTheWire('用户'), is: 'UTF-8 outside latin-1' },
    { sub: '👩‍💻', identity: onTheWire('👩‍💻'), is: 'UTF-8 outside the basic plane' },
    { sub: 'auth0|5f7c8e', identity: 'auth0|5f7c8e', is: 'with punctuation' },
  ]
  for (const { sub, identity, is } of cases) {
    const headers = received('X-Amzn-Oidc-Data', sign(sub), 'X-Amzn-Oidc-Identity', identity)
    t.match(await verify(headers), { outcome: 'verified', subject: sub }, is)
  }
})

/** T-12: what becomes of an access token is configured, and a bad one is never a missing one. */
t.test('what an access token is worth', async t => {
  const no = (reason: string) => ({ outcome: 'rejected', reason, source: 'access_token' })
  const without = { outcome: 'verified', accessClaims: undefined }
  const withIt = { outcome: 'verified', accessClaims: { sub: ALICE.sub } }
  const missing = { ...no('token_missing'), check: 'access_present' }
  const opaque = no('token_opaque')
  const expired = no('token_expired')
  const broken = no('signature_invalid')
  type Policy = Pick<CredentialsOptions, 'accessToken' | 'expiredAccessToken'>
  const policies: readonly (Policy & { readonly found: readonly object[] })[] = [
    {
      ...{ accessToken: 'required', expiredAccessToken: 'reject' },
      found: [withIt, missing, opaque, expired, broken],
    },
    {
      ...{ accessToken: 'required', expiredAccessToken: 'ignore-claims' },
      found: [withIt, missing, opaque, without, broken],
    },
    {
      ...{ accessToken: 'required', expiredAccessToken: 'reauthenticate' },
      found: [withIt, missing, opaque, expired, broken],
    },
    {
      ...{ accessToken: 'optional', expiredAccessToken: 'reject' },
      found: [withIt, without, without, expired, broken],
    },
    {
      ...{ accessToken: 'optional', expiredAccessToken: 'ignore-claims' },
      found: [withIt, without, without, without, broken],
    },
    {
      ...{ accessToken: 'ignore', expiredAccessToken: 'reject' },
      found: [without, without, without, without, without],
    },
  ]
  for (const { accessToken, expiredAccessToken, found } of policies) {
    const { verify, sign, access, clock } = setUp({ accessToken, expiredAccessToken })
    const tokens = [
      access(),
      undefined,
      'ya29.opaque',
      access({ payload: { exp: clock.wallSeconds() - 1 } }),
      access().replace(/.{20}$/, 'A'.repeat(20)),
    ]
    const names = ['a good one', 'none', 'an opaque one', 'an expired one', 'a broken one']
    for (const time of ['once', 'twice']) {
      for (const [i, token] of tokens.entries()) {
        const is = `${accessToken}, ${expiredAccessToken}, ${names[i] ?? ''}, ${time}`
        const result = await verify(beside(sign(), token))
        t.match(result, found[i]!, is)
        const vouched = typeof result === 'object' && 'verifiedHeaders' in result
        const expected = vouched && found[i] === withIt
        const isNamed = vouched && result.verifiedHeaders.includes('x-amzn-oidc-accesstoken')
        t.equal(isNamed, expected, `${is}: ${expected ? '' : 'not '}to be forwarded`)
      }
    }
  }
})

/** T-10 */
t.test("another user's access token is refused", async t => {
  const { verify, sign, access } = setUp()
  const his = access({ payload: { sub: MALLORY } })
  const refusal = {
    outcome: 'rejected',
    reason: 'subject_mismatch',
    source: 'access_token',
    check: 'access_binding',
    detail: "the access token's subject differs from the ALB's",
  }
  t.strictSame(await verify(beside(sign(), his)), refusal)
  t.strictSame(await verify(beside(sign(MALLORY), access())), refusal)
  t.match(await verify(beside(sign(MALLORY), his)), { outcome: 'verified', subject: MALLORY })
  const shouting = access({ payload: { sub: ALICE.sub.toUpperCase() } })
  t.strictSame(await verify(beside(sign(), shouting)), refusal, 'in another case')
})

t.test('what was proven is answered again without a promise, and counted', async t => {
  const { verify, sign, access, work, telemetry } = setUp()
  const headers = beside(sign(), access(), ALICE.sub)
  const first = await verify(headers)
  t.same(work(), ['alb', 'access'])
  const events = telemetry.take().filter(event => event.startsWith('cache'))
  t.same(events, ['cache alb miss', 'cache access_token miss'])

  const again = verify(headers)
  t.notOk(again instanceof Promise, 'at once')
  t.equal(again, first, 'the same')
  t.same(work(), [], 'without work')
  t.same(telemetry.take(), ['cache alb hit', 'cache access_token hit'])

  const alone = beside(sign())
  await verify(alone)
  telemetry.take()
  t.notOk(verify(alone) instanceof Promise)
  t.same(telemetry.take(), ['cache alb hit'], 'no access token is no look-up')
})

/** T-21: (A.data, B.access) must not be served from (A.data, A.access). */
t.test('a proof holds for what it proved, and for nothing beside it', async t => {
  const { verify, sign, access, work } = setUp()
  const [hers, his] = [sign(), sign(MALLORY)]
  const [herAccess, hisAccess] = [access(), access({ payload: { sub: MALLORY } })]
  t.match(await verify(beside(hers, herAccess)), { subject: ALICE.sub })
  t.match(await verify(beside(his, hisAccess)), { subject: MALLORY })
  work()
  const mismatch = { outcome: 'rejected', reason: 'subject_mismatch' }
  for (const time of ['once', 'twice']) {
    t.match(await verify(beside(hers, hisAccess)), mismatch, `hers with his, ${time}`)
    t.match(await verify(beside(his, herAccess)), mismatch, `his with hers, ${time}`)
    t.match(await verify(beside(hers, herAccess, MALLORY)), mismatch, `as him, ${time}`)
    t.match(await verify(beside(hers, herAccess, '')), mismatch, `as nobody, ${time}`)
  }
  t.same(work(), [], 'all of that is known, and nothing is proven by it')
  t.match(await verify(beside(hers, herAccess)), { accessClaims: { sub: ALICE.sub } })

  const bare = await verify(beside(hers))
  t.match(bare, {
    outcome: 'verified',
    accessClaims: undefined,
    verifiedHeaders: ['x-amzn-oidc-data'],
  })
  t.same(work(), [], 'the ALB token is not verified again')
  const other = access({ payload: { groups: ['other'] } })
  t.match(await verify(beside(hers, other)), { accessClaims: { groups: ['other'] } })
  t.same(work(), ['access'], 'a new access token alone is')
  t.match(await verify(beside(hers, herAccess)), { accessClaims: { groups: ['ops', 'dev'] } })
  t.same(work(), [])
})

t.test('a refusal is worked out anew', async t => {
  const { verify, sign, access, work } = setUp()
  const broken = access().replace(/.{20}$/, 'A'.repeat(20))
  for (let i = 0; i < 3; i++) {
    t.match(await verify(beside('a.b.c')), { outcome: 'rejected' })
    t.match(await verify(beside(sign(), broken)), { reason: 'signature_invalid' })
  }
  t.equal(work().filter(each => each === 'access').length, 3)
})

async function expires(t: Test, lifetimes: { readonly access: number; readonly at: number }) {
  const { verify, sign, access, clock } = setUp()
  const headers = beside(sign(), access({ lifetimeSeconds: lifetimes.access }))
  await verify(headers)
  clock.pass(lifetimes.at - 0.5)
  t.match(await verify(headers), { outcome: 'verified' }, 'until then')
  clock.pass(1)
  return verify(headers)
}

/** T-09 */
t.test('a proof ends with the first thing that proved it', async t => {
  const reason = 'token_expired'
  t.match(await expires(t, { access: 600, at: 120 }), { reason, source: 'alb' })
  t.match(await expires(t, { access: 60, at: 60 }), { reason, source: 'access_token' })
})

t.test('a withdrawn key takes back what it proved', async t => {
  const { verify, sign, access, accessKey } = setUp()
  const token = sign()
  const headers = beside(token, access())
  await verify(headers)
  t.match(verify(headers), { outcome: 'verified' })
  accessKey.isWithdrawn = true
  t.match(await verify(headers), { reason: 'key_unknown', source: 'access_token' })
  t.match(await verify(beside(token)), { outcome: 'verified' }, 'the ALB token is as good as ever')
})

t.test('without a cache everything is verified every time', async t => {
  const { verify, sign, access, work } = setUp({}, 0)
  const headers = beside(sign(), access())
  for (let i = 0; i < 3; i++) t.match(await verify(headers), { accessClaims: { sub: ALICE.sub } })
  t.same(work(), ['alb', 'access', 'alb', 'access', 'alb', 'access'])
})

t.test('a fault of a verifier is thrown and not called a refusal', async t => {
  const fault = () => Promise.reject(new RangeError('ours'))
  const { verify } = setUp({ verifyAlbToken: fault })
  await t.rejects(Promise.resolve(verify(beside('x'))), new RangeError('ours'))
  const { verify: later, sign } = setUp({ verifyAccessToken: fault })
  await t.rejects(Promise.resolve(later(beside(sign(), 'x'))), new RangeError('ours'))
})
