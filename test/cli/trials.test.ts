import { createServer } from 'node:http'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { freePorts } from '../../simulator/loopback.ts'
import { startKeyServer } from '../../simulator/key-server.ts'
import { createSigner } from '../../simulator/signer.ts'
import { runTrials } from '../../src/cli/trials.ts'
import { loadConfig, type Environment } from '../../src/config/config.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import { startIdp } from '../fixtures/idp.ts'
import { ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'

const keys = await startKeyServer()
t.teardown(keys.close)
const idp = await startIdp(t)
const app = createServer()
app.listen(0, '127.0.0.1')
await once(app, 'listening')
t.teardown(() => {
  app.closeAllConnections()
  app.close()
})
const { port } = app.address() as AddressInfo
const [closed = 0] = await freePorts([0])
const OTHER = ARN.replace('eu-central-1', 'us-east-1')

const LEAST = {
  ALB_ARNS: ARN,
  ALB_CLIENT_IDS: CLIENT,
  OIDC_ISSUER: ISSUER,
  ALB_KEY_URL: `${keys.url}/{region}/{kid}`,
  UPSTREAM_URL: `http://127.0.0.1:${port}`,
  UPSTREAM_CONNECT_TIMEOUT: '5m',
  KEY_FETCH_TIMEOUT: '30s',
}

async function trialsOf(environment: Environment = {}, albIdleMs = 60_000) {
  const { config } = loadConfig({ ...LEAST, ...environment })
  return runTrials(config, { clock, albIdleMs })
}

t.test('where all is well, it is said of each what was asked and what it answered', async t => {
  const trials = await trialsOf({ ALB_ARNS: `${ARN},${OTHER}`, ACCESS_TOKEN: 'ignore' })
  t.match(trials, [
    { name: 'key endpoint', outcome: 'good', target: `${keys.url}/eu-central-1/<kid>` },
    { name: 'key endpoint', outcome: 'good', target: `${keys.url}/us-east-1/<kid>` },
    { name: 'identity provider', outcome: 'unasked' },
    { name: 'application', outcome: 'good', target: `http://127.0.0.1:${port}` },
    { name: 'keep-alive', outcome: 'good', detail: '75 s here, 60 s at the load balancer' },
  ])
  t.equal(trials.length, 5)
  for (const { name, ms } of trials.slice(0, 2)) t.type(ms, 'number', name)
  t.match(keys.requests, [/^\/eu-central-1\/[-0-9a-f]{36}$/, /^\/us-east-1\/[-0-9a-f]{36}$/])
})

t.test('the key set is read as at start, and its keys are counted', async t => {
  const token = { ACCESS_TOKEN: 'required', OIDC_ISSUER: idp.issuer }
  const [, discovery, set] = await trialsOf(token)
  t.match(discovery, { name: 'discovery', outcome: 'good', detail: 'answers' })
  t.match(set, { name: 'key set', outcome: 'good', detail: 'answers; usable keys: 1' })
  t.match(await trialsOf({ ...token, ACCESS_TOKEN_JWKS_URL: `${idp.jwksUrl}?sig=secret` }), [
    {},
    { name: 'key set', target: `${idp.jwksUrl}?…` },
  ])
  for (const [fault, outcome] of [
    ['status_404', { name: 'discovery', outcome: 'bad', detail: 'status 404' }],
    ['foreign_issuer', { name: 'discovery', outcome: 'good' }],
    ['no_keys', { name: 'discovery', outcome: 'good' }],
  ] as const) {
    idp.fault = fault
    const trials = await trialsOf(token)
    t.match(trials[1], outcome, fault)
    t.ok(
      trials.slice(1, 3).some(each => each.outcome === 'bad'),
      fault,
    )
  }
  idp.fault = undefined
})

t.test('what is wrong is said', async t => {
  keys.answer = (_, response) => {
    response.writeHead(302, { Location: '/' }).end()
    return true
  }
  const [refused] = await trialsOf()
  t.match(refused, { outcome: 'bad', detail: 'status 302' })

  const folder = mkdtempSync(join(tmpdir(), 'trials-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  const signer = createSigner({ arn: ARN, client: CLIENT, issuer: ISSUER })
  writeFileSync(join(folder, `${signer.kid}.pem`), signer.publicKeyPem)
  const [seeded] = await trialsOf({ ALB_KEYS_DIR: folder })
  t.match(seeded, { outcome: 'odd', detail: 'status 302; only the 1 keys of ALB_KEYS_DIR will do' })

  keys.answer = (_, response) => {
    response.end(signer.publicKeyPem)
    return true
  }
  const [generous] = await trialsOf()
  t.match(generous, { outcome: 'odd', detail: /gives a key for any kid/ })
  keys.answer = undefined

  const trials = await trialsOf({
    UPSTREAM_URL: `https://127.0.0.1:${closed}`,
    UPSTREAM_CONNECT_TIMEOUT: '0',
    KEEP_ALIVE_TIMEOUT: '60s',
  })
  t.match(trials.slice(-2), [
    { name: 'application', outcome: 'bad', detail: /ECONNREFUSED/ },
    { name: 'keep-alive', outcome: 'bad', detail: /502/ },
  ])
  const [application] = (await trialsOf({ UPSTREAM_URL: 'unix:/not/there' })).slice(-2)
  t.match(application, { outcome: 'bad', target: 'unix:/not/there', detail: /ENOENT/ })
})
