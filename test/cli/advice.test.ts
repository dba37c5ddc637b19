import t from 'tap'
import { adviceOn } from '../../src/cli/advice.ts'
import { readLeniently, type Evidence } from '../../src/cli/evidence.ts'
import { loadConfig, type Environment } from '../../src/config/config.ts'
import type { Check } from '../../src/core/checks.ts'
import type { Reason } from '../../src/core/reasons.ts'
import { ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'

const segment = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const ANY = { OIDC_ISSUER: '', UNSAFE_ALLOW_ANY_ISSUER: 'true' }

interface Case {
  readonly check: Check
  readonly reason?: Reason
  /** What the token says, in header and payload alike; `undefined` for no token. */
  readonly claims?: object
  readonly padding?: string
  readonly environment?: Environment
  readonly advice: RegExp | undefined
}

t.test('there is advice where there is more to say than what was expected', t => {
  const cases: readonly Case[] = [
    { check: 'alb_signer', advice: /add its ARN/ },
    { check: 'alb_issuer', claims: { iss: `${ISSUER}/` }, advice: /slash/ },
    { check: 'alb_issuer', claims: { iss: 'https://x' }, advice: undefined },
    { check: 'alb_issuer', claims: { iss: 1 }, environment: ANY, advice: undefined },
    { check: 'access_issuer', claims: { iss: `${ISSUER}/` }, advice: /slash/ },
    { check: 'access_issuer', environment: ANY, advice: undefined },
    {
      check: 'access_issuer',
      environment: { ACCESS_TOKEN_ISSUER: 'https://a/' },
      ...{ claims: { iss: 'https://a' }, advice: /slash/ },
    },
    { check: 'alb_expiry', claims: { exp: 1_800_000_000 }, advice: /--at 2027-01-15T07:59:30Z$/ },
    { check: 'alb_expiry', claims: {}, advice: undefined },
    { check: 'access_times', claims: { exp: 1_800_000_000 }, advice: /--at 2027-/ },
    { check: 'access_times', advice: undefined },
    { check: 'alb_key', reason: 'key_unavailable', advice: /alb-auth-sidecar check/ },
    { check: 'alb_key', reason: 'key_unknown', advice: undefined },
    { check: 'access_key', reason: 'key_unavailable', advice: /alb-auth-sidecar check/ },
    { check: 'alb_signature', claims: {}, padding: '=', advice: /changed on their way/ },
    { check: 'alb_signature', claims: {}, advice: /lost it/ },
    { check: 'access_form', advice: /identity-providers/ },
    { check: 'access_present', advice: /identity-providers/ },
    { check: 'user', advice: undefined },
  ]
  for (const { check, reason = 'claims_invalid', claims, padding = '', ...rest } of cases) {
    const least = { ALB_ARNS: ARN, ALB_CLIENT_IDS: CLIENT, OIDC_ISSUER: ISSUER }
    const both = claims && `${segment(claims)}.${segment(claims)}.${padding}`
    const token = both === undefined ? undefined : readLeniently(both)
    const evidence: Evidence = {
      config: loadConfig({ ...least, ...rest.environment }).config,
      ...{ now: 0, alb: token, access: token, identityHeader: undefined },
      ...{ albKeySource: '', accessKeySource: '' },
    }
    const advice = adviceOn(check, reason, evidence)
    if (rest.advice === undefined) t.equal(advice, undefined, check)
    else t.match(advice, rest.advice, check)
  }
  t.end()
})
