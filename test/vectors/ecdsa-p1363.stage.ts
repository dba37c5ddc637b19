/**
 * Project Wycheproof's ECDSA signatures over P-256 and SHA-256 in the form that JOSE uses, every one
 * through our own verification.
 *
 * @see https://github.com/C2SP/wycheproof testvectors_v1/ecdsa_secp256r1_sha256_p1363_test.json
 */
import t from 'tap'
import { verifySignature } from '../../src/tokens/signature.ts'
import { parsePublicKey } from '../../src/tokens/pem-key.ts'
import { readVectors } from '../fixtures/token-vectors.ts'

interface EcdsaVectors {
  readonly numberOfTests: number
  readonly testGroups: readonly {
    readonly publicKeyPem: string
    readonly tests: readonly {
      readonly tcId: number
      readonly comment: string
      readonly msg: string
      readonly sig: string
      readonly result: 'valid' | 'invalid'
    }[]
  }[]
}

t.test('every signature is judged as Wycheproof judges it', t => {
  const vectors = readVectors(t, 'ecdsa_secp256r1_sha256_p1363_test.json') as
    EcdsaVectors | undefined
  if (vectors === undefined) return
  const seen = { valid: 0, invalid: 0 }
  for (const { publicKeyPem, tests } of vectors.testGroups) {
    const key = parsePublicKey(publicKeyPem)
    if (typeof key === 'string') throw new Error(`${key}: ${publicKeyPem}`)
    for (const { tcId, comment, msg, sig, result } of tests) {
      const isValid = verifySignature('ES256', key, {
        signed: Buffer.from(msg, 'hex').toString('latin1'),
        signature: Buffer.from(sig, 'hex'),
      })
      t.equal(isValid ? 'valid' : 'invalid', result, `${tcId}: ${comment}`)
      seen[result]++
    }
  }
  t.same(seen, { valid: 173, invalid: 89 })
  t.equal(vectors.numberOfTests, 262)
  t.end()
})
