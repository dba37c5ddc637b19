/**
 * What jose says about a token, in our words, once.
 */
import { errors } from 'jose'
import type { Check } from '../core/checks.ts'
import type { Reason } from '../core/reasons.ts'

/** One row per jose code: a jose release that adds a code stops this file from compiling. */
const BY_CODE = {
  ERR_JOSE_ALG_NOT_ALLOWED: 'algorithm_refused',
  ERR_JOSE_GENERIC: 'token_malformed',
  ERR_JOSE_NOT_SUPPORTED: 'algorithm_refused',
  ERR_JWE_DECRYPTION_FAILED: 'token_malformed',
  ERR_JWE_INVALID: 'token_malformed',
  ERR_JWK_INVALID: 'key_unavailable',
  ERR_JWKS_INVALID: 'key_unavailable',
  ERR_JWKS_MULTIPLE_MATCHING_KEYS: 'key_unknown',
  ERR_JWKS_NO_MATCHING_KEY: 'key_unknown',
  ERR_JWKS_TIMEOUT: 'key_unavailable',
  ERR_JWS_INVALID: 'token_malformed',
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: 'signature_invalid',
  ERR_JWT_CLAIM_VALIDATION_FAILED: 'claims_invalid',
  ERR_JWT_EXPIRED: 'token_expired',
  ERR_JWT_INVALID: 'token_malformed',
} as const satisfies Record<errors.JOSEErrorCode, Reason>

/**
 * @param error Whatever `jwtVerify` threw.
 * @returns The reason, or `undefined` when the error is not jose's and should stay an exception.
 */
export function reasonFor(error: unknown): Reason | undefined {
  if (!(error instanceof errors.JOSEError)) return undefined
  if (error instanceof errors.JWTClaimValidationFailed && error.reason === 'check_failed') {
    if (error.claim === 'iss') return 'issuer_mismatch'
    if (error.claim === 'nbf') return 'token_not_yet_valid'
  }
  const known: Readonly<Record<string, Reason>> = BY_CODE
  return known[error.code]
}

/**
 * Which of our checks an error of jose is about: it looks at the signature first, then at the issuer,
 * then at the times.
 */
export function checkFor(error: unknown): Check {
  if (error instanceof errors.JWTExpired) return 'access_times'
  if (!(error instanceof errors.JWTClaimValidationFailed)) return 'access_signature'
  return error.claim === 'iss' ? 'access_issuer' : 'access_times'
}
