/**
 * Decides whether an `x-amzn-oidc-accesstoken` is a token that our identity provider made for our
 * client, and is still good. The ALB forwards it unsigned, so nothing else vouches for it.
 *
 * An opaque token is no claim to anything; but a token that looks like a JWT must be a good one. A bad
 * signature is never taken for "opaque": that would let an attacker switch a user's groups off.
 *
 * @see RFC 9068 §4, RFC 8725 §3
 */
import type { Check } from '../core/checks.ts'
import type { Clock } from '../core/clock.ts'
import type { Claims } from '../core/identity.ts'
import { parseJson } from '../core/json.ts'
import type { Reason } from '../core/reasons.ts'
import type { Telemetry } from '../core/telemetry.ts'
import { quote, rejected, type Rejected } from '../core/verdict.ts'
import { MAX_TOKEN_BYTES, type KeyFault } from './alb-token.ts'
import { suits, type VerificationKey } from './jwks.ts'
import { readCompact, type CompactToken } from './shape.ts'
import { verifySignature, type Algorithm } from './signature.ts'

export interface AccessTokenOptions {
  /** Accepted algorithms; the token only chooses among them. */
  readonly algorithms: readonly Algorithm[]
  readonly issuers: readonly string[]
  /** Accepted `aud` values; empty leaves the audience to the client rule. */
  readonly audiences: readonly string[]
  /** Where the client id stands, the first present counts. */
  readonly clientClaims: readonly string[]
  /** Accepted client ids, or `any` under `UNSAFE_ALLOW_ANY_CLIENT`. */
  readonly clients: readonly string[] | 'any'
  /** Whether `token_use` must be there and be `access` (Cognito). */
  readonly requireTokenUse: boolean
  /** The claim that must equal the ALB token's `sub`. */
  readonly subjectClaim: string
  readonly toleranceSeconds: number
  readonly clock: Clock
  readonly telemetry: Pick<Telemetry, 'tokenVerified'>
  readonly findKey: (kid: string) => VerificationKey | Promise<VerificationKey | KeyFault>
}

export interface VerifiedAccessToken {
  readonly outcome: 'verified'
  readonly claims: Claims
  /** What must equal the ALB token's `sub`. */
  readonly subject: string
  /** `exp`, seconds since the epoch. */
  readonly expiresAt: number
  readonly key: VerificationKey
}

/** A token without a JSON header in the first of three segments: nothing that we could look into. */
export interface Opaque {
  readonly outcome: 'opaque'
}

/**
 * @returns A function of the token as received that resolves to the claims, to `opaque`, or to the
 * first reason not to believe it. It does not compare it with the ALB's token. It rejects only for
 * faults of ours.
 */
export function createAccessTokenVerifier(
  options: AccessTokenOptions,
): (token: string) => Promise<VerifiedAccessToken | Opaque | Rejected> {
  const { algorithms, clock, toleranceSeconds } = options

  return async token => {
    const isTooLarge = token.length > MAX_TOKEN_BYTES
    const read = isTooLarge ? undefined : readCompact(token)
    if (read === undefined && !looksLikeJwt(token)) return { outcome: 'opaque' }
    if (isTooLarge) {
      return refused(
        'access_size',
        'token_too_large',
        `${token.length} bytes, at most ${MAX_TOKEN_BYTES}`,
      )
    }
    if (read === undefined)
      return refused('access_shape', 'token_malformed', 'not a canonical compact token')
    const { alg, kid } = read.header
    const algorithm = algorithms.find(each => each === alg)
    if (algorithm === undefined || Object.hasOwn(read.header, 'crit')) {
      return refused(
        'access_algorithm',
        'algorithm_refused',
        `ACCESS_TOKEN_ALGORITHMS does not hold ${quote(alg, 16)}`,
      )
    }
    if (typeof kid !== 'string')
      return refused('access_key', 'key_unknown', 'the token names no kid')
    const key = await options.findKey(kid)
    if ('reason' in key) return refused('access_key', key.reason, key.detail)
    if (!suits(key.key, algorithm) || (key.algorithm ?? algorithm) !== algorithm) {
      return refused('access_key', 'key_unknown', `key ${quote(kid)} is not for ${algorithm}`)
    }

    if (!verifySignature(algorithm, key.key, read)) {
      return refused('access_signature', 'signature_invalid', `under key ${quote(kid, 64)}`)
    }
    const refusal = checkClaims(read)
    if (refusal !== undefined) return refusal
    const subject = read.payload[options.subjectClaim]
    const expiresAt = Number(read.payload['exp'])
    if (typeof subject !== 'string' || subject === '') {
      return refused(
        'access_subject',
        'claims_invalid',
        `${options.subjectClaim} must be text, found ${quote(subject)}`,
      )
    }
    options.telemetry.tokenVerified('access_token', expiresAt - clock.wallSeconds())
    return { outcome: 'verified', claims: read.payload, subject, expiresAt, key }
  }

  /** Odd numbers, and the exact ends of the tolerance, the same as for the ALB's token. */
  function checkTimes(payload: Claims): Rejected | undefined {
    const now = clock.wallSeconds()
    for (const name of ['exp', 'nbf', 'iat']) {
      const time = payload[name]
      if (time === undefined && name !== 'exp') continue
      if (typeof time !== 'number' || !Number.isFinite(time)) {
        return refused(
          'access_times',
          'claims_invalid',
          `${name} must be a number, found ${quote(time)}`,
        )
      }
      if (name === 'exp' && now - time > toleranceSeconds) {
        return refused('access_times', 'token_expired', `expired ${Math.ceil(now - time)} s ago`)
      }
      if (name !== 'exp' && time - now > toleranceSeconds) {
        return refused('access_times', 'token_not_yet_valid', `${name} lies in the future`)
      }
    }
    return undefined
  }

  /** Who made the token, when and for whom, and whether it is an access token at all. */
  function checkClaims({ header, payload }: CompactToken): Rejected | undefined {
    return (
      checkIssuer(payload) ??
      checkTimes(payload) ??
      checkAudience(payload) ??
      checkClient(payload) ??
      checkUse(header, payload)
    )
  }

  function checkIssuer({ iss }: Claims): Rejected | undefined {
    if (iss === undefined) return refused('access_issuer', 'claims_invalid', 'there is no iss')
    if (options.issuers.some(accepted => accepted === iss)) return undefined
    return refused(
      'access_issuer',
      'issuer_mismatch',
      `ACCESS_TOKEN_ISSUER does not hold ${quote(iss)}`,
    )
  }

  function checkAudience(payload: Claims): Rejected | undefined {
    if (options.audiences.length === 0) return undefined
    const { aud } = payload
    const found: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
    if (found.some(each => options.audiences.some(accepted => accepted === each))) return undefined
    return refused(
      'access_audience',
      'audience_mismatch',
      `ACCESS_TOKEN_AUDIENCES does not hold ${quote(found[0])}`,
    )
  }

  /** A client that is named must be ours; with an audience to go by, it need not be named. */
  function checkClient(payload: Claims): Rejected | undefined {
    const { clients, clientClaims, audiences } = options
    if (clients === 'any') return undefined
    const name = clientClaims.find(claim => Object.hasOwn(payload, claim))
    const client = name === undefined ? undefined : payload[name]
    if (client === undefined && audiences.length > 0) return undefined
    if (typeof client === 'string' && clients.includes(client)) return undefined
    return refused(
      'access_client',
      'client_mismatch',
      `ALB_CLIENT_IDS does not hold ${quote(client)}`,
    )
  }

  /** An ID token or a refresh token is not an access token, however well it is signed. */
  function checkUse(header: Claims, payload: Claims): Rejected | undefined {
    const use = payload['token_use']
    if (use === undefined ? options.requireTokenUse : use !== 'access') {
      return refused(
        'access_use',
        'token_use_mismatch',
        `token_use must be access, found ${quote(use)}`,
      )
    }
    const isOther = [header['typ'], payload['typ']].some(
      typ => typeof typ === 'string' && OTHER_TYPES.test(typ),
    )
    if (isOther || Object.hasOwn(payload, 'at_hash')) {
      return refused('access_use', 'token_use_mismatch', 'an ID or refresh token')
    }
    return undefined
  }
}

/** `typ` of tokens that are not access tokens: OpenID's own, and Keycloak's in the payload. */
const OTHER_TYPES = /^(?:application\/)?(?:id|id_token|id\+jwt|refresh|offline|logout(?:\+jwt)?)$/i

/** Three segments, of which the first decodes, however leniently, to a JSON object. */
export function looksLikeJwt(token: string): boolean {
  const [head = '', ...rest] = token.split('.')
  if (rest.length !== 2) return false
  const header = parseJson(Buffer.from(head, 'base64').toString('utf8'))
  return typeof header === 'object' && header !== null && !Array.isArray(header)
}

function refused(check: Check, reason: Reason, detail: string): Rejected {
  return rejected(reason, { source: 'access_token', check, detail })
}
