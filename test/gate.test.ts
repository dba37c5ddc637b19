import { createPublicKey } from 'node:crypto'
import t from 'tap'
import { createSigner } from '../simulator/signer.ts'
import { startKeyServer } from '../simulator/key-server.ts'
import { loadConfig, type Environment } from '../src/config/config.ts'
import { systemClock as clock } from '../src/core/clock.ts'
import { accessTokenIssuers, createGate, rulesIn, type Keys } from '../src/gate.ts'
import { decide } from '../src/pipeline.ts'
import { recordEvents } from './fixtures/events.ts'
import { accessTokenFor, albTokenFor, startIdp } from './fixtures/idp.ts'
import { ALICE, ARN, CLIENT, ISSUER } from './fixtures/sidecar.ts'
import { until } from './fixtures/until.ts'

const LEAST = { ALB_ARNS: ARN, ALB_CLIENT_IDS: CLIENT, OIDC_ISSUER: ISSUER }
const configOf = (environment: Environment = {}) =>
  loadConfig({ ...LEAST, KEY_FETCH_TIMEOUT: '10s', ...environment }).config

const signer = createSigner({ arn: ARN, client: CLIENT, issuer: ISSUER })

const asking = (...headers: readonly string[]) => ({
  httpVersion: '1.1',
  method: 'GET',
  target: '/',
  headers: ['Host', 'a', ...headers],
})

/** Knows the key of `signer` and of no identity provider. */
const KEYS: Keys = {
  alb: () => Promise.resolve(createPublicKey(signer.publicKeyPem)),
  accessToken: () => Promise.resolve({ reason: 'key_unknown', detail: 'none here' }),
}

t.test('a gate decides as its configuration says, with the keys it is given', async t => {
  const telemetry = recordEvents()
  const data = asking('X-Amzn-Oidc-Data', signer.sign(ALICE))
  const cases: readonly { environment: Environment; expected: object }[] = [
    {
      environment: {},
      expected: { outcome: 'authenticated', identity: { groups: ['dev', 'ops'] } },
    },
    {
      environment: { GROUPS_FILTER: 'o*' },
      expected: { outcome: 'authenticated', identity: { groups: ['ops'] } },
    },
    {
      environment: { ALB_CLIENT_IDS: 'another' },
      expected: { reason: 'client_mismatch' },
    },
    {
      environment: {
        ...{ ALB_CLIENT_IDS: '', UNSAFE_ALLOW_ANY_CLIENT: 'true' },
        ...{ OIDC_ISSUER: '', UNSAFE_ALLOW_ANY_ISSUER: 'true' },
      },
      expected: { outcome: 'authenticated' },
    },
  ]
  for (const { environment, expected } of cases) {
    const gate = await createGate(configOf(environment), { clock, telemetry, keys: KEYS })
    gate.start()
    t.equal(gate.isReady(), true, 'no key set is needed')
    t.match(await decide(data, gate.steps), { verdict: expected }, JSON.stringify(environment))
  }
  const late = { ...clock, wallSeconds: () => clock.wallSeconds() + 600 }
  const gate = await createGate(configOf(), { clock: late, telemetry, keys: KEYS })
  t.match(await decide(data, gate.steps), { verdict: { reason: 'token_expired' } }, 'by its clock')
})

t.test('keys come from the endpoint and the identity provider', async t => {
  const idp = await startIdp(t)
  const keys = await startKeyServer({ keys: [signer] })
  t.teardown(keys.close)
  const access = accessTokenFor(idp, 'generic', { payload: { sub: ALICE.sub } })
  const data = albTokenFor(signer, idp, 'generic')
  const wheres: readonly Environment[] = [{}, { ACCESS_TOKEN_JWKS_URL: idp.jwksUrl }]
  for (const where of wheres) {
    const config = configOf({
      ...{ OIDC_ISSUER: idp.issuer, ACCESS_TOKEN: 'required', ...where },
      ALB_KEY_URL: `${keys.url}/{region}/{kid}`,
    })
    const gate = await createGate(config, { clock, telemetry: recordEvents() })
    t.equal(gate.isReady(), false, 'not before they are read')
    gate.start()
    await until(gate.isReady)
    t.match(await gate.verifyAccessToken(access), { outcome: 'verified', subject: ALICE.sub })
    const request = asking('X-Amzn-Oidc-Data', data, 'X-Amzn-Oidc-Accesstoken', access)
    t.match(await decide(request, gate.steps), { verdict: { reason: 'subject_mismatch' } })
  }
})

t.test('the rules are those of the paths, then those of the preset', t => {
  t.same(rulesIn(configOf()), [])
  const rules = rulesIn(configOf({ NOAUTH_PATHS: '/a', NOAUTH_PRESET: 'consoleme' }))
  t.match(rules.slice(0, 2), [{ pattern: '/a' }, { pattern: '/noauth/v1/challenge_poller/*' }])
  t.end()
})

t.test("the access token's issuer is the ALB's unless it has its own", t => {
  t.same(accessTokenIssuers(configOf()), [ISSUER])
  t.same(accessTokenIssuers(configOf({ ACCESS_TOKEN_ISSUER: 'https://a' })), ['https://a'])
  const none = { OIDC_ISSUER: '', UNSAFE_ALLOW_ANY_ISSUER: 'true' }
  t.same(accessTokenIssuers(configOf(none)), [])
  t.end()
})
