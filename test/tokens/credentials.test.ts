import t from 'tap'
import type { ReceivedHeaders } from '../../src/core/headers.ts'
import { parseAlbArn } from '../../src/tokens/alb-arn.ts'
import { createAlbVerifier } from '../../src/tokens/alb-token.ts'
import { createVerifyCredentials } from '../../src/tokens/credentials.ts'
import { createClock } from '../fixtures/clock.ts'
import { ALICE, ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'
import { createSignerAt, publicKeyOf } from '../fixtures/token-signers.ts'
import { recordTelemetry } from '../fixtures/token-telemetry.ts'

/** A list as node would hand it over, admitted. */
const received = (...list: readonly string[]): ReceivedHeaders => list as ReceivedHeaders

/** Text as it stands in a header: its UTF-8 bytes, read as latin-1. */
const onTheWire = (text: string): string => Buffer.from(text).toString('latin1')

function setUp() {
  const clock = createClock()
  const signer = createSignerAt(clock)
  const key = publicKeyOf(signer)
  const verifyAlbToken = createAlbVerifier({
    arns: [parseAlbArn(ARN)!],
    clients: [CLIENT],
    issuers: [ISSUER],
    toleranceSeconds: 0,
    clock,
    telemetry: recordTelemetry(),
    findKey: () => Promise.resolve(key),
  })
  const verified: string[] = []
  const verify = createVerifyCredentials(token => {
    verified.push(token)
    return verifyAlbToken(token)
  })
  const sign = (sub: string = ALICE.sub) => signer.sign({ ...ALICE, sub })
  return { verify, sign, verified, expiresAt: clock.wallSeconds() + 120 }
}

t.test('a request without the token is without credentials, whatever else it says', async t => {
  const { verify, verified } = setUp()
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
  t.same(verified, [], 'nothing was verified')
})

t.test('a believed token is credentials, and names the headers it proved', async t => {
  const { verify, sign, expiresAt } = setUp()
  const token = sign()
  const expected = {
    outcome: 'verified',
    subject: ALICE.sub,
    albClaims: { ...ALICE, exp: expiresAt, iss: ISSUER },
    expiresAt,
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
  t.strictSame(
    await verify(received('X-Amzn-Oidc-Data', token, 'X-Amzn-Oidc-Accesstoken', 'e30.e30.')),
    expected,
    'beside an access token, which it does not prove',
  )
})

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

t.test('a fault of the verifier is thrown and not called a refusal', async t => {
  const verify = createVerifyCredentials(() => Promise.reject(new RangeError('ours')))
  await t.rejects(verify(received('X-Amzn-Oidc-Data', 'x')), new RangeError('ours'))
})

t.test(
  'an identity is compared byte by byte, so that no two readings of it can differ',
  async t => {
    const { verify, sign } = setUp()
    const cases = [
      // The user whose subject is `zoÃ«` would reach the application as `zoë`.
      { sub: 'zoÃ«', identity: onTheWire('zoë'), is: 'the UTF-8 of another subject' },
      { sub: 'zoë', identity: 'zoë', is: 'latin-1' },
      { sub: 'zo\ufffd', identity: 'zo\xff', is: 'a byte that is not UTF-8' },
    ]
    for (const { sub, identity, is } of cases) {
      const headers = received('X-Amzn-Oidc-Data', sign(sub), 'X-Amzn-Oidc-Identity', identity)
      t.match(await verify(headers), { outcome: 'rejected', reason: 'subject_mismatch' }, is)
    }
  },
)
