import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { startKeyServer } from '../../simulator/key-server.ts'
import { createSigner } from '../../simulator/signer.ts'
import { explain } from '../../src/cli/explain.ts'
import type { Explanation } from '../../src/cli/record.ts'
import { loadConfig, type Environment } from '../../src/config/config.ts'
import { accessTokenFor, albTokenFor, startIdp } from '../fixtures/idp.ts'
import { ALICE, ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'
import { createTerminal } from '../fixtures/terminal.ts'

const folder = mkdtempSync(join(tmpdir(), 'explain-'))
t.teardown(() => {
  rmSync(folder, { recursive: true })
})
const clock = { wallSeconds: () => Date.now() / 1000, monotonicMs: () => performance.now() }
const signer = createSigner({ arn: ARN, client: CLIENT, issuer: ISSUER })
const keys = await startKeyServer({ keys: [signer] })
t.teardown(keys.close)
const token = signer.sign(ALICE)
const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}
const KEY = file('key.pem', signer.publicKeyPem)

async function run(args: readonly string[], input = token, environment: Environment = {}) {
  const least = {
    ...{ ALB_ARNS: ARN, ALB_CLIENT_IDS: CLIENT, OIDC_ISSUER: ISSUER, KEY_FETCH_TIMEOUT: '30s' },
    ALB_KEY_URL: `${keys.url}/{region}/{kid}`,
  }
  const terminal = createTerminal({ input, clock })
  const code = await explain(args, () => loadConfig({ ...least, ...environment }), terminal)
  return { code, output: terminal.output() }
}

t.test(
  'a token from a file or standard input, with the key that the sidecar would fetch',
  async t => {
    for (const args of [['-'], [file('token', `${token}\n`)]]) {
      const { code, output } = await run(args)
      t.equal(code, 0, output)
      t.match(output, /^at 20\d\d-.*\n[^]*✓ authenticated as 'alice@example.com'/)
      t.ok(output.includes('no request line'))
    }
    t.equal(keys.requests.length, 2, 'by its kid, and nothing else was asked for')
    for (const asked of keys.requests) t.equal(asked, `/eu-central-1/${signer.kid}`)
  },
)

t.test('with a key of its own, nothing is asked of the network', async t => {
  const before = keys.requests.length
  t.equal((await run(['--key', KEY, '-'])).code, 0)
  const other = createSigner({ arn: ARN, client: CLIENT, issuer: ISSUER })
  const wrong = await run(['--key', file('other.pem', other.publicKeyPem), '-'])
  t.equal(wrong.code, 1)
  t.match(wrong.output, '401 signature_invalid')
  t.equal(keys.requests.length, before)
})

t.test(
  'a key from the directory is told as such, and one that is not to be had as well',
  async t => {
    file(`${signer.kid}.pem`, signer.publicKeyPem)
    rmSync(KEY)
    rmSync(join(folder, 'other.pem'), { force: true })
    const { code } = await run(['-'], token, { ALB_KEYS_DIR: folder })
    t.equal(code, 0)
    const stranger = createSigner({ arn: ARN, client: CLIENT, issuer: ISSUER })
    const { output } = await run(['-'], stranger.sign(ALICE), { ALB_KEYS_DIR: folder })
    t.match(output, `from ALB_KEYS_DIR or ${keys.url}/eu-central-1/<kid>`)
    writeFileSync(KEY, signer.publicKeyPem)
  },
)

t.test('at another moment', async t => {
  const late = await run(['--at', '2100-01-01', '-'])
  t.equal(late.code, 1)
  t.match(late.output, /^at 2100-01-01T00:00:00Z\n[^]*401 token_expired/)
})

t.test(
  'an access token, alone or in its request, with keys from where the sidecar gets them',
  async t => {
    const idp = await startIdp(t)
    const access = accessTokenFor(idp, 'cognito')
    const settings = { OIDC_ISSUER: idp.issuer, IDP: 'cognito' }
    const alone = await run(['-'], access, settings)
    t.equal(alone.code, 0, alone.output)
    t.match(alone.output, 'taken for the access token')
    const data = albTokenFor(signer, idp, 'cognito')
    const pasted = `GET /x HTTP/1.1\nHost: a\nX-Amzn-Oidc-Data: ${data}\nX-Amzn-Oidc-Accesstoken: ${access}`
    const both = await run(['-'], pasted, settings)
    t.equal(both.code, 0, both.output)
    t.match(both.output, /authenticated as [^]*groups /)
    const set = { ...settings, ACCESS_TOKEN_JWKS_URL: `${idp.jwksUrl}?a` }
    const stranger = accessTokenFor(idp, 'cognito', { header: { kid: 'stranger' } })
    const { output } = await run(['-'], stranger, set)
    t.match(output, `from ${idp.jwksUrl}?…`, 'without its query')
    const anyIssuer = { OIDC_ISSUER: '', UNSAFE_ALLOW_ANY_ISSUER: 'true' }
    t.equal((await run(['--key', KEY, '-'], token, anyIssuer)).code, 0)
    t.equal((await run(['-'], token, anyIssuer)).code, 0)
  },
)

t.test('a program is told the same, and no token either', async t => {
  const told = async (...how: Parameters<typeof run>) => {
    const { code, output } = await run(...how)
    t.notOk(output.includes(token), 'without the token')
    return { code, ...(JSON.parse(output) as Explanation) }
  }
  const fine = await told(['--json', '-'])
  t.match(fine, {
    ...{ code: 0, version: '1.2.3', goesOn: true, notes: [/^at 20/] },
    parts: [
      { part: 'request', checks: [] },
      { part: 'alb' },
      { part: 'access_token', notes: [{ mark: 'note', text: /ACCESS_TOKEN=ignore/ }] },
      { part: 'identity' },
      { part: 'verdict' },
    ],
    verdict: { outcome: 'authenticated', user: 'alice@example.com', expiresAt: /^20.*Z$/ },
  })
  t.ok(fine.parts[1]?.checks.every(({ fate }) => fate === 'held' || fate === 'unasked'))
  t.match(await told(['--json', '--at', '2100-01-01', '-']), {
    ...{ code: 1, goesOn: false },
    verdict: { outcome: 'rejected', status: 401, reason: 'token_expired', source: 'alb' },
  })
  const report = { ENFORCEMENT: 'report', ALB_CLIENT_IDS: 'other' }
  t.match(await told(['--json', '-'], token, report), {
    ...{ code: 0, goesOn: true },
    verdict: { outcome: 'anonymous', forgiven: 'client_mismatch' },
  })
  const path = await run(['path', '--json', 'GET', '/a'])
  t.match(JSON.parse(path.output), { kind: 'guarded', method: 'GET', target: '/a' })
})

t.test('what is no token is read as one that should be', async t => {
  for (const input of ['opaque', 'a.b.c', Buffer.from('[]').toString('base64url')]) {
    const { code, output } = await run(['-'], input)
    t.equal(code, 1)
    t.match(output, '401 token_malformed')
  }
})

t.test('a path', async t => {
  const { code, output } = await run(['path', '/a'])
  t.equal(code, 0)
  t.match(output, /^guarded\n/)
})

t.test('what cannot be understood is said without being repeated', async t => {
  const cases = [
    { args: [], message: /^explain takes a file, - or path$/ },
    { args: ['a', 'b'], message: /^explain takes one file$/ },
    { args: ['--at', 'soon', '-'], message: /^--at must be/ },
    { args: ['--key', KEY, 'not-there'], message: /^the input cannot be read: ENOENT/ },
    { args: ['--key', 'not-there', '-'], message: /^the --key file cannot be read: ENOENT/ },
    { args: ['--key', file('none', 'x'), '-'], message: /none is neither a PEM public key nor/ },
    { args: [token], message: /^give the token in a file or through -/ },
    { args: ['-'], input: '', message: /^the input is empty$/ },
    { args: ['-'], input: 'x'.repeat(1_048_577), message: /^the input is longer/ },
  ]
  for (const { args, input, message } of cases) {
    await t.rejects(run(args, input), { message }, String(message))
  }
})
