/**
 * What an operator most likely wants to hear about a check that failed.
 */
import type { Check } from '../core/checks.ts'
import type { Reason } from '../core/reasons.ts'
import type { Evidence } from './evidence.ts'
import { showMoment } from './moment.ts'

type Advise = (evidence: Evidence, reason: Reason) => string | undefined

const UNREACHABLE: Advise = (_, reason) =>
  reason === 'key_unavailable'
    ? 'alb-auth-sidecar check says whether the keys can be reached from here'
    : undefined
const OPAQUE: Advise = () =>
  "the provider's access token may not be for others to verify: see docs/identity-providers.md"

const ADVICE: Readonly<Partial<Record<Check, Advise>>> = {
  alb_signer: () =>
    'if that load balancer is yours, add its ARN; if not, this is the token of another one',
  alb_issuer: ({ alb, config }) => slash(alb?.header['iss'], config.oidcIssuer ?? []),
  alb_expiry: ({ alb }) => expiry(alb?.header['exp']),
  alb_key: UNREACHABLE,
  alb_signature: ({ alb }) =>
    alb?.token.includes('=') === true
      ? 'the bytes were changed on their way, or another key signed them'
      : 'the load balancer signs its padding (=): a token that lost it cannot be verified any more',
  access_present: OPAQUE,
  access_form: OPAQUE,
  access_key: UNREACHABLE,
  access_issuer: ({ access, config }) =>
    slash(access?.payload['iss'], config.accessTokenIssuer ?? config.oidcIssuer ?? []),
  access_times: ({ access }) => expiry(access?.payload['exp']),
}

/** @returns A sentence, or `undefined` where what was expected and found says it all. */
export function adviceOn(check: Check, reason: Reason, evidence: Evidence): string | undefined {
  return ADVICE[check]?.(evidence, reason)
}

function slash(found: unknown, accepted: readonly string[]): string | undefined {
  const bare = (text: string) => text.replace(/\/$/, '')
  if (typeof found !== 'string') return undefined
  const isNear = accepted.some(each => bare(each) === bare(found))
  return isNear ? 'they differ by a slash at the end, and issuers are compared exactly' : undefined
}

function expiry(exp: unknown): string | undefined {
  if (typeof exp !== 'number') return undefined
  return `to see what was decided in its time, add --at ${showMoment(exp - 30)}`
}
