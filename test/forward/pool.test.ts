import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import t, { type Test } from 'tap'
import {
  LENT_BYTES,
  createPool,
  type Connection,
  type Loss,
  type PoolOptions,
} from '../../src/forward/pool.ts'
import { createAuthority } from '../fixtures/certificates.ts'
import { PATIENCE_MS } from '../fixtures/patience.ts'
import { until } from '../fixtures/until.ts'

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'

interface Rig {
  readonly pool: ReturnType<typeof createPool>
  /** The application's ends, in order. */
  readonly sockets: readonly Socket[]
}

/** @param now A clock that stands still, unless the time that passes is what is tested. */
async function startRig(
  t: Test,
  options: Partial<PoolOptions> = {},
  { now, server = createServer() }: { now?: () => number; server?: Server } = { now: () => 0 },
): Promise<Rig> {
  const sockets: Socket[] = []
  server.on(server instanceof tls.Server ? 'secureConnection' : 'connection', (socket: Socket) => {
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
  const pool = createPool(
    {
      protocol: 'http:',
      host: '127.0.0.1',
      port: address.port,
      connectTimeoutMs: PATIENCE_MS,
      headersTimeoutMs: PATIENCE_MS,
      maxHeaderBytes: 4_096,
      ...options,
    },
    now,
  )
  t.teardown(pool.close)
  return { pool, sockets }
}

interface Asked {
  readonly ended: readonly boolean[]
  readonly lost: readonly Loss[]
  readonly late: () => number
  readonly drained: () => number
}

/** Sends a request, and notes what comes of it. */
function ask(connection: Connection): Asked {
  const ended: boolean[] = []
  const lost: Loss[] = []
  let [late, drained] = [0, 0]
  connection.begin('GET', {
    onHead: () => undefined,
    onData: () => undefined,
    onEnd: isReusable => ended.push(isReusable),
    onPause: () => undefined,
    onDrain: () => drained++,
    onLate: () => late++,
    onLost: loss => lost.push(loss),
  })
  connection.wait()
  connection.socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  return { ended, lost, late: () => late, drained: () => drained }
}

/** Has one request answered, and gives its connection back. */
async function use({ pool, sockets }: Rig): Promise<Connection> {
  const connection = pool.take('any')
  const { ended } = ask(connection)
  const far = () => sockets.find(socket => socket.remotePort === connection.socket.localPort)
  await until(() => far() !== undefined)
  far()?.write(ANSWER)
  await until(() => ended.length === 1)
  connection.release()
  return connection
}

t.test('the connection that was used last is used again, unless it must be a new one', async t => {
  const rig = await startRig(t)
  const [first, second] = [rig.pool.take('any'), rig.pool.take('any')]
  t.not(first, second)
  first.release()
  second.release()
  t.equal(rig.pool.take('any'), second)
  t.equal(rig.pool.take('any'), first)
  second.release()
  t.not(rig.pool.take('fresh'), second)
  t.equal(rig.pool.count(), 3)
  rig.pool.dropIdle()
  t.ok(second.socket.destroyed)
  t.equal(rig.pool.count(), 2)
})

t.test('a connection that nobody uses is closed, on both sides', async t => {
  let ms = 0
  const rig = await startRig(t, {}, { now: () => ms })
  const [first, second] = [await use(rig), rig.pool.take('fresh')]
  first.release()
  ms = 1_000
  second.release()
  ms = 1_500
  t.equal(rig.pool.take('any'), second, 'the other is used')
  second.release()
  await until(() => first.socket.destroyed)
  t.equal(second.socket.destroyed, false)
  t.equal(rig.pool.count(), 1)
  ms = 3_000
  t.not(rig.pool.take('any'), second, 'nor is one used that should have been')
  await until(() => rig.sockets.filter(socket => !socket.destroyed).length === 1)

  const real = await startRig(t, {}, {})
  await use(real)
  await until(() => real.pool.count() === 0)
  await use(real)
  t.equal(real.sockets.length, 2, 'and the next request gets a new one')
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
    t.not(rig.pool.take('any'), used, what)
  }
})

t.test('a connection that has just died, and nobody has noticed, is not given out', async t => {
  const rig = await startRig(t)
  const used = await use(rig)
  used.socket.end()
  t.not(rig.pool.take('any'), used)
  t.equal(rig.pool.count(), 1)
})

t.test('a lost connection says whether it had been used, and had answered', async t => {
  const rig = await startRig(t)
  await use(rig)
  const reused = rig.pool.take('any')
  const stale = ask(reused)
  rig.sockets[0]?.resetAndDestroy()
  await until(() => stale.lost.length === 1)
  t.match(stale.lost, [{ kind: 'gone', isStale: true }])

  await use(rig)
  const begun = ask(rig.pool.take('any'))
  rig.sockets[1]?.end('HTTP/1.1 2')
  await until(() => begun.lost.length === 1)
  t.match(begun.lost, [{ kind: 'gone', isStale: false }])

  const fresh = ask(rig.pool.take('fresh'))
  await until(() => rig.sockets.length === 3)
  rig.sockets[2]?.end()
  await until(() => fresh.lost.length === 1)
  t.match(fresh.lost, [{ kind: 'gone', isStale: false }])

  const odd = ask(rig.pool.take('fresh'))
  await until(() => rig.sockets.length === 4)
  rig.sockets[3]?.write('SSH-2.0\r\n')
  await until(() => odd.lost.length === 1)
  t.match(odd.lost, [{ kind: 'invalid', isStale: false }])
  t.equal(rig.pool.count(), 0)
})

t.test('an answer that is late is said to be, once each time it is waited for', async t => {
  const rig = await startRig(t, { headersTimeoutMs: 50 })
  const connection = rig.pool.take('any')
  const { late } = ask(connection)
  await until(() => late() === 1)
  connection.wait()
  await until(() => late() === 2)
  const patient = await startRig(t, { headersTimeoutMs: 0 })
  t.equal(ask(patient.pool.take('any')).late(), 0)
})

t.test('a pool that is closed keeps what is in use until it is given back', async t => {
  const rig = await startRig(t)
  const [idle, busy] = [rig.pool.take('any'), rig.pool.take('any')]
  idle.release()
  rig.pool.close()
  t.equal(rig.pool.count(), 1)
  busy.release()
  t.equal(rig.pool.count(), 0)
  t.ok(busy.socket.destroyed)
})

t.test('a connection that cannot be made in time is lost', async t => {
  const rig = await startRig(t, { protocol: 'https:', connectTimeoutMs: 50 })
  const { lost } = ask(rig.pool.take('any'))
  await until(() => lost.length === 1)
  t.match(lost, [{ kind: 'connecting', detail: /UPSTREAM_CONNECT_TIMEOUT/, isStale: false }])
  t.equal(rig.pool.count(), 0)
})

/** RFC 8446 §4.6.1: a session that is resumed shows no certificate. */
t.test('every connection over TLS is verified for itself', async t => {
  const authority = await createAuthority()
  const { certificate: cert, key } = await authority.issue({ names: ['localhost'] })
  const server = tls.createServer({ cert, key })
  const ca = [authority.certificate]
  const secure = { protocol: 'https:', host: 'localhost', ca } as const
  const rig = await startRig(t, secure, { now: () => 0, server })
  const connections = [await use(rig), rig.pool.take('fresh')]
  const { ended } = ask(connections[1]!)
  await until(() => rig.sockets.length === 2)
  rig.sockets[1]?.write(ANSWER)
  await until(() => ended.length === 1)
  for (const { socket } of connections) {
    t.ok(socket instanceof tls.TLSSocket && socket.authorized && !socket.isSessionReused())
  }
})

t.test('an application may be on a path', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'pool-'))
  t.teardown(() => {
    rmSync(directory, { recursive: true })
  })
  const socketPath = join(directory, 'app.sock')
  const server = createServer()
  server.listen(socketPath)
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { pool } = await startRig(t, { socketPath })
  const connected = once(server, 'connection')
  const { lost } = ask(pool.take('any'))
  const [socket] = (await connected) as [Socket]
  socket.destroy()
  await until(() => lost.length === 1)
})

t.test('a connection says when it has room again', async t => {
  const rig = await startRig(t)
  const connection = rig.pool.take('any')
  const { drained } = ask(connection)
  connection.socket.write('x'.repeat(1_000_000))
  await until(() => drained() > 0)
  connection.release()
  connection.socket.write('x'.repeat(1_000_000))
  await until(() => connection.socket.writableLength === 0)
})

t.test('a connection that was taken out belongs to whoever took it', async t => {
  const rig = await startRig(t)
  const connection = rig.pool.take('detachable')
  const { lost } = ask(connection)
  await until(() => rig.sockets.length === 1)
  let detached: ReturnType<Connection['detach']> | undefined
  connection.begin('GET', {
    onHead: () => {
      detached = connection.detach()
      detached.socket.on('data', piece => (rest += piece.toString()))
    },
    onData: () => undefined,
    onEnd: () => undefined,
    onPause: () => undefined,
    onDrain: () => undefined,
    onLate: () => undefined,
    onLost: () => undefined,
  })
  let rest = ''
  rig.sockets[0]?.write('HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nfirst')
  await until(() => detached !== undefined)
  t.equal(detached?.head.toString(), 'first')
  t.equal(rig.pool.count(), 0)
  rig.sockets[0]?.end(' and more')
  await until(() => rest === ' and more')
  detached?.socket.destroy()
  await until(() => detached?.socket.closed === true)
  t.same(lost, [])
})

t.test('a long piece of an answer is never overwritten by the next', async t => {
  const rig = await startRig(t)
  const body = Buffer.from(Array.from({ length: 1_048_576 }, (_, at) => (at * at) % 251))
  const connection = rig.pool.take('any')
  const pieces: Buffer[] = []
  let isOver = false
  connection.begin('GET', {
    onHead: () => undefined,
    onData: piece => pieces.push(piece.length > LENT_BYTES ? piece : Buffer.from(piece)),
    onEnd: () => (isOver = true),
    onPause: () => undefined,
    onDrain: () => undefined,
    onLate: () => undefined,
    onLost: () => undefined,
  })
  await until(() => rig.sockets.length === 1)
  rig.sockets[0]?.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`)
  rig.sockets[0]?.write(body)
  await until(() => isOver)
  t.ok(pieces.some(piece => piece.length > LENT_BYTES))
  t.ok(Buffer.concat(pieces).equals(body))
})
