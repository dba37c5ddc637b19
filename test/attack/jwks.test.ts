/**
 * What can be done to the sidecar through the provider's keys: outages that should open or shut a
 * door, names of keys that do not exist, keys that were taken back, and a start without any.
 *
 * @see THREATS T-18, T-20, T-22
 */
import t from 'tap'
import { startKeyServer } from '../../simulator/key-server.ts'
import {
  accessTokenFor,
  ALICE_AT_IDP,
  albTokenFor,
  createIdpKey,
  startIdp,
} from '../fixtures/idp.ts'
import { comesTrue } from '../fixtures/patience.ts'
import { startPlace, type Seen } from '../fixtures/place.ts'
import { startRecorder } from '../fixtures/recorder.ts'
import { createLastingSigner, startProgram, startRig } from '../fixtures/sidecar.ts'
import { headersOf, lineOf, signedIn, visit } from '../fixtures/visit.ts'
import { each, eventually } from './rows.ts'

const recorder = await startRecorder(t)
const [failing, flooded, withdrawing] = await Promise.all([
  startPlace(t, recorder, 'generic', { ACCESS_TOKEN: 'required' }),
  startPlace(t, recorder, 'generic', { ACCESS_TOKEN: 'required' }),
  startPlace(t, recorder, 'generic', { ACCESS_TOKEN: 'optional' }),
])

/** A provider that is down must not take the application with it: T-20. */
t.test('an outage of the provider is not felt by known keys, nor is it an open door', async t => {
  const { idp, data, access, ask, refused, rig } = failing
  idp.fault = 'status_500'
  t.match(await ask(signedIn(data(), access())), { status: 200 }, 'a token never seen before')
  // The one look at the set that an unknown key is worth fails, and says so.
  const answer = await refused(t, signedIn(data(), access({ key: createIdpKey() })), {
    ...{ is: 'an unknown key meanwhile', reason: 'key_unavailable', status: 503 },
  })
  t.same(headersOf(answer, 'retry-after'), ['1'])
  const faults = ['slow', 'html', 'huge', 'redirect', 'too_many_keys', 'no_keys'] as const
  for (const fault of faults) {
    idp.fault = fault
    const seen = await ask(signedIn(data(), access({ payload: { jti: fault } })))
    t.match(seen, { status: 200, groups: ['dev,ops'] }, `${fault}: a token never seen before`)
  }
  const lookups = 'alb_auth_key_cache_lookups_total{keys="jwks",result="stale"}'
  t.equal(await rig.metric(lookups), faults.length, 'and it is counted that the keys are old')
})

/** T-18: whoever names keys that do not exist must not make us ask for each of them. */
t.test('a hundred unknown keys are one look at the key set', async t => {
  const { idp, data, access, ask, rig } = flooded
  const before = idp.jwksFetches()
  const startedAt = Date.now()
  const alices = data()
  const forger = createIdpKey()
  await each(Array.from({ length: 100 }), async () => {
    const kid = crypto.randomUUID()
    const seen = await ask(signedIn(alices, access({ key: forger, header: { kid } })))
    t.match(seen, { status: 401, arrived: false })
  })
  const looks = idp.jwksFetches() - before
  t.ok(looks >= 1, 'asked')
  t.ok(looks <= 1 + (Date.now() - startedAt) / 30_000, `asked ${looks} times: once in 30 s`)
  const lookups = async (result: string) =>
    rig.metric(`alb_auth_key_cache_lookups_total{keys="jwks",result="${result}"}`)
  t.equal((await lookups('negative')) + (await lookups('miss')), 100, 'every look-up is counted')
  t.ok((await lookups('negative')) > 0, 'and most were answered from memory')
  t.match(await ask(signedIn(alices, access())), { status: 200 }, 'known keys do not wait')

  // Twice within thirty seconds: the first may be worth a look, the second is not.
  let seen: Seen | undefined
  await comesTrue(async () => {
    const startedAt = Date.now()
    await ask(signedIn(alices, access({ key: forger, header: { kid: crypto.randomUUID() } })))
    seen = await ask(signedIn(alices, access({ key: idp.rotate() })))
    return Date.now() - startedAt < 30_000
  })
  t.match(seen, { status: 401, arrived: false }, 'a key that is new within the thirty seconds')
  t.match(await lineOf(rig.output, seen!.answer), { reason: 'key_unknown' })
})

/** THREATS T-20, R3: revoking a key is the provider's only way to take tokens back. */
t.test('a withdrawn key takes its tokens with it, cached or not', async t => {
  const { idp, data, access, ask, refused } = withdrawing
  const alices = data()
  const stolen = idp.current()
  const cached = access()
  const fresh = access({ payload: { jti: 'never seen before' } })
  t.match(await ask(signedIn(alices, cached)), { status: 200 }, 'before')
  t.match(await ask(signedIn(alices, cached)), { status: 200 }, 'before, from the cache')
  const next = idp.rotate()
  idp.withdraw(stolen.kid)
  t.match(await ask(signedIn(alices, access({ key: next }))), { status: 200 }, 'the next key')
  for (const [is, token] of Object.entries({ cached, fresh })) {
    await refused(t, signedIn(alices, token), { is, reason: 'key_unknown' })
  }
})

/** T-22. */
t.test('before the keys were ever read', { jobs: 2 }, t => {
  const claims = { sub: ALICE_AT_IDP.id, email: ALICE_AT_IDP.email }

  t.test('required: not ready, and nobody is let in or sent away for good', async t => {
    const idp = await startIdp(t)
    idp.fault = 'status_500'
    const signer = createLastingSigner(idp.issuer)
    const keys = await startKeyServer({ keys: [signer] })
    t.teardown(keys.close)
    const { port, adminPort } = await startProgram(t, {
      UPSTREAM_URL: `http://127.0.0.1:${recorder.port}`,
      ...{ OIDC_ISSUER: idp.issuer, ALB_KEY_URL: `${keys.url}/{region}/{kid}` },
      ...{ ACCESS_TOKEN: 'required', NOAUTH_PATHS: '/open' },
    })
    const admin = async (target: string) => (await visit(adminPort, { target })).status
    t.equal(await admin('/healthz'), 200, 'alive')
    t.equal(await admin('/readyz'), 503, 'but not ready')
    const good = signedIn(signer.sign(claims), accessTokenFor(idp, 'generic'))
    for (const time of ['once', 'again']) {
      const refused = await visit(port, { headers: good })
      t.equal(refused.status, 503, `a good token, ${time}`)
      t.same(headersOf(refused, 'retry-after'), ['1'])
      t.notMatch(refused.body, /key|jwks/i)
    }
    t.match(await visit(port), { status: 401 }, 'nobody')
    t.match(await visit(port, { target: '/open' }), { status: 200 }, 'open paths go on')
    t.match(await visit(port, { target: '/open', headers: good }), { status: 200 })
    idp.fault = undefined
    // Patience is far shorter than the five minutes between two readings that went well.
    const isReady = async () => (await admin('/readyz')) === 200
    t.ok(await eventually(isReady), 'ready soon after the provider is back')
    t.match(await visit(port, { headers: good }), { status: 200 }, 'and then it is let in')
  })

  t.test('optional: ready, 503 to access tokens, and the rest goes on', async t => {
    const idp = await startIdp(t)
    idp.fault = 'status_500'
    const settings = { OIDC_ISSUER: idp.issuer, ACCESS_TOKEN: 'optional' }
    const rig = await startRig(t, recorder.port, settings)
    const data = albTokenFor(rig.signer, idp, 'generic')
    const token = accessTokenFor(idp, 'generic')
    const refused = await visit(rig.port, { headers: signedIn(data, token) })
    t.match(refused, { status: 503 })
    const reason = { reason: 'key_unavailable', source: 'access_token' }
    t.match(await lineOf(rig.output, refused), reason)
    t.match(await visit(rig.port, { headers: signedIn(data) }), { status: 200 }, 'without one')
    t.match(await visit(rig.port, { headers: signedIn(data, 'ya29.x') }), { status: 200 }, 'opaque')
    idp.fault = undefined
    const back = () =>
      visit(rig.port, { headers: signedIn(data, token) }).then(({ status }) => status === 200)
    t.ok(await eventually(back), 'and it recovers by itself')
  })
  t.end()
})
