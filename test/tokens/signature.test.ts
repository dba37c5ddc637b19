/**
 * Signatures, over these bytes and by this key; jose, which shares no code with us, is asked as well.
 */
import {
  createPublicKey,
  generateKeyPairSync,
  sign as signBytes,
  type KeyPairKeyObjectResult,
} from 'node:crypto'
import { compactVerify, CompactSign } from 'jose'
import t from 'tap'
import { readCompact } from '../../src/tokens/shape.ts'
import { verifySignature, type Algorithm } from '../../src/tokens/signature.ts'
import { oddSignatures } from '../fixtures/token-signers.ts'

const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve })
const RSA = generateKeyPairSync('rsa', { modulusLength: 2_048 })
const PAIRS: Record<Algorithm, KeyPairKeyObjectResult> = {
  ...{ RS256: RSA, RS384: RSA, RS512: RSA, PS256: RSA, PS384: RSA, PS512: RSA },
  ...{ ES256: ec('P-256'), ES384: ec('P-384'), ES512: ec('P-521') },
  EdDSA: generateKeyPairSync('ed25519'),
}
const ALGORITHMS = Object.keys(PAIRS) as Algorithm[]

/** What is wrong about a signature, and it. */
function spoiled(sound: Buffer): Record<string, Buffer> {
  const flipped = (at: number) => sound.map((byte, i) => (i === at ? byte ^ 1 : byte))
  const half = sound.length / 2
  return {
    'its first bit flipped': Buffer.from(flipped(0)),
    'its last bit flipped': Buffer.from(flipped(sound.length - 1)),
    'its halves exchanged': Buffer.concat([sound.subarray(half), sound.subarray(0, half)]),
    'a byte short': sound.subarray(1),
    'a byte long': Buffer.concat([sound, Buffer.from([0])]),
    'a byte long, in front': Buffer.concat([Buffer.from([0]), sound]),
    zeros: Buffer.alloc(sound.length),
    ones: Buffer.alloc(sound.length, 0xff),
    nothing: Buffer.alloc(0),
  }
}

t.test(
  'every algorithm agrees with jose about what it signed, and about what it did not',
  async t => {
    for (const algorithm of ALGORITHMS) {
      const { privateKey, publicKey } = PAIRS[algorithm]
      // So often that an r and an s with a zero in front are among them.
      for (let i = 0; i < (algorithm.startsWith('ES') ? 300 : 3); i++) {
        const token = await new CompactSign(Buffer.from(`{"number":${i}}`))
          .setProtectedHeader({ alg: algorithm })
          .sign(privateKey)
        const read = readCompact(token)
        if (read === undefined || !verifySignature(algorithm, publicKey, read)) t.fail(token)
      }
      const token = await new CompactSign(Buffer.from('{}'))
        .setProtectedHeader({ alg: algorithm })
        .sign(privateKey)
      const [head = '', body = '', tail = ''] = token.split('.')
      const signed = `${head}.${body}`
      const sound = Buffer.from(tail, 'base64url')
      for (const [is, signature] of Object.entries({ ...spoiled(sound), sound })) {
        const theirs = await compactVerify(
          `${signed}.${signature.toString('base64url')}`,
          publicKey,
        )
          .then(() => true)
          .catch(() => false)
        t.equal(theirs, is === 'sound', `${algorithm}, jose: ${is}`)
        const ours = verifySignature(algorithm, publicKey, { signed, signature })
        t.equal(ours, theirs, `${algorithm}: ${is}`)
      }
      for (const other of ALGORITHMS) {
        if (other === algorithm || PAIRS[other] !== PAIRS[algorithm]) continue
        const read = { signed, signature: sound }
        t.notOk(verifySignature(other, publicKey, read), `${algorithm} is not ${other}`)
      }
      t.notOk(verifySignature(algorithm, publicKey, { signed: `${signed} `, signature: sound }))
    }
  },
)

/** As Wycheproof's ecdsa_secp256r1_sha256_p1363 does, which runs whole in test/vectors. */
t.test('an ES256 signature is judged rightly, however odd it is and of any size', t => {
  const { privateKey: key, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const sign = (hash: string, signed: string) =>
    signBytes(hash, Buffer.from(signed, 'latin1'), { key, dsaEncoding: 'ieee-p1363' })
  const everyByte = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).join('')
  for (const signed of ['a.b', '', everyByte]) {
    const sound = sign('sha256', signed)
    for (const { is, signature, isValid } of oddSignatures(sound)) {
      t.equal(verifySignature('ES256', publicKey, { signed, signature }), isValid, is)
    }
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
    t.notOk(verifySignature('ES256', other, { signed, signature: sound }), 'under another key')
    t.notOk(
      verifySignature('ES256', publicKey, { signed: `${signed}.`, signature: sound }),
      'over other bytes',
    )
  }
  for (const hash of ['sha1', 'sha384', 'sha512']) {
    const signature = sign(hash, 'a.b')
    t.notOk(
      verifySignature('ES256', publicKey, { signed: 'a.b', signature }),
      `over ${hash} of the bytes`,
    )
  }
  // One r in 256 begins with a zero byte, and one s.
  const found = { r: 0, s: 0 }
  for (let i = 0; found.r === 0 || found.s === 0; i++) {
    const signed = `message.${i}`
    const signature = sign('sha256', signed)
    const short = signature[0] === 0 ? 'r' : signature[32] === 0 ? 's' : undefined
    if (short === undefined || found[short]++ > 0) continue
    t.ok(
      verifySignature('ES256', publicKey, { signed, signature }),
      `${short} begins with a zero byte`,
    )
  }
  t.end()
})

t.test('the example of RFC 7515, appendix A.3, verifies', t => {
  const key = createPublicKey({
    format: 'jwk',
    key: {
      kty: 'EC',
      crv: 'P-256',
      x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
      y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
    },
  })
  const read = readCompact(
    'eyJhbGciOiJFUzI1NiJ9.' +
      'eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.' +
      'DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q',
  )
  t.ok(read && verifySignature('ES256', key, read))
  t.end()
})
