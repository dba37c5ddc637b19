/**
 * A self-signed certificate for 127.0.0.1 and localhost, for the HTTPS listener.
 */

import { webcrypto } from 'node:crypto'
import { Integer, OctetString, Utf8String } from 'asn1js'
import * as pkijs from 'pkijs'

export interface KeyPair {
  /** Both PEM. */
  readonly key: string
  readonly cert: string
}

const COMMON_NAME = '2.5.4.3'
const SUBJECT_ALT_NAME = '2.5.29.17'
const DAYS = 30
const DNS_NAME = 2
const IP_ADDRESS = 7

/** EC P-256, good from yesterday for thirty days. */
export async function createCertificate(): Promise<KeyPair> {
  const engine = new pkijs.CryptoEngine({ name: 'node', crypto: webcrypto })
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])

  const certificate = new pkijs.Certificate()
  certificate.version = 2
  certificate.serialNumber = new Integer({ value: Date.now() % 2 ** 31 })
  for (const name of [certificate.subject, certificate.issuer]) {
    const value = new Utf8String({ value: 'ALB simulator' })
    name.typesAndValues.push(new pkijs.AttributeTypeAndValue({ type: COMMON_NAME, value }))
  }
  const day = 24 * 60 * 60 * 1000
  certificate.notBefore.value = new Date(Date.now() - day)
  certificate.notAfter.value = new Date(Date.now() + DAYS * day)
  const names = new pkijs.GeneralNames({
    names: [
      new pkijs.GeneralName({ type: DNS_NAME, value: 'localhost' }),
      new pkijs.GeneralName({
        type: IP_ADDRESS,
        value: new OctetString({ valueHex: new Uint8Array([127, 0, 0, 1]).buffer }),
      }),
    ],
  })
  const extnValue = names.toSchema().toBER(false)
  certificate.extensions = [new pkijs.Extension({ extnID: SUBJECT_ALT_NAME, extnValue })]
  await certificate.subjectPublicKeyInfo.importKey(keys.publicKey, engine)
  await certificate.sign(keys.privateKey, 'SHA-256', engine)

  return {
    key: pem('PRIVATE KEY', await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)),
    cert: pem('CERTIFICATE', certificate.toSchema().toBER(false)),
  }
}

const pem = (label: string, bytes: ArrayBuffer): string => {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
