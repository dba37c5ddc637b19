import { createHmac, generateKeyPairSync, sign as signBytes, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { createSigner, type Fields, type Overrides, type Signer } from '../../simulator/signer.ts'
import { listen } from '../../simulator/loopback.ts'
import { systemClock } from '../../src/core/clock.ts'
import { CHECK_NAMES, type Check } from '../../src/core/checks.ts'
import type { Reason } from '../../src/core/reasons.ts'
import { parseAlbArn, type AlbArn } from '../../src/tokens/alb-arn.ts'
import {
  createAlbVerifier,
  MAX_TOKEN_BYTES,
  type AlbTokenOptions,
} from '../../src/tokens/alb-token.ts'
import { createClock } from '../fixtures/clock.ts'
import { ALICE, ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'
import { createSignerAt, oddSignatures, publicKeyOf } from '../fixtures/token-signers.ts'
import { recordTelemetry } from '../fixtures/token-telemetry.ts'

const TOLERANCE = 5
const KID = 'c2f80c8b-c05c-4068-af14-17299f7896b1'

/** An ARN, read. */
function arn(text: string): AlbArn {
  const parsed = parseAlbArn(text)
  if (parsed === undefined) throw new Error(`not an ARN: ${text}`)
  return parsed
}

/**
 * A verifier for the tokens of `signer`, at a clock that stands still.
 * `asked` holds every look-up for a key, as region and kid; `publish` makes one more be found.
 */
function setUp(options: Partial<AlbTokenOptions> = {}) {
  const clock = createClock()
  const signer = createSignerAt(clock)
  const telemetry = recordTelemetry()
  const published = new Map<string, KeyObject>()
  const asked: string[] = []
  const publish = (key: Pick<Signer, 'kid' | 'publicKeyPem'>) => {
    published.set(key.kid, publicKeyOf(key))
  }
  publish(signer)
  const verify = createAlbVerifier({
    arns: [arn(ARN)],
    clients: [CLIENT],
    issuers: [ISSUER],
    toleranceSeconds: TOLERANCE,
    clock,
    telemetry,
    findKey: ({ region }, kid) => {
      asked.push(`${region}/${kid}`)
      return Promise.resolve(
        published.get(kid) ?? { reason: 'key_unknown', detail: 'never published' },
      )
    },
    ...options,
  })
  const sign = (overrides: Overrides = {}) => signer.sign(ALICE, overrides)
  return { verify, sign, signer, publish, asked, clock, telemetry }
}

type Verify = ReturnType<typeof createAlbVerifier>
/** What is to be said of a token, and the token. */
type Tokens = Readonly<Record<string, string>>

/** Has every token verified; all of them must be refused for this reason. */
async function refused(t: Test, verify: Verify, reason: Reason, tokens: Tokens): Promise<void> {
  for (const [is, token] of Object.entries(tokens)) {
    const expected = { outcome: 'rejected', reason, source: 'alb', detail: /^[\x20-\x7e…]+$/ }
    t.match(await verify(token), expected, `${is}: ${reason}`)
  }
}

/** Has every token verified; all of them must be believed. */
async function believed(t: Test, verify: Verify, tokens: Tokens): Promise<void> {
  for (const [is, token] of Object.entries(tokens)) {
    t.match(await verify(token), { outcome: 'verified' }, `${is}: verified`)
  }
}

/** A row for each value, told by its JSON. */
function each(values: readonly unknown[], make: (value: unknown) => string): Tokens {
  const name = (value: unknown) => (value === undefined ? 'nothing' : JSON.stringify(value))
  return Object.fromEntries(values.map(value => [name(value).slice(0, 60), make(value)]))
}

/** The token with another signature. */
function withSignature(token: string, signature: Buffer): string {
  return `${token.slice(0, token.lastIndexOf('.'))}.${signature.toString('base64url')}`
}

/** The header of a token by our signer, as JSON text, for what `JSON.stringify` cannot say. */
function headerText(signer: Signer, exp: number, more: Fields = {}): string {
  const { kid, issuer: iss, client } = signer
  return JSON.stringify({ typ: 'JWT', kid, alg: 'ES256', iss, client, signer: ARN, exp, ...more })
}

t.test('a token is believed as the ALB signs it', async t => {
  const { verify, sign, signer, asked, clock, telemetry } = setUp()
  const expiresAt = clock.wallSeconds() + 120
  const claims = { ...ALICE, exp: expiresAt, iss: ISSUER }
  const expected = { outcome: 'verified', claims, expiresAt }
  t.strictSame(await verify(sign()), expected, 'padded')
  t.strictSame(await verify(sign({ padding: false })), expected, 'without padding')
  t.same(asked, Array(2).fill(`eu-central-1/${signer.kid}`), 'under the key it names')
  t.same(telemetry.lifetimes, [120, 120], 'and its lifetime is told')
})

t.test('a token is believed only over the bytes that were received', async t => {
  const { verify, sign } = setUp()
  const strip = (token: string) => token.replaceAll('=', '')
  const pad = (token: string) =>
    token.replace(/[^.]+/g, each => each.padEnd(Math.ceil(each.length / 4) * 4, '='))
  // One of any three lengths in a row needs no padding; the other two do.
  for (const x of ['', 'x', 'xx']) {
    const padded = sign({ header: { x } })
    const bare = sign({ header: { x }, padding: false })
    await believed(t, verify, {
      'with the padding of the signature lost, which nothing is over': padded.replace(/=+$/, ''),
      'with the padding of the signature found': pad(bare).replace(/=+(?=\.)/g, ''),
    })
    if (!/=\./.test(padded)) continue
    await refused(t, verify, 'signature_invalid', {
      'signed with padding, received without': strip(padded),
      'signed without padding, received with it': pad(bare),
    })
  }
})

t.test('a token wrong in several ways is refused for the first of the contract', async t => {
  const { verify, sign, signer, clock } = setUp()
  const past = clock.wallSeconds() - 60
  interface Fault extends Overrides {
    readonly check: Check
    readonly reason: Reason
    /** What is done to the finished token. */
    readonly spoil?: (token: string) => string
  }
  /** In the order of the contract. */
  const faults: Fault[] = [
    {
      check: 'alb_size',
      reason: 'token_too_large',
      payload: { filler: 'x'.repeat(MAX_TOKEN_BYTES) },
    },
    { check: 'alb_shape', reason: 'token_malformed', spoil: token => `${token}.` },
    {
      check: 'alb_shape',
      reason: 'token_malformed',
      spoil: token => withSignature(token, Buffer.alloc(63)),
    },
    { check: 'alb_algorithm', reason: 'algorithm_refused', header: { alg: 'none' } },
    { check: 'alb_signer', reason: 'signer_mismatch', header: { signer: `${ARN}0` } },
    { check: 'alb_client', reason: 'client_mismatch', header: { client: 'another' } },
    { check: 'alb_issuer', reason: 'issuer_mismatch', header: { iss: 'https://idp.example' } },
    { check: 'alb_expiry', reason: 'claims_invalid', header: { exp: 'soon' } },
    { check: 'alb_expiry', reason: 'token_expired', payload: { exp: past } },
    { check: 'alb_kid', reason: 'token_malformed', header: { kid: '../../evil' } },
    { check: 'alb_key', reason: 'key_unknown', header: { kid: KID } },
    {
      check: 'alb_signature',
      reason: 'signature_invalid',
      spoil: token => withSignature(token, Buffer.alloc(64)),
    },
    { check: 'alb_subject', reason: 'claims_invalid', payload: { sub: 7 } },
  ]
  /** Where two faults are about one field, the earlier one has it. */
  const tokenWith = (wrong: readonly Fault[]) => {
    const latestFirst = wrong.toReversed()
    const header = Object.assign({}, ...latestFirst.map(fault => fault.header)) as Fields
    const payload = Object.assign({}, ...latestFirst.map(fault => fault.payload)) as Fields
    const token = signer.sign(ALICE, { header, payload })
    return latestFirst.reduce((text, { spoil }) => spoil?.(text) ?? text, token)
  }
  await believed(t, verify, { 'none of them': sign() })
  for (const [at, fault] of faults.entries()) {
    await refused(t, verify, fault.reason, {
      [`step ${at + 1} alone`]: tokenWith([fault]),
      [`step ${at + 1} and all that follow`]: tokenWith(faults.slice(at)),
    })
  }
  await fc.assert(
    fc.asyncProperty(fc.subarray(faults, { minLength: 1 }), async wrong => {
      const found = await verify(tokenWith(wrong))
      const [first] = wrong
      if (found.outcome !== 'rejected') return false
      return found.reason === first?.reason && found.check === first.check
    }),
    { numRuns: 300 },
  )
  const made = CHECK_NAMES.filter(name => name.startsWith('alb_') && name !== 'alb_identity')
  t.same([...new Set(faults.map(({ check }) => check))], made, 'the table tells the order')
  t.pass('any of them together')
})

/**
 * ALBeast (Miggo, 2024): the attacker runs an ALB in an account of their own with the victim's issuer
 * and client. Its tokens are soundly signed, and the region's endpoint serves its key to anybody; only
 * `signer` tells it from ours.
 */
t.test('another ALB, however it writes its name, is not ours and asks for no key', async t => {
  const { verify, asked, publish, clock } = setUp()
  const theirs = createSignerAt(clock)
  publish(theirs)
  const named = (signer: unknown) => theirs.sign(ALICE, { header: { signer } })
  /** With members that `JSON.stringify` would not write, at the end of the header. */
  const written = (...members: string[]) => {
    const header = headerText(theirs, clock.wallSeconds() + 60, { signer: undefined })
    const text = header.replace(/}$/, `,${members.join(',')}}`)
    return theirs.signSegments(text, JSON.stringify(ALICE))
  }
  const ours = `"signer":${JSON.stringify(ARN)}`
  await refused(t, verify, 'signer_mismatch', {
    'of another account': named(ARN.replace(':123456789012:', ':210987654321:')),
    'of another region': named(ARN.replace('eu-central-1', 'eu-west-1')),
    'of another partition': named(ARN.replace('arn:aws:', 'arn:aws-cn:')),
    'of another name': named(ARN.replace('consoleme', 'console')),
    'of another id': named(ARN.replace(/8$/, '9')),
    'of another kind': named(ARN.replace('/app/', '/net/')),
    'with a suffix': named(`${ARN}0`),
    'with a suffix after a slash': named(`${ARN}/x`),
    'with a suffix after a comma': named(`${ARN},x`),
    'with a prefix': named(`x${ARN}`),
    'without its last character': named(ARN.slice(0, -1)),
    'without its id': named(ARN.replace(/\/[^/]*$/, '')),
    'in capitals': named(ARN.toUpperCase()),
    'with one capital': named(ARN.replace('consoleme', 'Consoleme')),
    'with a space behind': named(`${ARN} `),
    'with a space in front': named(` ${ARN}`),
    'with a line end behind': named(`${ARN}\n`),
    'with a NUL behind': named(`${ARN}\0`),
    'with an invisible space behind': named(`${ARN}\u200b`),
    'with a Cyrillic letter': named(ARN.replace('a', '\u0430')),
    'encoded for a URL': named(encodeURIComponent(ARN)),
    'a wildcard': named('*'),
    'in an array': named([ARN]),
    'in an object like an array': named({ 0: ARN, length: 1 }),
    'in an object named like a conversion': named({ toString: ARN }),
    null: named(null),
    'a number': named(0),
    'a boolean': named(true),
    empty: named(''),
    missing: named(undefined),
    'an inherited name': named('constructor'),
    'very long': named('x'.repeat(5_000)),
    'in the payload': theirs.sign({ ...ALICE, signer: ARN }, { header: { signer: undefined } }),
    'under a name in another case': written(ours.replace('signer', 'Signer')),
    'on a prototype': written(`"__proto__":{${ours}}`),
  })
  await refused(t, verify, 'token_malformed', {
    'twice, ours last': written('"signer":"theirs"', ours),
    'twice, ours first': written(ours, '"signer":"theirs"'),
    'twice, ours last and in escapes': written('"signer":"x"', ours.replace('i', '\\u0069')),
    'twice, both ours': written(ours, ours),
  })
  t.same(asked, [], 'not one key was looked up')
})

t.test('each configured ALB is ours, and its key is looked up in its own region', async t => {
  const gov = ARN.replace('eu-central-1', 'us-gov-west-1').replace('arn:aws', 'arn:aws-us-gov')
  const { verify, sign, asked, signer } = setUp({ arns: [arn(ARN), arn(gov)] })
  await believed(t, verify, {
    'the first': sign(),
    'the second': sign({ header: { signer: gov } }),
  })
  await refused(t, verify, 'signer_mismatch', {
    both: sign({ header: { signer: `${ARN},${gov}` } }),
    'both in an array': sign({ header: { signer: [ARN, gov] } }),
  })
  t.same(asked, [`eu-central-1/${signer.kid}`, `us-gov-west-1/${signer.kid}`])
})

/** A kid becomes part of a URL: `https://public-keys…/../../evil` would be somebody else's key. */
t.test('a kid that is not a UUID is refused before any key is looked up', async t => {
  const { verify, sign, asked } = setUp()
  const kids: readonly unknown[] = [
    ...['../../evil', 'x?y', '@evil.com/', '//evil/x', '%2e%2e%2f', '..%5c', '\u0000'],
    ...['', '.', '__proto__', 'constructor', 'k'.repeat(10_000)],
    ...[`${KID}/../evil`, `${KID}?x`, `${KID}#`, `${KID}\n`, `\n${KID}`, ` ${KID}`, `${KID}\0`],
    ...[`${KID}${KID}`, `{${KID}}`, `urn:uuid:${KID}`, KID.slice(1), KID.replaceAll('-', '')],
    ...[KID.replace('-', '\u2010'), KID.replace('c2', '\uff432'), KID.replace('c2', '%63')],
    ...[KID.replace('c2', 'g2'), KID.replace('c2', '\u212a2')],
    ...[undefined, null, 7, true, [KID], { 0: KID }, { toString: KID }],
  ]
  await refused(
    t,
    verify,
    'token_malformed',
    each(kids, kid => sign({ header: { kid } })),
  )
  t.same(asked, [], 'not one key was looked up')
})

/** Otherwise a forger has 2²⁰ spellings of one kid, and a cache would hold them all. */
t.test('a kid in capitals is the same kid', async t => {
  const { verify, signer, asked, sign } = setUp()
  const kids = [
    signer.kid,
    signer.kid.toUpperCase(),
    signer.kid.replace(/[a-f]/, x => x.toUpperCase()),
  ]
  await believed(
    t,
    verify,
    each(kids, kid => sign({ header: { kid } })),
  )
  t.same(asked, Array(3).fill(`eu-central-1/${signer.kid}`))
})

t.test('a token that names another algorithm is refused, even if soundly signed', async t => {
  const { verify, sign, signer, asked, clock } = setUp()
  const names: readonly unknown[] = [
    ...['none', 'None', 'NONE', 'nOnE', ''],
    ...['HS256', 'HS384', 'HS512', 'RS256', 'RS512', 'PS256', 'ES384', 'ES512', 'ES256K'],
    ...['EdDSA', 'Ed25519', 'ESP256', 'dir', 'A128KW'],
    ...['es256', 'Es256', 'ES256 ', ' ES256', 'ES256\0', 'ES-256', '\u0415S256', 'ES256,none'],
    ...[undefined, null, true, 256, ['ES256'], { 0: 'ES256' }, { alg: 'ES256' }],
  ]
  await refused(
    t,
    verify,
    'algorithm_refused',
    each(names, alg => sign({ header: { alg } })),
  )
  const header = headerText(signer, clock.wallSeconds() + 60, { alg: undefined })
  const withMember = (member: string) =>
    signer.signSegments(header.replace(/}$/, `,${member}}`), JSON.stringify(ALICE))
  await refused(t, verify, 'algorithm_refused', {
    'on a prototype': withMember('"__proto__":{"alg":"ES256"}'),
    'under a name in another case': withMember('"Alg":"ES256"'),
  })
  await refused(t, verify, 'token_malformed', {
    'twice, ES256 last': withMember('"alg":"none","alg":"ES256"'),
    'twice, ES256 first': withMember('"alg":"ES256","alg":"none"'),
  })
  t.same(asked, [], 'no key was looked up')
})

/** RFC 8725 §2.1: whoever lets the token choose verifies an HMAC keyed with a public key. */
t.test(
  'a signature by another algorithm does not hold, under its own name or as ES256',
  async t => {
    const { verify, sign, signer, asked } = setUp()
    const resign = (alg: string, make: (bytes: Buffer) => Buffer) => {
      const token = sign({ header: { alg } })
      return withSignature(token, make(Buffer.from(token.slice(0, token.lastIndexOf('.')))))
    }
    const hmac = (hash: string, secret: string | Buffer) => (bytes: Buffer) =>
      createHmac(hash, secret).update(bytes).digest()
    const ecdsa = (namedCurve: string, hash: string) => {
      const { privateKey: key } = generateKeyPairSync('ec', { namedCurve })
      return (bytes: Buffer) => signBytes(hash, bytes, { key, dsaEncoding: 'ieee-p1363' })
    }
    const ed25519 = (bytes: Buffer) =>
      signBytes(null, bytes, generateKeyPairSync('ed25519').privateKey)
    const rsa = (bytes: Buffer) =>
      signBytes('sha256', bytes, generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey)
    const der = publicKeyOf(signer).export({ type: 'spki', format: 'der' })
    const secrets = {
      'the PEM': signer.publicKeyPem,
      'the PEM without its last line end': signer.publicKeyPem.trim(),
      'the DER': der,
      'the DER in base64': der.toString('base64'),
      nothing: '',
    }
    for (const [name, secret] of Object.entries(secrets)) {
      await refused(t, verify, 'token_malformed', {
        [`HS256 keyed with ${name}`]: resign('HS256', hmac('sha256', secret)),
        [`HS384 keyed with ${name}`]: resign('HS384', hmac('sha384', secret)),
      })
      await refused(t, verify, 'algorithm_refused', {
        [`HS512 keyed with ${name}`]: resign('HS512', hmac('sha512', secret)),
      })
    }
    await refused(t, verify, 'token_malformed', {
      'none, without a signature': resign('none', () => Buffer.alloc(0)),
      ES384: resign('ES384', ecdsa('P-384', 'sha384')),
      ES512: resign('ES512', ecdsa('P-521', 'sha512')),
      RS256: resign('RS256', rsa),
    })
    await refused(t, verify, 'algorithm_refused', {
      'none, with 64 zeros': resign('none', () => Buffer.alloc(64)),
      ES256K: resign('ES256K', ecdsa('secp256k1', 'sha256')),
      EdDSA: resign('EdDSA', ed25519),
    })
    t.same(asked, [], 'no key was looked up for a token that does not say ES256')

    for (const [name, secret] of Object.entries(secrets)) {
      await refused(t, verify, 'signature_invalid', {
        [`called ES256, HS512 keyed with ${name}`]: resign('ES256', hmac('sha512', secret)),
      })
    }
    await refused(t, verify, 'signature_invalid', {
      'called ES256, EdDSA': resign('ES256', ed25519),
      'called ES256, ES256K': resign('ES256', ecdsa('secp256k1', 'sha256')),
      'called ES256, by another key': resign('ES256', ecdsa('P-256', 'sha256')),
      'called ES256, with 64 zeros': resign('ES256', () => Buffer.alloc(64)),
    })
  },
)

/** RFC 8725 §3.10: `jwk`, `jku`, `x5u` and `x5c` let a forger name the key to be judged by. */
t.test('a key that the token brings along or points to is not looked at', async t => {
  const { verify, sign, signer, clock } = setUp()
  let connections = 0
  const server = createServer(socket => {
    connections++
    socket.destroy()
  })
  const url = await listen(server, 0)
  t.teardown(() => server.close())
  // The forger's own key, under our kid.
  const forger = createSigner({ ...signer, now: () => clock.wallSeconds() * 1_000 })
  const jwk = { ...publicKeyOf(forger).export({ format: 'jwk' }), kid: forger.kid, alg: 'ES256' }
  const base64 = forger.publicKeyPem.replace(/-----.*-----|\n/g, '')
  const headers: readonly Fields[] = [
    { jwk },
    { jwk: { keys: [jwk] } },
    { jku: `${url}/jwks.json` },
    { x5u: `${url}/certificate.pem` },
    { x5c: [base64] },
    { x5t: 'AAAA', 'x5t#S256': 'AAAA' },
    { jwk, jku: `${url}/`, x5u: `${url}/`, x5c: [base64] },
    { keys: [jwk], key: forger.publicKeyPem },
  ]
  for (const header of headers) {
    const names = Object.keys(header).join(', ')
    await refused(t, verify, 'signature_invalid', { [names]: forger.sign(ALICE, { header }) })
    await believed(t, verify, { [`${names}, beside our signature`]: sign({ header }) })
  }
  t.equal(connections, 0, 'nobody followed a link')
})

/** RFC 7515 §4.1.11: what is critical and not understood makes a token invalid. */
t.test('a token with a crit header is refused, whatever it lists', async t => {
  const { verify, sign, asked } = setUp()
  const lists = [['foo'], [], ['b64'], ['exp'], ['alg'], 'exp', null, {}, false, 0, '']
  await refused(
    t,
    verify,
    'algorithm_refused',
    each(lists, crit => sign({ header: { crit } })),
  )
  await refused(t, verify, 'algorithm_refused', {
    'with b64 false': sign({ header: { crit: ['b64'], b64: false } }),
    'with what it lists': sign({ header: { crit: ['foo'], foo: 1 } }),
  })
  t.same(asked, [], 'no key was looked up')
  await believed(t, verify, {
    'b64 without crit, which means nothing (RFC 7797 §6)': sign({ header: { b64: false } }),
    'crit in the payload': sign({ payload: { crit: ['foo'] } }),
  })
})

t.test('the client is one of those configured, exactly', async t => {
  const { verify, sign, asked } = setUp({ clients: [CLIENT, 'second'] })
  const from = (client: unknown) => sign({ header: { client } })
  const clients = [
    ...['third', '', CLIENT.toUpperCase(), `${CLIENT} `, CLIENT.slice(1), `${CLIENT},second`],
    ...['toString', '*', undefined, null, 7, [CLIENT], { 0: CLIENT }],
  ]
  await refused(t, verify, 'client_mismatch', each(clients, from))
  const header = { client: undefined }
  await refused(t, verify, 'client_mismatch', {
    'in the payload only': sign({ header, payload: { client: CLIENT } }),
    'an audience in its stead': sign({
      header: { ...header, aud: CLIENT },
      payload: { aud: CLIENT },
    }),
  })
  t.same(asked, [], 'no key was looked up')
  await believed(t, verify, { 'the first': from(CLIENT), 'the second': from('second') })
})

t.test('the issuer is one of those configured, exactly, and the payload agrees', async t => {
  const other = 'https://idp.example'
  const { verify, sign, asked } = setUp({ issuers: [ISSUER, other] })
  const from = (inHeader: unknown, inPayload: unknown) =>
    sign({ header: { iss: inHeader }, payload: { iss: inPayload } })
  const issuers = [
    ...['https://evil.example', `${ISSUER}/`, ISSUER.toUpperCase(), `${ISSUER} `, '', 'toString'],
    ...[undefined, null, 7, [ISSUER], { 0: ISSUER }],
  ]
  await refused(
    t,
    verify,
    'issuer_mismatch',
    each(issuers, iss => from(iss, iss)),
  )
  await refused(t, verify, 'issuer_mismatch', {
    'in the payload only': from(undefined, ISSUER),
    'another of ours in the payload': from(ISSUER, other),
    'a stranger in the payload': from(ISSUER, 'https://evil.example'),
    'a slash more in the payload': from(ISSUER, `${ISSUER}/`),
    'null in the payload': from(ISSUER, null),
    'an array in the payload': from(ISSUER, [ISSUER]),
  })
  t.same(asked, [], 'no key was looked up')
  await believed(t, verify, {
    'the first': from(ISSUER, ISSUER),
    'the second': from(other, other),
    'in the header only': from(ISSUER, undefined),
  })
})

t.test('where any client and issuer will do, everything else still must hold', async t => {
  const { verify, sign } = setUp({ clients: 'any', issuers: 'any' })
  const iss = 'https://whoever.example'
  await believed(t, verify, {
    'another client': sign({ header: { client: 'stranger' } }),
    'no client': sign({ header: { client: undefined } }),
    'another issuer, twice': sign({ header: { iss }, payload: { iss } }),
    'no issuer': sign({ header: { iss: undefined }, payload: { iss: undefined } }),
  })
  await refused(t, verify, 'issuer_mismatch', {
    'another issuer, once': sign({ header: { iss } }),
    'an issuer in the payload only': sign({ header: { iss: undefined } }),
  })
  await refused(t, verify, 'signer_mismatch', {
    'another signer': sign({ header: { signer: 'x' } }),
  })
  await refused(t, verify, 'signature_invalid', {
    'another signature': withSignature(sign(), Buffer.alloc(64, 1)),
  })
})

/** Real ALB tokens may carry `exp` in the header alone: who reads the payload accepts them forever. */
t.test(
  'a token is good until the earlier of its two exp, and the header must have one',
  async t => {
    const { verify, sign, signer, asked, clock, telemetry } = setUp()
    const past = clock.wallSeconds() - 60
    const future = clock.wallSeconds() + 60
    const exps = (inHeader: unknown, inPayload: unknown) =>
      sign({ header: { exp: inHeader }, payload: { exp: inPayload } })
    /** As they stand in the text, because `JSON.stringify` cannot write `1e999`. */
    const written = (inHeader: string, inPayload: string | number) =>
      signer.signSegments(
        headerText(signer, 1).replace('"exp":1', `"exp":${inHeader}`),
        JSON.stringify({ ...ALICE, exp: 1 }).replace('"exp":1', `"exp":${inPayload}`),
      )
    await refused(t, verify, 'token_expired', {
      'both past': exps(past, past),
      'past in the header': exps(past, future),
      'past in the payload': exps(future, past),
      'past in the header, the only one': exps(past, undefined),
      negative: exps(-1, undefined),
      'zero in the header': exps(0, future),
      'zero in the payload': exps(future, 0),
    })
    const odd = [String(future), null, true, false, [future], { valueOf: future }, 'never', '']
    await refused(
      t,
      verify,
      'claims_invalid',
      each([...odd, undefined], exp => exps(exp, future)),
    )
    await refused(
      t,
      verify,
      'claims_invalid',
      each(odd, exp => exps(future, exp)),
    )
    const header = headerText(signer, 1, { exp: undefined })
    await refused(t, verify, 'claims_invalid', {
      'in neither': exps(undefined, undefined),
      '1e999 in the header': written('1e999', future),
      '-1e999 in the header': written('-1e999', future),
      '1e999 in the payload': written(String(future), '1e999'),
      'past in the header, odd in the payload': exps(past, 'soon'),
      'on a prototype': signer.signSegments(
        header.replace(/}$/, `,"__proto__":{"exp":${future}}}`),
        JSON.stringify(ALICE),
      ),
    })
    t.same(asked, [], 'no key was looked up for them')
    t.same(telemetry.lifetimes, [], 'and no lifetime told')

    const cases = [
      { is: 'both, the header earlier', token: exps(future, future + 60), expiresAt: future },
      { is: 'both, the payload earlier', token: exps(future + 60, future), expiresAt: future },
      { is: 'in the header only', token: exps(future, undefined), expiresAt: future },
      { is: 'with a fraction', token: exps(future + 0.5, undefined), expiresAt: future + 0.5 },
      { is: 'with an exponent', token: written(`${future / 10}e1`, '2e9'), expiresAt: future },
    ]
    for (const { is, token, expiresAt } of cases) {
      t.match(await verify(token), { outcome: 'verified', expiresAt }, is)
    }
    t.same(telemetry.lifetimes, [60, 60, 60, 60.5, 60], 'the earlier one is the lifetime')
  },
)

t.test('a token is accepted up to the tolerance after exp and not a moment longer', async t => {
  for (const toleranceSeconds of [0, 5, 30]) {
    const { verify, sign, clock, telemetry } = setUp({ toleranceSeconds })
    const token = sign()
    const exp = clock.wallSeconds() + 120
    const outcomeAt = async (seconds: number) => {
      clock.step(exp + seconds - clock.wallSeconds())
      return (await verify(token)).outcome
    }
    t.equal(await outcomeAt(-1), 'verified', `tolerance ${toleranceSeconds} s: before exp`)
    t.equal(await outcomeAt(0), 'verified', 'at exp')
    t.equal(await outcomeAt(toleranceSeconds), 'verified', 'at the end of the tolerance')
    t.same(telemetry.lifetimes, [1, 0, 0 - toleranceSeconds], 'what was left of it is told')
    t.equal(await outcomeAt(toleranceSeconds + 0.25), 'rejected', 'a moment later')
    t.equal(await outcomeAt(1e9), 'rejected', 'in another age')
    t.equal(telemetry.lifetimes.length, 3, 'a refused token has no lifetime')
    t.equal(await outcomeAt(-1), 'verified', 'once the clock is set back')
  }
})

t.test('an expired token is refused with a detail that says by how much', async t => {
  const { verify, sign, clock } = setUp()
  const token = sign()
  clock.pass(120 + 5.25)
  t.strictSame(await verify(token), {
    outcome: 'rejected',
    reason: 'token_expired',
    source: 'alb',
    check: 'alb_expiry',
    detail: 'expired 6 s ago, CLOCK_TOLERANCE is 5 s',
  })
})

t.test('what is not shaped like a token is refused before anything is read from it', async t => {
  const { verify, sign, asked } = setUp()
  const token = sign()
  const [head = '', body = '', tail = ''] = token.split('.')
  await refused(t, verify, 'token_malformed', {
    empty: '',
    opaque: 'gho_16C7e42F292c6912E7710c838347Ae178B4a',
    'without its signature': `${head}.${body}`,
    'with an empty signature': `${head}.${body}.`,
    'with a fourth segment': `${token}.${tail}`,
    'with half its padding': token.replace(/=+$/, '='),
    'with a line end behind': `${token}\n`,
    'twice, as Node joins headers': `${token}, ${token}`,
    'led by a scheme': `Bearer ${token}`,
    'with a payload that is no object': `${head}.W10.${tail}`,
    'with a header that is no object': `bnVsbA.${body}.${tail}`,
  })
  t.same(asked, [], 'no key was looked up for them')
})

t.test('a token of 16 KiB is looked at and a longer one is not', async t => {
  const { verify, sign, asked } = setUp()
  const make = (header: string, payload: string) =>
    sign({ header: { x: header }, payload: { x: payload }, padding: false })
  const ofLength = (length: number): string => {
    for (const header of ['', 'x', 'xx']) {
      const about = Math.floor(((length - make(header, '').length) * 3) / 4)
      for (let filler = about - 2; filler <= about + 2; filler++) {
        const token = make(header, 'x'.repeat(filler))
        if (token.length === length) return token
      }
    }
    throw new Error(`no token of ${length} bytes`)
  }
  await believed(t, verify, { 'exactly 16 KiB': ofLength(16_384) })
  await refused(t, verify, 'token_malformed', { '16 KiB of nonsense': 'x'.repeat(16_384) })
  await refused(t, verify, 'token_too_large', {
    'one byte more': ofLength(16_385),
    'one byte of nonsense more': 'x'.repeat(16_385),
    'a megabyte of dots': '.'.repeat(1_000_000),
  })
  t.equal(asked.length, 1, 'one key was looked up')
})

t.test('a payload nested as deep as it can be is believed like any other', async t => {
  const { verify, signer, clock } = setUp()
  const depth = 1_800
  const payload = `{"sub":"x","deep":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`
  const token = signer.signSegments(headerText(signer, clock.wallSeconds() + 60), payload)
  await believed(t, verify, { [`${depth} levels`]: token })
})

t.test('an ES256 signature holds in its one form, or as its mirror image', async t => {
  const { verify, sign, asked } = setUp()
  const token = sign()
  const sound = Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url')
  for (const { is, signature, isValid } of oddSignatures(sound)) {
    const forged = { [is]: withSignature(token, signature) }
    const before = asked.length
    if (isValid) await believed(t, verify, forged)
    else if (signature.length === 64) await refused(t, verify, 'signature_invalid', forged)
    else {
      await refused(t, verify, 'token_malformed', forged)
      t.equal(asked.length, before, 'without looking up a key')
    }
  }
})

t.test('a key that is not to be had is the reason that the key store gave', async t => {
  for (const reason of ['key_unknown', 'key_unavailable'] as const) {
    const fault = { reason, detail: 'said the store' }
    const { verify, sign, telemetry } = setUp({ findKey: () => Promise.resolve(fault) })
    const about = { outcome: 'rejected', source: 'alb', check: 'alb_key' }
    t.strictSame(await verify(sign()), { ...about, ...fault }, reason)
    t.same(telemetry.lifetimes, [])
  }
})

t.test('a fault of the key store is thrown and not called a bad token', async t => {
  const { verify, sign } = setUp({ findKey: () => Promise.reject(new RangeError('ours')) })
  await t.rejects(verify(sign()), new RangeError('ours'))
})

t.test('a subject is a string with something in it', async t => {
  const { verify, sign, signer, clock, telemetry } = setUp()
  const of = (sub: unknown) => sign({ payload: { sub } })
  const odd = ['', undefined, null, 0, 1, true, ['alice'], { 0: 'alice' }]
  await refused(t, verify, 'claims_invalid', each(odd, of))
  t.match(await verify(of('')), { check: 'alb_subject' })
  const header = headerText(signer, clock.wallSeconds() + 60)
  await refused(t, verify, 'claims_invalid', {
    'on a prototype': signer.signSegments(header, '{"__proto__":{"sub":"alice"}}'),
    'in the header': sign({ header: { sub: 'alice' }, payload: { sub: undefined } }),
  })
  t.same(telemetry.lifetimes, [], 'no lifetime is told of a refused token')
  for (const sub of ['a', ' ', '1', 'zoë', '用户', 'auth0|5f7c8ec7c33c6c004bbafe82']) {
    t.match(await verify(of(sub)), { outcome: 'verified', claims: { sub } }, sub)
  }
})

t.test('claims named like what objects inherit are claims and nothing more', async t => {
  const { verify, signer, clock } = setUp()
  const payload = '{"sub":"x","__proto__":{"groups":["admin"]},"constructor":{"prototype":1}}'
  const header = headerText(signer, clock.wallSeconds() + 60)
  const found = await verify(signer.signSegments(header, payload))
  const claims = found.outcome === 'verified' ? found.claims : {}
  t.same(Object.keys(claims).sort(), ['__proto__', 'constructor', 'sub'])
  t.equal(Object.getPrototypeOf(claims), Object.prototype)
  t.notOk('groups' in claims)
  t.notOk('groups' in {})
})

t.test('no text is believed that our ALB did not sign, and none is a fault', async t => {
  const { verify, signer, asked } = setUp()
  const json = fc.jsonValue()
  const segment = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const texts = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes).toString('latin1')),
    fc.array(fc.base64String(), { minLength: 1, maxLength: 4 }).map(parts => parts.join('.')),
    fc.tuple(json, json).map(parts => `${parts.map(segment).join('.')}.${'A'.repeat(86)}`),
  )
  await fc.assert(
    fc.asyncProperty(texts, async text => (await verify(text)).outcome === 'rejected'),
    { numRuns: 500 },
  )
  // With our signature, so that it is the claims alone that are judged.
  const names = ['alg', 'kid', 'signer', 'client', 'iss', 'exp']
  const header = fc.dictionary(fc.constantFrom(...names), json)
  await fc.assert(
    fc.asyncProperty(header, json, async (header, payload) => {
      const token = signer.signSegments(JSON.stringify(header), JSON.stringify(payload))
      return (await verify(token)).outcome === 'rejected'
    }),
    { numRuns: 300 },
  )
  t.same(asked, [], 'in 800 samples, without looking up one key')
})

t.test('a detail never holds the token, and what it quotes is short and printable', async t => {
  const { verify, sign } = setUp()
  const wild = `\r\n\u001b[31m${'ö'.repeat(2_000)}`
  for (const name of ['alg', 'signer', 'client', 'iss', 'exp', 'kid']) {
    const token = sign({ header: { [name]: wild } })
    const found = await verify(token)
    const detail = found.outcome === 'rejected' ? (found.detail ?? '') : ''
    t.match(detail, /^[\x20-\x7e…]{1,330}$/, name)
    t.notOk(detail.includes(token.slice(0, 40)))
  }
})

t.test('of what is wrong so much is quoted as one can tell it by', async t => {
  const { verify, sign } = setUp()
  for (const [name, most] of [
    ['alg', 16],
    ['signer', 256],
    ['client', 128],
  ] as const) {
    const found = await verify(sign({ header: { [name]: 'x'.repeat(most + 1) } }))
    t.match(found, { detail: new RegExp(`'x{${most}}…'`) }, name)
    const whole = await verify(sign({ header: { [name]: 'x'.repeat(most) } }))
    t.match(whole, { detail: new RegExp(`'x{${most}}'`) }, `${name}, whole`)
  }
})

interface RealToken {
  readonly header: Readonly<Record<'kid' | 'iss' | 'client' | 'signer', string>> & { exp: number }
  readonly token: string
  readonly publicKeyPem: string
}

const REAL = JSON.parse(
  readFileSync('test/fixtures/vectors/real-alb-token.json', 'utf8'),
) as RealToken

/** As the operator of that load balancer would have it, a minute before the token's end. */
function setUpReal(options: Partial<AlbTokenOptions> = {}) {
  const { kid, iss, client, signer, exp } = REAL.header
  const key = publicKeyOf(REAL)
  const unknown = { reason: 'key_unknown', detail: 'not that one' } as const
  return setUp({
    arns: [arn(signer)],
    clients: [client],
    issuers: [iss],
    clock: createClock(exp - 60),
    findKey: (_arn, wanted) => Promise.resolve(wanted === kid ? key : unknown),
    ...options,
  })
}

t.test('a token that a real ALB signed is believed in its time', async t => {
  const { verify, telemetry } = setUpReal()
  t.match(await verify(REAL.token), {
    outcome: 'verified',
    expiresAt: REAL.header.exp,
    claims: { sub: '23d498b2-3031-70d2-8a15-49dd886a087b', email: 'duke@sun.com' },
  })
  t.same(telemetry.lifetimes, [60])
  await refused(t, verify, 'signature_invalid', {
    'but not with its padding stripped': REAL.token.replaceAll('=', ''),
  })
})

t.test('a token that a real ALB signed years ago is refused today', async t => {
  const { verify } = setUpReal({ clock: systemClock })
  await refused(t, verify, 'token_expired', { today: REAL.token })
})

t.test('a token that a real ALB signed is refused where that ALB is not configured', async t => {
  const { verify, asked } = setUp({ clock: createClock(REAL.header.exp - 60) })
  await refused(t, verify, 'signer_mismatch', { elsewhere: REAL.token })
  t.same(asked, [])
})

t.test('a token that a real ALB signed is refused with any bit flipped or byte gone', async t => {
  const { verify } = setUpReal()
  const { token } = REAL
  const spoiled: string[] = []
  for (let at = 0; at < token.length; at++) {
    const rest = token.slice(at + 1)
    spoiled.push(token.slice(0, at) + rest)
    for (let bit = 0; bit < 8; bit++) {
      const flipped = String.fromCharCode(token.charCodeAt(at) ^ (1 << bit))
      spoiled.push(token.slice(0, at) + flipped + rest)
    }
  }
  const found = await Promise.all(spoiled.map(verify))
  t.same(
    spoiled.filter((_, i) => found[i]?.outcome !== 'rejected'),
    [],
    `none of ${spoiled.length} tokens was believed`,
  )
})
