import { createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import t, { type Test } from 'tap'
import type { KeyFault } from '../../src/tokens/alb-token.ts'
import { createBoundedFetch } from '../../src/tokens/bounded-fetch.ts'
import {
  createJwks,
  DISCOVERY,
  discoveryUrl,
  KEY_SET,
  REFRESH_MS,
  suits,
  type Jwks,
  type JwksOptions,
  type KeySet,
  type VerificationKey,
} from '../../src/tokens/jwks.ts'
import { createClock } from '../fixtures/clock.ts'
import { recordEvents } from '../fixtures/events.ts'
import { createIdpKey, startIdp, type Idp } from '../fixtures/idp.ts'
import { eventually, PATIENCE_MS } from '../fixtures/patience.ts'

const FOREVER = 3_600_000

/** A store of the keys of a provider that runs, at a clock that stands still. */
async function setUp(
  t: Test,
  options: (idp: Idp) => Partial<JwksOptions> = ({ jwksUrl }) => ({ source: { url: jwksUrl } }),
  path = '',
) {
  const idp = await startIdp(t, path, () => createIdpKey('ES256'))
  const clock = createClock()
  const telemetry = recordEvents()
  const timeoutMs = () => (idp.fault === 'slow' ? 500 : PATIENCE_MS)
  const jwks = createJwks({
    source: { issuer: idp.issuer },
    refreshMs: FOREVER,
    fetchSet: url => createBoundedFetch(fetch, timeoutMs(), KEY_SET)(url),
    fetchDiscovery: url => createBoundedFetch(fetch, timeoutMs(), DISCOVERY)(url),
    clock,
    telemetry,
    ...options(idp),
  })
  return { idp, jwks, clock, telemetry }
}

const byDiscovery = () => ({})

async function keyOf(jwks: Jwks, kid: string): Promise<VerificationKey> {
  const found = await jwks.find(kid)
  if ('reason' in found) throw new Error(`${found.reason}: ${found.detail}`)
  return found
}

async function reasonOf(jwks: Jwks, kid: string): Promise<KeyFault['reason'] | 'found'> {
  const found = await jwks.find(kid)
  return 'reason' in found ? found.reason : 'found'
}

t.test('a listed key is found, at once and without another fetch', async t => {
  const { idp, jwks, telemetry } = await setUp(t)
  t.notOk(jwks.isLoaded())
  await jwks.start()
  t.ok(jwks.isLoaded())
  const { kid, publicKey } = idp.current()
  const found = jwks.find(kid)
  t.notOk(found instanceof Promise, 'without a promise')
  t.ok((await keyOf(jwks, kid)).key.equals(publicKey), 'the key itself')
  t.equal(idp.jwksFetches(), 1)
  t.same(telemetry.take(), ['fetch jwks ok', 'lookup jwks hit', 'lookup jwks hit'])
})

t.test('discovery leads to the set, below a path as well', async t => {
  for (const path of ['', '/realms/example', '/tenant/v2.0']) {
    const { idp, jwks } = await setUp(t, byDiscovery, path)
    await jwks.start()
    await keyOf(jwks, idp.current().kid)
    t.same(idp.requests, [`${path}/.well-known/openid-configuration`, '/keys'], path)
  }
})

t.test('a trailing slash of the issuer is not doubled', t => {
  const well = '/.well-known/openid-configuration'
  t.equal(discoveryUrl('https://a.example.com'), `https://a.example.com${well}`)
  t.equal(discoveryUrl('https://a.example.com/'), `https://a.example.com${well}`)
  t.equal(discoveryUrl('https://a.example.com/b/'), `https://a.example.com/b${well}`)
  t.equal(REFRESH_MS, 300_000)
  t.end()
})

t.test('a discovery document that cannot be right leads nowhere', async t => {
  const faults = [
    { fault: 'foreign_issuer', outcome: 'refused', detail: /names another issuer/ },
    { fault: 'http_jwks', outcome: 'refused', detail: /jwks_uri is not https/ },
    { fault: 'no_jwks_uri', outcome: 'refused', detail: /no discovery document/ },
    { fault: 'html', outcome: 'refused', detail: /no discovery document/ },
    { fault: 'redirect', outcome: 'refused', detail: /status 302/ },
    { fault: 'huge', outcome: 'refused', detail: /more than 262144 bytes/ },
    { fault: 'status_404', outcome: 'unknown', detail: /status 404/ },
    { fault: 'status_500', outcome: 'error', detail: /status 500/ },
    { fault: 'slow', outcome: 'timeout', detail: /no answer within 500 ms/ },
  ] as const
  await Promise.all(
    faults.map(async ({ fault, outcome, detail }) => {
      const { idp, jwks, telemetry } = await setUp(t, byDiscovery)
      idp.fault = fault
      await jwks.start()
      t.notOk(jwks.isLoaded(), fault)
      t.same(telemetry.take(), [`fetch jwks ${outcome}`], `${fault}: ${outcome}`)
      t.match(telemetry.details, [detail], fault)
      t.equal(idp.jwksFetches(), 0, `${fault}: the set is not asked for`)
      t.equal(await reasonOf(jwks, idp.current().kid), 'key_unavailable', fault)
    }),
  )
})

t.test('a discovery document leads only to https, or to where it came from', async t => {
  const set = new Map(KEY_SET.parse(JSON.stringify({ keys: [createIdpKey().jwk] })) as KeySet)
  const rows: readonly [issuer: string, jwksUri: string, isFollowed: boolean][] = [
    ['https://a.example.com', 'https://a.example.com/keys', true],
    ['https://a.example.com', 'https://keys.example.org/keys', true],
    ['https://a.example.com', 'http://a.example.com/keys', false],
    ['https://a.example.com', 'file:///etc/passwd', false],
    ['https://a.example.com', '/keys', false],
    ['https://a.example.com', 'HTTP://a.example.com/keys', false],
    ['https://a.example.com', 'data:application/json,{}', false],
    ['https://a.example.com', '', false],
    ['http://127.0.0.1:8080', 'http://127.0.0.1:8080/keys', true],
    ['http://127.0.0.1:8080', 'https://keys.example.org/keys', true],
    ['http://127.0.0.1:8080', 'http://127.0.0.1:8081/keys', false],
    ['http://127.0.0.1:8080', 'http://169.254.169.254/latest/meta-data', false],
    ['http://127.0.0.1:8080', 'http://127.0.0.1:8080@evil.example.com/', false],
    ['http://127.0.0.1:8080', 'keys', false],
  ]
  for (const [issuer, jwksUri, isFollowed] of rows) {
    const asked: string[] = []
    const jwks = createJwks({
      source: { issuer },
      refreshMs: FOREVER,
      fetchDiscovery: () => Promise.resolve({ outcome: 'ok', value: { issuer, jwksUri } }),
      fetchSet: url => {
        asked.push(url)
        return Promise.resolve({ outcome: 'ok', value: set })
      },
      clock: createClock(),
      telemetry: recordEvents(),
    })
    await jwks.start()
    t.same(asked, isFollowed ? [jwksUri] : [], `${issuer} to '${jwksUri}'`)
    t.equal(jwks.isLoaded(), isFollowed)
  }
})

t.test('a set that cannot be right is refused whole', async t => {
  const faults = [
    { fault: 'too_many_keys', outcome: 'refused', detail: /more than 100 keys/ },
    { fault: 'no_keys', outcome: 'refused', detail: /no usable key/ },
    { fault: 'html', outcome: 'refused', detail: /no key set/ },
    { fault: 'huge', outcome: 'refused', detail: /more than 262144 bytes/ },
    { fault: 'redirect', outcome: 'refused', detail: /status 302/ },
    { fault: 'slow', outcome: 'timeout', detail: /no answer/ },
    { fault: 'status_404', outcome: 'unknown', detail: /status 404/ },
  ] as const
  await Promise.all(
    faults.map(async ({ fault, outcome, detail }) => {
      const { idp, jwks, telemetry } = await setUp(t)
      idp.fault = fault
      await jwks.start()
      t.notOk(jwks.isLoaded(), fault)
      t.same(telemetry.take(), [`fetch jwks ${outcome}`], `${fault}: ${outcome}`)
      t.match(telemetry.details, [detail], fault)
    }),
  )
})

t.test(
  'before there is a set, a token has us ask, but not more than every two seconds',
  async t => {
    const { idp, jwks, clock, telemetry } = await setUp(t)
    const { kid } = idp.current()
    idp.fault = 'html'
    t.equal(await reasonOf(jwks, kid), 'key_unavailable', 'never started, and asked at once')
    t.equal(await reasonOf(jwks, kid), 'key_unavailable')
    t.equal(
      await reasonOf(jwks, 'another'),
      'key_unavailable',
      'never "unknown" while none is there',
    )
    t.same(telemetry.take(), [
      ...['lookup jwks miss', 'fetch jwks refused', 'lookup jwks limited', 'lookup jwks limited'],
    ])
    clock.pass(1.999)
    await reasonOf(jwks, kid)
    t.same(telemetry.take(), ['lookup jwks limited'])
    clock.pass(0.001)
    idp.fault = undefined
    t.equal(await reasonOf(jwks, kid), 'found', 'and found as soon as it is there')
    t.same(telemetry.take(), ['lookup jwks miss', 'fetch jwks ok'])
  },
)

t.test('however many wait, one fetch is under way', async t => {
  const { idp, jwks, telemetry } = await setUp(t)
  const { kid } = idp.current()
  const found = await Promise.all([
    jwks.start(),
    ...Array.from({ length: 20 }, () => jwks.find(kid)),
    jwks.find('unknown'),
  ])
  t.equal(idp.jwksFetches(), 1)
  t.equal(found.filter(each => each !== undefined && 'key' in each).length, 20)
  t.same(
    telemetry.take().filter(event => event.startsWith('fetch')),
    ['fetch jwks ok'],
  )
})

t.test('an unknown kid is worth one look in thirty seconds', async t => {
  const { idp, jwks, clock, telemetry } = await setUp(t)
  await jwks.start()
  telemetry.take()
  t.equal(await reasonOf(jwks, 'x'), 'key_unknown')
  for (let i = 0; i < 100; i++) t.equal(await reasonOf(jwks, `x${i}`), 'key_unknown')
  t.equal(idp.jwksFetches(), 2, 'the start, and one look')
  const events = telemetry.take()
  t.same(events.slice(0, 2), ['lookup jwks miss', 'fetch jwks ok'])
  t.same([...new Set(events.slice(2))], ['lookup jwks negative'])

  const next = idp.rotate()
  clock.pass(29.999)
  t.equal(await reasonOf(jwks, next.kid), 'key_unknown', 'not yet')
  clock.pass(0.001)
  t.equal(await reasonOf(jwks, next.kid), 'found', 'a new key, once it is time')
  t.equal(idp.jwksFetches(), 3)
  t.equal(await reasonOf(jwks, next.kid), 'found')
  t.equal(idp.jwksFetches(), 3, 'and then it is known')
})

t.test('a set is kept through an outage', async t => {
  const { idp, jwks, clock, telemetry } = await setUp(t)
  await jwks.start()
  const { kid } = idp.current()
  telemetry.take()
  for (const fault of ['status_500', 'html', 'slow', 'no_keys', 'too_many_keys'] as const) {
    idp.fault = fault
    clock.pass(30)
    t.equal(
      await reasonOf(jwks, `x-${fault}`),
      'key_unavailable',
      `${fault}: the unknown may exist`,
    )
    t.equal(await reasonOf(jwks, kid), 'found', `${fault}: the known stays`)
    t.equal(telemetry.take().at(-1), 'lookup jwks stale', `${fault}: and is counted as stale`)
  }
  clock.pass(7 * 86_400)
  t.equal(await reasonOf(jwks, kid), 'found', 'a week later, too')
  idp.fault = undefined
  await reasonOf(jwks, 'x')
  telemetry.take()
  await reasonOf(jwks, kid)
  t.same(telemetry.take(), ['lookup jwks hit'])
})

/** T-19 for the set: a fault is not "there is no such key". */
t.test('while the last look failed, an unknown kid is not called unknown', async t => {
  const { idp, jwks, clock } = await setUp(t)
  await jwks.start()
  const next = idp.rotate()
  idp.fault = 'status_500'
  clock.pass(1)
  t.equal(await reasonOf(jwks, next.kid), 'key_unavailable', 'the look failed')
  clock.pass(1)
  t.equal(await reasonOf(jwks, next.kid), 'key_unavailable', 'and a moment later nobody knows more')
})

t.test('a key that is no longer listed is withdrawn, and one that stays is the same', async t => {
  const { idp, jwks, clock } = await setUp(t)
  await jwks.start()
  const old = idp.current()
  const before = await keyOf(jwks, old.kid)
  const next = idp.rotate()
  await keyOf(jwks, next.kid)
  t.equal(await keyOf(jwks, old.kid), before, 'the same object while it is listed')
  t.notOk(before.isWithdrawn)

  idp.withdraw(old.kid)
  clock.pass(30)
  await reasonOf(jwks, 'x')
  t.ok(before.isWithdrawn, 'withdrawn with the set that does not list it')
  t.equal(await reasonOf(jwks, old.kid), 'key_unknown')

  const held = await keyOf(jwks, next.kid)
  idp.publish(createIdpKey('ES256', { kid: next.kid }))
  clock.pass(30)
  await reasonOf(jwks, 'x')
  t.ok(held.isWithdrawn, 'another key under the same name is another key')
  t.not(await keyOf(jwks, next.kid), held)
  t.notOk((await keyOf(jwks, next.kid)).isWithdrawn)
})

t.test('the set is read again in the background', async t => {
  const { idp, jwks } = await setUp(t, ({ jwksUrl }) => ({
    source: { url: jwksUrl },
    refreshMs: 20,
  }))
  await jwks.start()
  const old = idp.current()
  const held = await keyOf(jwks, old.kid)
  const next = idp.rotate()
  const isKnown = () => !(jwks.find(next.kid) instanceof Promise)
  t.ok(await eventually(isKnown), 'a new key is known')
  idp.withdraw(old.kid)
  t.ok(await eventually(() => held.isWithdrawn), 'and an old one given up, though nobody asked')
  const fetches = idp.jwksFetches()
  t.ok(await eventually(() => idp.jwksFetches() > fetches + 3), 'again and again')
})

t.test('after a failure the set is tried again soon', async t => {
  const { idp, jwks } = await setUp(t)
  idp.fault = 'status_404'
  await jwks.start()
  idp.fault = undefined
  t.notOk(jwks.isLoaded())
  t.ok(await eventually(() => jwks.isLoaded()), 'loaded though nobody asked')
})

t.test('only keys that sign are taken from a set', t => {
  const rsa = createIdpKey()
  const ec = createIdpKey('ES256')
  const { kid: _kid, ...nameless } = rsa.jwk
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const rows: readonly [is: string, member: unknown, isTaken: boolean][] = [
    ['an RSA key', rsa.jwk, true],
    ['an EC key', ec.jwk, true],
    ['an Ed25519 key', createIdpKey('EdDSA').jwk, true],
    ['one without use', { ...rsa.jwk, use: undefined }, true],
    ['one without alg', { ...rsa.jwk, alg: undefined }, true],
    ['one with a certificate', { ...rsa.jwk, x5c: ['MIIB'], x5t: 'x' }, true],
    ['one for encryption', { ...rsa.jwk, use: 'enc' }, false],
    ['one whose operations leave verifying out', { ...rsa.jwk, key_ops: ['encrypt'] }, false],
    ['one whose operations say verifying', { ...rsa.jwk, key_ops: ['verify'] }, true],
    ['one without kid', nameless, false],
    ['one whose kid is a number', { ...rsa.jwk, kid: 1 }, false],
    ['one without kty', { ...rsa.jwk, kty: undefined }, false],
    ['one whose kty is a list', { ...rsa.jwk, kty: ['RSA'] }, false],
    ['one of an unknown kind', { ...rsa.jwk, kty: 'PQC' }, false],
    ['a symmetric one', { kty: 'oct', k: 'c2VjcmV0', kid: 'x' }, false],
    ['one without a modulus', { ...rsa.jwk, n: undefined }, false],
    ['one whose modulus is a number', { ...rsa.jwk, n: 1 }, false],
    ['one of an unknown curve', { ...ec.jwk, crv: 'P-1' }, false],
    ['a point that is not on the curve', { ...ec.jwk, x: ec.jwk['y'] }, false],
    ['null', null, false],
    ['a text', 'key', false],
    ['a list', [rsa.jwk], false],
    ['nothing', {}, false],
  ]
  for (const [is, member, isTaken] of rows) {
    const alone = KEY_SET.parse(JSON.stringify({ keys: [member] }))
    t.equal(typeof alone === 'string', !isTaken, is)
    if (!isTaken) t.equal(alone, 'no usable key in the set', is)
    const beside = KEY_SET.parse(JSON.stringify({ keys: [member, { ...ec.jwk, kid: 'beside' }] }))
    t.ok((beside as KeySet).has('beside'), `${is} does not spoil the others`)
  }
  const given = { ...privateKey.export({ format: 'jwk' }), kid: 'private' }
  const set = KEY_SET.parse(JSON.stringify({ keys: [given] })) as KeySet
  t.equal(set.get('private')?.key.type, 'public', 'of a private key only its public half')
  t.end()
})

t.test('a name that stands twice means the first', t => {
  const [one, two] = [createIdpKey('ES256', { kid: 'k' }), createIdpKey('ES256', { kid: 'k' })]
  const set = KEY_SET.parse(JSON.stringify({ keys: [one.jwk, two.jwk] })) as KeySet
  t.equal(set.size, 1)
  t.ok(set.get('k')?.key.equals(one.publicKey))
  const odd = KEY_SET.parse(
    `{"keys":[${['__proto__', 'constructor'].map(kid => JSON.stringify({ ...one.jwk, kid })).join()}]}`,
  ) as KeySet
  t.same([...odd.keys()], ['__proto__', 'constructor'], 'and every text is a name')
  t.end()
})

t.test('a hundred keys are a set, and one more is none', t => {
  const { jwk } = createIdpKey('ES256')
  const setOf = (size: number) =>
    KEY_SET.parse(
      JSON.stringify({ keys: Array.from({ length: size }, (_, i) => ({ ...jwk, kid: `k${i}` })) }),
    )
  t.equal((setOf(100) as KeySet).size, 100)
  t.equal(setOf(101), 'more than 100 keys')
  t.end()
})

t.test('what is no document is no document', t => {
  const texts = ['', 'null', '1', '"x"', '[]', '{}', '{"keys":{}}', '{"keys":null}', '<html>', '{']
  for (const text of texts) {
    t.equal(KEY_SET.parse(text), 'no key set', text)
    t.equal(DISCOVERY.parse(text), 'no discovery document', text)
  }
  for (const text of [
    '{"issuer":"x"}',
    '{"jwks_uri":"x"}',
    '{"issuer":1,"jwks_uri":"x"}',
    '{"issuer":"x","jwks_uri":["x"]}',
    '{"__proto__":{"issuer":"x","jwks_uri":"x"}}',
  ]) {
    t.equal(DISCOVERY.parse(text), 'no discovery document', text)
  }
  t.same(DISCOVERY.parse('{"issuer":"a","jwks_uri":"b","more":1}'), { issuer: 'a', jwksUri: 'b' })
  t.end()
})

/** RFC 8725 §3.1: an algorithm and a key belong together, and neither is the token's choice alone. */
t.test('an algorithm is for keys of its own kind', t => {
  const keys: Readonly<Record<string, KeyObject>> = {
    rsa: createIdpKey().publicKey,
    weak: createIdpKey('RS256', { bits: 1_024 }).publicKey,
    odd: createIdpKey('RS256', { bits: 2_040 }).publicKey,
    pss: generateKeyPairSync('rsa-pss', { modulusLength: 2_048 }).publicKey,
    'P-256': createIdpKey('ES256').publicKey,
    'P-384': createIdpKey('ES384').publicKey,
    'P-521': createIdpKey('ES512').publicKey,
    secp256k1: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey,
    ed25519: createIdpKey('EdDSA').publicKey,
    ed448: generateKeyPairSync('ed448').publicKey,
    x25519: generateKeyPairSync('x25519').publicKey,
  }
  const fitting: Readonly<Record<string, readonly string[]>> = {
    RS256: ['rsa'],
    RS384: ['rsa'],
    RS512: ['rsa'],
    PS256: ['rsa'],
    PS384: ['rsa'],
    PS512: ['rsa'],
    ES256: ['P-256'],
    ES384: ['P-384'],
    ES512: ['P-521'],
    EdDSA: ['ed25519'],
  }
  for (const [algorithm, names] of Object.entries(fitting)) {
    const found = Object.keys(keys).filter(name => suits(keys[name]!, algorithm))
    t.same(found, names, algorithm)
  }
  for (const algorithm of Object.keys(fitting)) {
    t.notOk(suits(createSecretKey('x'.repeat(64), 'utf8'), algorithm), `${algorithm}: no secret`)
  }
  t.notOk(suits(keys['P-256']!, 'ES256K'), 'ES256K is for another curve, which we do not have')
  t.end()
})

t.test('a key stays bound to the algorithm that it is listed for, where there is one', t => {
  const { jwk } = createIdpKey('ES256')
  const { alg: _, ...plain } = { alg: undefined, ...jwk }
  const keys = [
    { ...plain, kid: 'bound', alg: 'ES256' },
    { ...plain, kid: 'free' },
    { ...plain, kid: 'odd', alg: 256 },
  ]
  const set = KEY_SET.parse(JSON.stringify({ keys })) as KeySet
  t.same(
    [...set].map(([kid, { algorithm }]) => [kid, algorithm]),
    [
      ['bound', 'ES256'],
      ['free', undefined],
      ['odd', undefined],
    ],
  )
  t.end()
})

t.test('what is thrown and is no fault of the document is thrown', t => {
  const hostile = {
    toString: () => {
      throw new RangeError('ours')
    },
  }
  t.throws(() => KEY_SET.parse(hostile as unknown as string), new RangeError('ours'))
  t.end()
})

t.test('a fetch is told of with the time that it took', async t => {
  const seconds: number[] = []
  const { jwks, clock } = await setUp(t, ({ jwksUrl }) => ({
    source: { url: jwksUrl },
    fetchSet: url => {
      clock.pass(0.25)
      return createBoundedFetch(fetch, PATIENCE_MS, KEY_SET)(url)
    },
    telemetry: { ...recordEvents(), keyFetched: (_keys, _outcome, took) => seconds.push(took) },
  }))
  await jwks.start()
  t.same(seconds, [0.25])
})

t.test('the first reading of a set is not one that an unknown kid has forced', async t => {
  const { idp, jwks, telemetry } = await setUp(t)
  t.equal(await reasonOf(jwks, idp.current().kid), 'found', 'never started, and asked at once')
  telemetry.take()
  t.equal(await reasonOf(jwks, 'another'), 'key_unknown')
  t.same(telemetry.take(), ['lookup jwks miss', 'fetch jwks ok'], 'worth one look')
  t.equal(await reasonOf(jwks, 'yet another'), 'key_unknown')
  t.same(telemetry.take(), ['lookup jwks negative'], 'and not two')
})
