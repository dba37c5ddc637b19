import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { Fields } from '../../simulator/signer.ts'
import { CHECK_NAMES, type Check } from '../../src/core/checks.ts'
import type { Reason } from '../../src/core/reasons.ts'
import {
  createAccessTokenVerifier,
  looksLikeJwt,
  type AccessTokenOptions,
} from '../../src/tokens/access-token.ts'
import { MAX_TOKEN_BYTES } from '../../src/tokens/alb-token.ts'
import { suits, type VerificationKey } from '../../src/tokens/jwks.ts'
import { createClock } from '../fixtures/clock.ts'
import { recordEvents } from '../fixtures/events.ts'
import {
  accessClaimsFor,
  accessTokenFor,
  ALICE_AT_IDP,
  createIdpKey,
  hmacToken,
  signTexts,
  type IdpKey,
  type TokenOverrides,
} from '../fixtures/idp.ts'
import { CLIENT } from '../fixtures/sidecar.ts'

const issuer = 'https://idp.example.com'
const KEY = createIdpKey()
const EC = createIdpKey('ES256')
const WEAK = createIdpKey('RS256', { bits: 1_024 })
const TOLERANCE = 5

/** A verifier that knows three keys, at a clock that stands still. */
function setUp(options: Partial<AccessTokenOptions> = {}) {
  const clock = createClock()
  const telemetry = recordEvents()
  const keys = new Map<string, VerificationKey>(
    [KEY, EC, WEAK].map(({ kid, publicKey }) => [
      kid,
      { key: publicKey, thumbprint: kid, isWithdrawn: false },
    ]),
  )
  const asked: string[] = []
  const verify = createAccessTokenVerifier({
    algorithms: ['RS256'],
    issuers: [issuer],
    audiences: [],
    clientClaims: ['client_id', 'cid', 'azp'],
    clients: [CLIENT],
    requireTokenUse: false,
    subjectClaim: 'sub',
    toleranceSeconds: TOLERANCE,
    clock,
    telemetry,
    findKey: kid => {
      asked.push(kid)
      return keys.get(kid) ?? Promise.resolve({ reason: 'key_unknown', detail: 'not listed' })
    },
    ...options,
  })
  const idp = { issuer, current: (): IdpKey => KEY }
  const nowSeconds = clock.wallSeconds()
  const token = (overrides: TokenOverrides = {}) =>
    accessTokenFor(idp, 'generic', { nowSeconds, ...overrides })
  const claims = (payload: Fields = {}) => accessClaimsFor(idp, 'generic', { nowSeconds, payload })
  return { verify, token, claims, clock, telemetry, asked, keys, nowSeconds }
}

type Verify = ReturnType<typeof createAccessTokenVerifier>

async function refused(t: Test, verify: Verify, reason: Reason, is: string, token: string) {
  const expected = { outcome: 'rejected', reason, source: 'access_token', detail: /^[ -~…]+$/ }
  t.match(await verify(token), expected, `${is}: ${reason}`)
}

t.test('a good token is believed, and its claims are told as they are', async t => {
  const { verify, token, claims, telemetry, asked, nowSeconds, keys } = setUp()
  const found = await verify(token({ payload: { jti: 'x' } }))
  t.strictSame(found, {
    outcome: 'verified',
    claims: claims({ jti: 'x' }),
    subject: ALICE_AT_IDP.id,
    expiresAt: nowSeconds + 600,
    key: keys.get(KEY.kid),
  })
  t.same(asked, [KEY.kid], 'with one look for the key')
  t.same(telemetry.take(), ['verified access_token'])
  t.same(telemetry.lifetimes, [600])
})

t.test('three segments of which the first is a JSON object look like a JWT', t => {
  const segment = (text: string) => Buffer.from(text).toString('base64url')
  const rows: readonly [token: string, isJwt: boolean][] = [
    [`${segment('{}')}..`, true],
    [`${segment('{"alg":"none"}')}.e30.`, true],
    [`${segment('{"alg":"RS256"}')}.not base64.!`, true],
    [`${segment(' {"a":1} ')}.b.c`, true],
    [`${Buffer.from('{"a":">>>???"}').toString('base64')}.b.c`, true],
    [`${segment('{"a":1}')}==.b.c`, true],
    [`${segment('{}')}.`, false],
    [segment('{}'), false],
    [`${segment('{}')}.a.b.c`, false],
    [`${segment('{}')}.a.b.c.d`, false],
    [`${segment('[]')}.b.c`, false],
    [`${segment('null')}.b.c`, false],
    [`${segment('"{}"')}.b.c`, false],
    [`${segment('1')}.b.c`, false],
    [`${segment('{')}.b.c`, false],
    ['a.b.c', false],
    ['..', false],
    ['', false],
    ['ya29.a0AfH6SMBx.x', false],
  ]
  for (const [token, isJwt] of rows) t.equal(looksLikeJwt(token), isJwt, token)
  t.end()
})

t.test('what does not look like a JWT is opaque, and nothing is asked about it', async t => {
  const { verify, asked, telemetry, token } = setUp()
  for (const opaque of [
    '',
    'x',
    'a.b.c',
    `Bearer ${token()}`,
    'x'.repeat(100_000),
    `.${token()}`,
  ]) {
    t.strictSame(await verify(opaque), { outcome: 'opaque' }, opaque.slice(0, 20))
  }
  t.same([asked, telemetry.take()], [[], []])
})

t.test('what can be refused without a key is', async t => {
  const { verify, token, claims, asked } = setUp()
  const [head = '', body = '', tail = ''] = token().split('.')
  const header = Buffer.from(head, 'base64url').toString()
  const pem = KEY.publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const rows: readonly [is: string, token: string, reason: Reason][] = [
    ['too long', token({ payload: { a: 'x'.repeat(MAX_TOKEN_BYTES) } }), 'token_too_large'],
    ['a space inside', `${head}.${body} .${tail}`, 'token_malformed'],
    ['wrong padding', `${head}.${body}.${tail}=`, 'token_malformed'],
    ['no payload', `${head}..${tail}`, 'token_malformed'],
    ['a payload that is a list', signTexts(KEY, header, '[]'), 'token_malformed'],
    ['a name twice', signTexts(KEY, header, '{"exp":1,"exp":2}'), 'token_malformed'],
    ['no alg', token({ header: { alg: undefined } }), 'algorithm_refused'],
    ['alg none', token({ header: { alg: 'none' } }), 'algorithm_refused'],
    ['alg a list', token({ header: { alg: ['RS256'] } }), 'algorithm_refused'],
    ['alg not accepted', token({ key: EC }), 'algorithm_refused'],
    ['HS256', hmacToken(pem, { alg: 'HS256', kid: KEY.kid }, claims()), 'algorithm_refused'],
    ['crit', token({ header: { crit: ['exp'] } }), 'algorithm_refused'],
    ['no kid', token({ header: { kid: undefined } }), 'key_unknown'],
    ['kid a number', token({ header: { kid: 1 } }), 'key_unknown'],
  ]
  for (const [is, text, reason] of rows) await refused(t, verify, reason, is, text)
  t.same(asked, [], 'no key was looked for')
})

t.test('a token of exactly 16 KiB is looked at', async t => {
  const { verify, token } = setUp()
  const padded = (length: number) => token({ payload: { jti: '', padding: 'x'.repeat(length) } })
  const shortage = MAX_TOKEN_BYTES - padded(0).length
  const at = Array.from({ length: 8 }, (_, i) => padded(Math.floor((shortage * 3) / 4) - 4 + i))
  const exact = at.find(text => text.length === MAX_TOKEN_BYTES)
  t.match(await verify(exact ?? ''), { outcome: 'verified' })
  await refused(
    t,
    verify,
    'token_too_large',
    'one more',
    at.find(x => x.length > MAX_TOKEN_BYTES)!,
  )
})

t.test('what the key store says is why', async t => {
  for (const reason of ['key_unknown', 'key_unavailable'] as const) {
    for (const fault of [{ reason, detail: 'why' }]) {
      const { verify, token } = setUp({ findKey: () => Promise.resolve(fault) })
      t.strictSame(await verify(token()), {
        ...{ outcome: 'rejected', source: 'access_token', check: 'access_key', ...fault },
      })
    }
  }
})

t.test('a key that is not for the algorithm is no key', async t => {
  const { verify, token } = setUp()
  await refused(t, verify, 'key_unknown', 'an EC key', token({ header: { kid: EC.kid } }))
  await refused(t, verify, 'key_unknown', '1024 bits', token({ key: WEAK }))
  const { verify: either } = setUp({ algorithms: ['RS256', 'ES256'] })
  t.match(
    await either(token({ key: EC })),
    { outcome: 'verified' },
    'and both, if both are accepted',
  )
  t.match(await either(token()), { outcome: 'verified' })
  await refused(
    t,
    either,
    'key_unknown',
    'ES256 under an RSA key',
    token({ header: { alg: 'ES256' } }),
  )
})

t.test('every algorithm that can be configured works', async t => {
  const algorithms = [
    ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const),
    ...(['ES256', 'ES384', 'ES512', 'EdDSA'] as const),
  ]
  const forged = generateKeyPairSync('rsa', { modulusLength: 2_048 })
  for (const algorithm of algorithms) {
    const isRsa = algorithm.startsWith('RS') || algorithm.startsWith('PS')
    const key = isRsa ? { ...KEY, algorithm } : createIdpKey(algorithm)
    t.ok(suits(key.publicKey, algorithm))
    const { verify, token } = setUp({
      algorithms,
      findKey: () => ({ key: key.publicKey, thumbprint: '', isWithdrawn: false }),
    })
    t.match(await verify(token({ key })), { outcome: 'verified' }, algorithm)
    if (isRsa) {
      const theirs = token({ key: { ...key, privateKey: forged.privateKey } })
      await refused(t, verify, 'signature_invalid', algorithm, theirs)
    }
  }
})

t.test('a signature is over these bytes, by this key, or it is none', async t => {
  const { verify, token } = setUp()
  const [head = '', body = '', tail = ''] = token().split('.')
  const other = createIdpKey('RS256', { kid: KEY.kid })
  const admins = Buffer.from('{"groups":["admins"]}').toString('base64url')
  const rows = {
    'another key of the same name': token({ key: other }),
    'the key in the header': token({ key: other, header: { jwk: other.jwk, x5c: ['x'] } }),
    'another payload': `${head}.${admins}.${tail}`,
    'another header': `${Buffer.from(`{"alg":"RS256","kid":"${KEY.kid}","a":1}`).toString('base64url')}.${body}.${tail}`,
    none: `${head}.${body}.`,
    'half of one': `${head}.${body}.${tail.slice(0, 172)}`,
    zeros: `${head}.${body}.${Buffer.alloc(256).toString('base64url')}`,
  }
  for (const [is, text] of Object.entries(rows)) {
    await refused(t, verify, 'signature_invalid', is, text)
  }
})

t.test('a token is good from nbf and iat to exp, and by so much longer', async t => {
  const { verify, token, nowSeconds: now } = setUp()
  const rows: readonly [payload: Fields, reason?: Reason][] = [
    [{ exp: now + 1 }],
    [{ exp: now }],
    [{ exp: now - TOLERANCE + 1 }],
    [{ exp: now - TOLERANCE - 1 }, 'token_expired'],
    [{ exp: 0 }, 'token_expired'],
    [{ exp: -1 }, 'token_expired'],
    [{ exp: 1e300 }],
    [{ nbf: now + TOLERANCE }],
    [{ nbf: now + TOLERANCE + 1 }, 'token_not_yet_valid'],
    [{ iat: now + TOLERANCE }],
    [{ iat: now + TOLERANCE + 1 }, 'token_not_yet_valid'],
    [{ iat: undefined }],
    [{ exp: undefined }, 'claims_invalid'],
    [{ exp: String(now + 600) }, 'claims_invalid'],
    [{ exp: null }, 'claims_invalid'],
    [{ nbf: String(now) }, 'claims_invalid'],
    [{ iat: String(now) }, 'claims_invalid'],
    [{ iat: null }, 'claims_invalid'],
  ]
  for (const [payload, reason] of rows) {
    const is = `${Object.keys(payload).join()} ${JSON.stringify(payload)}`
    const text = token({ payload })
    if (reason === undefined) t.match(await verify(text), { outcome: 'verified' }, is)
    else await refused(t, verify, reason, is, text)
  }
})

t.test('Infinity is no time', async t => {
  const { verify, claims } = setUp()
  const header = JSON.stringify({ alg: 'RS256', kid: KEY.kid })
  for (const name of ['exp', 'nbf', 'iat']) {
    for (const text of ['1e999', '-1e999']) {
      const payload = JSON.stringify(claims({ [name]: '@' })).replace('"@"', text)
      const found = await verify(signTexts(KEY, header, payload))
      // By the time that infinity is noticed, some of them have been refused for what it means.
      t.match(found, { outcome: 'rejected', source: 'access_token' }, `${name} ${text}`)
    }
  }
  const early = JSON.stringify(claims({ nbf: '@' })).replace('"@"', '-1e999')
  await refused(t, verify, 'claims_invalid', 'nbf', signTexts(KEY, header, early))
})

/** SPEC §4.6 and §5: the same rule for both tokens and for the cache. */
t.test('at the very end of the tolerance a token is good, as an ALB token is', async t => {
  const { verify, token, nowSeconds: now } = setUp()
  t.match(await verify(token({ payload: { exp: now - TOLERANCE } })), { outcome: 'verified' })
})

t.test('half a second beyond the tolerance is beyond it', async t => {
  const { verify, token, nowSeconds: now } = setUp()
  const late = token({ payload: { exp: now - TOLERANCE - 0.5 } })
  await refused(t, verify, 'token_expired', 'exp', late)
  const early = token({ payload: { nbf: now + TOLERANCE + 0.5 } })
  await refused(t, verify, 'token_not_yet_valid', 'nbf', early)
})

t.test('a key that its set allows for one algorithm is not used for another', async t => {
  for (const algorithm of ['RS256', 'PS256', 'RS512']) {
    const { verify, token } = setUp({
      findKey: () => ({ key: KEY.publicKey, algorithm, thumbprint: '', isWithdrawn: false }),
    })
    if (algorithm === 'RS256') t.match(await verify(token()), { outcome: 'verified' }, algorithm)
    else await refused(t, verify, 'key_unknown', algorithm, token())
  }
})

t.test('the issuer is compared exactly', async t => {
  const { verify, token } = setUp()
  for (const iss of [`${issuer}/`, issuer.toUpperCase(), [issuer], null, 1, '', {}]) {
    const text = token({ payload: { iss } })
    await refused(t, verify, 'issuer_mismatch', JSON.stringify(iss), text)
  }
  await refused(t, verify, 'claims_invalid', 'none', token({ payload: { iss: undefined } }))
  const { verify: either } = setUp({ issuers: ['https://other.example.com', issuer] })
  t.match(await either(token()), { outcome: 'verified' }, 'one of several')
})

t.test('a token wrong in several ways is refused for the first of the table', async t => {
  const { verify, token, nowSeconds, keys } = setUp({ audiences: ['app'] })
  const aside = { ...createIdpKey(), kid: KEY.kid }
  const unlisted = { ...KEY, kid: 'unlisted' }
  /** In the order of the table, but for the first and the last two, which are about other things. */
  const faults: readonly (TokenOverrides & { check: Check })[] = [
    { check: 'access_size', payload: { filler: 'x'.repeat(20_000) } },
    { check: 'access_algorithm', header: { alg: 'PS256' } },
    { check: 'access_key', header: { kid: undefined } },
    { check: 'access_key', key: unlisted },
    { check: 'access_key', header: { kid: EC.kid } },
    { check: 'access_signature', key: aside },
    { check: 'access_issuer', payload: { iss: 'https://evil.example.com' } },
    { check: 'access_times', payload: { exp: undefined } },
    { check: 'access_times', payload: { exp: nowSeconds - 60 } },
    { check: 'access_times', payload: { nbf: nowSeconds + 60 } },
    { check: 'access_audience', payload: { aud: 'another' } },
    { check: 'access_client', payload: { client_id: 'another' } },
    { check: 'access_use', payload: { token_use: 'id' } },
    { check: 'access_use', payload: { at_hash: 'x' } },
    { check: 'access_subject', payload: { sub: 7 } },
  ]
  const good = { aud: 'app' }
  const tokenWith = (wrong: readonly TokenOverrides[]) => {
    const latestFirst = wrong.toReversed()
    const payload = Object.assign({}, good, ...latestFirst.map(each => each.payload)) as Fields
    const header = Object.assign({}, ...latestFirst.map(each => each.header)) as Fields
    const key = wrong.find(each => each.key !== undefined)?.key
    return token({ header, payload, ...(key && { key }) })
  }
  t.match(await verify(tokenWith([])), { outcome: 'verified' })
  for (const [at, fault] of faults.entries()) {
    const found = [await verify(tokenWith([fault])), await verify(tokenWith(faults.slice(at)))]
    t.match(found, [{ check: fault.check }, { check: fault.check }], fault.check)
  }
  const compact = tokenWith([])
  t.match(await verify(`${compact}=`), { check: 'access_shape' })
  const made = [...new Set(faults.map(({ check }) => check))]
  const table = CHECK_NAMES.filter(name => made.includes(name))
  t.same(made, table, 'the table tells the order')
  t.equal(keys.size, 3)
})

t.test('without an audience rule, the client must be ours', async t => {
  const { verify, token } = setUp()
  const good = [{}, { aud: undefined }, { client_id: undefined, cid: CLIENT }]
  for (const payload of good) t.match(await verify(token({ payload })), { outcome: 'verified' })
  const bad: readonly Fields[] = [
    ...[{ client_id: 'x' }, { client_id: undefined }, { client_id: null }, { client_id: [CLIENT] }],
    ...[
      { client_id: 'x', azp: CLIENT },
      { client_id: undefined, aud: CLIENT },
    ],
  ]
  for (const payload of bad) {
    await refused(t, verify, 'client_mismatch', JSON.stringify(payload), token({ payload }))
  }
})

t.test('with an audience rule, a client that is named must be ours as well', async t => {
  const audiences = ['https://app.example.com', 'second']
  const { verify, token } = setUp({ audiences })
  const good = [{}, { aud: ['x', 'second'] }, { client_id: undefined }]
  for (const payload of good) t.match(await verify(token({ payload })), { outcome: 'verified' })
  const bad: readonly [Fields, Reason][] = [
    ...[{ aud: 'x' }, { aud: [] }, { aud: undefined }, { aud: [['second']] }, { aud: 1 }].map(
      (payload): [Fields, Reason] => [payload, 'audience_mismatch'],
    ),
    [{ client_id: 'x' }, 'client_mismatch'],
    [{ client_id: null }, 'client_mismatch'],
  ]
  for (const [payload, reason] of bad) {
    await refused(t, verify, reason, JSON.stringify(payload), token({ payload }))
  }
  const { verify: anyClient } = setUp({ audiences, clients: 'any' })
  t.match(await anyClient(token({ payload: { client_id: 'x' } })), { outcome: 'verified' })
})

t.test('a token of another kind is refused', async t => {
  const { verify, token } = setUp()
  const { verify: cognito } = setUp({ requireTokenUse: true })
  const other = 'token_use_mismatch'
  for (const payload of [
    ...[{ token_use: 'id' }, { token_use: null }, { token_use: ['access'] }, { at_hash: 'x' }],
    ...[{ typ: 'ID' }, { typ: 'Refresh' }, { typ: 'Offline' }, { typ: 'logout' }],
  ]) {
    await refused(t, verify, other, JSON.stringify(payload), token({ payload }))
  }
  for (const typ of ['id+jwt', 'ID_TOKEN', 'application/id+jwt', 'logout+jwt', 'id']) {
    await refused(t, verify, other, typ, token({ header: { typ } }))
  }
  for (const typ of ['JWT', 'at+jwt', 'application/at+jwt', 'Bearer', undefined, 'identity', 1]) {
    t.match(await verify(token({ header: { typ } })), { outcome: 'verified' }, String(typ))
  }
  t.match(await verify(token({ payload: { typ: 'Bearer' } })), { outcome: 'verified' })
  t.match(await verify(token({ payload: { token_use: 'access' } })), { outcome: 'verified' })
  t.match(await cognito(token({ payload: { token_use: 'access' } })), { outcome: 'verified' })
  await refused(t, cognito, other, 'no token_use', token())
})

t.test('the subject is where the operator says, and text', async t => {
  const { verify, token } = setUp({ subjectClaim: 'uid' })
  t.match(await verify(token({ payload: { uid: 'u', sub: 's' } })), { subject: 'u' })
  for (const uid of [undefined, null, '', 1, ['u'], {}]) {
    await refused(t, verify, 'claims_invalid', JSON.stringify({ uid }), token({ payload: { uid } }))
  }
  const { verify: odd } = setUp({ subjectClaim: 'toString' })
  await refused(t, odd, 'claims_invalid', 'an inherited name', token())
})

/** T-14: own properties alone are claims. */
t.test('what an object inherits is no claim', async t => {
  const { verify, claims } = setUp()
  const header = JSON.stringify({ alg: 'RS256', kid: KEY.kid })
  const rest = JSON.stringify(claims({ sub: undefined, client_id: undefined })).slice(1)
  const text = `{"__proto__":{"sub":"alice","client_id":"${CLIENT}"},${rest}`
  await refused(t, verify, 'client_mismatch', '__proto__', signTexts(KEY, header, text))
  t.notOk('client_id' in {})
})

t.test('whatever is sent, there is an answer', async () => {
  const { verify, token } = setUp()
  const good = token()
  const piece = fc.oneof(
    fc.constantFrom(...good.split('.'), '', 'e30', 'bnVsbA'),
    fc.string({ maxLength: 40 }),
    fc.json({ maxDepth: 3 }).map(text => Buffer.from(text).toString('base64url')),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 5 }), async pieces => {
      const text = pieces.join('.')
      const { outcome } = await verify(text)
      return outcome !== 'verified' || text === good
    }),
    { numRuns: 500 },
  )
})

t.test('a fault of ours is thrown and not called a refusal', async t => {
  const fault = new RangeError('ours')
  const { verify, token } = setUp({
    findKey: () => {
      throw fault
    },
  })
  await t.rejects(verify(token()), fault)
  const hostile = { split: () => [{ toString: () => 'x' }, '', ''] } as unknown as string
  await t.rejects(verify(hostile), TypeError)
})
