/**
 * Every setting: its variable, how it is read, what it means and what holds when it is not set.
 *
 * This table is the single source: config.ts reads the environment with it, and docs/configuration.md
 * is written from it. Defaults stand as an operator would write them and go through the same reader.
 */
import { NOAUTH_PRESETS, type NoauthPreset } from '../route/presets.ts'
import { MAX_PATTERN_LENGTH } from '../route/pattern.ts'
import { parseRule } from '../route/rules.ts'
import { parseAlbArn } from '../tokens/alb-arn.ts'
import { IDPS, type IdpName } from '../identity/idp.ts'
import { DEFAULT_SESSION_COOKIE } from '../headers/cookies.ts'
import { keyDirectory } from './key-directory.ts'
import {
  certificates,
  choice,
  cookieName,
  duration,
  flag,
  headerName,
  issuer,
  keyUrlTemplate,
  list,
  ownPath,
  parsed,
  proxyUrl,
  redirectUrl,
  separator,
  serverUrl,
  someOf,
  stringMap,
  text,
  upstreamUrl,
  whole,
  type Read,
} from './readers.ts'

export const SECTIONS = [
  'Whom to believe',
  'The access token',
  'Sessions',
  'Keys',
  'Open paths',
  'Headers and cookies taken out',
  'Identity',
  'Headers put in',
  'The application',
  'Listening',
  'Operating',
] as const
export type Section = (typeof SECTIONS)[number]

/** What a reader may make of a text. */
export type Readable = string | number | boolean | object

export interface Setting<T extends Readable> {
  readonly variable: string
  readonly read: Read<T>
  readonly section: Section
  readonly meaning: string
  /** As an operator would write it. */
  readonly fallback?: string
  /** Whether an empty value is a value (it turns the setting off) rather than none at all. */
  readonly emptyCounts?: boolean
  readonly required?: boolean
}

const albArn = parsed(
  value =>
    parseAlbArn(value) ?? 'be the whole ARN of an Application Load Balancer, without wildcards',
)
const pattern: Read<string> = value =>
  parsed(found =>
    found.length <= MAX_PATTERN_LENGTH
      ? { pattern: found }
      : `have at most ${MAX_PATTERN_LENGTH} characters a pattern`,
  )(value).pattern
const idpNames = Object.keys(IDPS).filter((name): name is IdpName => name in IDPS)
const presets = Object.keys(NOAUTH_PRESETS).filter(
  (name): name is NoauthPreset => name in NOAUTH_PRESETS,
)

export const SETTINGS = {
  albArns: {
    variable: 'ALB_ARNS',
    read: someOf(albArn),
    section: 'Whom to believe',
    required: true,
    meaning:
      'ARNs of the load balancers whose signature is accepted, comma-separated, compared whole with `signer`.',
  },
  albClientIds: {
    variable: 'ALB_CLIENT_IDS',
    read: someOf(text),
    section: 'Whom to believe',
    meaning:
      'Client ids of the authenticate rules, comma-separated. Required unless `UNSAFE_ALLOW_ANY_CLIENT=true`.',
  },
  oidcIssuer: {
    variable: 'OIDC_ISSUER',
    read: someOf(issuer),
    section: 'Whom to believe',
    meaning:
      'Issuers as the authenticate rules name them, comma-separated, compared exactly (mind a trailing slash). Required unless `UNSAFE_ALLOW_ANY_ISSUER=true`.',
  },
  unsafeAllowAnyClient: {
    variable: 'UNSAFE_ALLOW_ANY_CLIENT',
    read: flag,
    section: 'Whom to believe',
    fallback: 'false',
    meaning:
      'Leaves out the check of `client`. Warns at start and sets `alb_auth_unsafe_settings`.',
  },
  unsafeAllowAnyIssuer: {
    variable: 'UNSAFE_ALLOW_ANY_ISSUER',
    read: flag,
    section: 'Whom to believe',
    fallback: 'false',
    meaning: 'Leaves out the check of `iss`. Warns at start and sets `alb_auth_unsafe_settings`.',
  },
  clockToleranceMs: {
    variable: 'CLOCK_TOLERANCE',
    read: duration('60s'),
    section: 'Whom to believe',
    fallback: '5s',
    meaning:
      'How long after `exp` a token is still accepted. An ALB token lives about two minutes.',
  },
  idp: {
    variable: 'IDP',
    read: choice(...idpNames),
    section: 'Whom to believe',
    fallback: 'generic',
    meaning: 'The identity provider, which sets the defaults in the table below.',
  },
  unauthenticated: {
    variable: 'UNAUTHENTICATED',
    read: choice('deny', 'allow'),
    section: 'Whom to believe',
    fallback: 'deny',
    meaning:
      'What a guarded path does without a valid token: refuse, or go on as anonymous as an ALB rule with `allow` does.',
  },

  enforcement: {
    variable: 'ENFORCEMENT',
    read: choice('enforce', 'report'),
    section: 'Whom to believe',
    fallback: 'enforce',
    meaning:
      'Under `report` nothing is refused for its token: it is counted and logged, and the request goes on with the `x-amzn-oidc-*` headers as they came.',
  },

  accessToken: {
    variable: 'ACCESS_TOKEN',
    read: choice('required', 'optional', 'ignore'),
    section: 'The access token',
    meaning:
      'What becomes of `x-amzn-oidc-accesstoken`: it must be a valid JWT; or it may be absent or opaque, which counts as no claims; or it is not looked at and never forwarded. By `IDP`.',
  },
  accessTokenAlgorithms: {
    variable: 'ACCESS_TOKEN_ALGORITHMS',
    read: someOf(
      choice(
        'RS256',
        'RS384',
        'RS512',
        'PS256',
        'PS384',
        'PS512',
        'ES256',
        'ES384',
        'ES512',
        'EdDSA',
      ),
    ),
    section: 'The access token',
    fallback: 'RS256',
    meaning: 'Accepted signature algorithms.',
  },
  accessTokenIssuer: {
    variable: 'ACCESS_TOKEN_ISSUER',
    read: someOf(issuer),
    section: 'The access token',
    meaning: 'Accepted `iss` values; those of `OIDC_ISSUER` unless set.',
  },
  accessTokenAudiences: {
    variable: 'ACCESS_TOKEN_AUDIENCES',
    read: list(text),
    section: 'The access token',
    fallback: '',
    emptyCounts: true,
    meaning:
      'Accepted `aud` values. Without any, the token must name one of `ALB_CLIENT_IDS` as its client.',
  },
  accessTokenClientClaims: {
    variable: 'ACCESS_TOKEN_CLIENT_CLAIM',
    read: someOf(text),
    section: 'The access token',
    meaning: 'Claims that name the client, which must be one of `ALB_CLIENT_IDS`. By `IDP`.',
  },
  accessTokenSubjectClaim: {
    variable: 'ACCESS_TOKEN_SUBJECT_CLAIM',
    read: text,
    section: 'The access token',
    meaning: "The claim that must equal the ALB token's `sub`. By `IDP`.",
  },
  accessTokenJwksUrl: {
    variable: 'ACCESS_TOKEN_JWKS_URL',
    read: serverUrl,
    section: 'The access token',
    meaning:
      'Where the keys are; found by discovery from the issuer unless set. `http:` only to loopback.',
  },
  accessTokenExpired: {
    variable: 'ACCESS_TOKEN_EXPIRED',
    read: choice('reauthenticate', 'reject', 'ignore-claims'),
    section: 'The access token',
    fallback: 'reauthenticate',
    meaning:
      'What an expired access token beside a valid ALB token does: send navigations to sign in again (others get 401), refuse, or go on without its claims.',
  },
  tokenCacheSize: {
    variable: 'TOKEN_CACHE_SIZE',
    read: whole(0, 1_000_000),
    section: 'The access token',
    fallback: '10000',
    meaning: 'How many verified tokens of each kind are remembered until they expire; 0 for none.',
  },

  signOutPath: {
    variable: 'SIGN_OUT_PATH',
    read: ownPath,
    section: 'Sessions',
    fallback: '',
    emptyCounts: true,
    meaning:
      "Path that expires the ALB's session cookie, e.g. `/.auth/sign-out`; off when empty. Needs `SIGN_OUT_REDIRECT_URL`.",
  },
  signOutRedirectUrl: {
    variable: 'SIGN_OUT_REDIRECT_URL',
    read: redirectUrl,
    section: 'Sessions',
    meaning: "Where signing out leads: the identity provider's logout, or an open page.",
  },
  whoamiPath: {
    variable: 'WHOAMI_PATH',
    read: ownPath,
    section: 'Sessions',
    fallback: '',
    emptyCounts: true,
    meaning:
      'Path that answers `{user,email,groups,expiresAt}` as JSON, e.g. `/.auth/whoami`; off when empty.',
  },

  keyUrl: {
    variable: 'ALB_KEY_URL',
    read: keyUrlTemplate,
    section: 'Keys',
    meaning:
      'URL template of the key endpoint with `{region}` and `{kid}`; `http:` only to loopback. Needed outside the partitions aws and aws-us-gov, whose endpoints are known.',
  },
  keySeeds: {
    variable: 'ALB_KEYS_DIR',
    read: keyDirectory,
    section: 'Keys',
    meaning:
      'Directory of `<kid>.pem` files for networks without egress; read once at start, never fetched or forgotten.',
  },
  keyFetchTimeoutMs: {
    variable: 'KEY_FETCH_TIMEOUT',
    read: duration('30s', '1ms'),
    section: 'Keys',
    fallback: '2s',
    meaning: 'How long one key may take in all, its one retry included.',
  },
  keyCacheSize: {
    variable: 'KEY_CACHE_SIZE',
    read: whole(1, 10_000),
    section: 'Keys',
    fallback: '64',
    meaning: 'How many keys are kept; the least recently used goes first.',
  },
  keyCacheTtlMs: {
    variable: 'KEY_CACHE_TTL',
    read: duration('365d'),
    section: 'Keys',
    fallback: '24h',
    meaning: 'How long a key is used before it is renewed in the background.',
  },
  keyCacheStaleMs: {
    variable: 'KEY_CACHE_STALE',
    read: duration('365d'),
    section: 'Keys',
    fallback: '7d',
    meaning: 'How much longer a key is used while the endpoint fails.',
  },
  keyNegativeTtlMs: {
    variable: 'KEY_NEGATIVE_TTL',
    read: duration('5m'),
    section: 'Keys',
    fallback: '10s',
    meaning: 'How long the endpoint\'s "no such key" (403 or 404) is remembered. A fault never is.',
  },
  httpsProxy: {
    variable: 'HTTPS_PROXY',
    read: proxyUrl,
    section: 'Keys',
    meaning: 'Forward proxy for fetching keys. `https_proxy` is read too.',
  },
  noProxy: {
    variable: 'NO_PROXY',
    read: text,
    section: 'Keys',
    meaning: 'Hosts that are reached without the proxy. `no_proxy` is read too.',
  },

  noauthPaths: {
    variable: 'NOAUTH_PATHS',
    read: list(parsed(parseRule)),
    section: 'Open paths',
    fallback: '',
    emptyCounts: true,
    meaning:
      'Rules that open a path, comma-separated, each `[METHOD[|METHOD…] ]pattern` in the language of ALB path patterns.',
  },
  noauthPreset: {
    variable: 'NOAUTH_PRESET',
    read: choice(...presets),
    section: 'Open paths',
    meaning: 'Rules that an application is known to need, added to `NOAUTH_PATHS`.',
  },

  nonstandardHeaders: {
    variable: 'NONSTANDARD_HEADERS',
    read: choice('drop', 'reject', 'keep'),
    section: 'Headers and cookies taken out',
    fallback: 'drop',
    meaning:
      'What becomes of header names outside `[A-Za-z0-9-]`. Whatever is set, a spelling of a header of ours never passes.',
  },
  stripRequestHeaders: {
    variable: 'STRIP_REQUEST_HEADERS',
    read: list(headerName),
    section: 'Headers and cookies taken out',
    fallback: 'x-original-url,x-rewrite-url,x-http-method-override,x-http-method,x-method-override',
    emptyCounts: true,
    meaning: 'Further headers that are removed, in every spelling.',
  },
  stripCookies: {
    variable: 'STRIP_COOKIES',
    read: list(cookieName),
    section: 'Headers and cookies taken out',
    fallback: '',
    emptyCounts: true,
    meaning:
      "Cookies removed on guarded paths, e.g. `consoleme_auth`, which would outrank the ALB's identity.",
  },
  albSessionCookie: {
    variable: 'ALB_SESSION_COOKIE',
    read: cookieName,
    section: 'Headers and cookies taken out',
    fallback: DEFAULT_SESSION_COOKIE,
    meaning: "The authenticate rule's session cookie, whose shards are always removed.",
  },

  userClaims: {
    variable: 'USER_CLAIM',
    read: someOf(text),
    section: 'Identity',
    meaning:
      'Claims that name the user, the first present wins; each a literal name or a JSON pointer. By `IDP`.',
  },
  emailClaims: {
    variable: 'EMAIL_CLAIM',
    read: someOf(text),
    section: 'Identity',
    meaning: 'Claims that hold the e-mail address. By `IDP`.',
  },
  groupsClaims: {
    variable: 'GROUPS_CLAIM',
    read: someOf(text),
    section: 'Identity',
    meaning:
      'Claims that hold the groups, e.g. `cognito:groups` or `/realm_access/roles`. By `IDP`.',
  },
  groupsSources: {
    variable: 'GROUPS_SOURCE',
    read: someOf(choice('access_token', 'alb')),
    section: 'Identity',
    fallback: 'access_token,alb',
    meaning: 'Whose claims are asked for groups; the first that has the claim decides.',
  },
  groupsSplit: {
    variable: 'GROUPS_SPLIT',
    read: text,
    section: 'Identity',
    fallback: '',
    emptyCounts: true,
    meaning: 'Cuts a groups claim that is a plain string; without it such a claim is no groups.',
  },
  userCase: {
    variable: 'USER_CASE',
    read: choice('keep', 'lower'),
    section: 'Identity',
    fallback: 'keep',
    meaning: 'Whether A to Z in the user become lower case.',
  },
  groupsCase: {
    variable: 'GROUPS_CASE',
    read: choice('keep', 'lower'),
    section: 'Identity',
    fallback: 'keep',
    meaning: 'Whether A to Z in groups become lower case.',
  },
  groupsFilter: {
    variable: 'GROUPS_FILTER',
    read: list(pattern),
    section: 'Identity',
    fallback: '',
    emptyCounts: true,
    meaning: 'Patterns (`*`, `?`) of groups to keep; all are kept when it is empty.',
  },
  groupsMap: {
    variable: 'GROUPS_MAP',
    read: stringMap,
    section: 'Identity',
    fallback: '{}',
    meaning: 'JSON object from group to group; usually a file, given as `GROUPS_MAP_FILE`.',
  },
  allowedGroups: {
    variable: 'ALLOWED_GROUPS',
    read: list(text),
    section: 'Identity',
    fallback: '',
    emptyCounts: true,
    meaning: 'One of these must be held, as named after map and case.',
  },
  allowedEmailDomains: {
    variable: 'ALLOWED_EMAIL_DOMAINS',
    read: list(value => value.toLowerCase()),
    section: 'Identity',
    fallback: '',
    emptyCounts: true,
    meaning: 'The e-mail address must be in one of these domains.',
  },
  requireEmailVerified: {
    variable: 'REQUIRE_EMAIL_VERIFIED',
    read: flag,
    section: 'Identity',
    fallback: 'false',
    meaning: 'Refuses a user whose `email_verified` is not true (the text `true` counts).',
  },

  userHeader: {
    variable: 'USER_HEADER',
    read: headerName,
    section: 'Headers put in',
    fallback: 'X-Forwarded-User',
    emptyCounts: true,
    meaning: 'Header for the user; empty turns it off.',
  },
  emailHeader: {
    variable: 'EMAIL_HEADER',
    read: headerName,
    section: 'Headers put in',
    fallback: 'X-Forwarded-Email',
    emptyCounts: true,
    meaning: 'Header for the e-mail address; empty turns it off.',
  },
  groupsHeader: {
    variable: 'GROUPS_HEADER',
    read: headerName,
    section: 'Headers put in',
    fallback: 'X-Forwarded-Groups',
    emptyCounts: true,
    meaning: 'Header for the groups; empty turns it off. Absent for a user without groups.',
  },
  groupsSeparator: {
    variable: 'GROUPS_SEPARATOR',
    read: separator,
    section: 'Headers put in',
    fallback: ',',
    meaning: 'Character between groups, without a space; percent-encoded where a value holds it.',
  },
  groupsFormat: {
    variable: 'GROUPS_FORMAT',
    read: choice('list', 'json'),
    section: 'Headers put in',
    fallback: 'list',
    meaning: 'Groups joined by the separator, or a JSON array. Names are percent-encoded in both.',
  },
  groupsMaxBytes: {
    variable: 'GROUPS_MAX_BYTES',
    read: whole(1, 65_536),
    section: 'Headers put in',
    fallback: '8192',
    meaning: 'Longest groups header; a longer one refuses the request (403), it is never cut.',
  },
  forwardOidcHeaders: {
    variable: 'FORWARD_OIDC_HEADERS',
    read: choice('all', 'data', 'none'),
    section: 'Headers put in',
    fallback: 'all',
    meaning: "Which of the ALB's verified `x-amzn-oidc-*` headers go on, byte for byte.",
  },
  clientIpHeader: {
    variable: 'CLIENT_IP_HEADER',
    read: headerName,
    section: 'Headers put in',
    fallback: '',
    emptyCounts: true,
    meaning: "Header for the client's address as the ALB saw it, on every path; off when empty.",
  },
  trustedHops: {
    variable: 'TRUSTED_HOPS',
    read: whole(1, 30),
    section: 'Headers put in',
    fallback: '1',
    meaning: "Which entry of `X-Forwarded-For`, from the right, is the client's address.",
  },

  upstream: {
    variable: 'UPSTREAM_URL',
    read: upstreamUrl,
    section: 'The application',
    fallback: 'http://127.0.0.1:8081',
    meaning: 'Where the application listens: `http://…`, `https://…` or `unix:/path`.',
  },
  upstreamCa: {
    variable: 'UPSTREAM_CA',
    read: certificates,
    section: 'The application',
    meaning:
      "PEM certificates that an `https:` application's must lead to, in place of node's roots and `NODE_EXTRA_CA_CERTS`; usually a file, given as `UPSTREAM_CA_FILE`, read once at start. With or without it, the certificate is verified for the host in `UPSTREAM_URL`.",
  },
  upstreamConnections: {
    variable: 'UPSTREAM_CONNECTIONS',
    read: whole(1, 65_536),
    section: 'The application',
    fallback: '256',
    meaning: 'Connections to the application at most. As many requests may wait for one; then 503.',
  },
  upstreamConnectTimeoutMs: {
    variable: 'UPSTREAM_CONNECT_TIMEOUT',
    read: duration('5m'),
    section: 'The application',
    fallback: '2s',
    meaning: 'How long connecting may take.',
  },
  upstreamHeadersTimeoutMs: {
    variable: 'UPSTREAM_HEADERS_TIMEOUT',
    read: duration('24h'),
    section: 'The application',
    fallback: '60s',
    meaning:
      'How long the application may take to begin its answer, counted anew from every piece of the request; and, before that, how long a request may wait for a connection. 0 for no limit.',
  },
  upstreamIdleTimeoutMs: {
    variable: 'UPSTREAM_IDLE_TIMEOUT',
    read: duration('24h'),
    section: 'The application',
    fallback: '0',
    meaning: 'How long an answer that has begun may pause; 0 for no limit (SSE, long polls).',
  },
  webSocketMaxAgeMs: {
    variable: 'WEBSOCKET_MAX_AGE',
    read: duration('20d'),
    section: 'The application',
    fallback: '12h',
    meaning:
      'After which a WebSocket is closed (1001, going away): its tokens are verified when it is opened, and only then. 0 for no limit.',
  },

  host: {
    variable: 'HOST',
    read: text,
    section: 'Listening',
    fallback: '0.0.0.0',
    meaning: 'Address that the ALB is answered on.',
  },
  port: {
    variable: 'PORT',
    read: whole(0, 65_535),
    section: 'Listening',
    fallback: '8080',
    meaning: 'Its port; 0 picks a free one, which the first log line names.',
  },
  tlsCertFile: {
    variable: 'TLS_CERT_FILE',
    read: text,
    section: 'Listening',
    meaning:
      'PEM file of the certificate for an HTTPS target group, followed by what leads to its root. With it the port speaks TLS 1.2 or 1.3 and nothing else. Needs `TLS_KEY_FILE`; both are read again when they change, and on SIGHUP.',
  },
  tlsKeyFile: {
    variable: 'TLS_KEY_FILE',
    read: text,
    section: 'Listening',
    meaning: 'PEM file of its private key, without a passphrase.',
  },
  tlsSelfSigned: {
    variable: 'TLS_SELF_SIGNED',
    read: flag,
    section: 'Listening',
    fallback: 'false',
    meaning:
      'TLS with a key and certificate made at start, which an ALB accepts: it does not verify its targets. In place of the two files.',
  },
  adminHost: {
    variable: 'ADMIN_HOST',
    read: text,
    section: 'Listening',
    fallback: '0.0.0.0',
    meaning: 'Address of `/metrics`, `/healthz` and `/readyz`.',
  },
  adminPort: {
    variable: 'ADMIN_PORT',
    read: whole(0, 65_535),
    section: 'Listening',
    fallback: '9090',
    meaning: 'Its port; nothing of it can be reached through the other one.',
  },
  keepAliveTimeoutMs: {
    variable: 'KEEP_ALIVE_TIMEOUT',
    read: duration('2h'),
    section: 'Listening',
    fallback: '75s',
    meaning: "How long an idle connection is kept; must exceed the ALB's idle timeout (60 s).",
  },
  headersTimeoutMs: {
    variable: 'HEADERS_TIMEOUT',
    read: duration('10m', '1ms'),
    section: 'Listening',
    fallback: '15s',
    meaning: 'How long the header of a request may take to arrive.',
  },
  requestTimeoutMs: {
    variable: 'REQUEST_TIMEOUT',
    read: duration('24h'),
    section: 'Listening',
    fallback: '0',
    meaning: 'How long a whole request may take to arrive; 0 for no limit (uploads).',
  },
  maxHeaders: {
    variable: 'MAX_HEADERS',
    read: whole(1, 2_000),
    section: 'Listening',
    fallback: '200',
    meaning: 'Header lines a request may have; one more is answered 431.',
  },
  maxHeaderBytes: {
    variable: 'MAX_HEADER_BYTES',
    read: whole(1_024, 1_048_576),
    section: 'Listening',
    fallback: '81920',
    meaning: 'Bytes of request line and header lines in all; one more is answered 431.',
  },

  workers: {
    variable: 'WORKERS',
    read: whole(1, 64),
    section: 'Operating',
    fallback: '1',
    meaning:
      'Processes that serve, on one port. More than one have a process in front that watches them and has the admin port; caches, connections and limits are then those of each.',
  },
  drainDelayMs: {
    variable: 'DRAIN_DELAY',
    read: duration('1h'),
    section: 'Operating',
    fallback: '5s',
    meaning: 'After SIGTERM: how long requests are still accepted while `/readyz` already fails.',
  },
  drainTimeoutMs: {
    variable: 'DRAIN_TIMEOUT',
    read: duration('1h'),
    section: 'Operating',
    fallback: '25s',
    meaning: 'Then: how long requests in flight may take.',
  },
  logLevel: {
    variable: 'LOG_LEVEL',
    read: choice('fatal', 'error', 'warn', 'info', 'debug', 'silent'),
    section: 'Operating',
    fallback: 'info',
    meaning: 'Least severe level that is written.',
  },
  logFormat: {
    variable: 'LOG_FORMAT',
    read: choice('json', 'pretty'),
    section: 'Operating',
    fallback: 'json',
    meaning: 'JSON lines, or one readable line each.',
  },
  accessLog: {
    variable: 'ACCESS_LOG',
    read: choice('rejections', 'all', 'off'),
    section: 'Operating',
    fallback: 'rejections',
    meaning: 'Which settled requests get a line.',
  },
  logSubject: {
    variable: 'LOG_SUBJECT',
    read: flag,
    section: 'Operating',
    fallback: 'false',
    meaning: 'Whether that line names the verified subject.',
  },
} as const satisfies Record<string, Setting<Readable>>
