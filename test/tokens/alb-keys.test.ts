import { randomUUID, type KeyObject } from 'node:crypto'
import t, { type Test } from 'tap'
import { startKeyServer, type AnswerKeyRequest } from '../../simulator/key-server.ts'
import type { Signer } from '../../simulator/signer.ts'
import { keyUrl, parseAlbArn, type AlbArn } from '../../src/tokens/alb-arn.ts'
import { createAlbKeys, type AlbKeyOptions } from '../../src/tokens/alb-keys.ts'
import { createAlbVerifier } from '../../src/tokens/alb-token.ts'
import { createBoundedFetch } from '../../src/tokens/bounded-fetch.ts'
import { PEM_KEY } from '../../src/tokens/pem-key.ts'
import { createClock } from '../fixtures/clock.ts'
import { eventually, PATIENCE_MS } from '../fixtures/patience.ts'
import { ALICE, ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'
import { createSignerAt, publicKeyOf } from '../fixtures/token-signers.ts'
import { recordTelemetry } from '../fixtures/token-telemetry.ts'

const OURS = parseAlbArn(ARN)!
const ELSEWHERE = parseAlbArn(ARN.replace('eu-central-1', 'eu-west-1'))!

/** In seconds, as the clock counts. */
const TTL = 3_600
const STALE = 7_200
const NEGATIVE_TTL = 10

/** Answers with this status and nothing of use. */
const answerWith =
  (status: number): AnswerKeyRequest =>
  (_request, response) => {
    response.writeHead(status).end('<html></html>')
    return true
  }

/** A key store in front of a real key server, at a clock that stands still. */
async function setUp(t: Test, options: Partial<AlbKeyOptions> = {}) {
  const clock = createClock()
  const telemetry = recordTelemetry()
  const server = await startKeyServer()
  t.teardown(server.close)
  const find = createAlbKeys({
    size: 64,
    ttlMs: TTL * 1_000,
    staleMs: STALE * 1_000,
    negativeTtlMs: NEGATIVE_TTL * 1_000,
    seeds: new Map(),
    urlOf: (arn, kid) => keyUrl(arn, kid, `${server.url}/{region}/{kid}`),
    fetchKey: createBoundedFetch(fetch, PATIENCE_MS, PEM_KEY),
    clock,
    telemetry,
    ...options,
  })
  /** What is found for a kid: `key`, or why there is none. */
  const outcome = async (kid: string, arn: AlbArn = OURS): Promise<string> => {
    const found = await find(arn, kid)
    return 'reason' in found ? found.reason : 'key'
  }
  /** A load balancer of the region, its key published. */
  const publish = (): Signer => {
    const signer = createSignerAt(clock)
    server.publish(signer)
    return signer
  }
  /** Resolves once this many fetches have ended. */
  const settled = async (fetches: number): Promise<void> => {
    await eventually(() => telemetry.fetches.length >= fetches)
    t.equal(telemetry.fetches.length, fetches, `${fetches} fetches have ended`)
  }
  /** How the fetches ended, in order. */
  const fetched = () => telemetry.fetches.map(({ outcome }) => outcome)
  return { find, outcome, publish, settled, fetched, server, clock, telemetry }
}

const isKeyOf = (found: KeyObject | object, signer: Signer): boolean =>
  'export' in found && found.equals(publicKeyOf(signer))

t.test('a key is fetched once, from where its region publishes it', async t => {
  const { find, publish, server, clock, telemetry } = await setUp(t)
  const signer = publish()
  t.ok(isKeyOf(await find(OURS, signer.kid), signer))
  t.ok(isKeyOf(await find(OURS, signer.kid), signer))
  clock.pass(TTL - 0.001)
  t.ok(isKeyOf(await find(OURS, signer.kid), signer))
  t.same(server.requests, [`/eu-central-1/${signer.kid}`])
  t.same(telemetry.countLookups(), { miss: 1, hit: 2 })
  t.same(telemetry.fetches, [{ outcome: 'ok', seconds: 0 }])
})

t.test('the same kid in another region is another key', async t => {
  const { find, publish, server, telemetry } = await setUp(t)
  const [here, there] = [publish(), publish()]
  server.answer = ({ url = '' }, response) => {
    response.end(url.startsWith('/eu-west-1/') ? there.publicKeyPem : here.publicKeyPem)
    return true
  }
  const kid = randomUUID()
  for (const time of ['first', 'second']) {
    t.ok(isKeyOf(await find(OURS, kid), here), `here, the ${time} time`)
    t.ok(isKeyOf(await find(ELSEWHERE, kid), there), `there, the ${time} time`)
  }
  t.same(server.requests, [`/eu-central-1/${kid}`, `/eu-west-1/${kid}`])
  t.same(telemetry.countLookups(), { miss: 2, hit: 2 })
})

t.test('only so many keys are kept, and the one longest unused goes first', async t => {
  const { outcome, publish, server, telemetry } = await setUp(t, { size: 2 })
  const [a, b, c] = [publish(), publish(), publish()].map(({ kid }) => kid) as [
    string,
    string,
    string,
  ]
  for (const kid of [a, b, a, c]) t.equal(await outcome(kid), 'key')
  t.same(telemetry.countLookups(), { miss: 3, hit: 1 })
  t.equal(await outcome(a), 'key')
  t.equal(await outcome(c), 'key')
  t.same(telemetry.countLookups(), { hit: 2 }, 'what was used is still there')
  t.equal(await outcome(b), 'key')
  t.same(telemetry.countLookups(), { miss: 1 }, 'what was not used is gone')
  t.equal(server.requests.length, 4)
})

t.test('a key that is no longer fresh is served at once and renewed behind the back', async t => {
  const { find, publish, settled, server, clock, telemetry } = await setUp(t)
  const signer = publish()
  await find(OURS, signer.kid)
  clock.pass(TTL)
  // The endpoint takes its time: nobody may wait for it.
  let answerNow: (() => void) | undefined
  server.answer = (_request, response) => {
    answerNow = () => response.end(signer.publicKeyPem)
    return true
  }
  t.ok(isKeyOf(await find(OURS, signer.kid), signer), 'served before the endpoint answered')
  clock.pass(5)
  t.ok(isKeyOf(await find(OURS, signer.kid), signer), 'and again')
  t.same(telemetry.countLookups(), { miss: 1, stale: 2 })
  await eventually(() => answerNow !== undefined)
  t.equal(server.requests.length, 2, 'one renewal was under way, and it was joined')
  answerNow!()
  await settled(2)
  t.same(telemetry.fetches[1], { outcome: 'ok', seconds: 5 }, 'its duration is told')
  clock.pass(TTL - 0.001)
  t.ok(isKeyOf(await find(OURS, signer.kid), signer))
  t.same(telemetry.countLookups(), { hit: 1 }, 'fresh again, counted from the renewal')
})

t.test('an outage is not felt until a key is TTL and STALE old', async t => {
  const { outcome, publish, settled, fetched, server, clock, telemetry } = await setUp(t)
  const { kid } = publish()
  t.equal(await outcome(kid), 'key')
  server.answer = answerWith(500)
  const ages = [TTL, TTL + 1, TTL + STALE / 2, TTL + STALE - 0.001]
  let age = 0
  for (const [i, next] of ages.entries()) {
    clock.pass(next - age)
    age = next
    t.equal(await outcome(kid), 'key', `at the age of ${age} s`)
    await settled(2 + i)
  }
  t.same(telemetry.countLookups(), { miss: 1, stale: ages.length })
  clock.pass(0.001)
  t.equal(await outcome(kid), 'key_unavailable', 'not a moment longer')
  t.same(telemetry.countLookups(), { miss: 1 })
  server.answer = undefined
  t.equal(await outcome(kid), 'key', 'but at once when the outage is over')
  t.same(fetched(), ['ok', ...ages.map(() => 'error'), 'error', 'ok'])
})

t.test('a renewal that fails in any other way is no reason to give a key up', async t => {
  let timeoutMs = PATIENCE_MS
  const { outcome, publish, settled, fetched, server, clock } = await setUp(t, {
    fetchKey: url => createBoundedFetch(fetch, timeoutMs, PEM_KEY)(url),
  })
  const { kid } = publish()
  t.equal(await outcome(kid), 'key')
  clock.pass(TTL)
  const never: AnswerKeyRequest = () => true
  const answers: AnswerKeyRequest[] = [
    answerWith(200),
    answerWith(302),
    answerWith(429),
    never,
    request => {
      request.socket.destroy()
      return true
    },
  ]
  for (const [i, answer] of answers.entries()) {
    server.answer = answer
    timeoutMs = answer === never ? 300 : PATIENCE_MS
    clock.pass(1)
    t.equal(await outcome(kid), 'key')
    await settled(2 + i)
  }
  t.equal(await outcome(kid), 'key')
  t.same(fetched(), ['ok', 'refused', 'refused', 'refused', 'timeout', 'error'])
})

t.test('one key is asked for once, however many wait for it', async t => {
  const { find, outcome, publish, server, telemetry } = await setUp(t)
  const signer = publish()
  const found = await Promise.all(Array.from({ length: 100 }, () => find(OURS, signer.kid)))
  t.ok(
    found.every(each => isKeyOf(each, signer)),
    'all hundred have it',
  )
  t.equal(server.requests.length, 1, 'for one fetch')
  t.same(telemetry.countLookups(), { miss: 100 })

  const stranger = randomUUID()
  const outcomes = await Promise.all(Array.from({ length: 100 }, () => outcome(stranger)))
  t.same(new Set(outcomes), new Set(['key_unknown']), 'all hundred are told that there is none')
  t.equal(server.requests.length, 2, 'for one fetch')

  server.answer = answerWith(503)
  const unlucky = randomUUID()
  const faults = await Promise.all(Array.from({ length: 100 }, () => outcome(unlucky)))
  t.same(new Set(faults), new Set(['key_unavailable']), 'all hundred are told of the fault')
  t.equal(server.requests.length, 4, 'for one fetch and its retry')
  server.answer = undefined
})

t.test('a key is renewed at most once a second, each by itself', async t => {
  const { outcome, publish, settled, server, clock } = await setUp(t)
  const [a, b] = [publish().kid, publish().kid]
  const asked = (kid: string) => server.requests.filter(path => path.endsWith(kid)).length
  const served = async (kid: string, times: number) => {
    for (let i = 0; i < times; i++) if ((await outcome(kid)) !== 'key') t.fail('not served')
  }
  await served(a, 1)
  await served(b, 1)
  clock.pass(TTL)
  server.answer = answerWith(404)
  for (const renewals of [1, 2, 3]) {
    await served(a, 20)
    await settled(2 + renewals)
    await served(a, 20)
    clock.pass(0.999)
    await served(a, 20)
    t.equal(asked(a), 1 + renewals, `${renewals} renewals in as many seconds`)
    clock.pass(0.001)
  }
  await served(b, 20)
  await settled(6)
  t.equal(asked(b), 2, 'and another key is renewed all the same')
})

for (const status of [403, 404]) {
  t.test(`a kid answered with ${status} is unknown for a moment and not for longer`, async t => {
    const { find, outcome, publish, server, clock, telemetry } = await setUp(t)
    const signer = publish()
    const { kid } = signer
    server.answer = answerWith(status)
    t.match(await find(OURS, kid), {
      reason: 'key_unknown',
      detail: `key ${kid}: status ${status}`,
    })
    server.answer = undefined
    for (const seconds of [0, NEGATIVE_TTL - 0.001]) {
      clock.pass(seconds)
      t.equal(await outcome(kid), 'key_unknown')
    }
    t.equal(server.requests.length, 1, 'the endpoint was not asked again')
    t.same(telemetry.countLookups(), { miss: 1, negative: 2 })
    clock.pass(0.001)
    t.ok(isKeyOf(await find(OURS, kid), signer), 'the user is in again')
    t.equal(await outcome(kid), 'key')
    t.same(telemetry.countLookups(), { miss: 1, hit: 1 })
    t.same(telemetry.fetches, [
      { outcome: 'unknown', seconds: 0, detail: `status ${status}` },
      { outcome: 'ok', seconds: 0 },
    ])
  })
}

t.test('a kid unknown in one region is not unknown in another', async t => {
  const { find, outcome, publish, server } = await setUp(t)
  const signer = publish()
  server.answer = ({ url = '' }, response) => {
    const isElsewhere = url.startsWith('/eu-west-1/')
    if (isElsewhere) response.writeHead(404).end()
    return isElsewhere
  }
  t.equal(await outcome(signer.kid, ELSEWHERE), 'key_unknown')
  t.ok(isKeyOf(await find(OURS, signer.kid), signer))
})

t.test('a fault is never remembered as an unknown key', async t => {
  const faults: Readonly<Record<string, AnswerKeyRequest>> = {
    'status 500': answerWith(500),
    'status 503': answerWith(503),
    'status 429': answerWith(429),
    'status 200 with a page': answerWith(200),
    'status 302': answerWith(302),
    'a connection cut off': request => {
      request.socket.destroy()
      return true
    },
  }
  for (const [is, fault] of Object.entries(faults)) {
    const { outcome, publish, server, telemetry } = await setUp(t)
    const { kid } = publish()
    server.answer = fault
    t.equal(await outcome(kid), 'key_unavailable', is)
    server.answer = undefined
    t.equal(await outcome(kid), 'key', `${is}: asked for again at once`)
    t.same(telemetry.countLookups(), { miss: 2 })
  }
})

t.test('only a thousand unknown kids are remembered, the latest', async t => {
  // An endpoint without a network, because a thousand real answers take as long as all other tests.
  const { outcome, clock, telemetry } = await setUp(t, {
    negativeTtlMs: 1e9,
    fetchKey: () => Promise.resolve({ outcome: 'unknown', detail: 'status 403' }),
  })
  const kids = Array.from({ length: 1_001 }, () => randomUUID())
  for (const kid of kids) {
    await outcome(kid)
    clock.pass(1)
  }
  telemetry.countLookups()
  for (const kid of kids.slice(1)) await outcome(kid)
  t.same(telemetry.countLookups(), { negative: 1_000 })
  await outcome(kids[0]!)
  t.same(telemetry.countLookups(), { miss: 1 }, 'the first one is forgotten')
})

t.test('the budget lets ten unknown kids through at once and then one a second', async t => {
  const { outcome, publish, server, clock, telemetry } = await setUp(t)
  const known = publish()
  t.equal(await outcome(known.kid), 'key')
  clock.pass(1)
  const ask = async (count: number) => {
    const before = server.requests.length
    const outcomes = await Promise.all(Array.from({ length: count }, () => outcome(randomUUID())))
    return {
      key_unknown: outcomes.filter(each => each === 'key_unknown').length,
      key_unavailable: outcomes.filter(each => each === 'key_unavailable').length,
      fetches: server.requests.length - before,
    }
  }
  t.same(await ask(25), { key_unknown: 10, key_unavailable: 15, fetches: 10 }, 'a burst')
  t.same(await ask(5), { key_unknown: 0, key_unavailable: 5, fetches: 0 }, 'nothing is left')
  clock.pass(0.999)
  t.same(await ask(5), { key_unknown: 0, key_unavailable: 5, fetches: 0 }, 'nor in a second')
  clock.pass(0.001)
  t.same(await ask(5), { key_unknown: 1, key_unavailable: 4, fetches: 1 }, 'but after it')
  clock.pass(3.5)
  t.same(await ask(5), { key_unknown: 3, key_unavailable: 2, fetches: 3 }, 'seconds add up')
  clock.pass(0.5)
  t.same(await ask(5), { key_unknown: 1, key_unavailable: 4, fetches: 1 }, 'and so do halves')
  clock.pass(86_400)
  t.same(await ask(25), { key_unknown: 10, key_unavailable: 15, fetches: 10 }, 'but not beyond ten')
  t.match(telemetry.countLookups(), { limited: 15 + 5 + 5 + 4 + 2 + 4 + 15 })
})

t.test('a flood of random kids costs few fetches and delays no known key', async t => {
  const { outcome, publish, server, clock, telemetry } = await setUp(t)
  const known = [publish(), publish(), publish()]
  for (const { kid } of known) t.equal(await outcome(kid), 'key')
  telemetry.countLookups()
  // The endpoint hangs: whoever had to wait for it would wait forever.
  server.answer = () => true
  const before = server.requests.length
  const flood = Array.from({ length: 1_000 }, () => outcome(randomUUID()))
  const users = known.flatMap(({ kid }) => Array.from({ length: 100 }, () => outcome(kid)))
  t.same(new Set(await Promise.all(users)), new Set(['key']), '300 users with known keys are in')
  t.same(telemetry.countLookups(), { miss: 7, limited: 993, hit: 300 })
  clock.pass(TTL)
  t.equal(await outcome(known[0]!.kid), 'key', 'and so are those whose key is due for renewal')
  await eventually(() => server.requests.length >= before + 8)
  t.equal(server.requests.length, before + 8, 'seven fetches of the flood, and that renewal')
  await server.close()
  t.same(
    new Set(await Promise.all(flood)),
    new Set(['key_unavailable']),
    'the flood is turned away',
  )
})

t.test('10,000 random kids in ten seconds cost at most twenty fetches', async t => {
  const { outcome, server, clock } = await setUp(t)
  for (let second = 0; second < 10; second++) {
    await Promise.all(Array.from({ length: 1_000 }, () => outcome(randomUUID())))
    clock.pass(1)
  }
  t.equal(server.requests.length, 10 + 9)
})

t.test('a join of a fetch under way costs nothing of the budget', async t => {
  const { outcome, server } = await setUp(t)
  const kid = randomUUID()
  await Promise.all(Array.from({ length: 100 }, () => outcome(kid)))
  const others = await Promise.all(Array.from({ length: 9 }, () => outcome(randomUUID())))
  t.same(others, Array(9).fill('key_unknown'))
  t.equal(await outcome(randomUUID()), 'key_unavailable')
  t.equal(server.requests.length, 10)
})

t.test('a key that the endpoint disowns serves until it has insisted on it', async t => {
  const { outcome, publish, settled, fetched, server, clock, telemetry } = await setUp(t)
  const { kid } = publish()
  t.equal(await outcome(kid), 'key')
  clock.pass(TTL)
  server.answer = answerWith(403)
  t.equal(await outcome(kid), 'key', 'the first 403 may be a fault')
  await settled(2)
  clock.pass(NEGATIVE_TTL / 2)
  t.equal(await outcome(kid), 'key', 'so may the second')
  await settled(3)
  clock.pass(NEGATIVE_TTL / 2 - 0.001)
  t.equal(await outcome(kid), 'key', 'and the third, not quite KEY_NEGATIVE_TTL later')
  await settled(4)
  clock.pass(1)
  t.equal(await outcome(kid), 'key', 'served once more while the last one is on its way')
  await settled(5)
  telemetry.countLookups()
  t.equal(await outcome(kid), 'key_unknown', 'but then no longer')
  t.same(telemetry.countLookups(), { negative: 1 })
  t.same(fetched(), ['ok', 'unknown', 'unknown', 'unknown', 'unknown'])
  server.answer = undefined
  clock.pass(NEGATIVE_TTL)
  t.equal(await outcome(kid), 'key', 'and when the endpoint thinks better of it, again')
})

t.test('a key that the endpoint disowned by mistake is as good as before', async t => {
  const { outcome, publish, settled, server, clock, telemetry } = await setUp(t)
  const { kid } = publish()
  t.equal(await outcome(kid), 'key')
  clock.pass(TTL)
  server.answer = answerWith(404)
  t.equal(await outcome(kid), 'key')
  await settled(2)
  server.answer = undefined
  clock.pass(1)
  t.equal(await outcome(kid), 'key')
  await settled(3)
  telemetry.countLookups()
  t.equal(await outcome(kid), 'key')
  t.same(telemetry.countLookups(), { hit: 1 }, 'fresh')
  clock.pass(TTL)
  server.answer = answerWith(404)
  t.equal(await outcome(kid), 'key')
  await settled(4)
  clock.pass(1)
  t.equal(await outcome(kid), 'key', 'and the mistake of long ago does not count against it')
})

t.test('a kid in capitals and in small letters is one key and one fetch', async t => {
  const { find, publish, server, clock, telemetry } = await setUp(t)
  const signer = publish()
  const verify = createAlbVerifier({
    arns: [OURS],
    clients: [CLIENT],
    issuers: [ISSUER],
    toleranceSeconds: 5,
    clock,
    telemetry,
    findKey: find,
  })
  const kids = [signer.kid.toUpperCase(), signer.kid, signer.kid.replace('a', 'A')]
  for (const kid of kids) {
    const token = signer.sign(ALICE, { header: { kid } })
    t.match(await verify(token), { outcome: 'verified' }, kid)
  }
  t.same(server.requests, [`/eu-central-1/${signer.kid}`])
})

t.test('a key that the operator gave is never fetched and never forgotten', async t => {
  const signer = createSignerAt(createClock())
  const { find, server, clock, telemetry } = await setUp(t, {
    seeds: new Map([[signer.kid, publicKeyOf(signer)]]),
    urlOf: () => undefined,
    size: 1,
  })
  for (const seconds of [0, TTL, TTL + STALE, 1e9]) {
    clock.pass(seconds)
    t.ok(isKeyOf(await find(OURS, signer.kid), signer))
    t.ok(isKeyOf(await find(ELSEWHERE, signer.kid), signer), 'in every region')
  }
  t.same(server.requests, [])
  t.same(telemetry.countLookups(), { hit: 8 })
  t.same(telemetry.fetches, [])
})

t.test('where no endpoint is known a key is unavailable, not unknown', async t => {
  const { find, outcome, server, telemetry } = await setUp(t, { urlOf: keyUrl })
  const china = parseAlbArn(
    ARN.replace('arn:aws:', 'arn:aws-cn:').replace('eu-central', 'cn-north'),
  )!
  const kid = randomUUID()
  t.strictSame(await find(china, kid), {
    reason: 'key_unavailable',
    detail: `key ${kid}: no key endpoint is known for this partition`,
  })
  t.equal(await outcome(kid, china), 'key_unavailable', 'nor is it the second time')
  t.same(server.requests, [])
  t.same(telemetry.countLookups(), { miss: 2 })
  t.match(telemetry.fetches, [{ outcome: 'error' }, { outcome: 'error' }])
})

t.test('the wall clock may be set without any key being younger or older for it', async t => {
  const { outcome, publish, server, clock, telemetry } = await setUp(t)
  const { kid } = publish()
  const stranger = randomUUID()
  t.equal(await outcome(kid), 'key')
  t.equal(await outcome(stranger), 'key_unknown')
  telemetry.countLookups()
  for (const seconds of [30, -60, 1e9, -2e9]) {
    clock.step(seconds)
    t.equal(await outcome(kid), 'key')
    t.equal(await outcome(stranger), 'key_unknown')
  }
  t.same(telemetry.countLookups(), { hit: 4, negative: 4 })
  t.equal(server.requests.length, 2)
})

t.test(
  'a key that is too old to serve and that the endpoint disowns is unknown at once',
  async t => {
    const { outcome, publish, server, clock, telemetry } = await setUp(t)
    const { kid } = publish()
    t.equal(await outcome(kid), 'key')
    clock.pass(TTL + STALE)
    server.answer = answerWith(403)
    telemetry.countLookups()
    for (let i = 0; i < 20; i++) t.equal(await outcome(kid), 'key_unknown')
    t.same(telemetry.countLookups(), { miss: 1, negative: 19 })
    server.answer = undefined
    t.equal(await outcome(publish().kid), 'key', 'and there is budget left for a new key')
  },
)
