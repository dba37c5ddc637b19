/**
 * Decides whether an `x-amzn-oidc-data` token is one that our ALB made, for our client, and is still
 * good. Refuses it for the first check that fails; asks for a key only after every check that needs
 * none, so that a forger cannot make us fetch.
 *
 * A valid signature alone proves "some ALB": the keys of every account's load balancers in a region
 * are served from one place (ALBeast). It is `signer` that says which, and `signer` is compared
 * before the key is looked up and believed only after the signature holds.
 *
 * @see https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html#user-claims-encoding
 */
import type { KeyObject } from 'node:crypto'
import type { Check } from '../core/checks.ts'
import type { Clock } from '../core/clock.ts'
import type { Claims } from '../core/identity.ts'
import type { Reason } from '../core/reasons.ts'
import type { Telemetry } from '../core/telemetry.ts'
import { quote, rejected, type Rejected } from '../core/verdict.ts'
import type { AlbArn } from './alb-arn.ts'
import { readCompact, type CompactToken } from './shape.ts'
import { verifySignature } from './signature.ts'

/** Longest token that is looked at, in bytes; an ALB stops at 11 KB of claims and access token. */
export const MAX_TOKEN_BYTES = 16_384
const SIGNATURE_BYTES = 64

export interface AlbTokenOptions {
  /** The load balancers whose signature is accepted, compared whole. */
  readonly arns: readonly AlbArn[]
  /** Accepted `client` values, or `any` under `UNSAFE_ALLOW_ANY_CLIENT`. */
  readonly clients: readonly string[] | 'any'
  /** Accepted `iss` values, or `any` under `UNSAFE_ALLOW_ANY_ISSUER`. */
  readonly issuers: readonly string[] | 'any'
  /** How long after `exp` a token is still accepted. */
  readonly toleranceSeconds: number
  readonly clock: Clock
  readonly telemetry: Pick<Telemetry, 'tokenVerified'>
  /** The key store; a `Reason` where there is no key to be had. */
  readonly findKey: (arn: AlbArn, kid: string) => Promise<KeyObject | KeyFault>
}

export interface KeyFault {
  readonly reason: 'key_unknown' | 'key_unavailable'
  readonly detail: string
}

export interface VerifiedAlbToken {
  readonly outcome: 'verified'
  readonly claims: Claims & { readonly sub: string }
  /** The earlier of header and payload `exp`, seconds since the epoch. */
  readonly expiresAt: number
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/**
 * @returns A function of the token as received that resolves to the claims or to the first reason not
 * to believe them. It rejects only for faults of ours.
 */
export function createAlbVerifier(
  options: AlbTokenOptions,
): (token: string) => Promise<VerifiedAlbToken | Rejected> {
  const arns = new Map<unknown, AlbArn>(options.arns.map(arn => [arn.text, arn]))
  const clients = membership(options.clients)
  const issuers = membership(options.issuers)

  return async token => {
    if (token.length > MAX_TOKEN_BYTES) {
      return refused(
        'alb_size',
        'token_too_large',
        `${token.length} bytes, at most ${MAX_TOKEN_BYTES}`,
      )
    }
    const read = readCompact(token)
    if (read === undefined)
      return refused('alb_shape', 'token_malformed', 'not a canonical compact token')
    if (read.signature.length !== SIGNATURE_BYTES) {
      return refused(
        'alb_shape',
        'token_malformed',
        `signature of ${read.signature.length} bytes, ES256 has 64`,
      )
    }

    const claimed = checkHeader(read)
    if ('outcome' in claimed) return claimed
    const { arn, kid, expiresAt } = claimed

    const key = await options.findKey(arn, kid)
    if ('reason' in key) return refused('alb_key', key.reason, key.detail)
    if (!verifySignature('ES256', key, read))
      return refused('alb_signature', 'signature_invalid', `under key ${kid}`)

    const { payload: claims } = read
    if (!hasSubject(claims)) {
      return refused(
        'alb_subject',
        'claims_invalid',
        `sub must be a non-empty string, found ${quote(claims['sub'])}`,
      )
    }
    options.telemetry.tokenVerified('alb', expiresAt - options.clock.wallSeconds())
    return { outcome: 'verified', claims, expiresAt }
  }

  /** Everything that can be said without a key, in the order of the contract. */
  function checkHeader({
    header,
    payload,
  }: CompactToken): Rejected | { arn: AlbArn; kid: string; expiresAt: number } {
    if (own(header, 'alg') !== 'ES256' || Object.hasOwn(header, 'crit')) {
      return refused(
        'alb_algorithm',
        'algorithm_refused',
        `alg must be ES256, found ${quote(header['alg'], 16)}`,
      )
    }
    const arn = arns.get(own(header, 'signer'))
    if (arn === undefined) {
      return refused(
        'alb_signer',
        'signer_mismatch',
        `ALB_ARNS does not hold ${quote(header['signer'], 256)}`,
      )
    }
    const client = own(header, 'client')
    if (!clients(client)) {
      return refused(
        'alb_client',
        'client_mismatch',
        `ALB_CLIENT_IDS does not hold ${quote(client)}`,
      )
    }
    const issuer = own(header, 'iss')
    if (!issuers(issuer)) {
      return refused('alb_issuer', 'issuer_mismatch', `OIDC_ISSUER does not hold ${quote(issuer)}`)
    }
    if (Object.hasOwn(payload, 'iss') && payload['iss'] !== issuer) {
      return refused('alb_issuer', 'issuer_mismatch', `payload iss is ${quote(payload['iss'])}`)
    }
    const expiresAt = checkExpiry(header, payload)
    if (typeof expiresAt !== 'number') return expiresAt
    const kid = own(header, 'kid')
    const lowerKid = typeof kid === 'string' ? kid.toLowerCase() : ''
    if (!UUID.test(lowerKid)) return refused('alb_kid', 'token_malformed', 'kid is not a UUID')
    return { arn, kid: lowerKid, expiresAt }
  }

  function checkExpiry(header: Claims, payload: Claims): number | Rejected {
    const times = [header['exp'], ...(Object.hasOwn(payload, 'exp') ? [payload['exp']] : [])]
    let earliest = Infinity
    for (const exp of times) {
      if (typeof exp !== 'number' || !Number.isFinite(exp)) {
        return refused('alb_expiry', 'claims_invalid', `exp must be a number, found ${quote(exp)}`)
      }
      earliest = Math.min(earliest, exp)
    }
    const overdue = options.clock.wallSeconds() - earliest
    if (overdue <= options.toleranceSeconds) return earliest
    const detail = `expired ${Math.ceil(overdue)} s ago, CLOCK_TOLERANCE is ${options.toleranceSeconds} s`
    return refused('alb_expiry', 'token_expired', detail)
  }
}

function hasSubject(claims: Claims): claims is Claims & { readonly sub: string } {
  const { sub } = claims
  return typeof sub === 'string' && sub !== ''
}

/** A claim that the token itself holds; never one of `Object.prototype`. */
function own(claims: Claims, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined
}

function membership(accepted: readonly string[] | 'any'): (value: unknown) => boolean {
  if (accepted === 'any') return () => true
  const set = new Set<unknown>(accepted)
  return value => set.has(value)
}

function refused(check: Check, reason: Reason, detail: string): Rejected {
  return rejected(reason, { source: 'alb', check, detail })
}
