/** An application on node:http that says what it has read: its port, then one JSON line a request. */
import { createServer } from 'node:http'

const say = line => process.stdout.write(`${JSON.stringify(line)}\n`)

const server = createServer(
  { maxHeaderSize: 131_072, keepAliveTimeout: 60_000 },
  (request, response) => {
    let bytes = 0
    request.on('data', chunk => (bytes += chunk.length))
    request.on('error', () => undefined)
    request.on('end', () => {
      const { method, url: target, rawHeaders } = request
      const headers = rawHeaders.flatMap((name, at) => (at % 2 ? [] : [[name, rawHeaders[at + 1]]]))
      say({ method, target, headers, bytes })
      response.writeHead(200, { 'Content-Length': 2 }).end('ok')
    })
  },
)
server.on('upgrade', (_request, socket) => socket.destroy())
server.listen(0, '127.0.0.1', () => say({ port: server.address().port }))
