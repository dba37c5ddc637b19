/**
 * What the headers of one request prove: reads the tokens from where they were received, has each
 * verified, and asks whether they speak of the same subject.
 */
import { OIDC_DATA, OIDC_IDENTITY, valuesOf, type ReceivedHeaders } from '../core/headers.ts'
import type { Claims } from '../core/identity.ts'
import { rejected, type Rejected } from '../core/verdict.ts'
import type { VerifiedAlbToken } from './alb-token.ts'

/** Claims that were proven, and the headers that proved them. */
export interface Credentials {
  readonly outcome: 'verified'
  readonly subject: string
  readonly albClaims: Claims
  /** Seconds since the epoch. */
  readonly expiresAt: number
  /** Names, in lower case, of the received headers that are now known to be true. */
  readonly verifiedHeaders: readonly string[]
}

/** `absent`: no token was sent. */
export type Verification = Credentials | 'absent' | Rejected

/**
 * @param verifyAlbToken See `alb-token.ts`.
 * @returns A function of admitted headers, which hold at most one of each of the ALB's.
 */
export function createVerifyCredentials(
  verifyAlbToken: (token: string) => Promise<VerifiedAlbToken | Rejected>,
): (headers: ReceivedHeaders) => Promise<Verification> {
  return async headers => {
    const [token] = valuesOf(headers, OIDC_DATA)
    if (token === undefined) return 'absent'
    const verified = await verifyAlbToken(token)
    if (verified.outcome === 'rejected') return verified

    const { sub } = verified.claims
    const [identity] = valuesOf(headers, OIDC_IDENTITY)
    if (identity !== undefined && !isSameText(identity, sub)) {
      return rejected('subject_mismatch', {
        source: 'alb',
        detail: 'x-amzn-oidc-identity differs from the signed sub',
      })
    }
    return {
      outcome: 'verified',
      subject: sub,
      albClaims: verified.claims,
      expiresAt: verified.expiresAt,
      verifiedHeaders: identity === undefined ? [OIDC_DATA] : [OIDC_DATA, OIDC_IDENTITY],
    }
  }
}

/** Byte by byte: node hands the header over as latin-1, and the ALB writes the claim as UTF-8. */
function isSameText(headerValue: string, claim: string): boolean {
  return Buffer.from(headerValue, 'latin1').equals(Buffer.from(claim, 'utf8'))
}
