/**
 * How an application is spoken to over TLS: its certificate is always verified, and for the name in
 * `UPSTREAM_URL`, never for the one in a client's `Host`.
 */
import { isIP } from 'node:net'
import { createSecureContext, type ConnectionOptions } from 'node:tls'

export interface UpstreamTlsOptions {
  /** Of `UPSTREAM_URL`, without brackets. */
  readonly host: string
  /** PEM certificates to trust in place of node's roots and `NODE_EXTRA_CA_CERTS`. */
  readonly ca?: readonly string[] | undefined
}

/**
 * One secure context for all connections: a bundle is parsed once, and is no part of the name under
 * which node's Agent looks for a connection with every request.
 */
export function upstreamTls({ host, ca }: UpstreamTlsOptions): ConnectionOptions {
  return {
    // An address is verified as one, but is not sent (RFC 6066 §3).
    servername: isIP(host) === 0 ? host : '',
    rejectUnauthorized: true,
    ALPNProtocols: ['http/1.1'],
    secureContext: createSecureContext({
      minVersion: 'TLSv1.2',
      ...(ca !== undefined && { ca: [...ca] }),
    }),
  }
}
