import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { createSigner } from '../../simulator/signer.ts'
import { offlineKeys } from '../../src/cli/offline-keys.ts'
import { parseAlbArn } from '../../src/tokens/alb-arn.ts'
import { createIdpKey } from '../fixtures/idp.ts'
import { ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'

const arn = parseAlbArn(ARN)!
const signer = createSigner({ arn: ARN, client: CLIENT, issuer: ISSUER })
const rsa = createIdpKey()
const ec = createIdpKey('ES256')
const pem = (key: typeof rsa) => key.publicKey.export({ type: 'spki', format: 'pem' }).toString()
const set = JSON.stringify({ keys: [rsa.jwk, ec.jwk] })

function keysOf(...texts: readonly string[]) {
  const keys = offlineKeys(texts.map(text => ({ name: 'a', text })))
  if (typeof keys === 'string') throw new Error(keys)
  return keys
}

t.test('a PEM key is for any kid, of the one token or the other', async t => {
  const keys = keysOf(signer.publicKeyPem, pem(rsa))
  t.match(await keys.alb(arn, 'any'), { asymmetricKeyType: 'ec' })
  t.match(await keys.accessToken('any'), { key: { asymmetricKeyType: 'rsa' }, isWithdrawn: false })
})

t.test('a JWKS has each key under its kid', async t => {
  const keys = keysOf(set)
  t.match(await keys.accessToken(rsa.kid), { key: { asymmetricKeyType: 'rsa' } })
  t.match(await keys.alb(arn, ec.kid), { asymmetricKeyType: 'ec' })
  t.match(await keys.alb(arn, rsa.kid), { reason: 'key_unknown' }, 'of another kind')
  t.match(await keys.accessToken('any'), { reason: 'key_unknown' })
})

t.test('what is no key is a fault of its file', t => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const cases = [
    ['x', /neither/],
    ['{"keys":[]}', /no usable key/],
    [privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), /neither/],
    ['-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----', /not a public key/],
  ] as const
  for (const [text, fault] of cases) {
    const found = offlineKeys([
      { name: 'a', text: set },
      { name: 'b', text },
    ])
    t.match(found, fault)
    t.match(found, /^b is /)
  }
  t.end()
})
