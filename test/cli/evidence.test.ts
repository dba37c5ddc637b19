import t from 'tap'
import { evidenceFor, readLeniently, type Evidence } from '../../src/cli/evidence.ts'
import { loadConfig, type Environment } from '../../src/config/config.ts'
import { CHECK_NAMES, type Check } from '../../src/core/checks.ts'
import { createSigner } from '../../simulator/signer.ts'
import { ALICE, ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'

const NOW = 1_800_000_000
const signer = createSigner({ arn: ARN, client: CLIENT, issuer: ISSUER, now: () => NOW * 1_000 })
const segment = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

interface Given {
  readonly environment?: Environment
  readonly alb?: string
  readonly access?: string
  readonly identity?: string
}

function evidence({ environment, alb, access, identity }: Given = {}): Evidence {
  const least = { ALB_ARNS: ARN, ALB_CLIENT_IDS: CLIENT, OIDC_ISSUER: ISSUER }
  return {
    config: loadConfig({ ...least, ...environment }).config,
    now: NOW,
    alb: alb === undefined ? undefined : readLeniently(alb),
    access: access === undefined ? undefined : readLeniently(access),
    identityHeader: identity,
    albKeySource: 'the endpoint',
    accessKeySource: 'the set',
  }
}

const access = (header: object, payload: object) => `${segment(header)}.${segment(payload)}.c2ln`
const ANY = {
  ...{ ALB_CLIENT_IDS: '', UNSAFE_ALLOW_ANY_CLIENT: 'true' },
  ...{ OIDC_ISSUER: '', UNSAFE_ALLOW_ANY_ISSUER: 'true' },
}

t.test('for every check it is said what was expected and what was there', t => {
  const alb = signer.sign(ALICE)
  const cases: readonly (Given & { check: Check; expected?: RegExp; found: RegExp | string })[] = [
    { check: 'alb_size', alb, found: `${alb.length} bytes` },
    { check: 'alb_shape', alb, found: 'three segments, a signature of 64 bytes' },
    { check: 'alb_shape', alb: 'a.b', found: '2 segments' },
    {
      check: 'alb_shape',
      alb: `${segment({ a: 1 })}.${segment({ a: 1 })}.!`,
      found: /base64url in the signature/,
    },
    { check: 'alb_shape', alb: '!.!.!', found: /in the header and payload and signature/ },
    {
      check: 'alb_shape',
      alb: `${segment([])}.${segment({ a: 1 })}.`,
      found: /is not a JSON object/,
    },
    { check: 'alb_shape', alb: `e30.${segment(null)}.`, found: /is not a JSON object/ },
    { check: 'alb_algorithm', alb, found: "'ES256'" },
    { check: 'alb_algorithm', alb: signer.sign({}, { header: { crit: [] } }), found: /with crit/ },
    { check: 'alb_signer', alb, expected: /arn:/, found: `'${ARN}'` },
    { check: 'alb_client', alb, found: `'${CLIENT}'` },
    { check: 'alb_client', alb, environment: ANY, expected: /^any$/, found: `'${CLIENT}'` },
    {
      check: 'alb_client',
      environment: { ALB_CLIENT_IDS: 'abcdefghijk'.split('').join() },
      ...{ alb, expected: /^one of 'a', .*'j', …$/, found: /./ },
    },
    { check: 'alb_issuer', alb, found: `'${ISSUER}'` },
    {
      check: 'alb_issuer',
      alb: signer.sign({}, { payload: { iss: 'x' } }),
      found: /, and 'x' in the payload$/,
    },
    { check: 'alb_issuer', alb: access({ iss: 'x' }, {}), found: "'x'" },
    {
      check: 'alb_expiry',
      alb,
      expected: /5 s before 2027-/,
      found: '2027-01-15T08:02:00Z (120 s ahead)',
    },
    {
      check: 'alb_expiry',
      alb: signer.sign({}, { payload: { exp: NOW - 9 }, header: { exp: 'x' } }),
      found: "'x', and in the payload 2027-01-15T07:59:51Z (9 s ago)",
    },
    { check: 'alb_expiry', alb: access({ exp: NOW + 1 }, {}), found: /1 s ahead/ },
    { check: 'alb_kid', alb, found: `'${signer.kid}'` },
    { check: 'alb_key', alb, expected: /the endpoint$/, found: /^key / },
    { check: 'alb_signature', alb, found: /with their padding/ },
    { check: 'alb_signature', alb: 'a.b.c', found: /without padding/ },
    { check: 'alb_subject', alb, found: `'${ALICE.sub}'` },
    { check: 'alb_identity', alb, identity: 'x', found: "'x'" },
    { check: 'alb_identity', alb, found: 'not sent' },
    { check: 'access_present', found: 'none' },
    { check: 'access_present', access: 'x', found: 'one' },
    { check: 'access_form', access: 'a.b', found: '2 segments' },
    { check: 'access_size', access: 'a.b', found: '3 bytes' },
    { check: 'access_shape', access: 'a.b', found: '2 segments' },
    { check: 'access_algorithm', access: access({ alg: 'none' }, {}), found: "'none'" },
    {
      check: 'access_key',
      access: access({ kid: 'k' }, {}),
      expected: /the set$/,
      found: "kid 'k'",
    },
    { check: 'access_signature', access: access({ alg: 'RS256' }, {}), found: "'RS256'" },
    { check: 'access_issuer', access: access({}, { iss: 'x' }), found: "'x'" },
    { check: 'access_times', access: access({}, { nbf: NOW }), found: /^exp nothing; nbf 2027-/ },
    { check: 'access_audience', access: access({}, { aud: ['a', 1] }), found: "'a', a number" },
    { check: 'access_client', access: access({}, { azp: 'x' }), found: "'x'" },
    {
      check: 'access_use',
      access: access({ typ: 'ID' }, {}),
      found: "token_use nothing, typ 'ID'",
    },
    {
      check: 'access_use',
      environment: { IDP: 'cognito' },
      ...{ access: access({}, {}), expected: /^token_use 'access'$/, found: /nothing/ },
    },
    { check: 'access_subject', access: access({}, { sub: 'x' }), found: "'x'" },
    { check: 'access_binding', alb, access: access({}, { sub: 'x' }), found: "'x' under sub" },
    { check: 'user', alb, found: "'alice@example.com'" },
    { check: 'email_verified', alb, found: "'true'" },
    { check: 'email_verified', alb: access({}, { email_verified: true }), found: 'true' },
    { check: 'email_verified', alb: access({}, { email_verified: 1 }), found: '1' },
    { check: 'groups', alb, found: 'nothing in access_token, 2 groups in alb' },
    { check: 'allowed_groups', alb, found: /above/ },
    { check: 'allowed_domains', alb, found: "'alice@example.com'" },
    { check: 'groups_size', alb, found: /application/ },
  ]
  for (const { check, expected = /./, found, ...given } of cases) {
    const shown = evidenceFor(check, evidence(given))
    t.match(shown.expected, expected, check)
    if (typeof found === 'string') t.equal(shown.found, found, check)
    else t.match(shown.found, found, check)
  }
  t.same(new Set(cases.map(({ check }) => check)), new Set(CHECK_NAMES), 'every check is here')
  t.end()
})

t.test('what is not configured is not asked', t => {
  const asked = {
    REQUIRE_EMAIL_VERIFIED: 'true',
    ALLOWED_GROUPS: 'a',
    ALLOWED_EMAIL_DOMAINS: 'a',
    ACCESS_TOKEN_AUDIENCES: 'a',
  }
  const cases = [
    {
      is: evidence(),
      unasked: [
        'alb_identity',
        'access_audience',
        'email_verified',
        'allowed_groups',
        'allowed_domains',
      ],
    },
    { is: evidence({ environment: asked, identity: 'x' }), unasked: [] },
    {
      is: evidence({ environment: { ...asked, ...ANY }, identity: 'x' }),
      unasked: ['alb_client', 'alb_issuer', 'access_client'],
    },
  ]
  for (const { is, unasked } of cases) {
    t.same(
      CHECK_NAMES.filter(check => evidenceFor(check, is).isUnasked === true),
      unasked,
    )
  }
  t.end()
})
