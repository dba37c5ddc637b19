/**
 * What the sidecar is measured with and against, each in a process of its own: `upstream`, a cheap
 * application that says whom it was told about; and `baseline`, the obvious way to build a sidecar,
 * http-proxy 1.18.1 over a keep-alive agent with the token verified in the request handler.
 *
 * The baseline is here for its speed. Do not run it: docs/adr/0001 says why not.
 */

import { createPublicKey, verify } from 'node:crypto'
import { Agent, type RequestListener, createServer } from 'node:http'
import httpProxy from 'http-proxy'

const setting = (name: string): string => process.env[name] ?? ''

/** The user it is told of, or nobody; tiny, and of a known length. */
const upstream = (): RequestListener => (request, response) => {
  const body = String(request.headers['x-forwarded-user'] ?? 'nobody')
  response.writeHead(200, ['Content-Type', 'text/plain', 'Content-Length', String(body.length)])
  response.end(body)
}

function baseline(): RequestListener {
  const proxy = httpProxy.createProxyServer({
    target: setting('UPSTREAM_URL'),
    agent: new Agent({ keepAlive: true }),
  })
  proxy.on('error', (_error, _request, response) => {
    if ('writeHead' in response) response.writeHead(502)
    response.end()
  })
  const openPrefix = setting('NOAUTH_PATHS').replace('*', '')
  const userOf = createUserOf()

  return (request, response) => {
    delete request.headers['x-forwarded-user']
    if (request.url?.startsWith(openPrefix) !== true) {
      const user = userOf(String(request.headers['x-amzn-oidc-data'] ?? ''))
      if (user === undefined) {
        response.writeHead(401, { 'Content-Length': 0 }).end()
        return
      }
      request.headers['x-forwarded-user'] = user
    }
    proxy.web(request, response)
  }
}

/** Decode, pin, verify, look at the claims: what a library does, with nothing around it. */
function createUserOf(): (token: string) => string | undefined {
  const key = createPublicKey(setting('PUBLIC_KEY'))
  const issuer = setting('OIDC_ISSUER')
  const expected = Object.entries({
    ...{ alg: 'ES256', kid: setting('KID'), iss: issuer },
    ...{ signer: setting('ALB_ARNS'), client: setting('ALB_CLIENT_IDS') },
  })

  return token => {
    const [header = '', payload = '', signature = ''] = token.split('.')
    const named = fieldsOf(header)
    if (expected.some(([name, value]) => named[name] !== value)) return undefined
    const signed = Buffer.from(`${header}.${payload}`)
    const bytes = Buffer.from(signature, 'base64url')
    if (!verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, bytes)) return undefined
    const { exp, iss, email } = fieldsOf(payload)
    const isCurrent = typeof exp === 'number' && exp * 1000 > Date.now() && iss === issuer
    return isCurrent && typeof email === 'string' ? email : undefined
  }
}

type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null

function fieldsOf(segment: string): Fields {
  if (segment === '') return {}
  const value: unknown = JSON.parse(Buffer.from(segment, 'base64url').toString())
  return isFields(value) ? value : {}
}

const [, , role] = process.argv
const server = createServer(role === 'upstream' ? upstream() : baseline())
// Longer than a proxy waits for its next turn, so that no turn begins with connecting.
server.keepAliveTimeout = 75_000
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ address: server.address() })}\n`)
})
