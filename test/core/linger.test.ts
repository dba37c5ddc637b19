/**
 * A client that is refused while it still sends gets to read why, and cannot keep us reading.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { PassThrough, Writable } from 'node:stream'
import t, { type Test } from 'tap'
import { endGently } from '../../src/core/linger.ts'
import { eventually } from '../fixtures/patience.ts'
import { stretch } from '../fixtures/timers.ts'

const ANSWER = 'refused'
/** How much of a body is read before we stop listening, and for how long. */
const LIMIT = 262_144
const LIMIT_MS = 1_000

/** A server that answers 401 with `Connection: close` at once, and leaves the end to the test. */
async function startServer(t: Pick<Test, 'teardown'>) {
  const server = createServer((request, response) => {
    response.writeHead(401, { 'Content-Length': ANSWER.length, Connection: 'close' })
    response.write(ANSWER)
    server.emit('answered', request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')

  /** Sends a request that declares `length` bytes of body and has sent `body` of it. */
  return async (length: number, body = '') => {
    const answered = once(server, 'answered')
    const socket = connect(address.port, '127.0.0.1')
    const seen = { text: '', fault: undefined as Error | undefined }
    socket.on('data', chunk => (seen.text += chunk.toString()))
    socket.on('error', error => (seen.fault = error))
    const closed = new Promise(resolve => socket.once('close', resolve))
    socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n${body}`)
    const [request, response] = (await answered) as [IncomingMessage, ServerResponse]
    const finished = once(response, 'finish')
    return { socket, request, response, seen, closed, finished }
  }
}

t.test('a request that was read to its end is answered at once', async t => {
  const send = await startServer(t)
  const { request, response, seen, closed } = await send(2, 'ok')
  // The parser has it all, though nobody took the body from it.
  await eventually(() => request.complete)
  t.equal(request.destroyed, false)
  endGently(request, response)
  t.equal(response.writableEnded, true)
  await closed
  t.match(seen.text, /^HTTP\/1\.1 401 [^]*\r\n\r\nrefused$/)
})

t.test('a client that has left is not waited for', async t => {
  const send = await startServer(t)
  const { socket, request, response } = await send(10, 'x')
  socket.destroy()
  await closing(request)
  t.equal(request.complete, false)
  endGently(request, response)
  t.equal(response.writableEnded, true)
})

t.test('a client that still sends is read to its end first', async t => {
  stretch(t, LIMIT_MS)
  const send = await startServer(t)
  const { socket, request, response, seen, closed } = await send(10, '12345')
  endGently(request, response)
  await new Promise(resolve => setImmediate(resolve))
  t.equal(response.writableEnded, false, 'not yet: five bytes are to come')
  socket.write('67890')
  await closed
  t.equal(request.complete, true)
  t.match(seen.text, /^HTTP\/1\.1 401 [^]*\r\n\r\nrefused$/)
  t.equal(seen.fault, undefined, 'the connection was closed and not reset')
})

/** Closing a socket with unread bytes resets it, and an ALB then answers 502 instead of our 401. */
t.test('a client that sends a large body before it reads still reads the whole answer', async t => {
  stretch(t, LIMIT_MS)
  const send = await startServer(t)
  const { socket, request, response, seen, closed } = await send(200_000)
  endGently(request, response)
  socket.pause()
  socket.write('x'.repeat(200_000), () => socket.resume())
  await closed
  t.match(seen.text, /\r\n\r\nrefused$/)
  t.equal(seen.fault, undefined, 'and sees no reset')
})

t.test('a client that leaves while it is waited for ends the wait', async t => {
  stretch(t, LIMIT_MS)
  const send = await startServer(t)
  const { socket, request, response } = await send(10, 'x')
  endGently(request, response)
  t.equal(response.writableEnded, false)
  socket.destroy()
  await closing(request)
  t.equal(response.writableEnded, true)
})

t.test('a body is read up to a limit and no further', async t => {
  stretch(t, LIMIT_MS)
  const send = await startServer(t)
  const { socket, request, response } = await send(10 * LIMIT)
  endGently(request, response)
  let bytes = 0
  const read = (count: number) =>
    new Promise<void>(resolve => {
      const onData = (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes < count) return
        request.off('data', onData)
        resolve()
      }
      request.on('data', onData)
    })
  const upToLimit = read(LIMIT)
  socket.write('x'.repeat(LIMIT))
  await upToLimit
  t.equal(response.writableEnded, false, 'the limit itself is still read')
  const beyond = read(LIMIT + 1)
  socket.write('x')
  await beyond
  t.equal(response.writableEnded, true, 'one byte more is not')
})

t.test('a client that stalls is waited for, and not for ever', async t => {
  const send = await startServer(t)
  const { request, response, seen, closed } = await send(10, 'x')
  endGently(request, response)
  t.equal(response.writableEnded, false, 'not at once')
  await closed
  t.match(seen.text, /\r\n\r\nrefused$/, 'and has its answer')
})

t.test('who does not stall is not waited for by the clock', async t => {
  stretch(t, LIMIT_MS)
  const send = await startServer(t)
  const flooding = await send(100 * LIMIT)
  endGently(flooding.request, flooding.response)
  flooding.socket.write('x'.repeat(2 * LIMIT))

  // Two that were on their way to an application: one that reads, and one that does not.
  const pipe = async (sink: Writable) => {
    const piped = await send(50_000, 'x'.repeat(25_000))
    piped.request.pipe(sink)
    await new Promise(resolve => setImmediate(resolve))
    endGently(piped.request, piped.response)
    piped.socket.write('x'.repeat(25_000))
    return piped
  }
  const piped = await pipe(new PassThrough().resume())
  const blocked = await pipe(new Writable({ highWaterMark: 1, write: () => undefined }))

  const all = { flooding, piped, blocked }
  for (const [is, { finished, response }] of Object.entries(all)) {
    await finished
    t.equal(response.writableEnded, true, is)
  }
})

/** Not `once`, which would listen for errors too and so change what a request does with them. */
function closing(request: IncomingMessage): Promise<void> {
  return new Promise(resolve => {
    request.once('close', resolve)
  })
}
