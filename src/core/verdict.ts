/**
 * What was decided about one request: values, not exceptions, because being refused is ordinary.
 */
import type { Check } from './checks.ts'
import type { Identity } from './identity.ts'
import type { Reason } from './reasons.ts'

/** Which token was at fault. */
export type SourceName = 'alb' | 'access_token'
export const SOURCE_NAMES: readonly SourceName[] = ['alb', 'access_token']

export interface Authenticated {
  readonly outcome: 'authenticated'
  readonly identity: Identity
}

export interface Anonymous {
  readonly outcome: 'anonymous'
}

export interface Rejected {
  readonly outcome: 'rejected'
  readonly reason: Reason
  /** Which token was at fault; absent when none was looked at. */
  readonly source?: SourceName
  /** Which check of the token or the identity failed; every one before it held. */
  readonly check?: Check
  /** For the log only: what was expected and what was found; never a token. */
  readonly detail?: string
}

export type Verdict = Authenticated | Anonymous | Rejected

export const VERDICTS: readonly Verdict['outcome'][] = ['authenticated', 'anonymous', 'rejected']

export const ANONYMOUS: Anonymous = { outcome: 'anonymous' }

/** A refusal for `reason`; `about` says which token and check, and what to tell the operator. */
export function rejected(
  reason: Reason,
  about: Pick<Rejected, 'source' | 'check' | 'detail'> = {},
): Rejected {
  return { outcome: 'rejected', reason, ...about }
}

/**
 * Text from outside, made safe to quote in a detail: ASCII, on one line, at most `max` characters.
 * It is not made secret: do not quote tokens.
 */
export function quote(value: unknown, max = 128): string {
  if (typeof value !== 'string') return value === undefined ? 'nothing' : `a ${typeof value}`
  const ascii = value.slice(0, max).replace(/[^\x20-\x7e]/g, '?')
  return `'${ascii}${value.length > max ? '…' : ''}'`
}
