/**
 * A key pair and a certificate for it that nobody vouches for, made anew at each start: enough for an
 * ALB, which encrypts to its targets but does not ask who they are. Loaded only when it is asked for.
 */
import { X509Certificate, randomInt, webcrypto } from 'node:crypto'
import { Integer, Utf8String } from 'asn1js'
import {
  AltName,
  AttributeTypeAndValue,
  Certificate,
  CryptoEngine,
  Extension,
  GeneralName,
} from 'pkijs'
import { describePair, type Pair } from './pair.ts'

/** In the subject and as the one alternative name, for whoever pins the certificate. */
const NAME = 'alb-auth-sidecar'
const DAY_MS = 86_400_000
/** Longer than any process lives; a day back, for peers whose clock is behind. */
const DAYS_BEFORE = 1
const DAYS_AFTER = 3_650

/**
 * EC P-256, ECDSA with SHA-256, a random serial number; the key has never been on a disk.
 *
 * @param wallSeconds Now, since the epoch.
 */
export async function createSelfSigned(wallSeconds: number): Promise<Pair> {
  const { subtle } = webcrypto
  const engine = new CryptoEngine({ name: 'node', crypto: webcrypto })
  const keys = await subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, [
    'sign',
    'verify',
  ])

  const certificate = new Certificate()
  certificate.version = 2
  certificate.serialNumber = new Integer({ valueHex: serialNumber() })
  certificate.notBefore.value = new Date(wallSeconds * 1_000 - DAYS_BEFORE * DAY_MS)
  certificate.notAfter.value = new Date(wallSeconds * 1_000 + DAYS_AFTER * DAY_MS)
  for (const { typesAndValues } of [certificate.issuer, certificate.subject]) {
    const value = new Utf8String({ value: NAME })
    typesAndValues.push(new AttributeTypeAndValue({ type: COMMON_NAME, value }))
  }
  const altNames = new AltName({ altNames: [new GeneralName({ type: DNS_NAME, value: NAME })] })
  certificate.extensions = [
    new Extension({ extnID: SUBJECT_ALT_NAME, extnValue: altNames.toSchema().toBER() }),
  ]
  await certificate.subjectPublicKeyInfo.importKey(keys.publicKey, engine)
  await certificate.sign(keys.privateKey, 'SHA-256', engine)

  const text = pem('CERTIFICATE', certificate.toSchema(true).toBER())
  const key = pem('PRIVATE KEY', await subtle.exportKey('pkcs8', keys.privateKey))
  return describePair({ certificate: text, key }, new X509Certificate(text))
}

/** Object identifiers and tags of RFC 5280 §4.1.2.4 and §4.2.1.6. */
const COMMON_NAME = '2.5.4.3'
const SUBJECT_ALT_NAME = '2.5.29.17'
const DNS_NAME = 2

/** 126 random bits, positive and without a leading zero (RFC 5280 §4.1.2.2). */
function serialNumber(): ArrayBuffer {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16))
  bytes.set([0x40 + randomInt(0x40)])
  return bytes.buffer
}

function pem(label: string, der: ArrayBuffer): string {
  const lines = Buffer.from(der)
    .toString('base64')
    .replace(/.{1,64}/g, '$&\n')
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`
}
