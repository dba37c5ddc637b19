/**
 * Reads a PEM file of certificates whole: one block that is none, and nothing of it is taken.
 */
import { X509Certificate } from 'node:crypto'
import { expected } from '../core/expected.ts'

const BEGIN = '-----BEGIN CERTIFICATE-----'
const BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/**
 * @param text PEM; what stands between the blocks is left alone, as the comments of a bundle are.
 * @returns The certificates in the order of the file; or what is wrong with it, as the end of
 *   "<VARIABLE> …". Nothing is quoted: the file may be a key that was put in the wrong place.
 */
export function parseCertificates(
  text: string,
): readonly [X509Certificate, ...X509Certificate[]] | string {
  const [first, ...more] = text.match(BLOCK) ?? []
  const begun = text.split(BEGIN).length - 1
  if (begun === 0) return 'holds no PEM certificate'
  try {
    if (first !== undefined && begun === more.length + 1) {
      return [new X509Certificate(first), ...more.map(block => new X509Certificate(block))]
    }
  } catch (error) {
    expected(error, Error)
  }
  return 'holds a certificate that cannot be read'
}
