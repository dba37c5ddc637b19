import t from 'tap'
import type { Environment } from '../../src/config/config.ts'
import { createAuthority } from '../fixtures/certificates.ts'
import { faultsOf, LEAST_ARN as ARN, load, writeFile } from '../fixtures/configuration.ts'

const CHINA = ARN.replace('arn:aws:', 'arn:aws-cn:').replace('eu-central-1', 'cn-north-1')
const GOV = ARN.replace('arn:aws:', 'arn:aws-us-gov:').replace('eu-central-1', 'us-gov-west-1')

const authority = await createAuthority()
const issued = await authority.issue()

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
  t.match(faultsOf({ USER_HEADER: 'Host', EMAIL_HEADER: 'x_forwarded_groups' }), [
    /^USER_HEADER must not be a header that carries/,
    `${must}, found x-forwarded-groups twice`,
  ])
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

t.test('a whole request may not take less time than its header', t => {
  const fault = ['REQUEST_TIMEOUT must be 0 or at least HEADERS_TIMEOUT (15000ms), found 14000ms']
  t.same(faultsOf({ REQUEST_TIMEOUT: '14s' }), fault)
  t.same(faultsOf({ REQUEST_TIMEOUT: '15s' }), [])
  t.same(faultsOf({ REQUEST_TIMEOUT: '0' }), [])
  t.same(faultsOf({ REQUEST_TIMEOUT: '10s', HEADERS_TIMEOUT: '5s' }), [])
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
