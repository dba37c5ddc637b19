import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { startKeyServer } from '../../simulator/key-server.ts'
import { check, type Report } from '../../src/cli/check.ts'
import { loadConfig, type Environment } from '../../src/config/config.ts'
import { createAuthority } from '../fixtures/certificates.ts'
import { createTerminal } from '../fixtures/terminal.ts'
import { ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'

const keys = await startKeyServer()
t.teardown(keys.close)
const app = createServer()
app.listen(0, '127.0.0.1')
await once(app, 'listening')
t.teardown(() => {
  app.closeAllConnections()
  app.close()
})

const LEAST = {
  ALB_ARNS: ARN,
  ALB_CLIENT_IDS: CLIENT,
  OIDC_ISSUER: ISSUER,
  ALB_KEY_URL: `${keys.url}/{region}/{kid}`,
  UPSTREAM_URL: `http://127.0.0.1:${(app.address() as AddressInfo).port}`,
  UPSTREAM_CONNECT_TIMEOUT: '5m',
  KEY_FETCH_TIMEOUT: '30s',
}

async function run(args: readonly string[], environment: Environment = {}) {
  const terminal = createTerminal()
  const code = await check(args, () => loadConfig({ ...LEAST, ...environment }), terminal)
  return { code, output: terminal.output(), errors: terminal.errors() }
}

t.test('a configuration that works is fine, and is told whole', async t => {
  const { code, output, errors } = await run([])
  t.equal(code, 0)
  t.equal(errors, '')
  for (const line of [
    /^ {2}ALB_CLIENT_IDS +4fmvht22tjrgd7d3k3tghttct7 \(ALB_CLIENT_IDS\)$/m,
    /^ {2}PORT +8080 \(default\)$/m,
    /^ {2}HTTPS_PROXY +\(not set\)$/m,
    /^ {2}none: every path is guarded$/m,
    /^ {2}✓ key endpoint .*: answers \(status 403 .* in \d+ ms$/m,
    /^ {2}· identity provider +not needed/m,
    /^Warnings\n {2}none$/m,
    /nothing is wrong\n$/,
  ]) {
    t.match(output, line)
  }
})

t.test('what is wrong, what is open, and the gravest warning first', async t => {
  const { code, output } = await run(['--alb-idle', '2m'], {
    NOAUTH_PATHS: 'GET /health*, /fine',
    ENFORCEMENT: 'report',
    KEEP_ALIVE_TIMEOUT: '59s',
    GROUPS_MAP: JSON.stringify({ long: 'x'.repeat(200) }),
  })
  t.equal(code, 1)
  for (const line of [
    /^ {2}✗ keep-alive .*59 s here, 120 s at the load balancer: /m,
    /^ {6}opens +GET \/healthx$/m,
    /^ {6}guards +POST \/healthx$/m,
    /^Warnings\n {2}unsafe .*\n {2}risk .*\n {2}note /m,
    /x{100}… \(GROUPS_MAP\)$/m,
    /something is wrong: see ✗\n$/,
  ]) {
    t.match(output, line)
  }
})

t.test('a certificate that is over is worth a word', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'check-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  const authority = await createAuthority()
  const { certificate, key } = await authority.issue({
    notBefore: new Date('2020-01-01'),
    notAfter: new Date('2020-02-01'),
  })
  writeFileSync(join(folder, 'cert'), certificate)
  writeFileSync(join(folder, 'key'), key)
  const files = { TLS_CERT_FILE: join(folder, 'cert'), TLS_KEY_FILE: join(folder, 'key') }
  const { code, output } = await run([], files)
  t.equal(code, 0)
  t.match(output, /^ {2}note +TLS_CERT_FILE: the certificate expired on 2020-02-01/m)
  t.notMatch(output, 'PRIVATE KEY')
})

t.test('a program gets the same as JSON', async t => {
  const { code, output } = await run(['--json'], { KEEP_ALIVE_TIMEOUT: '59s' })
  t.equal(code, 1)
  const report = JSON.parse(output) as Report
  t.match(report, { version: '1.2.3', isFine: false, faults: [], rules: [] })
  t.match(report.warnings, [{ severity: 'note', text: /^KEEP_ALIVE_TIMEOUT/ }])
  t.match(report.settings[0], { variable: 'ALB_ARNS', value: ARN, source: 'ALB_ARNS' })
})

t.test('a configuration that cannot be used is told as at start, and nothing is tried', async t => {
  const before = keys.requests.length
  const { code, output, errors } = await run([], { ALB_CLIENT_IDS: '' })
  t.equal(code, 1)
  t.equal(output, '')
  t.match(errors, /^configuration is not usable:\n {2}ALB_CLIENT_IDS is required/)
  const json = await run(['--json'], { ALB_CLIENT_IDS: '' })
  t.match(JSON.parse(json.output), { isFine: false, faults: [/^ALB_CLIENT_IDS is required/] })
  t.equal(keys.requests.length, before)
})

t.test('arguments must make sense, and a bug is not taken for a fault', async t => {
  await t.rejects(run(['--alb-idle', '60']), { message: /^--alb-idle must be a duration/ })
  await t.rejects(run(['--jsn']), { code: 'ERR_PARSE_ARGS_UNKNOWN_OPTION' })
  const broken = () => {
    throw new RangeError('ours')
  }
  await t.rejects(check([], broken, createTerminal()), new RangeError('ours'))
})
