/**
 * The obvious way to build a sidecar, for its speed; docs/adr/0001 says why not to run it. http-proxy
 * 1.18.1 over an agent that keeps connections: alone, or with `VERIFY` both tokens verified by jose on
 * every request.
 */

import { Agent, type IncomingMessage } from 'node:http'
import httpProxy from 'http-proxy'
import { importSPKI, jwtVerify } from 'jose'
import { serve, setting, upstreamUrl } from './listen.ts'

const proxy = httpProxy.createProxyServer({
  target: upstreamUrl(),
  agent: new Agent({ keepAlive: true }),
})
proxy.on('error', (_error, _request, response) => {
  if ('writeHead' in response) response.writeHead(502)
  response.end()
})

async function createUserOf(): Promise<(request: IncomingMessage) => Promise<string>> {
  const albKey = await importSPKI(setting('ALB_PEM'), 'ES256')
  const poolKey = await importSPKI(setting('POOL_PEM'), 'RS256')
  const [issuer, client, arn] = [setting('ISSUER'), setting('CLIENT'), setting('ARN')]
  return async ({ headers }) => {
    // jose refuses padding. The tokens here have it after the signature only, so that it may be cut off.
    const data = String(headers['x-amzn-oidc-data']).replace(/=+$/, '')
    const alb = await jwtVerify(data, albKey, { issuer, algorithms: ['ES256'] })
    const access = String(headers['x-amzn-oidc-accesstoken'])
    const { payload } = await jwtVerify(access, poolKey, { issuer, algorithms: ['RS256'] })
    const { signer, client: albClient } = alb.protectedHeader
    const isOurs = signer === arn && albClient === client && payload['client_id'] === client
    if (!isOurs || alb.payload.sub !== payload.sub) throw new Error('not ours')
    return String(alb.payload['email'])
  }
}

if (setting('VERIFY') === '') {
  serve((request, response) => {
    proxy.web(request, response)
  })
} else {
  const userOf = await createUserOf()
  serve((request, response) => {
    userOf(request).then(
      user => {
        request.headers['x-forwarded-user'] = user
        proxy.web(request, response)
      },
      () => response.writeHead(401, { 'Content-Length': 0 }).end(),
    )
  })
}
