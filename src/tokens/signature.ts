/**
 * Checks the signature of a token over the bytes as they were received, with `node:crypto` and a key
 * that was prepared when it was fetched.
 *
 * The algorithm is one that the operator allows and that the key is for, never merely one that the
 * token names; both are the caller's to see to.
 *
 * @see RFC 7518 §3 (RS, PS, ES), RFC 8037 §3.1 (EdDSA)
 */
import { constants, verify, type KeyObject } from 'node:crypto'
import type { CompactToken } from './shape.ts'

interface Scheme {
  /** `null` where the algorithm has its own. */
  readonly hash: string | null
  /** RSASSA-PSS, with a salt as long as the hash, in bytes. */
  readonly saltLength?: number
  /** ECDSA: how many bytes r and s have each. */
  readonly half?: number
}

const SCHEMES = {
  RS256: { hash: 'sha256' },
  RS384: { hash: 'sha384' },
  RS512: { hash: 'sha512' },
  PS256: { hash: 'sha256', saltLength: 32 },
  PS384: { hash: 'sha384', saltLength: 48 },
  PS512: { hash: 'sha512', saltLength: 64 },
  ES256: { hash: 'sha256', half: 32 },
  ES384: { hash: 'sha384', half: 48 },
  ES512: { hash: 'sha512', half: 66 },
  EdDSA: { hash: null },
} as const satisfies Record<string, Scheme>

export type Algorithm = keyof typeof SCHEMES

/** @param key A public key of the kind that the algorithm takes. */
export function verifySignature(
  algorithm: Algorithm,
  key: KeyObject,
  { signed, signature }: Pick<CompactToken, 'signed' | 'signature'>,
): boolean {
  const { hash, saltLength, half }: Scheme = SCHEMES[algorithm]
  const bytes = Buffer.from(signed, 'latin1')
  if (half !== undefined) {
    return signature.length === 2 * half && verify(hash, bytes, key, inDer(signature, half))
  }
  if (saltLength === undefined) return verify(hash, bytes, key, signature)
  return verify(
    hash,
    bytes,
    { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength },
    signature,
  )
}

const SEQUENCE = 0x30
const INTEGER = 0x02
/** DER says a length from here on in a byte of its own, behind one that says so. */
const LONG = 0x80

/**
 * JOSE's r ‖ s as OpenSSL wants it: a sequence of two integers in the fewest bytes. `crypto.verify` would
 * do the same (`dsaEncoding: 'ieee-p1363'`), for half as much again as the whole check on Node 24.
 *
 * @see RFC 3279 §2.2.3, ITU-T X.690 §8.3, §10.1
 */
function inDer(signature: Buffer, half: number): Buffer {
  const r = integer(signature.subarray(0, half))
  const s = integer(signature.subarray(half))
  const length = r.length + s.length
  const start = length < LONG ? [SEQUENCE, length] : [SEQUENCE, LONG + 1, length]
  return Buffer.concat([Buffer.from(start), r, s])
}

function integer(bytes: Buffer): Buffer {
  let from = 0
  while (from < bytes.length - 1 && bytes[from] === 0) from++
  const digits = bytes.subarray(from)
  // A number whose first bit is set would be a negative one.
  const sign = digits.readUInt8() < 0x80 ? [] : [0]
  return Buffer.concat([Buffer.from([INTEGER, sign.length + digits.length, ...sign]), digits])
}
