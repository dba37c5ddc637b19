/**
 * The key that a token is verified with, when whoever sends the token, or whoever stands where AWS
 * does, has a say in which one it is (THREATS T-01 ALBeast, T-02, T-17, T-20). Floods, outages and slow
 * answers are in token.test.ts and jwks.test.ts.
 *
 * @see https://www.miggo.io/resources/uncovering-auth-vulnerability-in-aws-alb-albeast: every load
 * balancer of a region, whoever's it is, has its key at the same endpoint
 */
import { generateKeyPairSync } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { createSigner } from '../../simulator/signer.ts'
import { startRecorder } from '../fixtures/recorder.ts'
import {
  ALICE,
  ARN,
  CLIENT,
  ISSUER,
  SETTINGS,
  createLastingSigner,
  runProgram,
  startRig,
  type Rig,
} from '../fixtures/sidecar.ts'
import { lineOf, visit } from '../fixtures/visit.ts'
import { startOracle } from './oracle.ts'

const recorder = await startRecorder(t)
recorder.answerAt = 'end'
const QUIET = { FORWARD_OIDC_HEADERS: 'none' }
const [rig, ...others] = await Promise.all([
  startRig(t, recorder.port, QUIET),
  startRig(t, recorder.port, QUIET),
  startRig(t, recorder.port, QUIET),
])
const user = [ALICE.email]
const groups = ['dev,ops']
const oracle = await startOracle(rig, {
  assertable: { 'x-forwarded-user': user, 'x-forwarded-email': user, 'x-forwarded-groups': groups },
})

async function ask(token: string, on: Rig = rig) {
  const answer = await visit(on.port, { headers: [`X-Amzn-Oidc-Data: ${token}`] })
  const why = answer.status === 200 ? {} : await lineOf(on.output, answer)
  return { status: answer.status, reason: why['reason'] }
}

/** The attacker's own load balancer: its key is as public as ours, its signature is good. */
t.test('ALBeast: a good signature of another load balancer is not looked at', async t => {
  const account = ARN.replace('123456789012', '210987654321')
  const arns = [
    ...[account, ARN.replace('consoleme', 'consolem3'), ARN.replace('50dc6c', '50dc6d')],
    ...[`${ARN}/`, ` ${ARN}`, `${ARN} `, `${ARN}\0`, ARN.toUpperCase(), ARN.slice(0, -1), '', '*'],
    ...[`${ARN},${account}`, ARN.replace('app/', 'net/'), ARN.replace('aws', 'aws-cn'), 'arn:*'],
  ]
  const before = rig.keys.requests.length
  for (const arn of arns) {
    const theirs = createSigner({ arn, client: CLIENT, issuer: ISSUER })
    rig.keys.publish(theirs)
    const found = await ask(theirs.sign(ALICE))
    t.match(found, { status: 401, reason: 'signer_mismatch' }, JSON.stringify(arn))
  }
  for (const signer of [[ARN], { 0: ARN }, 7, null, true, undefined]) {
    const found = await ask(rig.signer.sign(ALICE, { header: { signer } }))
    t.match(found, { status: 401, reason: 'signer_mismatch' }, JSON.stringify(signer))
  }
  t.equal(rig.keys.requests.length, before, 'nobody was asked for a key')
})

/** T-02, T-20: a kid is looked up once however it is spelled, and is all that a client adds to a URL. */
t.test('a kid in another case is the same kid', async t => {
  const one = createLastingSigner()
  rig.keys.publish(one)
  const before = rig.keys.requests.length
  const kids = [
    one.kid,
    one.kid.toUpperCase(),
    one.kid.replace(/[a-f]/, each => each.toUpperCase()),
  ]
  for (const kid of kids) t.match(await ask(one.sign(ALICE, { header: { kid } })), { status: 200 })
  t.same(rig.keys.requests.slice(before), [`/eu-central-1/${one.kid}`])
})

t.test('what is no key of this kid is no key', async t => {
  const other = createLastingSigner()
  const pem = other.publicKeyPem
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
  const ed25519 = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' })
  const rows: { what: string; body: string | Buffer; headers?: Record<string, string> }[] = [
    { what: 'nothing', body: '' },
    { what: 'two keys', body: `${pem}${pem}` },
    { what: 'a key and more', body: `${pem}-- and more` },
    { what: 'more and a key', body: `more\n${pem}` },
    { what: 'a private key', body: privateKey.export({ type: 'pkcs8', format: 'pem' }) },
    { what: 'a key on secp256k1', body: publicKey.export({ type: 'spki', format: 'pem' }) },
    { what: 'an Ed25519 key', body: ed25519 },
    { what: 'a JWK', body: JSON.stringify(publicKey.export({ format: 'jwk' })) },
    { what: 'a certificate', body: pem.replaceAll('PUBLIC KEY', 'CERTIFICATE') },
    { what: 'a key in DER', body: publicKey.export({ type: 'spki', format: 'der' }) },
    {
      what: 'a bomb',
      body: gzipSync(Buffer.alloc(4_000_000)),
      headers: { 'content-encoding': 'gzip' },
    },
  ]
  // Each has a budget of ten for kids that it has never seen.
  for (const [at, { what, body, headers = {} }] of rows.entries()) {
    const place = others[at % others.length] ?? rig
    const signer = createLastingSigner()
    place.keys.answer = (_request, response, kid) => {
      if (kid !== signer.kid) return false
      response.writeHead(200, headers).end(body)
      return true
    }
    const found = await ask(signer.sign(ALICE), place)
    t.match(found, { status: 503, reason: 'key_unavailable' }, what)
    t.ok(place.keys.requests.includes(`/eu-central-1/${signer.kid}`), `${what}: was looked at`)
  }
  for (const place of others) {
    t.match(await ask(place.token(), place), { status: 200 }, 'and a good one is as good as before')
  }
})

t.test("somebody else's key under our kid verifies nothing", async t => {
  const rows = [createLastingSigner(), createLastingSigner()] as const
  const swapped = await startRig(t, recorder.port)
  swapped.keys.publish({ kid: rows[0].kid, publicKeyPem: rows[1].publicKeyPem })
  const forged = rows[1].sign(ALICE, { header: { kid: swapped.signer.kid } })
  for (const token of [rows[0].sign(ALICE), forged]) {
    const answer = await visit(swapped.port, { headers: [`X-Amzn-Oidc-Data: ${token}`] })
    t.match(await lineOf(swapped.output, answer), { status: 401, reason: 'signature_invalid' })
  }
})

/** A key over plain HTTP is whoever's is on the way; an ARN with a star in it is everybody's. */
t.test('nothing starts that would take a key from anybody', async t => {
  const upstream = { UPSTREAM_URL: `http://127.0.0.1:${recorder.port}` }
  const rows = [
    { ALB_KEY_URL: 'http://keys.example.com/{region}/{kid}' },
    { ALB_KEY_URL: 'http://127.0.0.1.evil.example/{region}/{kid}' },
    { ALB_KEY_URL: 'http://127.0.0.1@evil.example/{region}/{kid}' },
    { ALB_KEY_URL: 'file:///{region}/{kid}' },
    ...['', '*', ARN.replace('123456789012', '*'), ARN.replace('/50dc6c495c0c9188', '/*')].map(
      ALB_ARNS => ({ ALB_ARNS }),
    ),
    { NODE_OPTIONS: '--insecure-http-parser' },
    { NODE_TLS_REJECT_UNAUTHORIZED: '0' },
  ]
  for (const row of rows) {
    const program = runProgram(t, { ...SETTINGS, ...upstream, ...row })
    t.equal(await program.ended, 'exit 78', JSON.stringify(row))
  }
})

t.test('after all of this', t => oracle.check(t, recorder, others))
