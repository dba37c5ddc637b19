/**
 * The sidecar that anybody would write first: http-proxy 1.18.1, a handler of its `proxyReq` event that
 * takes out what a client must not say and puts in who it is. It verifies the token properly and even
 * looks for dot segments. It is here to be attacked; nothing imports it.
 *
 * Environment: `UPSTREAM`, and `PUBLIC_KEY`, the one key it trusts. It writes down the port that it
 * listens on. Paths below `/open/` need no token.
 */
import { verify } from 'node:crypto'
import { Agent, createServer } from 'node:http'
import httpProxy from 'http-proxy'

const { UPSTREAM, PUBLIC_KEY } = process.env
const OWNED = ['x-forwarded-user', 'x-forwarded-groups']

const proxy = httpProxy.createProxyServer({
  target: UPSTREAM,
  agent: new Agent({ keepAlive: true }),
})

proxy.on('proxyReq', (outgoing, request) => {
  for (const name of outgoing.getHeaderNames()) {
    if (OWNED.includes(name) || name.startsWith('x-amzn-oidc-')) outgoing.removeHeader(name)
  }
  if (request.user !== undefined) outgoing.setHeader('x-forwarded-user', request.user)
})

proxy.on('error', (_error, _request, response) => {
  if (response.headersSent) response.destroy()
  else response.writeHead(502).end('bad gateway')
})

const server = createServer((request, response) => {
  request.user = userOf(request.headers['x-amzn-oidc-data'])
  if (request.user === undefined && !isOpen(request.url))
    response.writeHead(401).end('who are you?')
  else proxy.web(request, response)
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))

function isOpen(url) {
  const path = decodeURIComponent(url.split('?')[0])
  return path.startsWith('/open/') && !path.split('/').includes('..')
}

function userOf(token = '') {
  const [header, payload, signature] = token.split('.')
  if (signature === undefined) return undefined
  const key = { key: PUBLIC_KEY, dsaEncoding: 'ieee-p1363' }
  const bytes = Buffer.from(signature, 'base64url')
  if (!verify('sha256', Buffer.from(`${header}.${payload}`), key, bytes)) return undefined
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  return claims.exp > Date.now() / 1000 ? claims.email : undefined
}
