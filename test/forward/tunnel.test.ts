import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { CLOSE_TO_CLIENT, CLOSE_TO_SERVER } from '../../src/forward/frames.ts'
import { createTunnels, type Tunnels } from '../../src/forward/tunnel.ts'
import { givenTime } from '../fixtures/patience.ts'
import { stretch } from '../fixtures/timers.ts'
import { until } from '../fixtures/until.ts'

/** How long both sides have to say goodbye. */
const CLOSE_MS = 2_000

/** The far end of one of a tunnel's connections. */
interface Far {
  readonly socket: Socket
  /** Everything that arrived, and whether its end did. */
  readonly received: () => Buffer
  readonly ended: () => boolean
  readonly closed: () => boolean
}

interface Rig {
  readonly tunnels: Tunnels
  readonly browser: Far
  readonly application: Far
  /** The tunnel's own end towards the browser. */
  readonly near: Socket
}

interface Heads {
  readonly client?: string
  readonly upstream?: string
}

/** A tunnel between two connections over loopback. */
async function openTunnel(t: Test, tunnels: Tunnels, heads: Heads = {}): Promise<Rig> {
  const [client, browser] = await connection(t)
  const [upstream, application] = await connection(t)
  tunnels.open(
    { socket: client, head: Buffer.from(heads.client ?? '') },
    { socket: upstream, head: Buffer.from(heads.upstream ?? '') },
  )
  return { tunnels, near: client, browser: far(browser), application: far(application) }
}

async function connection(t: Test): Promise<[near: Socket, far: Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const socket = connect({ port: address.port, host: '127.0.0.1', allowHalfOpen: true })
  const accepted = new Promise<Socket>(resolve => server.once('connection', resolve))
  const pair: [Socket, Socket] = [await accepted, socket]
  server.close()
  for (const each of pair) {
    each.on('error', () => undefined)
    t.teardown(() => each.destroy())
  }
  return pair
}

function far(socket: Socket): Far {
  const pieces: Buffer[] = []
  let ended = false
  socket.on('data', piece => pieces.push(piece))
  socket.on('end', () => {
    ended = true
  })
  return {
    socket,
    received: () => Buffer.concat(pieces),
    ended: () => ended,
    closed: () => socket.destroyed,
  }
}

const textFrame = (text: string) =>
  Buffer.concat([Buffer.from([0x81, text.length]), Buffer.from(text)])

t.test('what was read too early comes first, on both sides', async t => {
  const rig = await openTunnel(t, createTunnels(0), { client: 'early', upstream: 'hello' })
  rig.browser.socket.write(' late')
  rig.application.socket.write(' there')
  await until(() => rig.application.received().toString() === 'early late')
  await until(() => rig.browser.received().toString() === 'hello there')
  t.equal(rig.tunnels.count(), 1)
})

t.test('a side that does not read stops the other from sending, and loses nothing', async t => {
  const { browser, application, near } = await openTunnel(t, createTunnels(0))
  browser.socket.pause()
  const bytes = 33_554_432
  application.socket.write(Buffer.alloc(bytes, 'x'))
  await until(() => near.writableNeedDrain)
  t.ok(near.writableLength < 1_048_576, `${near.writableLength} bytes are kept`)
  t.ok(application.socket.writableLength > 0, 'the rest stays where it came from')
  browser.socket.resume()
  application.socket.end()
  await until(() => browser.ended())
  t.equal(browser.received().length, bytes)
})

t.test('who has finished sending can still be sent to', async t => {
  for (const first of ['browser', 'application'] as const) {
    const rig = await openTunnel(t, createTunnels(0))
    const [done, other] =
      first === 'browser' ? [rig.browser, rig.application] : [rig.application, rig.browser]
    done.socket.end('that is all')
    await until(() => other.ended())
    t.equal(other.received().toString(), 'that is all', first)
    t.equal(done.ended(), false, `${first}: is still listening`)
    other.socket.write('an answer')
    await until(() => done.received().toString() === 'an answer')
    other.socket.end()
    await until(() => rig.tunnels.count() === 0)
    t.ok(done.ended(), first)
  }
})

t.test('who is left alone with a silent side is not kept for ever', async t => {
  const isHeard = await givenTime(300, async halfClosedMs => {
    const { browser, application, tunnels } = await openTunnel(t, createTunnels(0, halfClosedMs))
    browser.socket.end()
    await until(() => application.ended())
    for (let at = 0; at < 5; at++) {
      application.socket.write('x')
      await until(() => browser.received().length === at + 1 || tunnels.count() === 0)
    }
    await until(() => tunnels.count() === 0 && browser.ended())
    return browser.received().length === 5
  })
  t.ok(isHeard, 'while it speaks it is heard')
})

t.test('who is reset takes the other along, after what it had said', async t => {
  for (const first of ['browser', 'application'] as const) {
    const rig = await openTunnel(t, createTunnels(0))
    const [gone, other] =
      first === 'browser' ? [rig.browser, rig.application] : [rig.application, rig.browser]
    gone.socket.write('last words')
    await until(() => other.received().length === 10)
    gone.socket.resetAndDestroy()
    await until(() => other.ended())
    t.equal(other.received().toString(), 'last words', first)
    other.socket.write('to nobody')
    await until(() => rig.tunnels.count() === 0)
  }
})

t.test('an old tunnel is closed with 1001, both ways, and ends when both have agreed', async t => {
  stretch(t, CLOSE_MS)
  const [hi, goodbye] = [textFrame('hi'), CLOSE_TO_SERVER]
  const isInTime = await givenTime(100, async maxAgeMs => {
    const { browser, application, tunnels } = await openTunnel(t, createTunnels(maxAgeMs))
    browser.socket.write(hi)
    await until(() => application.received().length >= goodbye.length)
    if (application.received()[0] !== hi[0]) return false
    await until(() => application.received().length >= hi.length + goodbye.length)
    await until(() => browser.received().length > 0)
    t.same(browser.received(), CLOSE_TO_CLIENT)
    t.same(application.received(), Buffer.concat([hi, goodbye]))
    application.socket.write(textFrame('too late'))
    application.socket.write(CLOSE_TO_CLIENT)
    browser.socket.write(Buffer.concat([textFrame('too'), goodbye]))
    await until(() => browser.ended() && application.ended())
    t.same(browser.received(), CLOSE_TO_CLIENT, 'nothing goes on behind it')
    t.equal(application.received().length, hi.length + goodbye.length)
    await until(() => tunnels.count() === 0)
    return true
  })
  t.ok(isInTime, 'what was said in time has arrived')
})

t.test('a frame that is passing is not broken to say goodbye', async t => {
  stretch(t, CLOSE_MS)
  const { browser, application, tunnels } = await openTunnel(t, createTunnels(0))
  const frame = textFrame('a frame in two pieces')
  application.socket.write(frame.subarray(0, 10))
  await until(() => browser.received().length === 10)
  tunnels.closeAll()
  await until(() => application.received().length > 0)
  t.equal(browser.received().length, 10, 'not yet')
  application.socket.write(Buffer.concat([frame.subarray(10), textFrame('another')]))
  await until(() => browser.received().length > frame.length)
  t.same(browser.received(), Buffer.concat([frame, CLOSE_TO_CLIENT]))
})

t.test('a frame that does not end in time is broken', async t => {
  const { browser, application, tunnels } = await openTunnel(t, createTunnels(0))
  application.socket.write(textFrame('half of it').subarray(0, 5))
  await until(() => browser.received().length === 5)
  tunnels.closeAll()
  tunnels.closeAll()
  await until(() => tunnels.count() === 0)
  t.equal(browser.received().length, 5)
  t.equal(application.received().length, CLOSE_TO_SERVER.length)
})

t.test('who has said goodbye already is not told again', async t => {
  const { browser, application, tunnels } = await openTunnel(t, createTunnels(0))
  application.socket.write(CLOSE_TO_CLIENT)
  await until(() => browser.received().length === 4)
  tunnels.closeAll()
  await until(() => tunnels.count() === 0)
  t.same(browser.received(), CLOSE_TO_CLIENT)
})

t.test('a tunnel that is opened while leaving is told at once', async t => {
  const tunnels = createTunnels(0)
  tunnels.closeAll()
  const { browser } = await openTunnel(t, tunnels)
  await until(() => browser.received().length > 0)
  t.same(browser.received(), CLOSE_TO_CLIENT)
})

t.test('a side that left before the tunnel was opened closes it', async t => {
  const [client, browser] = await connection(t)
  const [upstream, application] = await connection(t)
  browser.resetAndDestroy()
  client.resume()
  await until(() => client.destroyed)
  const tunnels = createTunnels(0)
  tunnels.open(
    { socket: client, head: Buffer.from('x') },
    { socket: upstream, head: Buffer.from('y') },
  )
  const other = far(application)
  await until(() => other.ended() || other.closed())
  await until(() => tunnels.count() === 0)
  t.pass('and nothing is left')
})
