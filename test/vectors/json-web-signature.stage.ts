/**
 * Project Wycheproof's compact JSON Web Signatures: those that are ES256 through our parser and our
 * verification, those that are about base64 through our decoder. Where we judge otherwise, a table
 * says why, and an entry of it that is no disagreement fails.
 *
 * @see https://github.com/C2SP/wycheproof testvectors_v1/json_web_signature_test.json
 */
import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  sign,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto'
import t from 'tap'
import { verifySignature } from '../../src/tokens/signature.ts'
import { decodeSegment, readCompact } from '../../src/tokens/shape.ts'
import { readVectors } from '../fixtures/token-vectors.ts'

type Result = 'valid' | 'invalid'

interface Case {
  readonly tcId: number
  readonly comment: string
  readonly jws: string
  readonly result: Result
}

interface JwsVectors {
  readonly testGroups: readonly {
    readonly comment: string
    readonly public?: JsonWebKey
    readonly private: JsonWebKey
    readonly tests: readonly Case[]
  }[]
}

/** By tcId: how we judge, and why that is right. */
type Disagreements = Readonly<Record<number, readonly [ours: Result, why: string]>>

const NO_OBJECT = 'the payload is the text `foo`, and an ALB signs an object'
const BARE_KEY = 'a JWK may say that its key is not for signatures; the PEM of an ALB says nothing'

/** Of the parser and the verification together. */
const WHOLE: Disagreements = {
  18: ['invalid', NO_OBJECT],
  378: ['invalid', NO_OBJECT],
}

/** Of the decoder and the verification, whatever the payload is. */
const SIGNATURE: Disagreements = {
  354: ['valid', BARE_KEY],
  356: ['valid', BARE_KEY],
}

const NOT_BASE64 =
  'a question mark is no base64url; Wycheproof takes it for an oversight to be forgiven'
const SAME_AS_357 = 'to the byte the token of case 357, which is valid'

/** Of the decoder, with the MAC beside it. */
const BASE64: Disagreements = {
  367: ['valid', SAME_AS_357],
  370: ['valid', SAME_AS_357],
  372: ['invalid', NOT_BASE64],
  373: ['invalid', NOT_BASE64],
}

const verdict = (isValid: boolean): Result => (isValid ? 'valid' : 'invalid')

/** The token's signature over its bytes, by our decoder but whatever header and payload are. */
function holdsOver(jws: string, holds: (signed: string, signature: Buffer) => boolean): boolean {
  const segments = jws.split('.')
  const [head = '', body = ''] = segments
  const decoded = segments.map(decodeSegment)
  const signature = decoded[2]
  if (segments.length !== 3 || signature === undefined || decoded.includes(undefined)) return false
  return holds(`${head}.${body}`, signature)
}

function wholeIsValid(jws: string, key: KeyObject): boolean {
  const read = readCompact(jws)
  return read !== undefined && read.header['alg'] === 'ES256' && verifySignature('ES256', key, read)
}

t.test('every ES256 token is judged as Wycheproof judges it, or the table says why not', t => {
  const vectors = readVectors(t, 'json_web_signature_test.json') as JwsVectors | undefined
  if (vectors === undefined) return
  const groups = vectors.testGroups.filter(group => group.public?.['crv'] === 'P-256')
  let count = 0
  for (const group of groups) {
    const key = createPublicKey({ key: group.public!, format: 'jwk' })
    for (const { tcId, comment, jws, result } of group.tests) {
      const [whole = result, whyWhole = ''] = WHOLE[tcId] ?? []
      t.equal(verdict(wholeIsValid(jws, key)), whole, `${tcId}: ${comment} ${whyWhole}`)

      const [signature = result, why = ''] = SIGNATURE[tcId] ?? []
      const holds = holdsOver(jws, (signed, bytes) =>
        verifySignature('ES256', key, { signed, signature: bytes }),
      )
      t.equal(verdict(holds), signature, `${tcId}: ${comment}, its signature alone ${why}`)
      for (const table of [WHOLE, SIGNATURE]) {
        if (table[tcId] !== undefined) t.not(table[tcId][0], result, 'the entry is not idle')
      }
      count++
    }
  }
  t.equal(count, 15 + 24 + 1 + 1)

  // With an object for its payload, the valid case is valid for us too.
  const { private: own } = groups[0]!
  const key = createPrivateKey({ key: own, format: 'jwk' })
  const bare = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${bare({ alg: 'ES256', kid: own['kid'] })}.${bare({ foo: 1 })}`
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' })
  const jws = `${signed}.${signature.toString('base64url')}`
  t.ok(wholeIsValid(jws, createPublicKey(key)), 'an object signed with their key')
  t.end()
})

t.test('every odd base64 is judged as Wycheproof judges it, or the table says why not', t => {
  const vectors = readVectors(t, 'json_web_signature_test.json') as JwsVectors | undefined
  if (vectors === undefined) return
  const group = vectors.testGroups.find(each => each.comment === 'base64')!
  const secret = Buffer.from(group.private['k'] ?? '', 'base64url')
  for (const { tcId, comment, jws, result } of group.tests) {
    const [ours = result, why = ''] = BASE64[tcId] ?? []
    const holds = holdsOver(jws, (signed, signature) =>
      createHmac('sha256', secret).update(signed, 'latin1').digest().equals(signature),
    )
    t.equal(verdict(holds), ours, `${tcId}: ${comment} ${why}`)
    if (BASE64[tcId] !== undefined) t.not(ours, result, 'the entry is not idle')
  }
  const valid = group.tests.find(({ tcId }) => tcId === 357)!
  for (const tcId of [367, 370]) {
    t.equal(group.tests.find(each => each.tcId === tcId)!.jws, valid.jws, SAME_AS_357)
  }
  t.equal(group.tests.length, 21)
  t.end()
})
