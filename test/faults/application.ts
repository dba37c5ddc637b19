/**
 * An application in a process of its own, that can be killed, stopped and started again on its port.
 *
 * `/` and `/open/` say whom it was told about; `?ms=` answers that much later, `?bytes=` with so many
 * bytes, `?never` not at all; `/open/state` says how many requests and connections are open, itself and
 * its own not counted. A body is read to its end before it is answered. WebSockets get back what they send.
 */
import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import { WebSocketServer } from 'ws'

const open = { requests: 0, connections: 0 }
/** Connections by which somebody looked at the state; they count as no one's. */
const lookers = new WeakSet<Socket>()
const CHUNK = Buffer.alloc(65_536, 'x')

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://app')
  const user = String(request.headers['x-forwarded-user'] ?? 'nobody')
  const groups = String(request.headers['x-forwarded-groups'] ?? '')
  if (pathname === '/open/state') {
    if (!lookers.has(request.socket)) {
      lookers.add(request.socket)
      open.connections--
    }
    response.setHeader('Connection', 'close')
    response.end(JSON.stringify(open))
    return
  }
  open.requests++
  response.once('close', () => {
    open.requests--
  })
  response.on('error', () => undefined)
  request.on('error', () => undefined)
  let received = 0
  request.on('data', (chunk: Buffer) => {
    received += chunk.length
  })
  request.once('end', () => {
    if (searchParams.has('never')) return
    setTimeout(answer, Number(searchParams.get('ms') ?? 0))
  })

  function answer(): void {
    const bytes = Number(searchParams.get('bytes') ?? -1)
    if (bytes >= 0) {
      response.writeHead(200, { 'Content-Length': bytes })
      pour(bytes)
      return
    }
    response.setHeader('X-Application', 'yes')
    const text = request.method === 'POST' ? `${user} ${received}` : [user, groups].join(' ').trim()
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': text.length })
    response.end(text)
  }

  function pour(left: number): void {
    if (response.destroyed) return
    if (left <= 0) {
      response.end()
      return
    }
    const chunk = CHUNK.subarray(0, left)
    if (response.write(chunk)) setImmediate(pour, left - chunk.length)
    else
      response.once('drain', () => {
        pour(left - chunk.length)
      })
  }
})
new WebSocketServer({ server, perMessageDeflate: false }).on('connection', socket => {
  socket.on('error', () => undefined)
  socket.on('message', (data, binary) => {
    socket.send(data, { binary })
  })
})
server.keepAliveTimeout = 75_000
server.requestTimeout = 0
server.on('connection', socket => {
  open.connections++
  socket.once('close', () => {
    if (!lookers.has(socket)) open.connections--
  })
})
server.listen(Number(process.env['PORT'] ?? 0), '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ address: server.address(), at: Date.now() })}\n`)
})
