import { createPublicKey } from 'node:crypto'
import t from 'tap'
import { createSigner, type Overrides } from '../../simulator/signer.ts'
import { explainAccessToken, explainRequest } from '../../src/cli/explain-request.ts'
import { createPage } from '../../src/cli/page.ts'
import { createPaint } from '../../src/cli/paint.ts'
import { loadConfig, type Environment } from '../../src/config/config.ts'
import { CHECKS } from '../../src/core/checks.ts'
import type { ReceivedHeaders } from '../../src/core/headers.ts'
import { createGate, type Keys } from '../../src/gate.ts'
import { decide } from '../../src/pipeline.ts'
import { createClock } from '../fixtures/clock.ts'
import { recordEvents } from '../fixtures/events.ts'
import { accessTokenFor, createIdpKey, type TokenOverrides } from '../fixtures/idp.ts'
import { ALICE, ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'

const clock = createClock()
const now = clock.wallSeconds()
const signer = createSigner({ arn: ARN, client: CLIENT, issuer: ISSUER, now: () => now * 1_000 })
const rsa = createIdpKey()
const idp = { issuer: ISSUER, current: () => rsa }
const KEYS: Keys = {
  alb: () => Promise.resolve(createPublicKey(signer.publicKeyPem)),
  accessToken: () => ({ key: rsa.publicKey, thumbprint: '', isWithdrawn: false }),
}

const data = (overrides?: Overrides, claims: object = {}) =>
  signer.sign({ ...ALICE, ...claims }, overrides)
const access = ({ payload, ...more }: TokenOverrides = {}) =>
  accessTokenFor(idp, 'generic', {
    ...{ nowSeconds: now, ...more },
    payload: { sub: ALICE.sub, ...payload },
  })

async function setUp(environment: Environment) {
  const { config } = loadConfig({
    ...{ ALB_ARNS: ARN, ALB_CLIENT_IDS: CLIENT, OIDC_ISSUER: ISSUER, NOAUTH_PATHS: '/open/*' },
    ...environment,
  })
  const gate = await createGate(config, { clock, telemetry: recordEvents(), keys: KEYS })
  let text = ''
  const print = (more: string) => {
    text += more
  }
  const page = createPage(print, createPaint(false, {}))
  const about = { config, now, albKeySource: '--key', accessKeySource: '--key' }
  return { gate, page, about, text: () => text }
}

interface Case {
  readonly is: string
  readonly environment?: Environment
  readonly target?: string
  readonly headers: readonly string[]
  readonly code?: number
  /** In this order. */
  readonly says: readonly string[]
}

const DATA = 'X-Amzn-Oidc-Data'
const ACCESS = 'X-Amzn-Oidc-Accesstoken'
const REQUIRED = { ACCESS_TOKEN: 'required' }

t.test('what is told of a request is what the gate decides about it', async t => {
  const good = data()
  const cases: readonly Case[] = [
    {
      is: 'a good token',
      headers: [DATA, good],
      says: [
        ...['✓ it can be read', '· guarded; none of the 1 open rules', '✓ signed by that key'],
        ...['ACCESS_TOKEN=ignore', '✓ there is a user', "✓ authenticated as 'alice@example.com'"],
        ...["e-mail 'alice@example.com'", "groups 'dev', 'ops'"],
      ],
    },
    {
      is: 'a good token of somebody of whom little is known',
      headers: [DATA, data({}, { email: undefined, groups: undefined })],
      environment: { USER_CLAIM: 'sub' },
      says: ["✓ authenticated as '23d4", 'no groups'],
    },
    {
      is: 'a token of another client',
      headers: [DATA, data({ header: { client: 'x' } })],
      code: 1,
      says: [
        ...['✗ client is ours: client_mismatch', 'expected', 'found', "'x'", '· iss is our'],
        ...['✗ 401 client_mismatch'],
      ],
    },
    {
      is: 'an expired token of a browser',
      headers: [DATA, data({ payload: { exp: now - 60 } }), 'Accept', 'text/html'],
      code: 1,
      says: ['✗ not expired: token_expired', '✗ 401 token_expired', 'sign in again'],
    },
    {
      is: 'no token',
      headers: [],
      code: 1,
      says: ['✗ none was sent', 'copy the request', '✗ 401 token_missing'],
    },
    {
      is: 'no token on an open path',
      headers: [],
      target: '/open/a',
      says: ["· open, by the rule '/open/*'", '✗ none was sent', '! anonymous'],
    },
    {
      is: 'a bad token on an open path',
      headers: [DATA, 'a.b.c'],
      target: '/open/a',
      says: ['✗ three canonical', '! anonymous', 'its token does not count: token_malformed'],
    },
    {
      is: 'a bad token in report mode',
      headers: [DATA, 'a.b.c'],
      environment: { ENFORCEMENT: 'report' },
      says: ['! anonymous', 'ENFORCEMENT=report lets it pass: token_malformed'],
    },
    {
      is: 'a request that is not judged',
      headers: [DATA, good, 'X_AMZN_OIDC_DATA', good],
      code: 1,
      says: ['✗ refused before it is judged: x-amzn-oidc-data', '· not reached', '✗ 400 duplicate'],
    },
    {
      is: 'a request that expects too much',
      headers: ['Expect', 'more'],
      code: 1,
      says: ['✗ refused before it is judged: as it stands', '✗ 417 expectation_refused'],
    },
    {
      is: 'a header that is refused',
      headers: [DATA, good, 'x_y', 'z'],
      environment: { NONSTANDARD_HEADERS: 'reject' },
      code: 1,
      says: ['✓ it can be read', '· not reached', '✗ 400 malformed_request'],
    },
    {
      is: 'one of our own paths',
      headers: [DATA, good],
      environment: { WHOAMI_PATH: '/whoami' },
      target: '/whoami',
      says: ['✓ authenticated', '· answered by the sidecar itself'],
    },
    {
      is: 'another identity beside the token',
      headers: [DATA, good, 'X-Amzn-Oidc-Identity', 'x'],
      code: 1,
      says: ['✗ x-amzn-oidc-identity is the same user: subject_mismatch', '· not reached'],
    },
    {
      is: 'both tokens',
      headers: [DATA, good, ACCESS, access()],
      environment: REQUIRED,
      says: ["✓ the same user as the ALB's token", '✓ authenticated'],
    },
    {
      is: 'no access token where one is required',
      headers: [DATA, good],
      environment: REQUIRED,
      code: 1,
      says: ['✗ sent: token_missing', '· not reached', '✗ 401 token_missing'],
    },
    {
      is: 'no access token where one may be',
      headers: [DATA, good],
      environment: { ACCESS_TOKEN: 'optional' },
      says: ['none is needed: ACCESS_TOKEN=optional', '✓ authenticated'],
    },
    {
      is: 'an opaque access token where one may be',
      headers: [DATA, good, ACCESS, 'opaque'],
      environment: { ACCESS_TOKEN: 'optional' },
      says: ['✗ a JWT, not opaque: token_opaque', 'which is forgiven', '✓ authenticated'],
    },
    {
      is: 'an expired access token that is forgiven',
      headers: [DATA, good, ACCESS, access({ lifetimeSeconds: -60 })],
      environment: { ...REQUIRED, ACCESS_TOKEN_EXPIRED: 'ignore-claims' },
      says: ['✗ not expired, and valid already: token_expired', 'which is forgiven', '✓ authenti'],
    },
    {
      is: "another user's access token",
      headers: [DATA, good, ACCESS, access({ payload: { sub: 'x' } })],
      environment: REQUIRED,
      code: 1,
      says: [
        "✗ the same user as the ALB's token: subject_mismatch",
        "'x' under sub",
        '· not reached',
      ],
    },
    {
      is: 'an access token beside a bad one',
      headers: [DATA, 'a.b.c', ACCESS, access()],
      environment: REQUIRED,
      code: 1,
      says: ['✗ three canonical', 'accesstoken)\n  · not reached', 'The identity\n  · not reached'],
    },
    {
      is: 'a user who is not allowed',
      headers: [DATA, good],
      environment: { ALLOWED_GROUPS: 'x' },
      code: 1,
      says: [
        '✓ the groups were not left out',
        '✗ one of the groups is allowed',
        '✗ 403 not_allowed',
      ],
    },
    {
      is: 'more groups than fit',
      headers: [DATA, good],
      environment: { GROUPS_MAX_BYTES: '3' },
      code: 1,
      says: ['✗ the groups fit into a header: groups_too_large', '✗ 403 groups_too_large'],
    },
  ]
  for (const { is, environment = {}, target = '/a', headers, code = 0, says } of cases) {
    const { gate, page, about, text } = await setUp(environment)
    const list = ['Host', 'a', ...headers]
    const request = {
      kind: 'request',
      method: 'GET',
      target,
      headers: list,
      isWhole: true,
    } as const
    t.equal(await explainRequest(request, gate, about, page), code, `${is}: the exit code`)
    let from = 0
    for (const part of says) {
      const at = text().indexOf(part, from)
      t.ok(at >= 0, `${is}: ${part}${at >= 0 ? '' : `\n${text()}`}`)
      from = Math.max(from, at)
    }
    const decision = await decide({ ...request, httpVersion: '1.1' }, gate.steps)
    t.equal(decision.verdict.outcome === 'rejected', code === 1, `${is}: as the gate decides`)
    for (const value of headers.filter(each => each.length > 40)) {
      for (const piece of value.split('.')) t.notOk(text().includes(piece), `${is}: no token`)
    }
  }
})

t.test('where nothing says what was asked for, it is said what is assumed', async t => {
  const { gate, page, about, text } = await setUp({})
  const headers = ['Host', 'a'] as readonly string[] as ReceivedHeaders
  const request = { kind: 'request', method: 'GET', target: '/', headers, isWhole: false } as const
  await explainRequest(request, gate, about, page)
  t.match(text(), 'no request line: taken for GET /')
})

t.test('an access token alone is looked at but for what binds it', async t => {
  const cases = [
    { environment: REQUIRED, token: access(), code: 0, says: '✓ valid, if the load balancer' },
    { environment: {}, token: access(), code: 0, says: 'the sidecar would not look at it' },
    {
      environment: REQUIRED,
      token: access({ payload: { token_use: 'id' } }),
      ...{ code: 1, says: '✗ 401 token_use_mismatch' },
    },
    { environment: REQUIRED, token: 'opaque', code: 1, says: '✗ 401 token_opaque' },
  ]
  for (const { environment, token, code, says } of cases) {
    const { gate, page, about, text } = await setUp(environment)
    t.equal(await explainAccessToken(token, gate, about, page), code, says)
    t.match(text(), says)
    t.notMatch(text(), CHECKS.access_binding.states)
  }
})
