/**
 * Everything that the built program can find wrong with what it was given, and what it is uneasy about:
 * each message names the variable, what was expected and what was found, and nothing secret.
 */
import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from '../fixtures/certificates.ts'
import { bareNode } from '../fixtures/node.ts'
import { eventually } from '../fixtures/patience.ts'
import { ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'

type Settings = Readonly<Record<string, string>>

const folder = mkdtempSync(join(tmpdir(), 'advice-'))
t.teardown(() => {
  rmSync(folder, { recursive: true })
})

/** The path of a file with this text. */
function file(name: string, text: string): string {
  const path = join(folder, name)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, text)
  return path
}

const authority = await createAuthority()
const [issued, other] = await Promise.all([authority.issue(), authority.issue()])
const encrypted = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
  ...{ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'a' },
})
const KID = '0a3c1e5f-7b2d-4c6e-8f90-a1b2c3d4e5f6'
const FILES = {
  certificate: file('tls.crt', issued.certificate),
  key: file('tls.key', issued.key),
  otherKey: file('other.key', other.key),
  encryptedKey: file('encrypted.key', String(encrypted)),
  absent: join(folder, 'absent'),
  keysMisnamed: join(file('misnamed/key.pem', 'x'), '..'),
  keysPrivate: join(file(`private/${KID}.pem`, issued.key), '..'),
  keysNone: join(file('none/README', 'x'), '..'),
}

const LEAST = {
  ...{ ALB_ARNS: ARN, ALB_CLIENT_IDS: CLIENT, OIDC_ISSUER: ISSUER },
  ...{ HOST: '127.0.0.1', PORT: '0', ADMIN_HOST: '127.0.0.1', ADMIN_PORT: '0', DRAIN_DELAY: '0' },
}

function start(settings: Settings) {
  const child = spawn(...bareNode(['dist/main.js'], settings['NODE_OPTIONS']), {
    env: { PATH: process.env['PATH'], ...LEAST, ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const ended = once(child, 'close')
  const said = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      said[name] += chunk
    })
  }
  return { child, ended, said }
}

/** What the program said that would not start. */
async function faultsOf(settings: Settings) {
  const { child, ended, said } = start(settings)
  await ended
  const [head, ...lines] = said.stderr.trimEnd().split('\n')
  const advice = lines.pop()
  return { code: child.exitCode, head, advice, faults: lines.map(line => line.trim()) }
}

/** What stands in a message whatever it is about. */
const FOUND = /, found /

const FAULTS: readonly { settings: Settings; faults: readonly RegExp[] }[] = [
  {
    settings: { ALB_ARNS: '', ALB_CLIENT_IDS: '', OIDC_ISSUER: '' },
    faults: [
      /^ALB_ARNS is required: ARNs of the load balancers/,
      /^ALB_CLIENT_IDS is required \(or UNSAFE_ALLOW_ANY_CLIENT=true, which leaves the check out\)$/,
      /^OIDC_ISSUER is required \(or UNSAFE_ALLOW_ANY_ISSUER=true, which leaves the check out\)$/,
    ],
  },
  {
    settings: {
      ALB_ARNS: `${ARN}*`,
      ALB_CLIENT_IDS: ',',
      OIDC_ISSUER: 'idp.example.com',
      UNSAFE_ALLOW_ANY_CLIENT: 'yes',
      CLOCK_TOLERANCE: '5',
      ACCESS_TOKEN_ALGORITHMS: 'HS256',
      TOKEN_CACHE_SIZE: '-1',
      WHOAMI_PATH: 'who',
      NOAUTH_PATHS: 'health',
      STRIP_REQUEST_HEADERS: 'a b',
      STRIP_COOKIES: 'a;b',
      GROUPS_MAP: 'a',
      USER_HEADER: 'Host',
      GROUPS_SEPARATOR: '%',
      UPSTREAM_URL: 'app:80',
    },
    faults: [
      /^ALB_ARNS must be the whole ARN .*, found 'arn:/,
      /^ALB_CLIENT_IDS must have at least one member, found ','$/,
      /^OIDC_ISSUER must be the issuer's URL, exactly as in its tokens, found 'idp/,
      /^UNSAFE_ALLOW_ANY_CLIENT must be one of true, false, found 'yes'$/,
      /^CLOCK_TOLERANCE must be a duration such as .*, up to 60s, found '5'$/,
      /^ACCESS_TOKEN_ALGORITHMS must be one of RS256, .*, found 'HS256'$/,
      /^TOKEN_CACHE_SIZE must be a whole number from 0 to 1000000, found '-1'$/,
      /^WHOAMI_PATH must be a path that begins with \/, .*, found 'who'$/,
      /^NOAUTH_PATHS must be \[METHOD.*, found 'health'$/,
      /^STRIP_REQUEST_HEADERS must be a header name, found 'a b'$/,
      /^STRIP_COOKIES must be a cookie name, found 'a;b'$/,
      /^GROUPS_MAP must be a JSON object such as .*, found what is not JSON$/,
      /^USER_HEADER must not be a header that carries .*, found 'Host'$/,
      /^GROUPS_SEPARATOR must be one ASCII punctuation .*, found '%'$/,
      /^UPSTREAM_URL must be http:\/\/host\[:port\], .*, found 'app:80'$/,
    ],
  },
  {
    settings: {
      EMAIL_HEADER: 'x_forwarded.user',
      SIGN_OUT_PATH: '/who',
      WHOAMI_PATH: '/who',
      UPSTREAM_CA: issued.certificate,
      REQUEST_TIMEOUT: '5s',
      PORT: '9000',
      ADMIN_PORT: '9000',
      ACCESS_TOKEN: 'required',
      OIDC_ISSUER: `${ISSUER},https://other.example.com`,
      ALB_ARNS: ARN.replace('arn:aws:', 'arn:aws-cn:'),
      NODE_OPTIONS: '--insecure-http-parser',
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
    },
    faults: [
      /^ALB_KEY_URL is required: AWS documents no key endpoint for aws-cn$/,
      /^USER_HEADER, .* must differ, found x-forwarded-user twice$/,
      /^ACCESS_TOKEN_JWKS_URL is required: discovery needs one https issuer, found .*other/,
      /^SIGN_OUT_REDIRECT_URL is required: SIGN_OUT_PATH is set, and/,
      /^WHOAMI_PATH must not be the same as SIGN_OUT_PATH, found '\/who'$/,
      /^UPSTREAM_CA must not be set: UPSTREAM_URL is not an https URL/,
      /^REQUEST_TIMEOUT must be 0 or at least HEADERS_TIMEOUT \(15000ms\), found 5000ms$/,
      /^ADMIN_PORT must not be the same as PORT, found 9000 for both$/,
      /^NODE_OPTIONS must not hold --insecure-http-parser: it lets requests be smuggled$/,
      /^NODE_TLS_REJECT_UNAUTHORIZED must not be 0: .* NODE_EXTRA_CA_CERTS$/,
    ],
  },
  {
    settings: { UPSTREAM_URL: 'http://localhost:9000', ADMIN_PORT: '9000', TLS_CERT_FILE: 'a' },
    faults: [
      /^UPSTREAM_URL must not be where the sidecar itself listens, found ADMIN_PORT 9000$/,
      /^TLS_KEY_FILE is required: TLS_CERT_FILE is set$/,
    ],
  },
  {
    settings: {
      ...{ TLS_SELF_SIGNED: 'true', TLS_CERT_FILE: FILES.absent, TLS_KEY_FILE: FILES.absent },
      ALB_KEYS_DIR: FILES.keysMisnamed,
    },
    faults: [
      /^ALB_KEYS_DIR has key\.pem, which must be named <kid>\.pem: the kid is a UUID$/,
      /^TLS_SELF_SIGNED must not be true while TLS_CERT_FILE is set: drop one of them$/,
      /^TLS_CERT_FILE cannot be read: ENOENT: .*absent'$/,
      /^TLS_KEY_FILE cannot be read: ENOENT: .*absent'$/,
    ],
  },
  {
    settings: {
      ...{ TLS_CERT_FILE: FILES.key, TLS_KEY_FILE: FILES.encryptedKey },
      ...{ ALB_KEYS_DIR: FILES.keysPrivate, UPSTREAM_CA: FILES.certificate },
    },
    faults: [
      /^ALB_KEYS_DIR has 0a3c.*\.pem, which is not one PEM public key$/,
      /^UPSTREAM_CA holds no PEM certificate: the path of a file goes into UPSTREAM_CA_FILE$/,
      /^TLS_CERT_FILE holds no PEM certificate$/,
      /^TLS_KEY_FILE holds no PEM private key that can be read without a passphrase$/,
    ],
  },
  {
    settings: {
      ...{ TLS_CERT_FILE: FILES.certificate, TLS_KEY_FILE: FILES.otherKey, WORKERS: '65' },
      ...{ ALB_KEYS_DIR: FILES.absent, PORT_FILE: FILES.absent },
    },
    faults: [
      /^PORT must not be set beside PORT_FILE: drop one of them$/,
      /^PORT_FILE cannot be read: ENOENT/,
      /^ALB_KEYS_DIR cannot be read: .*absent: ENOENT/,
      /^WORKERS must be a whole number from 1 to 64, found '65'$/,
      /^TLS_KEY_FILE is not the key of the first certificate in TLS_CERT_FILE$/,
    ],
  },
]

t.test('what makes the configuration unusable', async t => {
  for (const { settings, faults } of FAULTS) {
    const found = await faultsOf(settings)
    const about = Object.keys(settings).join(' ')
    t.equal(found.code, 78, about)
    t.equal(found.head, 'configuration is not usable:')
    t.equal(found.advice, 'every setting is explained in docs/configuration.md')
    t.match(found.faults, faults, about)
    t.equal(found.faults.length, faults.length, `nothing else about ${about}`)
  }
})

t.test('what may be a secret is left out of what was found', async t => {
  const { faults } = await faultsOf({
    ACCESS_TOKEN_JWKS_URL: 'ftp://user:secret@idp.example.com/keys',
    ALB_KEY_URL: 'https://user:secret@keys.example.com/{kid}',
    HTTPS_PROXY: 'socks5://user:secret@proxy',
    UPSTREAM_CA: 'secret',
    GROUPS_MAP: '["secret"]',
    TLS_CERT_FILE: FILES.key,
    TLS_KEY_FILE: FILES.key,
  })
  t.equal(faults.length, 6)
  t.notMatch(faults.join('\n'), /secret|BEGIN|PRIVATE/)
  t.equal(faults.filter(fault => FOUND.test(fault)).length, 3)
})

/** Lines of the log, parsed. */
const linesOf = (text: string) =>
  text
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as { level: number; msg: string; variables?: string })

t.test('what is only unwise is warned of, and serves', async t => {
  const { child, ended, said } = start({
    ...{ ENFORCEMENT: 'report', KEEP_ALIVE_TIMEOUT: '30s', UPSTREAM_URL: 'http://app:80' },
    ...{ ALB_CLIENT_IDS: '', UNSAFE_ALLOW_ANY_CLIENT: 'true' },
    ...{ OIDC_ISSUER: '', UNSAFE_ALLOW_ANY_ISSUER: 'true' },
    ...{ NOAUTH_PATHS: '/*, /a*', ALB_ARN: ARN, ALB_KEYS_DIR: FILES.keysNone, WORKERS: '2' },
  })
  await eventually(() => said.stdout.includes('"listening"'))
  child.kill('SIGTERM')
  await ended
  const warnings = linesOf(said.stdout).filter(({ level }) => level === 40)
  t.match(
    warnings.map(({ msg }) => msg),
    [
      /^UNSAFE_ALLOW_ANY_CLIENT: .* are accepted; set ALB_CLIENT_IDS instead$/,
      /^UNSAFE_ALLOW_ANY_ISSUER: .* are accepted; set OIDC_ISSUER instead$/,
      /^ENFORCEMENT=report: nothing is refused for its token$/,
      /^UPSTREAM_URL is not on this machine \(app\): whoever reaches it directly is not checked$/,
      /^KEEP_ALIVE_TIMEOUT is 30s, which does not exceed .* 60s: expect 502s$/,
      /^ALB_KEYS_DIR holds no <kid>\.pem file: every key has to be fetched$/,
      /^ALB_ARN is not a setting; did you mean ALB_ARNS\?$/,
      /^open rule '\/\*' opens every path$/,
      /^open rule '\/a\*' has a \* that does not follow a \/, so it also opens \/ax$/,
    ],
  )
  t.equal(warnings.length, 9, 'and of nothing else, nor by each worker')
})

t.test('a port that cannot be had is named by its variable', async t => {
  const taken = createServer().listen(0, '127.0.0.1')
  t.teardown(() => taken.close())
  await once(taken, 'listening')
  const port = String((taken.address() as AddressInfo).port)
  for (const [settings, variables] of [
    [{ PORT: port }, 'HOST, PORT'],
    [{ PORT: port, WORKERS: '2' }, 'HOST, PORT'],
    [{ ADMIN_PORT: port }, 'ADMIN_HOST, ADMIN_PORT'],
  ] as const) {
    const { child, ended, said } = start(settings)
    await ended
    t.equal(child.exitCode, 1)
    const faults = linesOf(said.stdout).filter(({ level }) => level === 50)
    const err = { message: new RegExp(`EADDRINUSE.*:${port}`) }
    t.match(faults, [{ msg: 'cannot listen', variables, err }], variables)
  }
})
