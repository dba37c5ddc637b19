/**
 * The commands as an operator meets them: the built program, its exit codes, what it prints where, and
 * what it never prints.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { startKeyServer } from '../../simulator/key-server.ts'
import { createSigner } from '../../simulator/signer.ts'
import { accessTokenFor, albTokenFor, startIdp } from '../fixtures/idp.ts'
import { bareNode } from '../fixtures/node.ts'
import { startRecorder } from '../fixtures/recorder.ts'
import { ARN, CLIENT } from '../fixtures/sidecar.ts'

const folder = mkdtempSync(join(tmpdir(), 'cli-'))
t.teardown(() => {
  rmSync(folder, { recursive: true })
})
const idp = await startIdp(t)
const signer = createSigner({ arn: ARN, client: CLIENT, issuer: idp.issuer })
const keys = await startKeyServer({ keys: [signer] })
t.teardown(keys.close)
const app = await startRecorder(t)

const SETTINGS = {
  ALB_ARNS: ARN,
  ALB_CLIENT_IDS: CLIENT,
  OIDC_ISSUER: idp.issuer,
  IDP: 'cognito',
  ALB_KEY_URL: `${keys.url}/{region}/{kid}`,
  UPSTREAM_URL: `http://127.0.0.1:${app.port}`,
  UPSTREAM_CONNECT_TIMEOUT: '30s',
  KEY_FETCH_TIMEOUT: '30s',
  NOAUTH_PRESET: 'consoleme',
}

interface Run {
  readonly args: readonly string[]
  readonly input?: string
  readonly settings?: Readonly<Record<string, string>>
}

async function run({ args, input = '', settings = {} }: Run) {
  const child = spawn(...bareNode(['dist/main.js', ...args]), {
    env: { PATH: process.env['PATH'], ...SETTINGS, ...settings },
    stdio: 'pipe',
  })
  const text = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk
    })
  }
  // A command that does not read its input may have ended before all of it is written.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  t.teardown(() => child.kill('SIGKILL'))
  await once(child, 'close')
  return { code: child.exitCode, ...text }
}

const data = () => albTokenFor(signer, idp, 'cognito')
const access = () => accessTokenFor(idp, 'cognito')
const asked = (how: (data: string, access: string) => string) => how(data(), access())

t.test('help and version', async t => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  t.match(await run({ args: ['--version'] }), { code: 0, stdout: `${version}\n`, stderr: '' })
  const help = await run({ args: ['--help'], settings: { ALB_ARNS: '' } })
  t.match(help, { code: 0, stdout: /^alb-auth-sidecar: [^]*Exit codes:/, stderr: '' })
  t.match(await run({ args: ['serve'] }), { code: 2, stdout: '', stderr: /see .* --help/ })
})

t.test('check tries the real thing, and says what is wrong', async t => {
  const fine = await run({ args: ['check'] })
  t.match(fine, { code: 0, stderr: '' })
  for (const name of ['key endpoint', 'discovery', 'key set', 'application', 'keep-alive']) {
    t.match(fine.stdout, new RegExp(`^ {2}✓ ${name} `, 'm'), name)
  }
  t.notMatch(fine.stdout, '\u001b', 'without colours where nobody looks')
  idp.fault = 'no_keys'
  const bad = await run({ args: ['check', '--json'] })
  idp.fault = undefined
  t.equal(bad.code, 1)
  t.match(JSON.parse(bad.stdout), { isFine: false, faults: [] })
  const unusable = await run({ args: ['check'], settings: { ALB_ARNS: 'x' } })
  t.match(unusable, { code: 1, stdout: '', stderr: /^configuration is not usable:\n {2}ALB_ARNS/ })
})

t.test('secrets are not printed by check', async t => {
  const settings = {
    ALB_KEY_URL: `${keys.url}/{kid}?sig=secret`,
    HTTPS_PROXY: 'http://user:secret@127.0.0.1:1',
  }
  for (const args of [['check'], ['check', '--json']]) {
    const { stdout, stderr } = await run({ args, settings })
    t.match(stdout, 'HTTPS_PROXY')
    t.notMatch(stdout + stderr, 'secret')
  }
})

t.test(
  'explain says what the proxy would do, in every way of asking, without the token',
  async t => {
    const cases: readonly (Run & { is: string; code: number; says: RegExp })[] = [
      {
        is: 'headers',
        input: asked((d, a) => `Host: a\nX-Amzn-Oidc-Data: ${d}\nX-Amzn-Oidc-Accesstoken: ${a}`),
        ...{ args: ['explain', '-'], code: 0, says: /✓ authenticated as/ },
      },
      {
        is: 'cURL',
        input: asked(
          (d, a) =>
            `curl 'https://a/x' \\\n -H 'x-amzn-oidc-data: ${d}' \\\n -H 'x-amzn-oidc-accesstoken: ${a}'`,
        ),
        ...{ args: ['explain', '-'], code: 0, says: /✓ authenticated as/ },
      },
      {
        is: 'curl -v',
        input: asked(
          (d, a) =>
            `> GET /x HTTP/1.1\n> Host: a\n> x-amzn-oidc-data: ${d}\n> x-amzn-oidc-accesstoken: ${a}\n>\n< HTTP/1.1 401 x`,
        ),
        ...{ args: ['explain', '-'], code: 0, says: /✓ authenticated as/ },
      },
      {
        is: 'for a program',
        input: asked((d, a) => `Host: a\nX-Amzn-Oidc-Data: ${d}\nX-Amzn-Oidc-Accesstoken: ${a}`),
        ...{
          args: ['explain', '--json', '-'],
          code: 0,
          says: /"goesOn": true[^]*"access_binding"/,
        },
      },
      {
        is: 'the token alone, in a file',
        ...{ args: ['explain', join(folder, 'token')], code: 1, says: /✗ sent: token_missing/ },
      },
      {
        is: 'the access token alone',
        ...{ args: ['explain', '-'], input: access(), code: 0, says: /✓ valid, if/ },
      },
      {
        is: 'another moment',
        ...{ args: ['explain', '--at', '2100-01-01', '-'], input: data() },
        ...{ code: 1, says: /✗ not expired: token_expired/ },
      },
      { is: 'nothing', args: ['explain', '-'], code: 2, says: /^the input is empty$/m },
      {
        is: 'no configuration',
        ...{
          args: ['explain', '-'],
          settings: { ALB_ARNS: '' },
          code: 78,
          says: /ALB_ARNS is required/,
        },
      },
      {
        is: 'a path',
        args: ['explain', 'path', 'GET', '/healthcheck'],
        code: 0,
        says: /^open, by/,
      },
    ]
    writeFileSync(join(folder, 'token'), data())
    for (const { is, code, says, ...how } of cases) {
      const { stdout, stderr, code: found } = await run(how)
      t.equal(found, code, is)
      t.match(stdout + stderr, says, is)
      if (code > 1) t.equal(stdout, '', 'an error is not output')
      else t.equal(stderr, '', 'output is no error')
      t.notMatch(stdout + stderr, /eyJ|[\w-]{60}/, `${is}: no token`)
    }
  },
)

t.test('explain with --key asks nobody, and the application is never asked', async t => {
  writeFileSync(join(folder, 'key.pem'), signer.publicKeyPem)
  writeFileSync(join(folder, 'jwks.json'), JSON.stringify({ keys: [idp.current().jwk] }))
  const before = [keys.requests.length, idp.requests.length]
  const { code, stdout } = await run({
    args: ['explain', '--key', join(folder, 'key.pem'), '--key', join(folder, 'jwks.json'), '-'],
    input: asked((d, a) => `X-Amzn-Oidc-Data: ${d}\nX-Amzn-Oidc-Accesstoken: ${a}`),
  })
  t.equal(code, 0, stdout)
  t.same([keys.requests.length, idp.requests.length], before)
  t.same(app.requests(), [], 'nobody ever sent it a request')
})
