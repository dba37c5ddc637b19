/**
 * Verified tokens are remembered, which must be seen in the metrics and nowhere else: not in who is
 * let in, not for how long, and not for whose access token goes with whose sign-in (THREATS T-21).
 */
import t from 'tap'
import { MALLORY } from '../fixtures/idp.ts'
import { givenTime, reached } from '../fixtures/patience.ts'
import { startPlace, type Place, type Seen } from '../fixtures/place.ts'
import { startRecorder } from '../fixtures/recorder.ts'
import { lineOf, signedIn } from '../fixtures/visit.ts'

const recorder = await startRecorder(t)
const ACCESS = { ACCESS_TOKEN: 'required', CLOCK_TOLERANCE: '0s' }
const [caching, small, without] = await Promise.all([
  startPlace(t, recorder, 'generic', ACCESS),
  startPlace(t, recorder, 'generic', { ...ACCESS, TOKEN_CACHE_SIZE: '2' }),
  startPlace(t, recorder, 'generic', { ...ACCESS, TOKEN_CACHE_SIZE: '0' }),
])

/** Look-ups since the last call, as `source result`. */
function lookupsOf({ rig }: Place) {
  let before = new Map<string, number>()
  return async () => {
    const page = await rig.metrics()
    const found = page.matchAll(
      /^alb_auth_token_cache_lookups_total\{source="(\w+)",result="(\w+)"\} (\d+)$/gm,
    )
    const after = new Map([...found].map(([, a, b, count]) => [`${a} ${b}`, Number(count)]))
    const difference = [...after].map(([name, count]) => [name, count - (before.get(name) ?? 0)])
    before = after
    return Object.fromEntries(difference.filter(([, count]) => count !== 0)) as unknown
  }
}

t.test('a token is verified once', async t => {
  const { data, access, ask } = caching
  const lookups = lookupsOf(caching)
  const [one, other] = [data(), data({ payload: { jti: 'other' } })]
  const [mine, mine2] = [access(), access({ payload: { jti: 'other' } })]
  await lookups()

  t.match(await ask(signedIn(one, mine)), { status: 200 })
  t.same(await lookups(), { 'alb miss': 1, 'access_token miss': 1 }, 'both are new')
  t.match(await ask(signedIn(one, mine)), { status: 200 })
  t.same(await lookups(), { 'alb hit': 1, 'access_token hit': 1 }, 'both are known')
  t.match(await ask(signedIn(one, mine2)), { status: 200 })
  t.same(await lookups(), { 'alb hit': 1, 'access_token miss': 1 }, 'a new access token')
  t.match(await ask(signedIn(other, mine)), { status: 200 })
  t.same(await lookups(), { 'alb miss': 1, 'access_token hit': 1 }, 'a new ALB token')
})

/** fastify-reply-from GHSA-v574-6498-x57v: a key made of two texts set end to end is also that of two others. */
t.test('a pair is not served from the parts of two others', async t => {
  const { data, access, ask, refused } = caching
  const person = { person: MALLORY }
  const [hers, herAccess, his, hisAccess] = [data(), access(), data(person), access(person)]
  for (let round = 0; round < 3; round++) {
    t.match(await ask(signedIn(hers, herAccess)), { user: ['alice@example.com'] })
    t.match(await ask(signedIn(his, hisAccess)), { user: ['mallory@example.com'] })
    for (const mixture of [signedIn(hers, hisAccess), signedIn(his, herAccess)]) {
      await refused(t, mixture, { is: `round ${round}`, reason: 'subject_mismatch' })
    }
    for (const [is, headers, reason] of [
      ['without the access token', signedIn(hers), 'token_missing'],
      ['with an opaque one', signedIn(hers, 'x'), 'token_opaque'],
      ['with one byte more', signedIn(hers, `${herAccess}A`), 'signature_invalid'],
    ] as const) {
      await refused(t, headers, { is: `round ${round}, ${is}`, reason })
    }
    for (const identity of ['', 'somebody']) {
      const seen = await ask(signedIn(hers, herAccess, identity))
      t.match(seen, { status: 401, arrived: false }, `round ${round}, identity '${identity}'`)
    }
  }
})

t.test('a known signature does not vouch for another payload', async t => {
  const { data, access, ask, refused } = caching
  const [hers, herAccess] = [data(), access()]
  t.match(await ask(signedIn(hers, herAccess)), { status: 200 })
  const [, , tail = ''] = hers.split('.')
  const [head = '', body = ''] = data({ person: MALLORY }).split('.')
  await refused(t, signedIn(`${head}.${body}.${tail}`, access({ person: MALLORY })), {
    ...{ is: "alb: another's claims", reason: 'signature_invalid', source: 'alb' },
  })
  const [, , signature = ''] = herAccess.split('.')
  const [header = '', claims = ''] = access({ payload: { groups: ['admins'] } }).split('.')
  await refused(t, signedIn(hers, `${header}.${claims}.${signature}`), {
    ...{ is: 'access token: other groups', reason: 'signature_invalid' },
  })
  t.match(await ask(signedIn(hers, herAccess)), { status: 200 }, 'and the true pair is still good')
})

t.test('a remembered token expires on time', async t => {
  const { data, access, ask, rig } = caching
  let soon = { exp: 0 }
  let short: Readonly<Record<'alb' | 'access_token', string[]>> = { alb: [], access_token: [] }
  let before: Seen[] = []
  await givenTime(2_000, async ms => {
    soon = { exp: Math.ceil((Date.now() + ms) / 1_000) }
    short = {
      alb: signedIn(data({ header: soon, payload: soon }), access()),
      access_token: signedIn(data(), access({ payload: soon })),
    }
    before = []
    for (const headers of [short.alb, short.alb, short.access_token, short.access_token]) {
      before.push(await ask(headers))
    }
    return Date.now() < soon.exp * 1_000
  })
  for (const seen of before) t.match(seen, { status: 200 }, 'good, at first and from the cache')
  await reached(soon.exp)
  for (const source of ['alb', 'access_token'] as const) {
    const headers = short[source]
    for (const time of ['once', 'twice']) {
      const seen = await ask(headers)
      t.match(seen, { status: 401, arrived: false }, `${source}, ${time}`)
      const expected = { reason: 'token_expired', source }
      t.match(await lineOf(rig.output, seen.answer), expected, `${source}, ${time}`)
    }
  }
})

t.test('TOKEN_CACHE_SIZE', async t => {
  await t.test('0: every token is verified every time', async t => {
    const { data, access, ask } = without
    const lookups = lookupsOf(without)
    await lookups()
    const headers = signedIn(data(), access())
    for (let i = 0; i < 3; i++) t.match(await ask(headers), { status: 200, groups: ['dev,ops'] })
    t.same(await lookups(), {}, 'and nothing is looked up')
  })
  await t.test('2: the third pushes out the first', async t => {
    const { data, access, ask } = small
    const lookups = lookupsOf(small)
    const pairs = ['a', 'b', 'c'].map(jti =>
      signedIn(data({ payload: { jti } }), access({ payload: { jti } })),
    )
    for (const pair of [...pairs, pairs[2]!]) t.match(await ask(pair), { status: 200 })
    await lookups()
    t.match(await ask(pairs[0]!), { status: 200 })
    t.same(await lookups(), { 'alb miss': 1, 'access_token miss': 1 })
  })
})
