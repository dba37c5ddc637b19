import { generateKeyPairSync, KeyObject } from 'node:crypto'
import t from 'tap'
import { parsePublicKey, PEM_KEY } from '../../src/tokens/pem-key.ts'

const PAIR = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const PEM = pem(PAIR.publicKey)
/** What is inside: SubjectPublicKeyInfo. */
const DER = PAIR.publicKey.export({ type: 'spki', format: 'der' })

function pem(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }).toString()
}

/** Any bytes, labelled as PEM. */
function labelled(label: string, der: Buffer): string {
  const lines = der.toString('base64').replace(/.{64}(?=.)/g, '$&\n')
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`
}

/** Made with `openssl req -x509` from a P-256 key. */
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBhTCCASugAwIBAgIUXhhNBipuoJ8vo6l08trvQa8LFyowCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMa2V5cy5leGFtcGxlMCAXDTI2MTEyMDEzNTIyMFoYDzIxMjYx
MDI3MTM1MjIwWjAXMRUwEwYDVQQDDAxrZXlzLmV4YW1wbGUwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAARDlHJU5XS89BqK48Kuz1Hj5OSbdOU+ciwtVi+FtI7ESrFN
F8HJmhXmT2dbXFdXbiDmTuHpM+KEByaUKstIazEYo1MwUTAdBgNVHQ4EFgQU/8vT
xiZklLvgXm2bQY6ivFjrg0gwHwYDVR0jBBgwFoAU/8vTxiZklLvgXm2bQY6ivFjr
g0gwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiBdEXL/weOCgLPL
+EBBE5nKdrbFb7EvvmhkPyFKt4/kTgIhAKQsB8R4plppil4bIzDHBclOUIqy81Ac
8hNlzR/3/CRx
-----END CERTIFICATE-----
`

t.test('a P-256 key is taken in every form that a PEM file has', t => {
  const cases = [
    { is: 'as the endpoint serves it', text: PEM },
    { is: 'with CRLF', text: PEM.replaceAll('\n', '\r\n') },
    { is: 'without a line end behind', text: PEM.trimEnd() },
    { is: 'with empty lines behind', text: `${PEM}\n\r\n\n` },
    { is: 'with its base64 on one line', text: PEM.replace(/(?<=[^-])\n(?=[^-])/g, '') },
    {
      is: 'with its base64 on many lines',
      text: PEM.replace(/^[^-]+$/gm, x => x.replace(/..../g, '$&\n')),
    },
    { is: 'of exactly 8 KiB', text: PEM.padEnd(8_192, '\n') },
  ]
  for (const { is, text } of cases) {
    const key = parsePublicKey(text)
    t.ok(key instanceof KeyObject && key.equals(PAIR.publicKey) && key.type === 'public', is)
  }
  t.end()
})

t.test('a text that is anything but one P-256 public key is refused', t => {
  const { privateKey, publicKey } = PAIR
  const other = pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
  const offCurve = Buffer.from(DER)
  offCurve[90]! ^= 1
  const [, digit = ''] = /(.)==/.exec(PEM) ?? []
  const unusedBits = String.fromCharCode(digit.charCodeAt(0) + 1)
  const texts: Readonly<Record<string, string | Buffer>> = {
    nothing: '',
    'base64 with bits that say nothing': PEM.replace(`${digit}==`, `${unusedBits}==`),
    'white space': ' \r\n',
    'an HTML page': '<!DOCTYPE html><title>Sign in to the Wi-Fi</title>',
    'an HTML page with the key in it': `<pre>${PEM}</pre>`,
    'an error of S3': '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    'a key as JWK': JSON.stringify(publicKey.export({ format: 'jwk' })),
    'a key set': JSON.stringify({ keys: [publicKey.export({ format: 'jwk' })] }),
    'a key in DER': DER,
    'a key in bare base64': DER.toString('base64'),
    'the key and a word': `${PEM}junk`,
    'the key and a NUL': `${PEM}\0`,
    'a word and the key': `junk\n${PEM}`,
    'an empty line and the key': `\n${PEM}`,
    'a byte order mark and the key': `\ufeff${PEM}`,
    'two keys': `${PEM}${other}`,
    'the same key twice': `${PEM}${PEM}`,
    'two keys, the second a comment': `${PEM}# ${other}`,
    'half a key': PEM.slice(0, PEM.length / 2),
    'a key without its last line': PEM.replace(/-----END.*\n/, ''),
    'a key without its first line': PEM.replace(/-----BEGIN.*\n/, ''),
    'a key whose first line is led by a space': ` ${PEM}`,
    'a key with a space inside': PEM.replace('M', 'M '),
    'a key in base64url': PEM.replace(/^M/m, '-'),
    'a key with headers': PEM.replace('\n', '\nProc-Type: 4,ENCRYPTED\n\n'),
    'a key labelled in small letters': PEM.replaceAll('PUBLIC KEY', 'public key'),
    'an empty block': labelled('PUBLIC KEY', Buffer.alloc(0)),
    'padding for a block': PEM.replace(/^[^-]+$/gm, '===='),
    'a block of zeros': labelled('PUBLIC KEY', Buffer.alloc(91)),
    'a key cut short inside': labelled('PUBLIC KEY', DER.subarray(0, -1)),
    'a point that is not on the curve': labelled('PUBLIC KEY', offCurve),
    'a private key': privateKey.export({ type: 'pkcs8', format: 'pem' }),
    'a private key of the old form': privateKey.export({ type: 'sec1', format: 'pem' }),
    'a private key and the key': `${privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()}${PEM}`,
    'the key and a private key': `${PEM}${privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()}`,
    'an encrypted private key': privateKey.export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-128-cbc',
      passphrase: 'x',
    }),
    'a private key labelled public': labelled(
      'PUBLIC KEY',
      privateKey.export({ type: 'pkcs8', format: 'der' }),
    ),
    'a certificate': CERTIFICATE,
    'a certificate labelled a key': CERTIFICATE.replaceAll('CERTIFICATE', 'PUBLIC KEY'),
    'a key labelled a certificate': PEM.replaceAll('PUBLIC KEY', 'CERTIFICATE'),
    'a key labelled an RSA key': PEM.replaceAll('PUBLIC KEY', 'RSA PUBLIC KEY'),
  }
  for (const [is, text] of Object.entries(texts)) {
    t.match(parsePublicKey(text.toString()), /^not [ -~]+$/, is)
  }
  t.end()
})

t.test('a key of another kind is refused', t => {
  const curves = ['P-384', 'P-521', 'secp256k1', 'prime192v1', 'brainpoolP256r1']
  const keys: Readonly<Record<string, KeyObject>> = {
    ...Object.fromEntries(
      curves.map(namedCurve => [namedCurve, generateKeyPairSync('ec', { namedCurve }).publicKey]),
    ),
    RSA: generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey,
    'RSA-PSS': generateKeyPairSync('rsa-pss', { modulusLength: 1024 }).publicKey,
    DSA: generateKeyPairSync('dsa', { modulusLength: 1024, divisorLength: 160 }).publicKey,
    Ed25519: generateKeyPairSync('ed25519').publicKey,
    Ed448: generateKeyPairSync('ed448').publicKey,
    X25519: generateKeyPairSync('x25519').publicKey,
  }
  for (const [is, key] of Object.entries(keys)) t.type(parsePublicKey(pem(key)), 'string', is)
  t.equal(parsePublicKey(pem(keys['P-384']!)), 'not a P-256 key')
  t.type(parsePublicKey(PEM), 'object', 'and one of ours is not')
  t.end()
})

t.test('a key endpoint may say so much and no more', t => {
  t.equal(PEM_KEY.maxBytes, 8_192)
  t.equal(PEM_KEY.parse, parsePublicKey)
  t.end()
})

t.test('what is thrown and is no Error is not taken for a fault of the key', t => {
  // The only way to make node:crypto throw such a thing: it reads options that nobody gave.
  const { prototype } = Object
  t.teardown(() => Reflect.deleteProperty(prototype, 'encoding'))
  Object.defineProperty(prototype, 'encoding', {
    configurable: true,
    get: () => {
      throw 'not an Error' as unknown as Error
    },
  })
  t.throws(() => parsePublicKey(PEM))
  t.end()
})
