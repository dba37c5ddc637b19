import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { createPool, type Connection, type Loss, type PoolOptions } from '../../src/forward/pool.ts'
import { until } from '../fixtures/until.ts'

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'

interface Rig {
  readonly pool: ReturnType<typeof createPool>
  /** The application's ends, in order. */
  readonly sockets: readonly Socket[]
}

async function startRig(t: Test, options: Partial<PoolOptions> = {}): Promise<Rig> {
  const sockets: Socket[] = []
  const server = createServer(socket => {
    socket.on('error', () => undefined).resume()
    sockets.push(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const pool = createPool({
    protocol: 'http:',
    host: '127.0.0.1',
    port: address.port,
    connectTimeoutMs: 10_000,
    headersTimeoutMs: 10_000,
    maxHeaderBytes: 4_096,
    ...options,
  })
  return { pool, sockets }
}

interface Asked {
  readonly ended: readonly boolean[]
  readonly lost: readonly Loss[]
  readonly late: () => number
}

/** Sends a request, and notes what comes of it. */
function ask(connection: Connection): Asked {
  const ended: boolean[] = []
  const lost: Loss[] = []
  let late = 0
  connection.begin('GET', {
    onHead: () => undefined,
    onData: () => undefined,
    onEnd: isReusable => ended.push(isReusable),
    onPause: () => undefined,
    onDrain: () => undefined,
    onLate: () => late++,
    onLost: loss => lost.push(loss),
  })
  connection.wait()
  connection.socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  return { ended, lost, late: () => late }
}

/** Has one request answered, and gives its connection back. */
async function use({ pool, sockets }: Rig, isFresh = false): Promise<Connection> {
  const connection = pool.take(isFresh)
  const { ended } = ask(connection)
  const before = sockets.length
  await until(() => sockets.some(socket => socket.remotePort === connection.socket.localPort))
  t.ok(before <= sockets.length)
  sockets.find(socket => socket.remotePort === connection.socket.localPort)?.write(ANSWER)
  await until(() => ended.length === 1)
  connection.release()
  return connection
}

t.test('the connection that was used last is used again, unless it must be a new one', async t => {
  const rig = await startRig(t)
  const [first, second] = [rig.pool.take(false), rig.pool.take(false)]
  t.not(first, second)
  first.release()
  second.release()
  t.equal(rig.pool.take(false), second)
  t.equal(rig.pool.take(false), first)
  second.release()
  t.not(rig.pool.take(true), second)
  t.equal(rig.pool.count(), 3)
})

t.test('a connection that nobody uses is closed, on both sides', async t => {
  const rig = await startRig(t)
  await use(rig)
  t.equal(rig.pool.count(), 1)
  await until(() => rig.pool.count() === 0)
  await until(() => rig.sockets.every(socket => socket.destroyed))
  await use(rig)
  t.equal(rig.sockets.length, 2, 'and the next request gets a new one')
})

t.test('what the application says or does while nobody asks condemns the connection', async t => {
  for (const [what, act] of [
    ['speaks', (socket: Socket) => socket.write('HTTP/1.1 408 Too Late\r\n\r\n')],
    ['hangs up', (socket: Socket) => socket.end()],
    ['resets', (socket: Socket) => socket.resetAndDestroy()],
  ] as const) {
    const rig = await startRig(t)
    const used = await use(rig)
    rig.sockets.forEach(act)
    await until(() => rig.pool.count() === 0)
    t.not(rig.pool.take(false), used, what)
  }
})

t.test('a connection that has just died, and nobody has noticed, is not given out', async t => {
  const rig = await startRig(t)
  const used = await use(rig)
  used.socket.end()
  t.not(rig.pool.take(false), used)
  t.equal(rig.pool.count(), 1)
})

t.test('a lost connection says whether it had been used, and had answered', async t => {
  const rig = await startRig(t)
  await use(rig)
  const reused = rig.pool.take(false)
  const stale = ask(reused)
  rig.sockets[0]?.resetAndDestroy()
  await until(() => stale.lost.length === 1)
  t.match(stale.lost, [{ kind: 'gone', isStale: true }])

  await use(rig)
  const begun = ask(rig.pool.take(false))
  rig.sockets[1]?.end('HTTP/1.1 2')
  await until(() => begun.lost.length === 1)
  t.match(begun.lost, [{ kind: 'gone', isStale: false }])

  const fresh = ask(rig.pool.take(true))
  await until(() => rig.sockets.length === 3)
  rig.sockets[2]?.end()
  await until(() => fresh.lost.length === 1)
  t.match(fresh.lost, [{ kind: 'gone', isStale: false }])

  const odd = ask(rig.pool.take(true))
  await until(() => rig.sockets.length === 4)
  rig.sockets[3]?.write('SSH-2.0\r\n')
  await until(() => odd.lost.length === 1)
  t.match(odd.lost, [{ kind: 'invalid', isStale: false }])
  t.equal(rig.pool.count(), 0)
})

t.test('an answer that is late is said to be, once each time it is waited for', async t => {
  const rig = await startRig(t, { headersTimeoutMs: 50 })
  const connection = rig.pool.take(false)
  const { late } = ask(connection)
  await until(() => late() === 1)
  connection.wait()
  await until(() => late() === 2)
  const patient = await startRig(t, { headersTimeoutMs: 0 })
  t.equal(ask(patient.pool.take(false)).late(), 0)
})

t.test('a pool that is closed keeps what is in use until it is given back', async t => {
  const rig = await startRig(t)
  const [idle, busy] = [rig.pool.take(false), rig.pool.take(false)]
  idle.release()
  rig.pool.close()
  t.equal(rig.pool.count(), 1)
  busy.release()
  t.equal(rig.pool.count(), 0)
  t.ok(busy.socket.destroyed)
})
