import t from 'tap'
import { Unreadable } from '../../src/config/readers.ts'
import { SECTIONS, SETTINGS, type Readable, type Setting } from '../../src/config/settings.ts'
import { createAuthority } from '../fixtures/certificates.ts'

const ROWS: readonly Setting<Readable>[] = Object.values(SETTINGS)

/** SPEC's defaults, as an operator would write them; `undefined` where a setting has none. */
const DEFAULTS: Readonly<Record<string, string | undefined>> = {
  ALB_ARNS: undefined,
  ALB_CLIENT_IDS: undefined,
  OIDC_ISSUER: undefined,
  UNSAFE_ALLOW_ANY_CLIENT: 'false',
  UNSAFE_ALLOW_ANY_ISSUER: 'false',
  CLOCK_TOLERANCE: '5s',
  IDP: 'generic',
  ENFORCEMENT: 'enforce',
  ACCESS_TOKEN: undefined,
  ACCESS_TOKEN_ALGORITHMS: 'RS256',
  ACCESS_TOKEN_ISSUER: undefined,
  ACCESS_TOKEN_AUDIENCES: '',
  ACCESS_TOKEN_CLIENT_CLAIM: undefined,
  ACCESS_TOKEN_SUBJECT_CLAIM: undefined,
  ACCESS_TOKEN_JWKS_URL: undefined,
  ACCESS_TOKEN_EXPIRED: 'reauthenticate',
  TOKEN_CACHE_SIZE: '10000',
  SIGN_OUT_PATH: '',
  SIGN_OUT_REDIRECT_URL: undefined,
  WHOAMI_PATH: '',
  GROUPS_SOURCE: 'access_token,alb',
  UNAUTHENTICATED: 'deny',
  ALB_KEY_URL: undefined,
  ALB_KEYS_DIR: undefined,
  KEY_FETCH_TIMEOUT: '2s',
  KEY_CACHE_SIZE: '64',
  KEY_CACHE_TTL: '24h',
  KEY_CACHE_STALE: '7d',
  KEY_NEGATIVE_TTL: '10s',
  HTTPS_PROXY: undefined,
  NO_PROXY: undefined,
  NOAUTH_PATHS: '',
  NOAUTH_PRESET: undefined,
  NONSTANDARD_HEADERS: 'drop',
  STRIP_REQUEST_HEADERS:
    'x-original-url,x-rewrite-url,x-http-method-override,x-http-method,x-method-override',
  STRIP_COOKIES: '',
  ALB_SESSION_COOKIE: 'AWSELBAuthSessionCookie',
  USER_CLAIM: undefined,
  EMAIL_CLAIM: undefined,
  GROUPS_CLAIM: undefined,
  GROUPS_SPLIT: '',
  USER_CASE: 'keep',
  GROUPS_CASE: 'keep',
  GROUPS_FILTER: '',
  GROUPS_MAP: '{}',
  ALLOWED_GROUPS: '',
  ALLOWED_EMAIL_DOMAINS: '',
  REQUIRE_EMAIL_VERIFIED: 'false',
  USER_HEADER: 'X-Forwarded-User',
  EMAIL_HEADER: 'X-Forwarded-Email',
  GROUPS_HEADER: 'X-Forwarded-Groups',
  GROUPS_SEPARATOR: ',',
  GROUPS_FORMAT: 'list',
  GROUPS_MAX_BYTES: '8192',
  FORWARD_OIDC_HEADERS: 'all',
  CLIENT_IP_HEADER: '',
  TRUSTED_HOPS: '1',
  UPSTREAM_URL: 'http://127.0.0.1:8081',
  UPSTREAM_CA: undefined,
  UPSTREAM_CONNECTIONS: '256',
  UPSTREAM_CONNECT_TIMEOUT: '2s',
  UPSTREAM_HEADERS_TIMEOUT: '60s',
  UPSTREAM_IDLE_TIMEOUT: '0',
  WEBSOCKET_MAX_AGE: '12h',
  HOST: '0.0.0.0',
  PORT: '8080',
  TLS_CERT_FILE: undefined,
  TLS_KEY_FILE: undefined,
  TLS_SELF_SIGNED: 'false',
  ADMIN_HOST: '0.0.0.0',
  ADMIN_PORT: '9090',
  KEEP_ALIVE_TIMEOUT: '75s',
  HEADERS_TIMEOUT: '15s',
  REQUEST_TIMEOUT: '0',
  MAX_HEADERS: '200',
  MAX_HEADER_BYTES: '81920',
  WORKERS: '1',
  DRAIN_DELAY: '5s',
  DRAIN_TIMEOUT: '25s',
  LOG_LEVEL: 'info',
  LOG_FORMAT: 'json',
  ACCESS_LOG: 'rejections',
  LOG_SUBJECT: 'false',
}

t.test('the defaults are those of SPEC, and there is no setting without a row here', t => {
  t.same(Object.fromEntries(ROWS.map(row => [row.variable, row.fallback])), DEFAULTS)
  t.end()
})

t.test('every row can be read by an operator', t => {
  t.equal(new Set(ROWS.map(({ variable }) => variable)).size, ROWS.length, 'no variable twice')
  for (const { variable, section, meaning, fallback, required, emptyCounts, read } of ROWS) {
    t.match(variable, /^[A-Z]+(?:_[A-Z]+)*$/)
    t.notOk(
      ROWS.some(other => variable === `${other.variable}_FILE`),
      `${variable} is not mistaken for the file of another`,
    )
    t.ok(SECTIONS.includes(section), `${variable} is in a section`)
    t.match(meaning, /^[A-Z][^]*\.$/, `${variable} is explained in sentences`)
    if (fallback !== undefined) {
      t.doesNotThrow(() => read(fallback), `${variable} can read its own default`)
      t.not(required, true, `${variable} is not required beside a default`)
    }
    if (fallback === '') t.equal(emptyCounts, true, `${variable} can be set to its own default`)
  }
  t.same(
    SECTIONS.filter(section => !ROWS.some(row => row.section === section)),
    [],
    'no section is empty',
  )
  t.end()
})

t.test('what leaves a check out says UNSAFE, and is never the default', t => {
  const unsafe = ROWS.filter(({ variable }) => variable.startsWith('UNSAFE_'))
  t.same(
    unsafe.map(({ variable }) => variable),
    ['UNSAFE_ALLOW_ANY_CLIENT', 'UNSAFE_ALLOW_ANY_ISSUER'],
    'and there is none for the signer or the signature',
  )
  for (const { variable, fallback } of unsafe) t.equal(fallback, 'false', variable)
  t.end()
})

const ARN =
  'arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/a/0123456789abcdef'

/** What a reader says a value must be instead. */
function refusalOf(read: () => unknown): string {
  try {
    return `nothing, but took ${String(read())}`
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error
    return error.message
  }
}

const { certificate: CA } = await createAuthority()

t.test('a setting takes what it means, and says what it must be instead', t => {
  const cases: readonly {
    key: keyof typeof SETTINGS
    text: string
    value?: unknown
    refusal?: RegExp
  }[] = [
    {
      key: 'albArns',
      text: `${ARN} , ${ARN}0`,
      value: [
        { text: ARN, partition: 'aws', region: 'eu-central-1' },
        { text: `${ARN}0`, partition: 'aws', region: 'eu-central-1' },
      ],
    },
    { key: 'albArns', text: '', refusal: /^must have at least one member, found ''$/ },
    { key: 'albArns', text: `${ARN},${ARN}*`, refusal: /^must be the whole ARN/ },
    { key: 'albArns', text: 'arn:aws:iam::1:role/x', refusal: /^must be the whole ARN/ },
    { key: 'albClientIds', text: 'a, b', value: ['a', 'b'] },
    { key: 'albClientIds', text: ',', refusal: /at least one/ },
    { key: 'oidcIssuer', text: 'https://a/,https://a', value: ['https://a/', 'https://a'] },
    { key: 'oidcIssuer', text: 'a', refusal: /^must be the issuer's URL/ },
    { key: 'clockToleranceMs', text: '60s', value: 60_000 },
    { key: 'clockToleranceMs', text: '61s', refusal: /up to 60s/ },
    { key: 'idp', text: 'cognito', value: 'cognito' },
    { key: 'idp', text: 'Okta', refusal: /^must be one of generic, cognito, okta, entra, google/ },
    { key: 'idp', text: 'constructor', refusal: /^must be one of .*auth0, keycloak, found/ },
    { key: 'enforcement', text: 'enforce', value: 'enforce' },
    { key: 'enforcement', text: 'report', value: 'report' },
    { key: 'enforcement', text: 'off', refusal: /^must be one of enforce, report, found 'off'$/ },
    { key: 'accessToken', text: 'required', value: 'required' },
    { key: 'accessToken', text: 'optional', value: 'optional' },
    { key: 'accessToken', text: 'ignore', value: 'ignore' },
    { key: 'accessToken', text: 'true', refusal: /^must be one of required, optional, ignore/ },
    { key: 'accessTokenAlgorithms', text: 'ES256, EdDSA', value: ['ES256', 'EdDSA'] },
    ...['none', 'None', 'HS256', 'HS384', 'HS512', 'rs256', 'RS256,HS256'].map(
      text =>
        ({
          key: 'accessTokenAlgorithms',
          text,
          refusal: /^must be one of RS256, .*, EdDSA/,
        }) as const,
    ),
    { key: 'accessTokenAlgorithms', text: ',', refusal: /at least one/ },
    { key: 'accessTokenIssuer', text: 'https://a, https://b/', value: ['https://a', 'https://b/'] },
    { key: 'accessTokenIssuer', text: 'a', refusal: /^must be the issuer's URL/ },
    { key: 'accessTokenIssuer', text: ',', refusal: /at least one/ },
    { key: 'accessTokenAudiences', text: '', value: [] },
    { key: 'accessTokenAudiences', text: 'api://a, b', value: ['api://a', 'b'] },
    { key: 'accessTokenClientClaims', text: 'azp, cid', value: ['azp', 'cid'] },
    { key: 'accessTokenClientClaims', text: ',', refusal: /at least one/ },
    { key: 'accessTokenSubjectClaim', text: 'uid', value: 'uid' },
    { key: 'accessTokenJwksUrl', text: 'https://a/keys', value: 'https://a/keys' },
    { key: 'accessTokenJwksUrl', text: 'http://a/keys', refusal: /^must be an https URL/ },
    { key: 'accessTokenExpired', text: 'reauthenticate', value: 'reauthenticate' },
    { key: 'accessTokenExpired', text: 'reject', value: 'reject' },
    { key: 'accessTokenExpired', text: 'ignore-claims', value: 'ignore-claims' },
    {
      key: 'accessTokenExpired',
      text: 'ignore',
      refusal: /^must be one of reauthenticate, reject, ignore-claims/,
    },
    { key: 'tokenCacheSize', text: '0', value: 0 },
    { key: 'tokenCacheSize', text: '1000001', refusal: /from 0 to 1000000/ },
    { key: 'signOutPath', text: '', value: '' },
    { key: 'signOutPath', text: '/.auth/sign-out', value: '/.auth/sign-out' },
    { key: 'signOutPath', text: '/*', refusal: /^must be a path/ },
    { key: 'signOutRedirectUrl', text: 'https://idp/logout?a=b', value: 'https://idp/logout?a=b' },
    { key: 'signOutRedirectUrl', text: '/bye', refusal: /^must be an http or https URL/ },
    { key: 'whoamiPath', text: '', value: '' },
    { key: 'whoamiPath', text: '/.auth/whoami', value: '/.auth/whoami' },
    { key: 'whoamiPath', text: 'whoami', refusal: /^must be a path/ },
    { key: 'groupsSources', text: 'alb', value: ['alb'] },
    { key: 'groupsSources', text: 'alb, access_token', value: ['alb', 'access_token'] },
    { key: 'groupsSources', text: 'none', refusal: /^must be one of access_token, alb/ },
    { key: 'groupsSources', text: ',', refusal: /at least one/ },
    { key: 'keyFetchTimeoutMs', text: '31s', refusal: /up to 30s/ },
    { key: 'keyCacheSize', text: '0', refusal: /from 1 to 10000/ },
    { key: 'keyNegativeTtlMs', text: '5m', value: 300_000 },
    { key: 'keyNegativeTtlMs', text: '6m', refusal: /up to 5m/ },
    {
      key: 'noauthPaths',
      text: 'GET|HEAD /open/*, /health',
      value: [
        { text: 'GET|HEAD /open/*', methods: new Set(['GET', 'HEAD']), pattern: '/open/*' },
        { text: '/health', methods: new Set(), pattern: '/health' },
      ],
    },
    { key: 'noauthPaths', text: '/a,health', refusal: /^must be \[METHOD.* found 'health'$/ },
    { key: 'noauthPaths', text: '/a//b', refusal: /^must have a pattern that a canonical path/ },
    { key: 'noauthPreset', text: 'consoleme', value: 'consoleme' },
    { key: 'noauthPreset', text: 'consoleme-weep', value: 'consoleme-weep' },
    { key: 'noauthPreset', text: 'toString', refusal: /^must be one of consoleme, consoleme-weep/ },
    { key: 'stripRequestHeaders', text: '', value: [] },
    { key: 'stripRequestHeaders', text: 'x-a, X_B', value: ['x-a', 'X_B'] },
    { key: 'stripRequestHeaders', text: 'Cookie', refusal: /^must not be a header that carries/ },
    { key: 'stripCookies', text: 'consoleme_auth', value: ['consoleme_auth'] },
    { key: 'stripCookies', text: 'a=b', refusal: /^must be a cookie name/ },
    { key: 'userClaims', text: 'email, sub,/a/b', value: ['email', 'sub', '/a/b'] },
    { key: 'userClaims', text: '', refusal: /at least one/ },
    { key: 'groupsFilter', text: 'a*, b?', value: ['a*', 'b?'] },
    { key: 'groupsFilter', text: 'x'.repeat(128), value: ['x'.repeat(128)] },
    { key: 'groupsFilter', text: 'x'.repeat(129), refusal: /^must have at most 128 characters/ },
    { key: 'groupsMap', text: '{"a":"b"}', value: new Map([['a', 'b']]) },
    { key: 'allowedGroups', text: ' Ops , a b', value: ['Ops', 'a b'] },
    { key: 'allowedEmailDomains', text: 'Example.COM, b', value: ['example.com', 'b'] },
    { key: 'groupsMaxBytes', text: '65537', refusal: /from 1 to 65536/ },
    { key: 'trustedHops', text: '0', refusal: /from 1 to 30/ },
    { key: 'port', text: '0', value: 0 },
    { key: 'port', text: '65536', refusal: /from 0 to 65535/ },
    { key: 'port', text: 'tcp://10.0.0.1:80', refusal: /^must be a whole number/ },
    { key: 'upstreamCa', text: CA, value: [CA] },
    { key: 'upstreamCa', text: CA + CA, value: [CA, CA] },
    { key: 'upstreamCa', text: '/etc/ssl/ca.pem', refusal: /^holds no PEM certificate: the path/ },
    { key: 'upstreamCa', text: CA.slice(0, 200), refusal: /^holds a certificate that cannot be/ },
    { key: 'tlsCertFile', text: '/etc/tls/tls.crt', value: '/etc/tls/tls.crt' },
    { key: 'tlsKeyFile', text: '/etc/tls/tls.key', value: '/etc/tls/tls.key' },
    { key: 'tlsSelfSigned', text: 'true', value: true },
    { key: 'tlsSelfSigned', text: '1', refusal: /^must be one of true, false/ },
    { key: 'upstreamIdleTimeoutMs', text: '0', value: 0 },
    { key: 'upstreamIdleTimeoutMs', text: '5', refusal: /^must be a duration/ },
    { key: 'maxHeaders', text: '2001', refusal: /from 1 to 2000/ },
    { key: 'maxHeaderBytes', text: '1023', refusal: /from 1024 to 1048576/ },
    { key: 'workers', text: '64', value: 64 },
    { key: 'workers', text: '0', refusal: /from 1 to 64/ },
    { key: 'workers', text: '65', refusal: /from 1 to 64/ },
    { key: 'workers', text: 'auto', refusal: /^must be a whole number/ },
    { key: 'logLevel', text: 'trace', refusal: /^must be one of fatal, error, warn, info, debug/ },
    { key: 'accessLog', text: 'none', refusal: /^must be one of rejections, all, off/ },
  ]
  for (const { key, text, value, refusal } of cases) {
    const { read }: Setting<Readable> = SETTINGS[key]
    if (refusal === undefined) t.same(read(text), value, `${key} ${text}`)
    else
      t.match(
        refusalOf(() => read(text)),
        refusal,
        `${key} ${text}`,
      )
  }
  t.end()
})
