/**
 * An application to stand behind the sidecar in containers: it answers with the headers it got, and
 * believes them. `/slow?ms=…` takes its time; `/healthcheck` is ConsoleMe's; `/jwks.json` is the key set of
 * an identity provider, where no other server is in reach.
 */
import { createServer } from 'node:http'

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://application')
  const answer = () => {
    response.writeHead(200, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify({ path: pathname, headers: request.headers }))
  }
  if (pathname === '/healthcheck') response.end('OK')
  else if (pathname === '/jwks.json') response.end(process.env.APPLICATION_JWKS ?? '{}')
  else if (pathname === '/slow') setTimeout(answer, Number(searchParams.get('ms')))
  else answer()
})
server.listen(Number(process.env.APPLICATION_PORT ?? 8081), '127.0.0.1')
process.on('SIGTERM', () => {
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})
