import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig, type Environment } from '../../src/config/config.ts'
import { IDPS, type IdpName } from '../../src/identity/idp.ts'
import { createAuthority } from '../fixtures/certificates.ts'
import { faultsOf, LEAST_ARN as ARN, load, writeFile } from '../fixtures/configuration.ts'

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
  for (const [one, other] of [
    ['TLS_CERT_FILE', 'TLS_KEY_FILE'],
    ['TLS_KEY_FILE', 'TLS_CERT_FILE'],
  ] as const) {
    const faults = faultsOf({ [one]: file, [`${other}_FILE`]: `${file}.not` })
    t.match(faults, [new RegExp(`^${other}_FILE cannot be read: ENOENT`)])
    t.equal(faults.length, 1, 'and the other is not looked at')
  }
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
