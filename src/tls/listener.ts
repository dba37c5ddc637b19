/**
 * What the listener speaks: TLS 1.2 and 1.3, HTTP/1.1, forward secrecy, no renegotiation, and a full
 * handshake each time, so that no key outlives the connections it was made for.
 *
 * Stated here rather than left to node's defaults, which command-line switches lower. Both fixed
 * policies with which an ALB speaks to its targets, ELBSecurityPolicy-2016-08 and
 * ELBSecurityPolicy-TLS13-1-0-2021-06, have suites of this list for RSA and for ECDSA certificates.
 *
 * @see https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
 */
import { constants } from 'node:crypto'
import type { SecureContextOptions, TlsOptions } from 'node:tls'

const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
]

/** Certificate chain and private key, both PEM. */
export interface Credentials {
  readonly certificate: string
  readonly key: string
}

/** For a new listener, and again, whole, for `setSecureContext`, which remembers nothing. */
export function listenerOptions({
  certificate,
  key,
}: Credentials): SecureContextOptions & Pick<TlsOptions, 'ALPNProtocols'> {
  return {
    cert: certificate,
    key,
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS.join(':'),
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_TICKET,
    ALPNProtocols: ['http/1.1'],
  }
}
