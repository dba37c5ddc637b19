/**
 * Takes nothing from a key endpoint for an answer but one P-256 public key.
 */
import { createPublicKey, type KeyObject } from 'node:crypto'
import type { DocumentKind } from './bounded-fetch.ts'

const PEM = /^-----BEGIN PUBLIC KEY-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END PUBLIC KEY-----\s*$/

/** One PEM key; a P-256 one has 178 bytes. */
export const PEM_KEY: DocumentKind<KeyObject> = { maxBytes: 8_192, parse: parsePublicKey }

/** What comes before the 64 bytes of an uncompressed P-256 point in its DER (RFC 5480 §2). */
const P256_PREFIX = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex')
const P256_BYTES = P256_PREFIX.length + 64

/**
 * Reads one PEM SubjectPublicKeyInfo of a P-256 key, and nothing beside it: no private key, no
 * certificate, no second block, no other curve, no other form of the point (Node 20 and 22 abort on
 * one).
 *
 * @returns The key, or what is wrong with the text.
 */
export function parsePublicKey(text: string): KeyObject | string {
  const [, lines] = PEM.exec(text) ?? []
  if (lines === undefined) return 'not one PEM public key'
  const base64 = lines.replace(/[\r\n]/g, '')
  const der = Buffer.from(base64, 'base64')
  if (der.toString('base64') !== base64) return 'not one PEM public key'
  if (der.length !== P256_BYTES || !der.subarray(0, P256_PREFIX.length).equals(P256_PREFIX)) {
    return 'not a P-256 key'
  }
  try {
    return createPublicKey({ key: der, format: 'der', type: 'spki' })
  } catch (error) {
    if (error instanceof Error) return 'not a point of P-256'
    throw error
  }
}
