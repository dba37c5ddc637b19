/**
 * What the headers of one request prove: reads the tokens from where they were received, has each
 * verified, and asks whether they speak of the same subject.
 *
 * A request mostly brings tokens that were verified a moment ago. What was proven is therefore kept
 * with the ALB's token, and used again when everything that proved it is the same, byte for byte.
 */
import type { Check } from '../core/checks.ts'
import {
  OIDC_ACCESS_TOKEN,
  OIDC_DATA,
  OIDC_IDENTITY,
  valuesOf,
  type ReceivedHeaders,
} from '../core/headers.ts'
import type { Claims } from '../core/identity.ts'
import type { Reason } from '../core/reasons.ts'
import type { Telemetry } from '../core/telemetry.ts'
import { rejected, type Rejected, type SourceName } from '../core/verdict.ts'
import type { Opaque, VerifiedAccessToken } from './access-token.ts'
import type { VerifiedAlbToken } from './alb-token.ts'
import type { Cacheable, VerifiedCache } from './verified-cache.ts'

/** Claims that were proven, and the headers that proved them. */
export interface Credentials {
  readonly outcome: 'verified'
  readonly subject: string
  readonly albClaims: Claims
  /** Absent when there was no access token to believe. */
  readonly accessClaims?: Claims
  /** When the first of the proofs expires, seconds since the epoch. */
  readonly expiresAt: number
  /** Names, in lower case, of the received headers that are now known to be true. */
  readonly verifiedHeaders: readonly string[]
}

/** `absent`: no ALB token was sent. */
export type Verification = Credentials | 'absent' | Rejected

/** What one ALB token proved, together with what came beside it. */
export interface Proven extends Cacheable {
  readonly alb: VerifiedAlbToken
  readonly identityHeader: string | undefined
  readonly accessToken: string | undefined
  readonly credentials: Credentials
}

export interface CredentialsOptions {
  readonly verifyAlbToken: (token: string) => Promise<VerifiedAlbToken | Rejected>
  readonly verifyAccessToken: (token: string) => Promise<VerifiedAccessToken | Opaque | Rejected>
  /** `ACCESS_TOKEN`. Under `ignore` the access token is not looked at. */
  readonly accessToken: 'required' | 'optional' | 'ignore'
  /** `ACCESS_TOKEN_EXPIRED`: whether an expired one is a refusal or merely no claims. */
  readonly expiredAccessToken: 'reauthenticate' | 'reject' | 'ignore-claims'
  readonly proven: VerifiedCache<Proven>
  readonly accessTokens: VerifiedCache<VerifiedAccessToken>
  readonly telemetry: Pick<Telemetry, 'tokenCacheLookup'>
}

/**
 * @returns A function of admitted headers, which hold at most one of each of the ALB's. It answers at
 * once, without a promise, for what it has seen before.
 */
export function createVerifyCredentials(
  options: CredentialsOptions,
): (headers: ReceivedHeaders) => Verification | Promise<Verification> {
  return headers => {
    const [token] = valuesOf(headers, OIDC_DATA)
    if (token === undefined) return 'absent'
    const [identityHeader] = valuesOf(headers, OIDC_IDENTITY)
    const [sent] = valuesOf(headers, OIDC_ACCESS_TOKEN)
    const accessToken = options.accessToken === 'ignore' ? undefined : sent

    const known = options.proven.get(token)
    if (known !== undefined && isSameProof(known, identityHeader, accessToken)) {
      if (known.key !== undefined) options.telemetry.tokenCacheLookup('access_token', 'hit')
      return known.credentials
    }
    return prove(token, identityHeader, accessToken, known?.alb)
  }

  async function prove(
    token: string,
    identityHeader: string | undefined,
    accessToken: string | undefined,
    known: VerifiedAlbToken | undefined,
  ): Promise<Credentials | Rejected> {
    const alb = known ?? (await options.verifyAlbToken(token))
    if (alb.outcome === 'rejected') return alb
    const { sub } = alb.claims
    if (identityHeader !== undefined && !isSameText(identityHeader, sub)) {
      return mismatch('alb', 'alb_identity', 'x-amzn-oidc-identity differs from the signed sub')
    }
    const access = await proveAccess(accessToken)
    if (access?.outcome === 'rejected') return access
    if (access !== undefined && access.subject !== sub) {
      return mismatch(
        'access_token',
        'access_binding',
        "the access token's subject differs from the ALB's",
      )
    }

    const expiresAt = Math.min(alb.expiresAt, access?.expiresAt ?? Infinity)
    const credentials: Credentials = {
      outcome: 'verified',
      subject: sub,
      albClaims: alb.claims,
      ...(access && { accessClaims: access.claims }),
      expiresAt,
      verifiedHeaders: [
        OIDC_DATA,
        ...(identityHeader === undefined ? [] : [OIDC_IDENTITY]),
        ...(access === undefined ? [] : [OIDC_ACCESS_TOKEN]),
      ],
    }
    const proof = { alb, identityHeader, accessToken, credentials, expiresAt }
    options.proven.set(token, access ? { ...proof, key: access.key } : proof)
    return credentials
  }

  /** The access token's claims; `undefined` where there is nothing to believe and nothing amiss. */
  async function proveAccess(
    token: string | undefined,
  ): Promise<VerifiedAccessToken | Rejected | undefined> {
    const isRequired = options.accessToken === 'required'
    if (token === undefined) {
      return isRequired ? refused('token_missing', 'access_present') : undefined
    }
    const known = options.accessTokens.get(token)
    if (known !== undefined) return known
    const found = await options.verifyAccessToken(token)
    if (found.outcome === 'verified') {
      options.accessTokens.set(token, found)
      return found
    }
    if (found.outcome === 'opaque') {
      return isRequired ? refused('token_opaque', 'access_form') : undefined
    }
    const isForgiven =
      found.reason === 'token_expired' && options.expiredAccessToken === 'ignore-claims'
    return isForgiven ? undefined : found
  }
}

/** Whether what came beside the ALB's token is what came beside it before. */
function isSameProof(known: Proven, identityHeader?: string, accessToken?: string): boolean {
  return known.identityHeader === identityHeader && known.accessToken === accessToken
}

function refused(reason: Reason, check: Check): Rejected {
  return rejected(reason, { source: 'access_token', check })
}

function mismatch(source: SourceName, check: Check, detail: string): Rejected {
  return rejected('subject_mismatch', { source, check, detail })
}

/** Byte by byte: node hands the header over as latin-1, and the ALB writes the claim as UTF-8. */
function isSameText(headerValue: string, claim: string): boolean {
  return Buffer.from(headerValue, 'latin1').equals(Buffer.from(claim, 'utf8'))
}
