/**
 * HAProxy, plain and as the strongest rival that can be had: with `jwt_verify` of both tokens. It cannot
 * take the padding of an ALB token, which is cut off first; whose the token is, for whom, and until when,
 * are rules of the configuration. It does not compare their subjects, and has no cache.
 */

import { type Process, PROXY_CPU, start } from '../processes.ts'
import { ARN, CLIENT, ISSUER, KEYS } from '../tokens.ts'
import type { World } from '../world.ts'

export function startHaproxy(
  { directory, upstreamPort, write }: World,
  port: number,
  verifying: boolean,
): Promise<Process> {
  const name = verifying ? 'haproxy-jwt' : 'haproxy'
  const file = write(
    `${name}.cfg`,
    `
global
  nbthread 1
  maxconn 8192
  tune.bufsize 65536
  tune.http.maxhdr 256
defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend in
  bind 127.0.0.1:${port}
${verifying ? rules(write) : ''}  default_backend application
backend application
  server application 127.0.0.1:${upstreamPort}
`,
  )
  const args = ['-db', '-f', file]
  return start(
    { command: 'haproxy', args, cpu: PROXY_CPU, logFile: `${directory}/${name}.log` },
    port,
  )
}

/** For every path but the open ones. */
function rules(write: World['write']): string {
  const need = (condition: string) => `  http-request return status 401 if !open !{ ${condition} }`
  const set = (name: string, expression: string) =>
    `  http-request set-var(txn.${name}) ${expression}`
  const token = (name: string, { alg, pem }: { readonly alg: string; readonly pem: string }) => [
    set(`${name}_alg`, `var(txn.${name}),jwt_header_query('$.alg')`),
    need(`var(txn.${name}_alg) -m str ${alg}`),
    set(`${name}_exp`, `var(txn.${name}),jwt_payload_query('$.exp','int'),sub(txn.now)`),
    need(`var(txn.${name}_exp) -m int gt 0`),
    need(`var(txn.${name}),jwt_verify(txn.${name}_alg,"${pem}") -m int 1`),
  ]
  const [alb, pool] = [write('alb.pem', KEYS.albPem), write('pool.pem', KEYS.poolPem)]
  return [
    '  acl open path_beg /open/',
    '  http-request del-header X-Forwarded-User',
    set('now', 'date()'),
    set('alb', 'req.hdr(x-amzn-oidc-data),regsub(=,,g)'),
    set('access', 'req.hdr(x-amzn-oidc-accesstoken)'),
    need(`var(txn.alb),jwt_header_query('$.signer') -m str ${ARN}`),
    need(`var(txn.alb),jwt_header_query('$.client') -m str ${CLIENT}`),
    need(`var(txn.alb),jwt_payload_query('$.iss') -m str ${ISSUER}`),
    ...token('alb', { alg: 'ES256', pem: alb }),
    need(`var(txn.access),jwt_payload_query('$.iss') -m str ${ISSUER}`),
    need(`var(txn.access),jwt_payload_query('$.client_id') -m str ${CLIENT}`),
    ...token('access', { alg: 'RS256', pem: pool }),
    `  http-request set-header X-Forwarded-User %[var(txn.alb),jwt_payload_query('$.email')] unless open`,
    '',
  ].join('\n')
}
