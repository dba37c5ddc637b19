/**
 * Takes a certificate and a private key only as a pair that a handshake can be done with, and says
 * which file is at fault otherwise, by its setting. Neither file is ever quoted.
 */
import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { expected } from '../core/expected.ts'
import { parseCertificates } from './certificates.ts'
import { listenerOptions, type Credentials } from './listener.ts'

export interface Pair extends Credentials {
  /** Validity of the listener's own certificate, not of those that lead to its root. */
  readonly notBefore: Date
  readonly notAfter: Date
  /** SHA-256 over its DER, as `openssl x509 -fingerprint -sha256` prints it. */
  readonly fingerprint256: string
  /** `ec`, `rsa`, or what else node calls it. */
  readonly keyType: string | undefined
}

/** Sentences that begin with the variable. */
export interface Faulty {
  readonly faults: readonly string[]
}

/** What a file holds, or why it could not be read. */
export type Content = string | Error

/**
 * @param certificate Of `TLS_CERT_FILE`: the listener's own first, then what leads to its root.
 * @param key Of `TLS_KEY_FILE`: one private key without a passphrase.
 */
export function judgePair(certificate: Content, key: Content): Pair | Faulty {
  const chain = read(certificate, parseCertificates)
  const privateKey = read(key, parsePrivateKey)
  const faults = [
    ...(typeof chain === 'string' ? [`TLS_CERT_FILE ${chain}`] : []),
    ...(typeof privateKey === 'string' ? [`TLS_KEY_FILE ${privateKey}`] : []),
  ]
  if (typeof chain === 'string' || typeof privateKey === 'string') return { faults }
  const [own] = chain
  if (!own.checkPrivateKey(privateKey)) {
    return { faults: ['TLS_KEY_FILE is not the key of the first certificate in TLS_CERT_FILE'] }
  }
  const credentials = { certificate: String(certificate), key: String(key) }
  try {
    createSecureContext(listenerOptions(credentials))
  } catch (error) {
    const { message } = expected(error, Error)
    return { faults: [`TLS_CERT_FILE and TLS_KEY_FILE cannot be used: ${message}`] }
  }
  return describePair(credentials, own)
}

/** @param own The first certificate of `credentials`, whose key is known to be its key. */
export function describePair(credentials: Credentials, own: X509Certificate): Pair {
  return {
    ...credentials,
    notBefore: new Date(own.validFrom),
    notAfter: new Date(own.validTo),
    fingerprint256: own.fingerprint256,
    keyType: own.publicKey.asymmetricKeyType,
  }
}

function read<T>(content: Content, parse: (text: string) => T | string): T | string {
  return content instanceof Error ? `cannot be read: ${content.message}` : parse(content)
}

function parsePrivateKey(text: string): KeyObject | string {
  try {
    return createPrivateKey(text)
  } catch (error) {
    expected(error, Error)
    return 'holds no PEM private key that can be read without a passphrase'
  }
}

/**
 * What an operator should know about a pair that is used all the same: an ALB does not look at the
 * dates, but whoever else connects does.
 *
 * @param wallSeconds Since the epoch.
 */
export function weaknessesOf(pair: Pair, wallSeconds: number): string[] {
  const { notBefore, notAfter, keyType = 'unknown' } = pair
  const now = wallSeconds * 1_000
  const warnings: string[] = []
  if (notBefore.getTime() > now) {
    warnings.push(`TLS_CERT_FILE: the certificate is not valid before ${notBefore.toISOString()}`)
  }
  if (notAfter.getTime() < now) {
    warnings.push(`TLS_CERT_FILE: the certificate expired on ${notAfter.toISOString()}`)
  }
  if (keyType !== 'ec' && keyType !== 'rsa') {
    warnings.push(`TLS_CERT_FILE: an ALB connects to RSA and ECDSA certificates, not to ${keyType}`)
  }
  return warnings
}
