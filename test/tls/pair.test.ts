import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import t from 'tap'
import { judgePair, weaknessesOf, type Content, type Pair } from '../../src/tls/pair.ts'
import { createAuthority } from '../fixtures/certificates.ts'

const authority = await createAuthority()
const dates = {
  // A day of one digit, which OpenSSL pads with a space.
  notBefore: new Date('2026-01-02T03:04:05Z'),
  notAfter: new Date('2036-11-09T10:11:12Z'),
}
const good = await authority.issue(dates)
const other = await authority.issue()

function taken(certificate: Content, key: Content): Pair {
  const pair = judgePair(certificate, key)
  if ('faults' in pair) throw new Error(pair.faults.join())
  return pair
}

const faultsOf = (certificate: Content, key: Content) => {
  const pair = judgePair(certificate, key)
  return 'faults' in pair ? pair.faults : 'none'
}

t.test('a pair is taken, with what may be said of it', async t => {
  const { certificate, key } = good
  const { fingerprint256 } = new X509Certificate(certificate)
  t.same(taken(certificate, key), { certificate, key, ...dates, fingerprint256, keyType: 'ec' })
  const rsa = await authority.issue({ kind: 'rsa' })
  t.equal(taken(rsa.certificate, rsa.key).keyType, 'rsa')
  t.end()
})

t.test('a key may have any form that has no passphrase, and stand in the same file', t => {
  const key = createPrivateKey(good.key)
  const sec1 = key.export({ format: 'pem', type: 'sec1' }).toString()
  const both = good.key + good.certificate
  for (const text of [sec1, sec1.replaceAll('\n', '\r\n'), both]) {
    t.equal(faultsOf(good.certificate, text), 'none')
  }
  t.equal(faultsOf(both, both), 'none')
  t.end()
})

t.test('what is no pair is a fault of the file that is to blame', async t => {
  const locked = createPrivateKey(good.key)
    .export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'x' })
    .toString()
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const publicPem = publicKey.export({ format: 'pem', type: 'spki' }).toString()
  const tiny = await authority.issue({ kind: 'tiny' })
  const noKey = 'TLS_KEY_FILE holds no PEM private key that can be read without a passphrase'
  const cases: { what: string; pair: [Content, Content]; faults: (string | RegExp)[] }[] = [
    {
      what: 'files that cannot be read',
      pair: [new Error('ENOENT: no such file'), new Error('EACCES: permission denied')],
      faults: [
        'TLS_CERT_FILE cannot be read: ENOENT: no such file',
        'TLS_KEY_FILE cannot be read: EACCES: permission denied',
      ],
    },
    {
      what: 'the two confused',
      pair: [good.key, good.certificate],
      faults: ['TLS_CERT_FILE holds no PEM certificate', noKey],
    },
    {
      what: 'empty files',
      pair: ['', ''],
      faults: ['TLS_CERT_FILE holds no PEM certificate', noKey],
    },
    {
      what: 'a chain that is cut short',
      pair: [good.certificate.slice(0, -100), good.key],
      faults: ['TLS_CERT_FILE holds a certificate that cannot be read'],
    },
    {
      what: 'a key that is cut short',
      pair: [good.certificate, good.key.slice(0, 90)],
      faults: [noKey],
    },
    { what: 'a key with a passphrase', pair: [good.certificate, locked], faults: [noKey] },
    { what: 'a public key', pair: [good.certificate, publicPem], faults: [noKey] },
    {
      what: 'the key of another certificate',
      pair: [good.certificate, other.key],
      faults: ['TLS_KEY_FILE is not the key of the first certificate in TLS_CERT_FILE'],
    },
    {
      what: 'a chain in the wrong order',
      pair: [authority.certificate + good.certificate, good.key],
      faults: ['TLS_KEY_FILE is not the key of the first certificate in TLS_CERT_FILE'],
    },
    {
      what: 'a key that OpenSSL finds too small',
      pair: [tiny.certificate, tiny.key],
      faults: [/^TLS_CERT_FILE and TLS_KEY_FILE cannot be used: .*key too small/],
    },
  ]
  for (const { what, pair, faults } of cases) {
    const found = faultsOf(...pair)
    t.match(found, faults, what)
    t.equal(found.length, faults.length, `${what}: and nothing else`)
    const quoted = [good.key, tiny.key, locked].flatMap(text => text.split('\n').slice(1, -2))
    t.notOk(
      quoted.some(line => JSON.stringify(found).includes(line)),
      `${what}: nothing of a key is quoted`,
    )
  }
})

t.test('an operator is told of a pair that works with an ALB only, or not with one', t => {
  const pair = taken(good.certificate, good.key)
  const at = (text: string) => weaknessesOf(pair, Date.parse(text) / 1_000)
  t.same(at('2026-01-02T03:04:04Z'), [
    'TLS_CERT_FILE: the certificate is not valid before 2026-01-02T03:04:05.000Z',
  ])
  t.same(at('2026-01-02T03:04:06Z'), [])
  t.same(at('2036-11-09T10:11:11Z'), [])
  t.same(at('2036-11-09T10:11:13Z'), [
    'TLS_CERT_FILE: the certificate expired on 2036-11-09T10:11:12.000Z',
  ])
  t.same(weaknessesOf({ ...pair, keyType: 'ed25519' }, Date.parse('2030-01-01') / 1_000), [
    'TLS_CERT_FILE: an ALB connects to RSA and ECDSA certificates, not to ed25519',
  ])
  t.match(weaknessesOf({ ...pair, keyType: undefined }, Date.parse('2030-01-01') / 1_000), [
    /not to unknown$/,
  ])
  t.end()
})
