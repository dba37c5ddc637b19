import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import t, { type Test } from 'tap'
import { upload } from '../../src/forward/upload.ts'
import { until } from '../fixtures/until.ts'

const HEAD = 'PUT / HTTP/1.1\r\nHost: \xe9\r\n\r\n'

/** A connection, and what arrived at its other end. */
async function connection(t: Test) {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const socket = connect({ port: address.port, host: '127.0.0.1' })
  const [far] = (await once(server, 'connection')) as [Socket]
  server.close()
  t.teardown(() => {
    socket.destroy()
    far.destroy()
  })
  const pieces: Buffer[] = []
  let bytes = 0
  far.on('data', piece => {
    bytes += piece.length
    if (bytes < 1_000) pieces.push(piece)
  })
  socket.on('error', () => undefined)
  const text = () => Buffer.concat(pieces).toString('latin1')
  return { socket, far, text, received: () => bytes }
}

t.test('a body goes in the framing that was declared', async t => {
  for (const { isChunked, sent } of [
    { isChunked: false, sent: 'hello there' },
    { isChunked: true, sent: '6\r\nhello \r\n5\r\nthere\r\n0\r\n\r\n' },
  ]) {
    const { socket, text } = await connection(t)
    const body = new PassThrough()
    let progress = 0
    const sending = upload(body, socket, HEAD, isChunked, () => progress++)
    body.write('hello ')
    await until(() => progress === 1)
    t.equal(sending.isDone(), false)
    body.end('there')
    await until(() => text() === HEAD + sent)
    t.equal(sending.isDone(), true)
    t.equal(progress, 2)
  }
})

t.test('the head does not wait for a body that is late, nor goes twice', async t => {
  const { socket, text } = await connection(t)
  const body = new PassThrough()
  upload(body, socket, HEAD, false, () => undefined)
  await until(() => text() === HEAD)
  body.end('x')
  await until(() => text() === `${HEAD}x`)
})

t.test('an empty body in chunks is said to be', async t => {
  const { socket, text } = await connection(t)
  upload(new PassThrough().end(), socket, HEAD, true, () => undefined)
  await until(() => text() === `${HEAD}0\r\n\r\n`)
})

t.test('the body is read no faster than the connection takes it', async t => {
  const { socket, far, received } = await connection(t)
  far.pause()
  const body = new PassThrough()
  const sending = upload(body, socket, HEAD, false, () => undefined)
  socket.on('drain', sending.resume)
  body.end(Buffer.alloc(16_777_216, 'x'))
  await until(() => body.isPaused())
  t.equal(sending.isDone(), false)
  far.resume()
  await until(() => sending.isDone())
  await until(() => received() === HEAD.length + 16_777_216)
  t.equal(body.isPaused(), false)
})

t.test('what is stopped sends no more, and leaves the rest to whoever listens', async t => {
  const { socket, text } = await connection(t)
  const body = new PassThrough()
  const sending = upload(body, socket, HEAD, true, () => undefined)
  sending.stop()
  const next = once(body, 'data')
  body.end('hello')
  const [rest] = (await next) as [Buffer]
  t.equal(rest.toString(), 'hello')
  t.equal(text(), '')
})

t.test('what nobody takes of a body does not stay in the way', async t => {
  const { socket, far } = await connection(t)
  far.pause()
  const body = new PassThrough()
  const sending = upload(body, socket, HEAD, false, () => undefined)
  body.end(Buffer.alloc(16_777_216, 'x'))
  await until(() => body.isPaused())
  sending.stop()
  await once(body, 'end')
  t.equal(sending.isDone(), false)
})

/** A chunk without a byte is the last one: what came behind it would be another request. */
t.test('a piece without a byte is no chunk', async t => {
  const { socket, text } = await connection(t)
  const body = new PassThrough()
  upload(body, socket, HEAD, true, () => undefined)
  body.emit('data', Buffer.alloc(0))
  body.end('x')
  await until(() => text() === `${HEAD}1\r\nx\r\n0\r\n\r\n`)
})

t.test('a connection that has closed is not written to', async t => {
  const { socket } = await connection(t)
  const body = new PassThrough()
  const sending = upload(body, socket, HEAD, true, () => undefined)
  socket.destroy()
  body.end('hello')
  await once(body, 'end')
  t.equal(sending.isDone(), true)
})
