import { errors } from 'jose'
import t from 'tap'
import { checkFor, reasonFor } from '../../src/tokens/jose-reasons.ts'

const claims = {}

t.test('what jose says has one reason of ours', t => {
  const cases: readonly [error: errors.JOSEError, reason: string][] = [
    [new errors.JOSEAlgNotAllowed(), 'algorithm_refused'],
    [new errors.JOSENotSupported(), 'algorithm_refused'],
    [new errors.JWSInvalid(), 'token_malformed'],
    [new errors.JWTInvalid(), 'token_malformed'],
    [new errors.JWEInvalid(), 'token_malformed'],
    [new errors.JWEDecryptionFailed(), 'token_malformed'],
    [new errors.JOSEError(), 'token_malformed'],
    [new errors.JWSSignatureVerificationFailed(), 'signature_invalid'],
    [new errors.JWTExpired('', claims), 'token_expired'],
    [new errors.JWKInvalid(), 'key_unavailable'],
    [new errors.JWKSInvalid(), 'key_unavailable'],
    [new errors.JWKSTimeout(), 'key_unavailable'],
    [new errors.JWKSNoMatchingKey(), 'key_unknown'],
    [new errors.JWKSMultipleMatchingKeys(), 'key_unknown'],
  ]
  for (const [error, reason] of cases) t.equal(reasonFor(error), reason, error.code)
  t.end()
})

t.test('a claim that fails its check is told apart from one that is not there', t => {
  const cases = [
    { claim: 'iss', why: 'check_failed', reason: 'issuer_mismatch' },
    { claim: 'nbf', why: 'check_failed', reason: 'token_not_yet_valid' },
    { claim: 'aud', why: 'check_failed', reason: 'claims_invalid' },
    { claim: 'iss', why: 'missing', reason: 'claims_invalid' },
    { claim: 'exp', why: 'missing', reason: 'claims_invalid' },
    { claim: 'exp', why: 'invalid', reason: 'claims_invalid' },
    { claim: 'nbf', why: 'invalid', reason: 'claims_invalid' },
    { claim: 'iat', why: 'invalid', reason: 'claims_invalid' },
  ]
  for (const { claim, why, reason } of cases) {
    const error = new errors.JWTClaimValidationFailed('', claims, claim, why)
    t.equal(reasonFor(error), reason, `${claim} ${why}`)
  }
  t.end()
})

t.test('what is not of jose has no reason', t => {
  for (const error of [new TypeError('x'), new Error('x'), 'x', undefined, null, { code: 'E' }]) {
    t.equal(reasonFor(error), undefined)
  }
  class Newer extends errors.JOSEError {
    override code = 'ERR_JOSE_OF_TOMORROW'
  }
  t.equal(reasonFor(new Newer()), undefined, 'nor has a code that nobody knows yet')
  t.end()
})

t.test('what jose says is about one check of ours', t => {
  const claim = (name: string) => new errors.JWTClaimValidationFailed('', claims, name, 'missing')
  t.equal(checkFor(new errors.JWSSignatureVerificationFailed()), 'access_signature')
  t.equal(checkFor(claim('iss')), 'access_issuer')
  t.equal(checkFor(claim('nbf')), 'access_times')
  t.equal(checkFor(new errors.JWTExpired('', claims)), 'access_times')
  t.end()
})
