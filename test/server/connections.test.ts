/**
 * Pipelining: what a client sends ahead must neither be answered out of turn, nor leak, nor be served
 * after an answer that ended the connection.
 */
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { listen } from '../../simulator/loopback.ts'
import { trackConnections, type Connections } from '../../src/server/connections.ts'
import { lines, sendRaw } from '../fixtures/raw.ts'
import { until } from '../fixtures/until.ts'

const GET = (path: string) => lines(`GET ${path} HTTP/1.1`, 'Host: a')

interface Visit {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/** A server that serves through `trackConnections`; what was started waits for the test to answer. */
async function startServer(t: Test) {
  const server = http.createServer()
  const connections: Connections = trackConnections(server)
  const started: Visit[] = []
  const sockets: Socket[] = []
  server.on('connection', (socket: Socket) => sockets.push(socket))
  server.on('request', (request, response) => {
    connections.serve(request, response, () => started.push({ request, response }))
  })
  const url = await listen(server, 0)
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: Number(new URL(url).port), started, connections, sockets, server }
}

t.test('requests of one connection are served one at a time, in order', async t => {
  const { port, started, connections, sockets } = await startServer(t)
  const answers = sendRaw(port, GET('/1') + GET('/2') + GET('/3'), { answers: 3 })
  for (const path of ['/1', '/2', '/3']) {
    const at = Number(path.slice(1))
    await until(() => started.length === at)
    await sleep(20)
    t.equal(started.length, at, `only ${path} is new`)
    t.equal(started[at - 1]!.request.url, path)
    t.equal(connections.pendingOn(sockets[0]!)?.count, 4 - at)
    started[at - 1]!.response.end('ok\n')
  }
  t.same((await answers).statuses, [200, 200, 200])
  await until(() => connections.pendingOn(sockets[0]!) === undefined)
  t.equal(connections.pendingOn(sockets[0]!), undefined, 'and then nothing is pending')
})

t.test('what was sent ahead of an answer that ends the connection is never served', async t => {
  const { port, started } = await startServer(t)
  const answer = sendRaw(port, GET('/1') + GET('/2'), { answers: 2 })
  await until(() => started.length === 1)
  started[0]!.response.writeHead(400, { Connection: 'close' }).end()
  const { statuses, closed } = await answer
  t.same(statuses, [400])
  t.ok(closed)
  t.equal(started.length, 1)
})

t.test('a client that leaves takes what it sent ahead with it', async t => {
  const { port, started } = await startServer(t)
  const socket = connect(port, '127.0.0.1')
  socket.write(GET('/1') + GET('/2'))
  await until(() => started.length === 1)
  const closed = new Promise(resolve => started[0]!.response.once('close', resolve))
  socket.destroy()
  await closed
  await sleep(20)
  t.equal(started.length, 1)
})

t.test('a client that sends a flood ahead is cut off', async t => {
  const { port, started } = await startServer(t)
  const { closed } = await sendRaw(port, GET('/x').repeat(200), { answers: 1 })
  t.ok(closed)
  t.ok(started.length <= 1)
})

t.test('idle connections are ended, busy ones and arriving requests are not', async t => {
  const { port, started, connections, sockets } = await startServer(t)
  const fresh = connect(port, '127.0.0.1')
  const arriving = connect(port, '127.0.0.1')
  const busy = connect(port, '127.0.0.1')
  const used = connect(port, '127.0.0.1')
  const ends = new Map([fresh, arriving, busy, used].map(socket => [socket, false]))
  for (const socket of ends.keys()) {
    socket.on('error', () => undefined)
    socket.resume()
    socket.once('close', () => ends.set(socket, true))
  }
  t.teardown(() => {
    for (const socket of ends.keys()) socket.destroy()
  })
  used.write(GET('/used'))
  await until(() => started.length === 1)
  started[0]!.response.end('ok\n')
  arriving.write('GET /arriving HT')
  busy.write(GET('/busy'))
  const sent = GET('/used') + 'GET /arriving HT' + GET('/busy')
  const received = () => sockets.reduce((bytes, socket) => bytes + socket.bytesRead, 0)
  await until(() => started.length === 2 && sockets.length === 4 && received() === sent.length)
  connections.closeIdle()
  await until(() => ends.get(fresh)! && ends.get(used)!)
  await sleep(30)
  t.same([...ends.values()], [true, false, false, true], 'fresh, arriving, busy, used')
  arriving.write(`TP/1.1\r\nHost: a\r\n\r\n`)
  await until(() => started.length === 3)
  t.equal(started[2]?.request.url, '/arriving')
  for (const { response } of started.slice(1)) response.end('ok\n')
})

t.test('a connection that was there before is followed from its first request on', async t => {
  const server = http.createServer()
  const url = await listen(server, 0)
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  t.teardown(() => socket.destroy())
  const serverSide = await new Promise<Socket>(resolve => server.once('connection', resolve))
  const connections = trackConnections(server)
  t.equal(connections.pendingOn(serverSide), undefined)
  const visit = new Promise<Visit>(resolve => {
    server.on('request', (request, response) => {
      connections.serve(request, response, () => {
        resolve({ request, response })
      })
    })
  })
  socket.write(GET('/'))
  const { response } = await visit
  t.equal(connections.pendingOn(serverSide)?.count, 1)
  response.end('ok\n')
  await until(() => connections.pendingOn(serverSide) === undefined)
  t.equal(connections.pendingOn(serverSide), undefined)
})

t.test('all of them can be ended, whatever goes on', async t => {
  const { port, started, connections, sockets } = await startServer(t)
  const answers = [sendRaw(port, GET('/1')), sendRaw(port, GET('/2').slice(0, 10))]
  await until(() => started.length === 1 && sockets.length === 2)
  connections.closeAll()
  for (const answer of answers) t.ok((await answer).closed)
})

t.test('a connection that is given to a parser anew is still the same', async t => {
  const { port, started, connections, server } = await startServer(t)
  server.once('connection', (socket: Socket) => server.emit('connection', socket))
  const answer = sendRaw(port, GET('/1'))
  await until(() => started.length === 1)
  const { request, response } = started[0]!
  t.equal(connections.pendingOn(request.socket)?.count, 1)
  response.end()
  t.same((await answer).statuses, [200])
})
