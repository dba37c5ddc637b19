/**
 * Every check that a token and the identity in it must pass, in the order in which they are made.
 *
 * A refusal names the one that failed; all before it held, and none after it was asked. The order is
 * part of the contract: `explain` shows this table, and the tests of each verifier hold it to it.
 */

/** What is looked at: a token, or what both of them say of the user. */
export type Subject = 'alb' | 'access_token' | 'identity'

export interface CheckInfo {
  readonly of: Subject
  /** What must be so, as a short statement. */
  readonly states: string
  /** The variables that govern it, most likely first; none where nothing can be set. */
  readonly variables: readonly string[]
}

export const CHECKS = {
  alb_size: { of: 'alb', states: 'at most 16 KiB', variables: [] },
  alb_shape: { of: 'alb', states: 'three canonical base64url segments', variables: [] },
  alb_algorithm: { of: 'alb', states: 'alg is ES256, without crit', variables: [] },
  alb_signer: { of: 'alb', states: 'signer is our load balancer', variables: ['ALB_ARNS'] },
  alb_client: {
    of: 'alb',
    states: 'client is ours',
    variables: ['ALB_CLIENT_IDS', 'UNSAFE_ALLOW_ANY_CLIENT'],
  },
  alb_issuer: {
    of: 'alb',
    states: 'iss is our identity provider',
    variables: ['OIDC_ISSUER', 'UNSAFE_ALLOW_ANY_ISSUER'],
  },
  alb_expiry: { of: 'alb', states: 'not expired', variables: ['CLOCK_TOLERANCE'] },
  alb_kid: { of: 'alb', states: 'kid is a UUID', variables: [] },
  alb_key: {
    of: 'alb',
    states: 'the key can be had',
    variables: ['ALB_KEY_URL', 'ALB_KEYS_DIR', 'KEY_FETCH_TIMEOUT', 'HTTPS_PROXY'],
  },
  alb_signature: { of: 'alb', states: 'signed by that key', variables: [] },
  alb_subject: { of: 'alb', states: 'sub names a user', variables: [] },
  alb_identity: { of: 'alb', states: 'x-amzn-oidc-identity is the same user', variables: [] },

  access_present: { of: 'access_token', states: 'sent', variables: ['ACCESS_TOKEN'] },
  access_form: { of: 'access_token', states: 'a JWT, not opaque', variables: ['ACCESS_TOKEN'] },
  access_size: { of: 'access_token', states: 'at most 16 KiB', variables: [] },
  access_shape: {
    of: 'access_token',
    states: 'three canonical base64url segments',
    variables: [],
  },
  access_algorithm: {
    of: 'access_token',
    states: 'alg is accepted, without crit',
    variables: ['ACCESS_TOKEN_ALGORITHMS'],
  },
  access_key: {
    of: 'access_token',
    states: 'the key can be had',
    variables: ['ACCESS_TOKEN_JWKS_URL', 'OIDC_ISSUER', 'KEY_FETCH_TIMEOUT', 'HTTPS_PROXY'],
  },
  access_signature: { of: 'access_token', states: 'signed by that key', variables: [] },
  access_issuer: {
    of: 'access_token',
    states: 'iss is our identity provider',
    variables: ['ACCESS_TOKEN_ISSUER', 'OIDC_ISSUER'],
  },
  access_times: {
    of: 'access_token',
    states: 'not expired, and valid already',
    variables: ['ACCESS_TOKEN_EXPIRED', 'CLOCK_TOLERANCE'],
  },
  access_audience: {
    of: 'access_token',
    states: 'aud is ours',
    variables: ['ACCESS_TOKEN_AUDIENCES'],
  },
  access_client: {
    of: 'access_token',
    states: 'the client is ours',
    variables: ['ALB_CLIENT_IDS', 'ACCESS_TOKEN_CLIENT_CLAIM'],
  },
  access_use: { of: 'access_token', states: 'an access token, not another', variables: ['IDP'] },
  access_subject: {
    of: 'access_token',
    states: 'it names a user',
    variables: ['ACCESS_TOKEN_SUBJECT_CLAIM'],
  },
  access_binding: {
    of: 'access_token',
    states: "the same user as the ALB's token",
    variables: ['ACCESS_TOKEN_SUBJECT_CLAIM', 'IDP'],
  },

  user: { of: 'identity', states: 'there is a user', variables: ['USER_CLAIM', 'IDP'] },
  email_verified: {
    of: 'identity',
    states: 'the e-mail address is verified',
    variables: ['REQUIRE_EMAIL_VERIFIED'],
  },
  groups: {
    of: 'identity',
    states: 'the groups were not left out',
    variables: ['GROUPS_CLAIM', 'GROUPS_SOURCE', 'GROUPS_SPLIT', 'IDP'],
  },
  allowed_groups: {
    of: 'identity',
    states: 'one of the groups is allowed',
    variables: ['ALLOWED_GROUPS'],
  },
  allowed_domains: {
    of: 'identity',
    states: 'the e-mail domain is allowed',
    variables: ['ALLOWED_EMAIL_DOMAINS'],
  },
  groups_size: {
    of: 'identity',
    states: 'the groups fit into a header',
    variables: ['GROUPS_MAX_BYTES', 'GROUPS_FILTER'],
  },
} as const satisfies Record<string, CheckInfo>

export type Check = keyof typeof CHECKS

/** The checks in the order of the table, typed. */
export const CHECK_NAMES: readonly Check[] = Object.keys(CHECKS).filter(isCheck)

function isCheck(name: string): name is Check {
  return name in CHECKS
}
