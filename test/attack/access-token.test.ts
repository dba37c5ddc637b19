/**
 * Somebody who is signed in, or who reaches the sidecar past the load balancer with a captured token,
 * makes an access token: forged, borrowed, of another kind, of another client, stale, spelled in odd
 * ways, or under a key that is not there. The ALB does not sign it; nobody but us looks at it.
 *
 * ConsoleMe takes the algorithm from the token, and takes a broken signature for "no groups"
 * (THREATS T-03, T-10 to T-12).
 */
import { spawnSync } from 'node:child_process'
import t from 'tap'
import type { Fields } from '../../simulator/signer.ts'
import type { Reason } from '../../src/core/reasons.ts'
import {
  accessClaimsFor,
  accessTokenFor,
  createIdpKey,
  hmacToken,
  signTexts,
  startIdp,
} from '../fixtures/idp.ts'
import { bareNode } from '../fixtures/node.ts'
import { PATIENCE_MS } from '../fixtures/patience.ts'
import { startPlace } from '../fixtures/place.ts'
import { startRecorder } from '../fixtures/recorder.ts'
import { ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'
import { lineOf, signedIn } from '../fixtures/visit.ts'
import { each } from './rows.ts'

const recorder = await startRecorder(t)
const AUDIENCE = 'https://app.example.com'
const [required, optional, ignoring, audience, several, anyClient] = await Promise.all([
  startPlace(t, recorder, 'cognito'),
  startPlace(t, recorder, 'generic', { ACCESS_TOKEN: 'optional', CLOCK_TOLERANCE: '0s' }),
  startPlace(t, recorder, 'generic', { ACCESS_TOKEN: 'ignore' }),
  startPlace(t, recorder, 'generic', {
    ACCESS_TOKEN: 'required',
    ACCESS_TOKEN_AUDIENCES: `${AUDIENCE},https://second.example.com`,
  }),
  startPlace(t, recorder, 'generic', {
    ACCESS_TOKEN: 'required',
    ACCESS_TOKEN_ALGORITHMS: 'RS256,PS256,ES256,ES384,ES512,EdDSA',
  }),
  startPlace(t, recorder, 'generic', {
    ACCESS_TOKEN: 'required',
    ALB_CLIENT_IDS: '',
    UNSAFE_ALLOW_ANY_CLIENT: 'true',
    ACCESS_TOKEN_AUDIENCES: AUDIENCE,
  }),
])

const now = () => Math.floor(Date.now() / 1_000)
const json = JSON.stringify
const segment = (text: string | Buffer) => Buffer.from(text).toString('base64url')

/** The last token segment with one bit changed in its middle. */
function broken(token: string): string {
  const [head = '', body = '', tail = ''] = token.split('.')
  const bytes = Buffer.from(tail, 'base64url')
  bytes.writeUInt8(bytes.readUInt8(100) ^ 1, 100)
  return `${head}.${body}.${segment(bytes)}`
}

/** T-03. The algorithm is the operator's choice; the token only chooses among them. */
t.test('the token does not choose its algorithm', async t => {
  const { idp, access, data, refused, ask } = required
  const key = idp.current()
  const { kid } = key
  const ec = createIdpKey('ES256')
  const ps = createIdpKey('PS256')
  for (const each of [ec, ps]) idp.publish(each)
  const payload = accessClaimsFor(idp, 'cognito')
  const pem = key.publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const der = key.publicKey.export({ type: 'spki', format: 'der' })
  const hmac = (secret: string | Buffer, alg = 'HS256') => hmacToken(secret, { alg, kid }, payload)
  const unsigned = (alg: unknown, signature = '') =>
    `${segment(json({ alg, kid }))}.${segment(json(payload))}.${signature}`
  const lying = (alg: unknown) => access({ header: { alg } })

  const rows = {
    'none, no signature': unsigned('none'),
    None: unsigned('None'),
    'nOnE, with a signature': unsigned('nOnE', 'AAAA'),
    'no name at all': unsigned(''),
    'none, properly signed': lying('none'),
    'HS256 with the PEM': hmac(pem),
    'HS256 with the PEM without its last newline': hmac(pem.trimEnd()),
    'HS256 with the DER': hmac(der),
    'HS256 with the DER in base64': hmac(der.toString('base64')),
    'HS256 with the modulus': hmac(String(key.jwk['n'])),
    'HS256 with nothing': hmac(''),
    HS384: hmac(pem, 'HS384'),
    HS512: hmac(pem, 'HS512'),
    'RS256 that is called HS256': lying('HS256'),
    'RS384 that is RS256': lying('RS384'),
    'RS512 that is RS256': lying('RS512'),
    'PS256, truly': access({ key: ps }),
    'ES256, truly': access({ key: ec }),
    'RS256 in lower case': lying('rs256'),
    'RS256 and a space': lying('RS256 '),
    RS1: lying('RS1'),
    'RSA-OAEP': lying('RSA-OAEP'),
    dir: lying('dir'),
    'a list': lying(['RS256']),
    'an object': lying({ RS256: true }),
    'a number': lying(256),
    true: lying(true),
    null: lying(null),
    absent: lying(undefined),
    __proto__: lying('__proto__'),
    toString: lying('toString'),
    'crit, unknown': access({ header: { crit: ['x'] } }),
    'crit, empty': access({ header: { crit: [] } }),
    'crit, exp': access({ header: { crit: ['exp'], exp: 0 } }),
    'crit, b64': access({ header: { crit: ['b64'], b64: false } }),
  }
  await each(Object.entries(rows), async ([is, token]) => {
    await refused(t, signedIn(data(), token), { is, reason: 'algorithm_refused' })
  })
  t.match(await ask(signedIn(data(), access())), { status: 200 }, 'the true one is still believed')
})

t.test('a key is used for what it is for', async t => {
  const { idp, access, data, refused } = required
  const ec = createIdpKey('ES256')
  const weak = createIdpKey('RS256', { bits: 1024 })
  const encrypting = createIdpKey()
  for (const each of [ec, weak]) idp.publish(each)
  idp.publish({ ...encrypting, jwk: { ...encrypting.jwk, use: 'enc' } })
  idp.publish({ ...ec, kid: 'oct', jwk: { kty: 'oct', k: 'c2VjcmV0', kid: 'oct', alg: 'RS256' } })
  // Whatever was not listed at start is looked for once in thirty seconds; this is that once.
  await required.ask(signedIn(data(), access({ key: weak })))

  const evil = createIdpKey()
  const { publicKey } = evil
  const jwk = publicKey.export({ format: 'jwk' })
  const kid = idp.current().kid
  const rows: readonly [is: string, token: string, reason: Reason][] = [
    ['RS256 under the name of an EC key', access({ header: { kid: ec.kid } }), 'key_unknown'],
    ['signed with 1024 bits', access({ key: weak }), 'key_unknown'],
    ['signed with a key for encryption', access({ key: encrypting }), 'key_unknown'],
    ['under a symmetric key', access({ header: { kid: 'oct' } }), 'key_unknown'],
    ['under a key that nobody listed', access({ key: evil }), 'key_unknown'],
    ['without kid', access({ header: { kid: undefined } }), 'key_unknown'],
    ['kid is a number', access({ header: { kid: 1 } }), 'key_unknown'],
    ['kid is a list', access({ header: { kid: [kid] } }), 'key_unknown'],
    ['kid is an object', access({ header: { kid: { kid } } }), 'key_unknown'],
    ['kid is empty', access({ header: { kid: '' } }), 'key_unknown'],
    ['kid is __proto__', access({ header: { kid: '__proto__' } }), 'key_unknown'],
    ['kid climbs', access({ header: { kid: '../../dev/null' } }), 'key_unknown'],
    ['kid and a space', access({ header: { kid: `${kid} ` } }), 'key_unknown'],
    ['kid of 10 KB', access({ header: { kid: 'k'.repeat(10_000) } }), 'key_unknown'],
    ['another key under the listed name', access({ key: { ...evil, kid } }), 'signature_invalid'],
    [
      'and that key in jwk',
      access({ key: { ...evil, kid }, header: { jwk } }),
      'signature_invalid',
    ],
    [
      'and that key at jku',
      access({ key: { ...evil, kid }, header: { jku: `${idp.jwksUrl}?evil`, x5u: idp.jwksUrl } }),
      'signature_invalid',
    ],
  ]
  await each(rows, async ([is, token, reason]) => {
    await refused(t, signedIn(data(), token), { is, reason })
  })
  t.notMatch(idp.requests.join(), /evil/, 'jku is not asked')
})

t.test('every listed algorithm works with its own keys, and with no others', async t => {
  const { idp, access, data, refused, ask } = several
  const kinds = ['RS256', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA']
  const keys = kinds.map(kind => createIdpKey(kind))
  for (const key of keys) idp.publish(key)
  const before = idp.jwksFetches()
  const first = await Promise.all(keys.map(key => ask(signedIn(data(), access({ key })))))
  t.same([...new Set(first.map(({ status }) => status))], [200], 'new keys are found at once')
  t.equal(idp.jwksFetches() - before, 1, 'by one look at the set, for six that ask together')
  for (const key of keys) {
    const seen = await ask(signedIn(data(), access({ key })))
    t.match(seen, { status: 200, groups: ['dev,ops'] }, `${key.algorithm} with its own key`)
  }
  const rows = keys.flatMap(key => kinds.map(alg => ({ key, alg })))
  await each(rows, async ({ key, alg }) => {
    if (alg === key.algorithm) return
    const is = `${alg} under the key for ${key.algorithm}`
    const sent = signedIn(data(), access({ key, header: { alg } }))
    await refused(t, sent, { is, reason: 'key_unknown' })
  })
})

/** T-12: `InvalidSignature` is a `DecodeError` in PyJWT, and ConsoleMe passes over those. */
t.test('a bad signature is never "opaque"', async t => {
  for (const { place, vendor, is } of [
    { place: required, vendor: 'cognito', is: 'required' },
    { place: optional, vendor: 'generic', is: 'optional' },
  ] as const) {
    const { idp, access, data, refused } = place
    const token = access()
    const [head = '', body = '', tail = ''] = token.split('.')
    const admins = { ...accessClaimsFor(idp, vendor), groups: ['admins'] }
    const rows: Readonly<Record<string, readonly [string, Reason]>> = {
      'one bit of the signature': [broken(token), 'signature_invalid'],
      'another payload': [`${head}.${segment(json(admins))}.${tail}`, 'signature_invalid'],
      "another token's signature": [
        `${head}.${body}.${access({ payload: { jti: 'x' } }).split('.')[2] ?? ''}`,
        'signature_invalid',
      ],
      'no signature': [`${head}.${body}.`, 'signature_invalid'],
      'half a signature': [`${head}.${body}.${tail.slice(0, 172)}`, 'signature_invalid'],
      'the signature twice': [`${head}.${body}.${tail}${tail}`, 'signature_invalid'],
      'no payload': [`${head}..${tail}`, 'token_malformed'],
      'an empty header': [`${segment('{}')}.${body}.${tail}`, 'algorithm_refused'],
      'a payload that is no JSON': [`${head}.${segment('x')}.${tail}`, 'token_malformed'],
      'a payload that is a list': [signTexts(idp.current(), jsonOf(head), '[]'), 'token_malformed'],
      'a name twice in the header': [
        signTexts(
          idp.current(),
          `{"alg":"none","alg":"RS256","kid":${json(idp.current().kid)}}`,
          json(admins),
        ),
        'token_malformed',
      ],
      'a name twice in the payload': [
        signTexts(idp.current(), jsonOf(head), json(admins).replace('{', '{"exp":1,')),
        'token_malformed',
      ],
      'longer than 16 KiB': [
        access({ payload: { padding: 'x'.repeat(16_384) } }),
        'token_too_large',
      ],
    }
    await each(Object.entries(rows), async ([what, [forged, reason]]) => {
      await refused(t, signedIn(data(), forged), { is: `${is}: ${what}`, reason })
    })
  }
})

/** The text of an encoded segment. */
function jsonOf(encoded: string): string {
  return Buffer.from(encoded, 'base64url').toString()
}

/** T-07: one token has one spelling, or the cache and the log could be filled with its others. */
t.test('a good token in another spelling is not a good token', async t => {
  const { access, data, refused, ask } = required
  const token = access()
  const [head = '', body = '', tail = ''] = token.split('.')
  t.match(await ask(signedIn(data(), token)), { status: 200 }, 'as it was signed')
  // 256 bytes leave four bits of the last character unused.
  const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const at = last.indexOf(tail.slice(-1))
  const rows = {
    'a space inside': `${head}.${body}.${tail.slice(0, 9)} ${tail.slice(9)}`,
    'a tab before a dot': `${head}\t.${body}.${tail}`,
    'a trailing dot': `${head}.${body}.${tail}=.`,
    'half a padding': `${head}.${body}.${tail}=`,
    'three paddings': `${head}.${body}.${tail}===`,
    'other unused bits': `${head}.${body}.${tail.slice(0, -1)}${last[at ^ 1] ?? ''}`,
    'plain base64': `${head}.${body}.${tail.replaceAll('-', '+').replaceAll('_', '/')}`,
    'a percent escape': `${head}%2e${body}.${tail}`,
    'the payload padded': `${head}.${body}${'='.repeat(4 - (body.length % 4 || 4)) || '='}.${tail}`,
    'a comma behind': `${token},`,
    'twice in one value': `${token}, ${token}`,
  }
  for (const [is, respelled] of Object.entries(rows)) {
    if (respelled === token) continue
    const seen = await ask(signedIn(data(), respelled))
    t.match(seen, { status: 401, arrived: false }, is)
    const { reason } = await lineOf(required.rig.output, seen.answer)
    t.match(reason, /^(?:token_malformed|signature_invalid|token_opaque)$/, is)
  }
  for (const is of ['Bearer', 'bearer', 'DPoP']) {
    const headers = signedIn(data(), `${is} ${token}`)
    await refused(t, headers, { is: `${is} in front`, reason: 'token_opaque' })
  }
})

t.test('what is not there, and what is opaque', async t => {
  const opaque = ['ya29.a0AfH6SMBx', 'x', 'a.b.c', '..', '.', 'a.b.c.d.e', 'null.null.null']
  await each(opaque, async token => {
    await required.refused(t, signedIn(required.data(), token), {
      is: `required, ${token}`,
      reason: 'token_opaque',
    })
    const seen = await optional.ask(signedIn(optional.data(), token))
    t.match(seen, { status: 200, groups: ['dev,ops'] }, `optional, ${token}: the ALB's groups`)
    t.same(seen.accessToken, [], `optional, ${token}: not forwarded`)
  })
  await required.refused(t, signedIn(required.data()), {
    is: 'required, none',
    reason: 'token_missing',
  })
  t.match(await optional.ask(signedIn(optional.data())), { status: 200 }, 'optional, none')
  for (const empty of ['', ' ']) {
    const seen = await required.ask(signedIn(required.data(), empty))
    t.match(seen, { status: 401, arrived: false }, 'required, an empty one')
    const lenient = await optional.ask(signedIn(optional.data(), empty))
    t.match(lenient, { status: 200, accessToken: [] }, 'optional, an empty one')
  }

  const good = optional.access()
  const seen = await optional.ask(signedIn(optional.data(), good))
  t.match(seen, { status: 200, accessToken: [good] }, 'optional, a good one')

  const mine = ignoring.access()
  for (const token of [mine, broken(mine), 'x', ignoring.access({ payload: { exp: 1 } })]) {
    const seen = await ignoring.ask(signedIn(ignoring.data(), token))
    t.match(seen, { status: 200, groups: ['dev,ops'] }, 'ignored, whatever it is')
    t.same(seen.accessToken, [], 'ignored: not forwarded')
  }
  t.same(ignoring.idp.requests, [], 'ignored: the provider is not asked for keys')
})

/** T-11. A token for another client is good, and not for us. */
t.test('a token is for whom it says', async t => {
  const client = 'client_mismatch'
  const aud = 'audience_mismatch'
  const other = 'another-client'
  const byClient: readonly [Fields, Reason | 200][] = [
    [{ aud: 'https://any.example.com' }, 200],
    [{ aud: undefined }, 200],
    [{ client_id: undefined }, client],
    [{ client_id: other }, client],
    [{ client_id: undefined, azp: CLIENT }, 200],
    [{ client_id: undefined, cid: CLIENT }, 200],
    [{ client_id: other, azp: CLIENT }, client],
    [{ client_id: null }, client],
    [{ client_id: [CLIENT] }, client],
    [{ client_id: '' }, client],
    [{ client_id: ` ${CLIENT}` }, client],
    [{ client_id: CLIENT.toUpperCase() }, client],
    [{ client_id: undefined, aud: CLIENT }, client],
  ]
  for (const [payload, expected] of byClient) {
    const is = `client rule: ${json(payload)}, ${Object.keys(payload).join()}`
    const headers = signedIn(optional.data(), optional.access({ payload }))
    if (expected === 200) t.match(await optional.ask(headers), { status: 200 }, is)
    else await optional.refused(t, headers, { is, reason: expected })
  }

  const byBoth: readonly [Fields, Reason | 200][] = [
    [{}, 200],
    [{ aud: [AUDIENCE] }, 200],
    [{ aud: ['https://x.example.com', AUDIENCE] }, 200],
    [{ aud: 'https://second.example.com' }, 200],
    [{ client_id: undefined }, 200],
    [{ client_id: other }, client],
    [{ aud: undefined }, aud],
    [{ aud: [] }, aud],
    [{ aud: null }, aud],
    [{ aud: `${AUDIENCE}/` }, aud],
    [{ aud: `${AUDIENCE},https://second.example.com` }, aud],
    [{ aud: { [AUDIENCE]: true } }, aud],
    [{ aud: [[AUDIENCE]] }, aud],
    [{ aud: CLIENT }, aud],
  ]
  for (const [payload, expected] of byBoth) {
    const is = `both rules: ${json(payload)}, ${Object.keys(payload).join()}`
    const headers = signedIn(audience.data(), audience.access({ payload }))
    if (expected === 200) t.match(await audience.ask(headers), { status: 200 }, is)
    else await audience.refused(t, headers, { is, reason: expected })
  }

  const { ask, data, access, refused } = anyClient
  const anybody = access({ payload: { client_id: other } })
  t.match(await ask(signedIn(data(), anybody)), { status: 200 }, 'audience alone: any client')
  await refused(t, signedIn(data(), access({ payload: { aud: CLIENT } })), {
    is: 'audience alone: another audience',
    reason: aud,
  })
})

t.test('without a rule for whom a token must be, or with a weak one, nothing starts', t => {
  const rows = [
    { IDP: 'cognito', UNSAFE_ALLOW_ANY_CLIENT: 'true', says: /ACCESS_TOKEN_AUDIENCES is required/ },
    {
      ALB_CLIENT_IDS: CLIENT,
      ACCESS_TOKEN_ALGORITHMS: 'none',
      says: /ACCESS_TOKEN_ALGORITHMS must/,
    },
    {
      ALB_CLIENT_IDS: CLIENT,
      ACCESS_TOKEN_ALGORITHMS: 'HS256',
      says: /ACCESS_TOKEN_ALGORITHMS must/,
    },
  ]
  for (const { says, ...settings } of rows) {
    const { status, stderr } = spawnSync(...bareNode(['dist/main.js']), {
      env: { PATH: process.env['PATH'], ALB_ARNS: ARN, OIDC_ISSUER: ISSUER, ...settings },
      encoding: 'utf8',
      timeout: PATIENCE_MS,
    })
    t.equal(status, 78, json(settings))
    t.match(stderr, says, json(settings))
  }
  t.end()
})

/** T-11: an ID token is signed with the same key, for the same client, about the same user. */
t.test('a token of another kind is refused', async t => {
  const rows: readonly { header?: Fields; payload?: Fields }[] = [
    { payload: { token_use: 'id' } },
    { payload: { token_use: 'refresh' } },
    { payload: { token_use: 'Access' } },
    { payload: { token_use: ['access'] } },
    { payload: { token_use: null } },
    { payload: { at_hash: 'HK6E_P6Dh8Y93mRNtsDB1Q' } },
    { payload: { at_hash: null } },
    { payload: { typ: 'ID' } },
    { payload: { typ: 'Refresh' } },
    { payload: { typ: 'Offline' } },
    { payload: { typ: 'Logout' } },
    { header: { typ: 'id_token' } },
    { header: { typ: 'ID+JWT' } },
    { header: { typ: 'application/id+jwt' } },
    { header: { typ: 'logout+jwt' } },
  ]
  for (const { place, is } of [
    { place: required, is: 'cognito' },
    { place: optional, is: 'generic' },
  ]) {
    for (const overrides of rows) {
      const headers = signedIn(place.data(), place.access(overrides))
      const what = `${is}: ${json(overrides)}`
      await place.refused(t, headers, { is: what, reason: 'token_use_mismatch' })
    }
  }
  await required.refused(
    t,
    signedIn(required.data(), required.access({ payload: { token_use: undefined } })),
    { is: 'cognito, without token_use', reason: 'token_use_mismatch' },
  )
  const kinds = ['at+jwt', 'AT+JWT', 'application/at+jwt', 'JWT', 'jwt', undefined]
  for (const typ of kinds) {
    const seen = await optional.ask(signedIn(optional.data(), optional.access({ header: { typ } })))
    t.match(seen, { status: 200 }, `typ ${typ ?? 'absent'} is an access token's`)
  }
})

/** T-08, T-13: 1e999 is JSON for Infinity, and a text compares with a number as it likes. */
t.test('a time that is no time is refused', async t => {
  const { idp, data, refused, ask } = optional
  const key = idp.current()
  const header = json({ alg: 'RS256', kid: key.kid })
  /** The claims with one of them written as it stands. */
  const withText = (name: string, text: string): string => {
    const claims = json(accessClaimsFor(idp, 'generic', { payload: { [name]: '@' } }))
    return signTexts(key, header, claims.replace(`"${name}":"@"`, `"${name}":${text}`))
  }
  const odd = ['1e999', '-1e999', 'null', 'true', '[]', '{}', '"x"', `"${now() + 600}"`, '""']
  const rows: [string, string, Reason][] = odd.flatMap(text =>
    ['exp', 'nbf', 'iat'].map((name): [string, string, Reason] => [name, text, 'claims_invalid']),
  )
  rows.push(
    ['exp', '0', 'token_expired'],
    ['exp', '-1', 'token_expired'],
    ['exp', String(now() - 1), 'token_expired'],
    ['exp', String(now() - 0.5), 'token_expired'],
    ['nbf', String(now() + 60), 'token_not_yet_valid'],
    ['nbf', '1e300', 'token_not_yet_valid'],
    ['nbf', String((now() - 60) * 1_000), 'token_not_yet_valid'],
    ['iat', String(now() + 60), 'token_not_yet_valid'],
    ['iat', '1e300', 'token_not_yet_valid'],
    ['iss', 'null', 'issuer_mismatch'],
    ['iss', '1', 'issuer_mismatch'],
    ['iss', `"${idp.issuer}/"`, 'issuer_mismatch'],
    ['iss', `"${idp.issuer.toUpperCase()}"`, 'issuer_mismatch'],
    ['iss', `["${idp.issuer}"]`, 'issuer_mismatch'],
    ['iss', '"https://evil.example.com"', 'issuer_mismatch'],
    ['iss', `"${ISSUER}"`, 'issuer_mismatch'],
    ['sub', '1', 'claims_invalid'],
    ['sub', 'null', 'claims_invalid'],
    ['sub', '""', 'claims_invalid'],
    ['sub', '{}', 'claims_invalid'],
    ['sub', '"00U1ALICE5D7"', 'subject_mismatch'],
    ['sub', '" 00u1alice5d7"', 'subject_mismatch'],
    ['sub', '"00u1alice5d7\\u0000"', 'subject_mismatch'],
  )
  await each(rows, async ([name, text, reason]) => {
    await refused(t, signedIn(data(), withText(name, text)), { is: `${name} is ${text}`, reason })
  })
  const absent: readonly [string, Reason][] = [
    ['exp', 'claims_invalid'],
    ['iss', 'claims_invalid'],
    ['sub', 'claims_invalid'],
  ]
  for (const [name, reason] of absent) {
    const headers = signedIn(data(), optional.access({ payload: { [name]: undefined } }))
    await refused(t, headers, { is: `no ${name}`, reason })
  }
  for (const payload of [{ iat: undefined }, { nbf: now() - 5 }, { exp: 1e300 }, { iat: 0 }]) {
    const seen = await ask(signedIn(data(), optional.access({ payload })))
    t.match(seen, { status: 200 }, `${json(payload)} is a time`)
  }
})

t.test('a token of another issuer is refused, though its key has the same name', async t => {
  const { idp, data, refused } = required
  const evil = await startIdp(t)
  const key = { ...evil.current(), kid: idp.current().kid }
  const theirs = accessTokenFor(evil, 'cognito', { key })
  await refused(t, signedIn(data(), theirs), {
    is: 'their issuer, their key, our kid',
    reason: 'signature_invalid',
  })
  const ours = accessTokenFor(evil, 'cognito', { key: idp.current() })
  await refused(t, signedIn(data(), ours), { is: 'our key', reason: 'issuer_mismatch' })
})
