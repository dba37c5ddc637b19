import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { ConfigFault, loadConfig, type Environment } from '../../src/config/config.ts'
import { IDPS, type IdpName } from '../../src/identity/idp.ts'
import { createAuthority } from '../fixtures/certificates.ts'

const ARN =
  'arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/a/0123456789abcdef'
const CHINA = ARN.replace('arn:aws:', 'arn:aws-cn:').replace('eu-central-1', 'cn-north-1')
const GOV = ARN.replace('arn:aws:', 'arn:aws-us-gov:').replace('eu-central-1', 'us-gov-west-1')

/** The least there must be. */
const LEAST = {
  ALB_ARNS: ARN,
  ALB_CLIENT_IDS: 'client-1',
  OIDC_ISSUER: 'https://idp.example.com/',
} as const

/** What is wrong with {@link LEAST} and these. */
function faultsOf(environment: Environment): readonly string[] {
  try {
    loadConfig({ ...LEAST, ...environment })
    return []
  } catch (error) {
    if (!(error instanceof ConfigFault)) throw error
    return error.faults
  }
}

const load = (environment: Environment = {}) => loadConfig({ ...LEAST, ...environment })

/** The path of a file with this text, until the test is over. */
function writeFile(t: Test, text: string, name = 'file'): string {
  const directory = mkdtempSync(join(tmpdir(), 'config-'))
  t.teardown(() => {
    rmSync(directory, { recursive: true })
  })
  writeFileSync(join(directory, name), text)
  return join(directory, name)
}

t.test('three settings are enough, and the rest is what SPEC says', t => {
  const { config, warnings } = load()
  t.same(config, {
    albArns: [{ text: ARN, partition: 'aws', region: 'eu-central-1' }],
    albClientIds: ['client-1'],
    oidcIssuer: ['https://idp.example.com/'],
    unsafeAllowAnyClient: false,
    unsafeAllowAnyIssuer: false,
    clockToleranceMs: 5_000,
    idp: 'generic',
    unauthenticated: 'deny',
    enforcement: 'enforce',
    accessToken: 'ignore',
    accessTokenAlgorithms: ['RS256'],
    accessTokenIssuer: undefined,
    accessTokenAudiences: [],
    accessTokenClientClaims: ['client_id', 'cid', 'azp', 'appid'],
    accessTokenSubjectClaim: 'sub',
    accessTokenJwksUrl: undefined,
    accessTokenExpired: 'reauthenticate',
    requireTokenUse: false,
    tokenCacheSize: 10_000,
    signOutPath: '',
    signOutRedirectUrl: undefined,
    whoamiPath: '',
    keyUrl: undefined,
    keySeeds: undefined,
    keyFetchTimeoutMs: 2_000,
    keyCacheSize: 64,
    keyCacheTtlMs: 86_400_000,
    keyCacheStaleMs: 604_800_000,
    keyNegativeTtlMs: 10_000,
    httpsProxy: undefined,
    noProxy: undefined,
    noauthPaths: [],
    noauthPreset: undefined,
    nonstandardHeaders: 'drop',
    stripRequestHeaders: [
      'x-original-url',
      'x-rewrite-url',
      'x-http-method-override',
      'x-http-method',
      'x-method-override',
    ],
    stripCookies: [],
    albSessionCookie: 'AWSELBAuthSessionCookie',
    userClaims: ['email'],
    emailClaims: ['email'],
    groupsClaims: ['groups'],
    groupsSources: ['access_token', 'alb'],
    groupsSplit: '',
    userCase: 'keep',
    groupsCase: 'keep',
    groupsFilter: [],
    groupsMap: new Map(),
    allowedGroups: [],
    allowedEmailDomains: [],
    requireEmailVerified: false,
    userHeader: 'X-Forwarded-User',
    emailHeader: 'X-Forwarded-Email',
    groupsHeader: 'X-Forwarded-Groups',
    groupsSeparator: ',',
    groupsFormat: 'list',
    groupsMaxBytes: 8_192,
    forwardOidcHeaders: 'all',
    clientIpHeader: '',
    trustedHops: 1,
    upstream: { protocol: 'http:', host: '127.0.0.1', port: 8081 },
    upstreamCa: undefined,
    upstreamConnections: 256,
    upstreamConnectTimeoutMs: 2_000,
    upstreamHeadersTimeoutMs: 60_000,
    upstreamIdleTimeoutMs: 0,
    webSocketMaxAgeMs: 43_200_000,
    host: '0.0.0.0',
    port: 8080,
    tlsCertFile: undefined,
    tlsKeyFile: undefined,
    tlsSelfSigned: false,
    adminHost: '0.0.0.0',
    adminPort: 9090,
    keepAliveTimeoutMs: 75_000,
    headersTimeoutMs: 15_000,
    requestTimeoutMs: 0,
    maxHeaders: 200,
    maxHeaderBytes: 81_920,
    workers: 1,
    drainDelayMs: 5_000,
    drainTimeoutMs: 25_000,
    logLevel: 'info',
    logFormat: 'json',
    accessLog: 'rejections',
    logSubject: false,
  })
  t.same(warnings, [])
  t.end()
})

t.test('what was read cannot be changed', t => {
  const { config } = load()
  t.ok(Object.isFrozen(config))
  t.throws(() => Object.assign(config, { unauthenticated: 'allow' }), TypeError)
  t.throws(() => Object.assign(config, { unheardOf: true }), TypeError)
  t.equal(config.unauthenticated, 'deny')
  t.end()
})

t.test('a name that is no setting is not found in it by accident', t => {
  const { config } = load({ albArns: 'x', constructor: 'x' })
  t.equal(config.albArns[0]?.text, ARN)
  t.end()
})

t.test('everything that is wrong is said at once, by variable, in the order of the table', t => {
  const wrong = {
    ALB_ARNS: undefined,
    ALB_CLIENT_IDS: ',',
    OIDC_ISSUER: 'idp',
    UNAUTHENTICATED: 'maybe',
    KEY_FETCH_TIMEOUT: '2',
    NOAUTH_PATHS: 'health',
    GROUPS_MAP: '[]',
    USER_HEADER: 'Host',
    UPSTREAM_URL: 'app',
    PORT: '80 80',
    LOG_SUBJECT: 'yes',
    EMAIL_HEADER: 'X-Who',
    GROUPS_HEADER: 'x_who',
    HEADERS_TIMEOUT: '20s',
    REQUEST_TIMEOUT: '10s',
    NODE_OPTIONS: '--insecure-http-parser',
  }
  const faults = faultsOf(wrong)
  t.match(faults, [
    /^ALB_ARNS is required: ARNs of the load balancers whose signature/,
    /^ALB_CLIENT_IDS must have at least one member, found ','$/,
    /^OIDC_ISSUER must be the issuer's URL.*, found 'idp'$/,
    /^UNAUTHENTICATED must be one of deny, allow, found 'maybe'$/,
    /^KEY_FETCH_TIMEOUT must be a duration.*, found '2'$/,
    /^NOAUTH_PATHS must be \[METHOD.*, found 'health'$/,
    /^GROUPS_MAP must be a JSON object .*, found an array$/,
    /^USER_HEADER must not be a header that carries.*, found 'Host'$/,
    /^UPSTREAM_URL must be http:\/\/.*, found 'app'$/,
    /^PORT must be a whole number.*, found '80 80'$/,
    /^LOG_SUBJECT must be one of true, false, found 'yes'$/,
    /^USER_HEADER, EMAIL_HEADER, GROUPS_HEADER and CLIENT_IP_HEADER must differ, found x-who twice$/,
    /^REQUEST_TIMEOUT must be 0 or at least HEADERS_TIMEOUT \(20000ms\), found 10000ms$/,
    /^NODE_OPTIONS must not hold --insecure-http-parser/,
  ])
  t.equal(faults.length, 14, 'and nothing else')
  t.throws(() => load(wrong), {
    message: [
      'configuration is not usable:',
      ...faults.map(fault => `  ${fault}`),
      'every setting is explained in docs/configuration.md',
    ].join('\n'),
  })
  t.end()
})

t.test('an empty value is none at all, but where it turns a setting off', t => {
  t.match(faultsOf({ ALB_ARNS: '' }), [/^ALB_ARNS is required: /])
  const empty = { PORT: '', UPSTREAM_URL: '', ALB_KEY_URL: '', ALB_KEYS_DIR: '', ACCESS_LOG: '' }
  t.match(load(empty).config, { port: 8080, upstream: { port: 8081 }, accessLog: 'rejections' })
  const off = {
    USER_HEADER: '',
    EMAIL_HEADER: '',
    GROUPS_HEADER: '',
    STRIP_REQUEST_HEADERS: '',
    STRIP_COOKIES: '',
  }
  const { config } = load(off)
  t.match(config, { userHeader: '', emailHeader: '', groupsHeader: '', clientIpHeader: '' })
  t.same(config.stripRequestHeaders, [])
  t.end()
})

t.test('a setting may be given as a file', t => {
  const cases: readonly { environment: Environment; expected: object }[] = [
    {
      environment: {
        ALB_CLIENT_IDS: undefined,
        ALB_CLIENT_IDS_FILE: writeFile(t, 'a, b\r\n\n'),
      },
      expected: { albClientIds: ['a', 'b'] },
    },
    {
      environment: { GROUPS_MAP_FILE: writeFile(t, '{\n  "00a1": "ops"\n}\n') },
      expected: { groupsMap: new Map([['00a1', 'ops']]) },
    },
    { environment: { LOG_LEVEL_FILE: '' }, expected: { logLevel: 'info' } },
    { environment: { LOG_LEVEL: 'warn', LOG_LEVEL_FILE: '' }, expected: { logLevel: 'warn' } },
    { environment: { LOG_LEVEL_FILE: writeFile(t, '\n') }, expected: { logLevel: 'info' } },
    { environment: { USER_HEADER_FILE: writeFile(t, '\n') }, expected: { userHeader: '' } },
    {
      environment: { ALLOWED_GROUPS_FILE: writeFile(t, ' gr\u00fcn , b \n') },
      expected: { allowedGroups: ['gr\u00fcn', 'b'] },
    },
  ]
  for (const { environment, expected } of cases) {
    t.match(load(environment).config, expected, Object.keys(environment).join())
  }
  t.end()
})

t.test('a file that cannot be used is a fault of its variable', t => {
  const file = writeFile(t, 'debug')
  t.match(faultsOf({ LOG_LEVEL: 'debug', LOG_LEVEL_FILE: file }), [
    'LOG_LEVEL must not be set beside LOG_LEVEL_FILE: drop one of them',
  ])
  t.same(faultsOf({ LOG_LEVEL: '', LOG_LEVEL_FILE: file }), [], 'an empty value is not set')
  t.match(faultsOf({ USER_HEADER: '', USER_HEADER_FILE: writeFile(t, 'X-Who') }), [
    'USER_HEADER must not be set beside USER_HEADER_FILE: drop one of them',
  ])
  t.match(faultsOf({ https_proxy: 'http://proxy', HTTPS_PROXY_FILE: file }), [
    'https_proxy must not be set beside HTTPS_PROXY_FILE: drop one of them',
  ])
  t.match(faultsOf({ LOG_LEVEL_FILE: `${file}.not` }), [/^LOG_LEVEL_FILE cannot be read: ENOENT/])
  t.match(faultsOf({ LOG_LEVEL_FILE: join(file, '..') }), [
    /^LOG_LEVEL_FILE cannot be read: EISDIR/,
  ])
  t.match(faultsOf({ PORT_FILE: file }), [/^PORT must be a whole number.* found 'debug'$/])
  const missing = faultsOf({ ALB_ARNS: undefined, ALB_ARNS_FILE: `${file}.not` })
  t.match(missing[0], /^ALB_ARNS_FILE cannot be read: ENOENT/)
  t.end()
})

t.test('leaving a check out takes an explicit, unsafe, unambiguous word, and warns', t => {
  const cases = [
    {
      variable: 'ALB_CLIENT_IDS',
      unsafe: 'UNSAFE_ALLOW_ANY_CLIENT',
      warning:
        /^UNSAFE_ALLOW_ANY_CLIENT: tokens made for any client .* are accepted; set ALB_CLIENT_IDS/,
    },
    {
      variable: 'OIDC_ISSUER',
      unsafe: 'UNSAFE_ALLOW_ANY_ISSUER',
      warning: /^UNSAFE_ALLOW_ANY_ISSUER: tokens with any issuer .* are accepted; set OIDC_ISSUER/,
    },
  ]
  for (const { variable, unsafe, warning } of cases) {
    const without = { [variable]: undefined }
    const required = [`${variable} is required (or ${unsafe}=true, which leaves the check out)`]
    t.same(faultsOf(without), required, `no ${variable}`)
    t.same(faultsOf({ ...without, [unsafe]: 'false' }), required, `${unsafe}=false`)
    t.match(faultsOf({ ...without, [unsafe]: '1' }), [/must be one of true, false/], `${unsafe}=1`)
    t.same(
      faultsOf({ [unsafe]: 'true' }),
      [`${unsafe} must not be true while ${variable} is set: drop one of them`],
      'both',
    )
    t.match(
      load({ ...without, [unsafe]: 'true' }).warnings,
      [{ severity: 'unsafe', text: warning }],
      `${unsafe}=true`,
    )
  }
  const neither = { ALB_CLIENT_IDS: undefined, OIDC_ISSUER: undefined }
  t.equal(faultsOf(neither).length, 2)
  const any = { UNSAFE_ALLOW_ANY_CLIENT: 'true', UNSAFE_ALLOW_ANY_ISSUER: 'true' }
  const { config, warnings } = load({ ...neither, ...any })
  t.equal(warnings.length, 2)
  t.match(config, { unsafeAllowAnyClient: true, unsafeAllowAnyIssuer: true })
  t.equal(config.albClientIds, undefined)
  t.equal(config.oidcIssuer, undefined)
  t.end()
})

t.test('the signer cannot be left out', t => {
  for (const unsafe of [
    'UNSAFE_ALLOW_ANY_SIGNER',
    'UNSAFE_ALLOW_ANY_ALB',
    'UNSAFE_ALLOW_ANY_ARN',
  ]) {
    t.match(
      faultsOf({ ALB_ARNS: undefined, [unsafe]: 'true' }),
      [/^ALB_ARNS is required: /],
      unsafe,
    )
  }
  t.end()
})

/** What each provider decides, where it is not what generic does. */
const BY_IDP = {
  generic: {},
  cognito: {
    accessToken: 'required',
    accessTokenClientClaims: ['client_id'],
    groupsClaims: ['cognito:groups', 'custom:groups'],
    requireTokenUse: true,
  },
  okta: {
    accessToken: 'required',
    accessTokenClientClaims: ['cid'],
    accessTokenSubjectClaim: 'uid',
  },
  entra: {
    accessTokenClientClaims: ['azp', 'appid'],
    userClaims: ['email', 'preferred_username'],
    groupsClaims: ['groups', 'roles'],
  },
  google: { accessTokenClientClaims: ['azp'] },
  auth0: { accessToken: 'optional', accessTokenClientClaims: ['azp'] },
  keycloak: {
    accessToken: 'required',
    accessTokenClientClaims: ['azp'],
    groupsClaims: ['groups', '/realm_access/roles'],
  },
} as const satisfies Record<IdpName, object>

t.test('IDP sets the defaults that differ between providers, and no others', t => {
  t.same(Object.keys(BY_IDP).sort(), Object.keys(IDPS).sort(), 'every provider has a row here')
  const { config: generic } = load()
  for (const [idp, decided] of Object.entries(BY_IDP)) {
    t.same(load({ IDP: idp }).config, { ...generic, idp, ...decided }, idp)
    t.same(load({ IDP: idp }).warnings, [], `${idp} warns of nothing`)
  }
  t.match(faultsOf({ IDP: 'adfs' }), [/^IDP must be one of generic, .*, found 'adfs'$/])
  t.equal(faultsOf({ IDP: 'adfs' }).length, 1)
  t.end()
})

t.test('whatever IDP sets can still be set, and the rest stays as it sets it', t => {
  const cases = [
    { variable: 'ACCESS_TOKEN', value: 'required', set: { accessToken: 'required' } },
    { variable: 'ACCESS_TOKEN', value: 'optional', set: { accessToken: 'optional' } },
    { variable: 'ACCESS_TOKEN', value: 'ignore', set: { accessToken: 'ignore' } },
    {
      variable: 'ACCESS_TOKEN_CLIENT_CLAIM',
      value: 'a, b',
      set: { accessTokenClientClaims: ['a', 'b'] },
    },
    { variable: 'ACCESS_TOKEN_SUBJECT_CLAIM', value: 'a', set: { accessTokenSubjectClaim: 'a' } },
    { variable: 'USER_CLAIM', value: 'sub', set: { userClaims: ['sub'] } },
    { variable: 'EMAIL_CLAIM', value: 'mail', set: { emailClaims: ['mail'] } },
    {
      variable: 'GROUPS_CLAIM',
      value: 'https://example.com/groups',
      set: { groupsClaims: ['https://example.com/groups'] },
    },
  ]
  for (const idp of Object.keys(BY_IDP)) {
    const { config: preset } = load({ IDP: idp })
    for (const { variable, value, set } of cases) {
      const { config } = load({ IDP: idp, [variable]: value })
      t.same(config, { ...preset, ...set }, `${idp}, ${variable}=${value}`)
      t.same(load({ IDP: idp, [variable]: '' }).config, preset, `${idp}, ${variable} empty`)
    }
  }
  t.end()
})

t.test('an access token is verified only where its keys and its receiver are known', t => {
  const noIssuer = 'ACCESS_TOKEN_ISSUER is required: ACCESS_TOKEN is verified'
  const noKeys = (found: string) =>
    `ACCESS_TOKEN_JWKS_URL is required: discovery needs one https issuer, found ${found}`
  const noReceiver =
    'ACCESS_TOKEN_AUDIENCES is required: without ALB_CLIENT_IDS any client would do'
  const anyIssuer = { OIDC_ISSUER: undefined, UNSAFE_ALLOW_ANY_ISSUER: 'true' }
  const anyClient = { ALB_CLIENT_IDS: undefined, UNSAFE_ALLOW_ANY_CLIENT: 'true' }
  const a = 'https://a.example.com'
  const plain = 'http://idp.example.com'
  const jwks = { ACCESS_TOKEN_JWKS_URL: `${a}/keys` }
  const cases: readonly { environment: Environment; faults: readonly string[] }[] = [
    { environment: {}, faults: [] },
    { environment: anyIssuer, faults: [noIssuer] },
    { environment: { ...anyIssuer, ...jwks }, faults: [noIssuer] },
    { environment: { ...anyIssuer, ACCESS_TOKEN_ISSUER: a }, faults: [] },
    { environment: { OIDC_ISSUER: `${a},${a}/` }, faults: [noKeys(`${a}, ${a}/`)] },
    { environment: { OIDC_ISSUER: `${a},${a}/`, ...jwks }, faults: [] },
    { environment: { OIDC_ISSUER: `${a},${a}/`, ACCESS_TOKEN_ISSUER: a }, faults: [] },
    { environment: { ACCESS_TOKEN_ISSUER: `${a},${a}/` }, faults: [noKeys(`${a}, ${a}/`)] },
    { environment: { OIDC_ISSUER: plain }, faults: [noKeys(plain)] },
    { environment: { OIDC_ISSUER: 'http://idp.example.com', ...jwks }, faults: [] },
    { environment: { ACCESS_TOKEN_ISSUER: plain }, faults: [noKeys(plain)] },
    { environment: { OIDC_ISSUER: 'http://127.0.0.1:9/a' }, faults: [] },
    { environment: { OIDC_ISSUER: 'http://localhost:9/a' }, faults: [] },
    { environment: anyClient, faults: [noReceiver] },
    { environment: { ...anyClient, ACCESS_TOKEN_AUDIENCES: '' }, faults: [noReceiver] },
    { environment: { ...anyClient, ACCESS_TOKEN_AUDIENCES: ',' }, faults: [noReceiver] },
    { environment: { ...anyClient, ACCESS_TOKEN_AUDIENCES: 'api' }, faults: [] },
    { environment: { ...anyClient, ...anyIssuer }, faults: [noIssuer, noReceiver] },
    {
      environment: { OIDC_ISSUER: undefined },
      faults: [
        'OIDC_ISSUER is required (or UNSAFE_ALLOW_ANY_ISSUER=true, which leaves the check out)',
      ],
    },
  ]
  for (const { environment, faults } of cases) {
    const name = JSON.stringify(environment)
    for (const verified of [
      { ACCESS_TOKEN: 'required' },
      { ACCESS_TOKEN: 'optional' },
      { IDP: 'okta' },
    ]) {
      t.same(
        faultsOf({ ...environment, ...verified }),
        faults,
        `${name} ${JSON.stringify(verified)}`,
      )
    }
    const others = faults.filter(fault => !fault.startsWith('ACCESS_TOKEN'))
    t.same(faultsOf({ ...environment, ACCESS_TOKEN: 'ignore' }), others, `${name}, ignored`)
    t.same(faultsOf({ ...environment, IDP: 'google' }), others, `${name}, ignored by IDP`)
  }
  const unreadable = faultsOf({ IDP: 'adfs', ACCESS_TOKEN: 'maybe', ...anyClient })
  t.match(unreadable, [/^IDP must be one of/, /^ACCESS_TOKEN must be one of/])
  t.equal(unreadable.length, 2, 'what cannot be read asks for nothing more')
  t.end()
})

t.test('signing out leads somewhere, and is not the path that says who one is', t => {
  const bye = { SIGN_OUT_REDIRECT_URL: 'https://idp.example.com/logout' }
  const nowhere =
    'SIGN_OUT_REDIRECT_URL is required: SIGN_OUT_PATH is set, and signing out must lead somewhere'
  const same = "WHOAMI_PATH must not be the same as SIGN_OUT_PATH, found '/out'"
  const cases: readonly { environment: Environment; faults: readonly string[] }[] = [
    { environment: { SIGN_OUT_PATH: '/out', ...bye }, faults: [] },
    { environment: { SIGN_OUT_PATH: '', WHOAMI_PATH: '' }, faults: [] },
    { environment: bye, faults: [] },
    { environment: { WHOAMI_PATH: '/who' }, faults: [] },
    { environment: { SIGN_OUT_PATH: '/out', WHOAMI_PATH: '/who', ...bye }, faults: [] },
    { environment: { SIGN_OUT_PATH: '/out' }, faults: [nowhere] },
    { environment: { SIGN_OUT_PATH: '/out', SIGN_OUT_REDIRECT_URL: '' }, faults: [nowhere] },
    { environment: { SIGN_OUT_PATH: '/out', WHOAMI_PATH: '/out', ...bye }, faults: [same] },
    { environment: { SIGN_OUT_PATH: '/out', WHOAMI_PATH: '/out' }, faults: [nowhere, same] },
  ]
  for (const { environment, faults } of cases) {
    t.same(faultsOf(environment), faults, JSON.stringify(environment))
  }
  t.match(load({ SIGN_OUT_PATH: '/out', WHOAMI_PATH: '/who', ...bye }).config, {
    signOutPath: '/out',
    signOutRedirectUrl: 'https://idp.example.com/logout',
    whoamiPath: '/who',
  })
  t.end()
})

t.test('where AWS documents no key endpoint, ALB_KEY_URL is required', t => {
  const url = 'https://keys.example.com/{region}/{kid}'
  const cases = [
    { arns: GOV, faults: [] },
    { arns: `${ARN},${GOV}`, faults: [] },
    {
      arns: CHINA,
      faults: ['ALB_KEY_URL is required: AWS documents no key endpoint for aws-cn'],
    },
    {
      arns: `${ARN},${CHINA}`,
      faults: ['ALB_KEY_URL is required: AWS documents no key endpoint for aws-cn'],
    },
    {
      arns: ARN.replace('arn:aws:', 'arn:aws-iso-b:'),
      faults: ['ALB_KEY_URL is required: AWS documents no key endpoint for aws-iso-b'],
    },
    { arns: CHINA, url, faults: [] },
  ]
  for (const { arns, url, faults } of cases) {
    t.same(faultsOf({ ALB_ARNS: arns, ALB_KEY_URL: url }), faults, `${arns} ${url ?? ''}`)
  }
  t.equal(load({ ALB_ARNS: CHINA, ALB_KEY_URL: url }).config.keyUrl, url)
  t.end()
})

t.test('keys are fetched over http from this machine alone', t => {
  for (const host of ['127.0.0.1:8000', 'localhost', '[::1]:8000']) {
    t.same(faultsOf({ ALB_KEY_URL: `http://${host}/{kid}` }), [], host)
  }
  for (const host of ['keys.example.com', '169.254.169.254', '127.0.0.1.example.com']) {
    t.match(
      faultsOf({ ALB_KEY_URL: `http://${host}/{kid}` }),
      [/^ALB_KEY_URL must be an https/],
      host,
    )
  }
  t.end()
})

t.test('keys may lie in a directory, all of them sound', t => {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
  const pem = key.export({ format: 'pem', type: 'spki' }).toString()
  const kid = '0a3c1e5f-7b2d-4c6e-8f90-a1b2c3d4e5f6'
  const good = join(writeFile(t, pem, `${kid.toUpperCase()}.pem`), '..')
  t.same([...(load({ ALB_KEYS_DIR: good }).config.keySeeds?.keys() ?? [])], [kid])
  const bad = join(writeFile(t, 'not a key', `${kid}.pem`), '..')
  t.same(faultsOf({ ALB_KEYS_DIR: bad }), [
    `ALB_KEYS_DIR has ${kid}.pem, which is not one PEM public key`,
  ])
  t.match(faultsOf({ ALB_KEYS_DIR: join(bad, 'nowhere') }), [
    /^ALB_KEYS_DIR cannot be read: .*nowhere: ENOENT/,
  ])
  t.end()
})

const authority = await createAuthority()
const [issued, other] = await Promise.all([authority.issue(), authority.issue()])

t.test('a listener has a certificate and its key, or makes both', t => {
  const [cert, key, otherKey] = [
    writeFile(t, issued.certificate),
    writeFile(t, issued.key),
    writeFile(t, other.key),
  ]
  const [TLS_CERT_FILE, TLS_KEY_FILE, TLS_SELF_SIGNED] = [cert, key, 'true']
  const beside = (variable: string) =>
    `TLS_SELF_SIGNED must not be true while ${variable} is set: drop one of them`
  const cases: readonly { environment: Environment; faults: readonly (string | RegExp)[] }[] = [
    { environment: {}, faults: [] },
    { environment: { TLS_CERT_FILE, TLS_KEY_FILE }, faults: [] },
    { environment: { TLS_CERT_FILE, TLS_KEY_FILE, TLS_SELF_SIGNED: 'false' }, faults: [] },
    { environment: { TLS_SELF_SIGNED }, faults: [] },
    {
      environment: { TLS_CERT_FILE },
      faults: ['TLS_KEY_FILE is required: TLS_CERT_FILE is set'],
    },
    { environment: { TLS_KEY_FILE }, faults: ['TLS_CERT_FILE is required: TLS_KEY_FILE is set'] },
    {
      environment: { TLS_CERT_FILE, TLS_KEY_FILE, TLS_SELF_SIGNED },
      faults: [beside('TLS_CERT_FILE')],
    },
    {
      environment: { TLS_KEY_FILE, TLS_SELF_SIGNED },
      faults: [beside('TLS_KEY_FILE'), 'TLS_CERT_FILE is required: TLS_KEY_FILE is set'],
    },
    {
      environment: { TLS_CERT_FILE, TLS_KEY_FILE: otherKey },
      faults: ['TLS_KEY_FILE is not the key of the first certificate in TLS_CERT_FILE'],
    },
    {
      environment: { TLS_CERT_FILE: key, TLS_KEY_FILE: '/nowhere/tls.key', PORT: 'x' },
      faults: [
        /^PORT must/,
        'TLS_CERT_FILE holds no PEM certificate',
        /^TLS_KEY_FILE cannot be read: ENOENT/,
      ],
    },
  ]
  for (const { environment, faults } of cases) {
    const found = faultsOf(environment)
    t.match(found, faults, JSON.stringify(environment))
    t.equal(found.length, faults.length, JSON.stringify(environment))
  }
  const { config, pair } = load({ TLS_CERT_FILE, TLS_KEY_FILE })
  t.match(pair, issued)
  t.notOk(JSON.stringify(config).includes('PRIVATE KEY'), 'the key is no part of what may be shown')
  t.equal(load().pair, undefined)
  t.equal(load({ TLS_SELF_SIGNED }).pair, undefined)
  t.end()
})

t.test('whom the application is certified by is asked over https alone', t => {
  const UPSTREAM_CA_FILE = writeFile(t, `# ours\n${authority.certificate}`)
  const UPSTREAM_URL = 'https://localhost:8443'
  t.same(load({ UPSTREAM_CA_FILE, UPSTREAM_URL }).config.upstreamCa, [authority.certificate])
  const fault =
    'UPSTREAM_CA must not be set: UPSTREAM_URL is not an https URL, so no certificate is asked for'
  t.same(faultsOf({ UPSTREAM_CA_FILE }), [fault])
  t.same(faultsOf({ UPSTREAM_CA_FILE, UPSTREAM_URL: 'unix:/run/app.sock' }), [fault])
  t.same(faultsOf({ UPSTREAM_CA_FILE: writeFile(t, issued.key), UPSTREAM_URL }), [
    'UPSTREAM_CA holds no PEM certificate',
  ])
  t.match(faultsOf({ UPSTREAM_CA_FILE: '/nowhere/ca.pem', UPSTREAM_URL }), [
    /^UPSTREAM_CA_FILE cannot be read: ENOENT/,
  ])
  t.end()
})

t.test('headers that we put in must not be one and the same', t => {
  const must = 'USER_HEADER, EMAIL_HEADER, GROUPS_HEADER and CLIENT_IP_HEADER must differ'
  const cases = [
    {
      environment: { USER_HEADER: 'X-Forwarded-Email' },
      faults: [`${must}, found x-forwarded-email twice`],
    },
    {
      environment: { USER_HEADER: 'x_forwarded_email' },
      faults: [`${must}, found x-forwarded-email twice`],
    },
    {
      environment: { CLIENT_IP_HEADER: 'x-forwarded.user' },
      faults: [`${must}, found x-forwarded-user twice`],
    },
    { environment: { USER_HEADER: '', EMAIL_HEADER: '', CLIENT_IP_HEADER: '' }, faults: [] },
    { environment: { USER_HEADER: 'X-Forwarded-Users' }, faults: [] },
  ]
  for (const { environment, faults } of cases) {
    t.same(faultsOf(environment), faults, JSON.stringify(environment))
  }
  t.end()
})

t.test('a whole request may not take less time than its header', t => {
  const fault = ['REQUEST_TIMEOUT must be 0 or at least HEADERS_TIMEOUT (15000ms), found 14000ms']
  t.same(faultsOf({ REQUEST_TIMEOUT: '14s' }), fault)
  t.same(faultsOf({ REQUEST_TIMEOUT: '15s' }), [])
  t.same(faultsOf({ REQUEST_TIMEOUT: '0' }), [])
  t.same(faultsOf({ REQUEST_TIMEOUT: '10s', HEADERS_TIMEOUT: '5s' }), [])
  t.end()
})

t.test('no port is meant for two at once', t => {
  const both = ['ADMIN_PORT must not be the same as PORT, found 9000 for both']
  const itself = (variable: string) => [
    `UPSTREAM_URL must not be where the sidecar itself listens, found ${variable} 9000`,
  ]
  const same = { PORT: '9000', ADMIN_PORT: '9000' }
  const here = { UPSTREAM_URL: 'http://localhost:9000' }
  const cases: readonly { environment: Environment; faults: readonly string[] }[] = [
    { environment: same, faults: both },
    { environment: { ...same, HOST: '10.0.0.1' }, faults: both },
    { environment: { ...same, ADMIN_HOST: '::', HOST: '10.0.0.1' }, faults: both },
    { environment: { ...same, ADMIN_HOST: '127.0.0.1', HOST: '127.0.0.1' }, faults: both },
    { environment: { ...same, ADMIN_HOST: '127.0.0.1', HOST: '10.0.0.1' }, faults: [] },
    { environment: { PORT: '0', ADMIN_PORT: '0' }, faults: [] },
    { environment: { ...here, PORT: '9000' }, faults: itself('PORT') },
    { environment: { ...here, PORT: '9000', HOST: 'localhost' }, faults: itself('PORT') },
    { environment: { ...here, PORT: '9000', HOST: '10.0.0.1' }, faults: [] },
    { environment: { ...here, ADMIN_PORT: '9000' }, faults: itself('ADMIN_PORT') },
    {
      environment: { UPSTREAM_URL: 'http://127.0.0.1:9000', PORT: '9000' },
      faults: itself('PORT'),
    },
    { environment: { UPSTREAM_URL: 'http://app:9000', PORT: '9000' }, faults: [] },
    { environment: { UPSTREAM_URL: 'unix:/run/app.sock', PORT: '80' }, faults: [] },
  ]
  for (const { environment, faults } of cases) {
    t.same(faultsOf(environment), faults, JSON.stringify(environment))
  }
  const unreadable = faultsOf({ PORT: 'a', ADMIN_PORT: 'b', UPSTREAM_URL: 'c' })
  t.equal(unreadable.length, 3, 'what cannot be read clashes with nothing')
  t.end()
})

t.test('switches of node that undo what we promise are refused', t => {
  const cases = [
    { name: 'NODE_OPTIONS', value: '--insecure-http-parser', refused: true },
    {
      name: 'NODE_OPTIONS',
      value: '--max-old-space-size=64 --insecure-http-parser',
      refused: true,
    },
    { name: 'NODE_OPTIONS', value: '--insecure_http_parser', refused: true },
    { name: 'NODE_OPTIONS', value: '--enable-source-maps', refused: false },
    { name: 'NODE_OPTIONS', value: '--no-insecure-http-parser', refused: false },
    { name: 'NODE_OPTIONS', value: '', refused: false },
    { name: 'NODE_TLS_REJECT_UNAUTHORIZED', value: '0', refused: true },
    { name: 'NODE_TLS_REJECT_UNAUTHORIZED', value: '1', refused: false },
    { name: 'NODE_TLS_REJECT_UNAUTHORIZED', value: '', refused: false },
  ]
  for (const { name, value, refused } of cases) {
    const faults = faultsOf({ [name]: value })
    t.match(faults, refused ? [new RegExp(`^${name} must not `)] : [], `${name}=${value}`)
    t.equal(faults.length, refused ? 1 : 0, `${name}=${value}`)
  }
  t.end()
})

t.test('what is allowed but weak is a warning', t => {
  const cases: readonly { environment: Environment; warnings: readonly (string | RegExp)[] }[] = [
    { environment: { UPSTREAM_URL: 'http://localhost:8081' }, warnings: [] },
    { environment: { UPSTREAM_URL: 'http://[::1]:8081' }, warnings: [] },
    { environment: { UPSTREAM_URL: 'unix:/run/app.sock' }, warnings: [] },
    {
      environment: { UPSTREAM_URL: 'http://app:8081' },
      warnings: [/^UPSTREAM_URL is not on this machine \(app\): whoever reaches it directly/],
    },
    { environment: { ENFORCEMENT: 'enforce' }, warnings: [] },
    {
      environment: { ENFORCEMENT: 'report' },
      warnings: ['ENFORCEMENT=report: nothing is refused for its token'],
    },
    { environment: { KEEP_ALIVE_TIMEOUT: '61s' }, warnings: [] },
    {
      environment: { KEEP_ALIVE_TIMEOUT: '60s' },
      warnings: [
        /^KEEP_ALIVE_TIMEOUT is 60s, which does not exceed the ALB's default idle timeout of 60s/,
      ],
    },
    {
      environment: { ALB_KEYS_DIR: dirname(writeFile(t, '')) },
      warnings: ['ALB_KEYS_DIR holds no <kid>.pem file: every key has to be fetched'],
    },
    {
      environment: { ALB_ARN: ARN, UPSTREAM_URI: 'x', PATH: '/bin', HOME: '/root' },
      warnings: [
        'ALB_ARN is not a setting; did you mean ALB_ARNS?',
        'UPSTREAM_URI is not a setting; did you mean UPSTREAM_URL?',
      ],
    },
    {
      environment: {
        ALB_SERVICE_HOST: '10.0.0.1',
        ALB_SERVICE_PORT: '80',
        ALB_SERVICE_PORT_HTTP: '80',
        UPSTREAM_PORT: 'tcp://10.0.0.1:80',
        UPSTREAM_PORT_80_TCP: 'tcp://10.0.0.1:80',
        UPSTREAM_PORT_80_TCP_ADDR: '10.0.0.1',
        KEY_CACHE_PORT_53_UDP_PROTO: 'udp',
      },
      warnings: [],
    },
  ]
  for (const { environment, warnings } of cases) {
    const found = load(environment).warnings.map(({ text }) => text)
    t.match(found, warnings, JSON.stringify(environment))
    t.equal(found.length, warnings.length, JSON.stringify(environment))
  }
  t.end()
})

t.test('proxy settings are read in lower case too, as everybody spells them', t => {
  const proxy = 'http://proxy:3128'
  t.match(load({ https_proxy: proxy, no_proxy: '.a' }).config, { httpsProxy: proxy, noProxy: '.a' })
  t.equal(load({ HTTPS_PROXY: proxy, https_proxy: 'http://other' }).config.httpsProxy, proxy)
  t.equal(load({ HTTPS_PROXY: '', https_proxy: proxy }).config.httpsProxy, proxy, 'nor is empty')
  t.match(faultsOf({ https_proxy: 'proxy' }), [/^HTTPS_PROXY must be the URL of a forward proxy/])
  t.equal(load({ port: '1' }).config.port, 8080, 'and nothing else is')
  t.end()
})

t.test("a proxy's credentials are in no message", t => {
  const faults = faultsOf({ HTTPS_PROXY: 'socks5://user:secret@proxy' })
  t.equal(faults.length, 1)
  t.notMatch(faults.join(), /secret/)
  t.end()
})

t.test('a setting that cannot be read is not also called missing', t => {
  const anyClient = { ALB_CLIENT_IDS: undefined, UNSAFE_ALLOW_ANY_CLIENT: 'true' }
  const anyIssuer = { OIDC_ISSUER: undefined, UNSAFE_ALLOW_ANY_ISSUER: 'true' }
  const required = { ACCESS_TOKEN: 'required' }
  const cases: readonly { environment: Environment; variable: string }[] = [
    { variable: 'ALB_ARNS', environment: {} },
    { variable: 'ALB_CLIENT_IDS', environment: {} },
    { variable: 'OIDC_ISSUER', environment: required },
    { variable: 'ALB_KEY_URL', environment: { ALB_ARNS: CHINA } },
    { variable: 'ACCESS_TOKEN_ISSUER', environment: { ...anyIssuer, ...required } },
    {
      variable: 'ACCESS_TOKEN_JWKS_URL',
      environment: { ...required, OIDC_ISSUER: 'https://a,https://b' },
    },
    { variable: 'ACCESS_TOKEN_AUDIENCES', environment: { ...anyClient, ...required } },
    { variable: 'SIGN_OUT_REDIRECT_URL', environment: { SIGN_OUT_PATH: '/out' } },
    { variable: 'TLS_CERT_FILE', environment: { TLS_KEY_FILE: 'x' } },
    { variable: 'TLS_KEY_FILE', environment: { TLS_CERT_FILE: 'x' } },
  ]
  /** Any text will do for these. */
  const texts = ['ALB_CLIENT_IDS', 'ACCESS_TOKEN_AUDIENCES', 'TLS_CERT_FILE', 'TLS_KEY_FILE']
  for (const { variable, environment } of cases) {
    const file = { ...environment, [variable]: undefined, [`${variable}_FILE`]: '/not/there' }
    t.match(faultsOf(file), [/_FILE cannot be read: ENOENT/], `${variable}_FILE`)
    t.equal(faultsOf(file).length, 1, `${variable}_FILE`)
    if (texts.includes(variable)) continue
    const text = faultsOf({ ...environment, [variable]: 'nonsense' })
    t.match(text, [/ must be /], variable)
    t.equal(text.length, 1, variable)
  }
  t.end()
})

t.test('every setting says where it comes from', t => {
  const file = writeFile(t, 'a,b\n')
  const { settings } = load({
    IDP: 'cognito',
    ALB_CLIENT_IDS: undefined,
    ALB_CLIENT_IDS_FILE: file,
    https_proxy: 'http://proxy',
    HTTPS_PROXY: '',
    EMAIL_CLAIM: 'mail',
    USER_HEADER: '',
    PORT: '',
  })
  const of = (variable: string) => settings.find(each => each.variable === variable)
  const cases = [
    { variable: 'ALB_ARNS', text: ARN, origin: { by: 'variable', name: 'ALB_ARNS' } },
    {
      variable: 'ALB_CLIENT_IDS',
      text: 'a,b',
      origin: { by: 'file', name: 'ALB_CLIENT_IDS_FILE' },
    },
    {
      variable: 'HTTPS_PROXY',
      text: 'http://proxy',
      origin: { by: 'variable', name: 'https_proxy' },
    },
    { variable: 'PORT', text: '8080', origin: { by: 'default' } },
    { variable: 'USER_HEADER', text: '', origin: { by: 'variable', name: 'USER_HEADER' } },
    { variable: 'EMAIL_CLAIM', text: 'mail', origin: { by: 'variable', name: 'EMAIL_CLAIM' } },
    { variable: 'GROUPS_CLAIM', text: 'cognito:groups,custom:groups', origin: { by: 'idp' } },
    { variable: 'ACCESS_TOKEN', text: 'required', origin: { by: 'idp' } },
    { variable: 'ALB_KEY_URL', text: '', origin: { by: 'unset' } },
  ]
  for (const expected of cases) t.same(of(expected.variable), expected, expected.variable)
  t.equal(new Set(settings.map(({ variable }) => variable)).size, settings.length, 'each once')
  t.end()
})

t.test('a bug in a reader is not taken for a fault of the operator', t => {
  t.throws(() => loadConfig(undefined as unknown as Environment), TypeError)
  t.end()
})
