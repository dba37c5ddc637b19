/**
 * Every way a request can be turned away.
 *
 * This table is the single source: its keys are the `reason` label in metrics and logs, its rows are
 * the table in docs/reasons.md, and its statuses are what the client sees. The reason itself reaches
 * the client only where `disclosed` is true: where it says nothing about keys or configuration.
 */

export interface ReasonInfo {
  /** The HTTP status of the answer. */
  readonly status: number
  /** One sentence for the operator. */
  readonly meaning: string
  /** Whether the client may read the reason in the answer. */
  readonly disclosed: boolean
}

export const REASONS = {
  malformed_request: {
    status: 400,
    meaning:
      'The request could be read two ways: its version, framing, Host, target or a header name.',
    disclosed: true,
  },
  duplicate_header: {
    status: 400,
    meaning: 'A header that the ALB sets came more than once, in any spelling.',
    disclosed: true,
  },
  method_refused: {
    status: 405,
    meaning: 'CONNECT and TRACE are not forwarded.',
    disclosed: true,
  },
  expectation_refused: {
    status: 417,
    meaning: 'An Expect header other than 100-continue.',
    disclosed: true,
  },
  headers_too_large: {
    status: 431,
    meaning: 'More than MAX_HEADERS header lines or MAX_HEADER_BYTES in all.',
    disclosed: true,
  },
  token_missing: {
    status: 401,
    meaning: 'A guarded path was asked for without a token.',
    disclosed: true,
  },
  token_too_large: {
    status: 401,
    meaning: 'The token is longer than 16 KiB.',
    disclosed: false,
  },
  token_malformed: {
    status: 401,
    meaning:
      'The token is not three base64url segments with canonical endings, JSON objects with unique names, and a signature of the right size.',
    disclosed: false,
  },
  token_opaque: {
    status: 401,
    meaning: 'ACCESS_TOKEN is required, and the access token is not a JWT.',
    disclosed: false,
  },
  algorithm_refused: {
    status: 401,
    meaning: 'The token names another algorithm than the pinned one, or a crit header.',
    disclosed: false,
  },
  signer_mismatch: {
    status: 401,
    meaning: 'The token was not issued by one of ALB_ARNS; perhaps by an ALB of another account.',
    disclosed: false,
  },
  client_mismatch: {
    status: 401,
    meaning: 'The token was issued for a client that is not one of ALB_CLIENT_IDS.',
    disclosed: false,
  },
  issuer_mismatch: {
    status: 401,
    meaning: 'The issuer is not one of OIDC_ISSUER, or header and payload name different ones.',
    disclosed: false,
  },
  audience_mismatch: {
    status: 401,
    meaning: 'The access token was made for an audience that is not in ACCESS_TOKEN_AUDIENCES.',
    disclosed: false,
  },
  token_use_mismatch: {
    status: 401,
    meaning: 'The access token is a token of another kind, such as an ID token.',
    disclosed: false,
  },
  token_expired: {
    status: 401,
    meaning: 'The token expired longer ago than CLOCK_TOLERANCE.',
    disclosed: true,
  },
  token_not_yet_valid: {
    status: 401,
    meaning: 'The access token says that it is valid, or was made, later than now.',
    disclosed: false,
  },
  claims_invalid: {
    status: 401,
    meaning: 'A claim that must be there is absent or of the wrong type.',
    disclosed: false,
  },
  key_unknown: {
    status: 401,
    meaning: 'The key endpoint says that it never published the key the token names.',
    disclosed: false,
  },
  signature_invalid: {
    status: 401,
    meaning: 'The signature does not belong to these bytes and this key.',
    disclosed: false,
  },
  subject_mismatch: {
    status: 401,
    meaning:
      'The signed subject, the x-amzn-oidc-identity header and the access token do not name the same user.',
    disclosed: false,
  },
  identity_missing: {
    status: 403,
    meaning: 'The verified claims hold no user under USER_CLAIM.',
    disclosed: true,
  },
  email_unverified: {
    status: 403,
    meaning:
      'REQUIRE_EMAIL_VERIFIED is set and the identity provider has not verified the address.',
    disclosed: true,
  },
  groups_overage: {
    status: 403,
    meaning:
      'The identity provider left the groups out because there are too many (Entra ID): unknown, not none.',
    disclosed: true,
  },
  groups_too_large: {
    status: 403,
    meaning: 'The groups header would be longer than GROUPS_MAX_BYTES; it is never cut.',
    disclosed: true,
  },
  not_allowed: {
    status: 403,
    meaning: 'The user matches neither ALLOWED_GROUPS nor ALLOWED_EMAIL_DOMAINS.',
    disclosed: true,
  },
  key_unavailable: {
    status: 503,
    meaning: 'The key endpoint could not be asked, or the budget for unknown keys is spent.',
    disclosed: false,
  },
  upstream_saturated: {
    status: 503,
    meaning: 'UPSTREAM_CONNECTIONS are busy and as many requests wait already.',
    disclosed: true,
  },
  upstream_unreachable: {
    status: 502,
    meaning: 'The application refused the connection or dropped it before it answered.',
    disclosed: true,
  },
  upstream_invalid: {
    status: 502,
    meaning: 'The application answered with something that is not HTTP as we can pass it on.',
    disclosed: true,
  },
  upstream_timeout: {
    status: 504,
    meaning:
      'The application did not connect or did not begin its answer in time; also when the client stalled in its body.',
    disclosed: true,
  },
  internal_error: {
    status: 500,
    meaning: 'A fault of the sidecar; the log line has the stack. Nothing was forwarded.',
    disclosed: false,
  },
} as const satisfies Record<string, ReasonInfo>

export type Reason = keyof typeof REASONS

/** The reasons in the order of the table, typed. */
export const REASON_NAMES: readonly Reason[] = Object.keys(REASONS).filter(isReason)

/** Whether `name` is a row of the table. */
export function isReason(name: string): name is Reason {
  return Object.hasOwn(REASONS, name)
}
