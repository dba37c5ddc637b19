import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { drain } from '../../src/server/drain.ts'
import { createServer, type FrontServer } from '../../src/server/server.ts'
import { givenTime, PATIENCE_MS } from '../fixtures/patience.ts'

interface Rig {
  /** Drains at once, unless told otherwise, and within the patience of a test. */
  readonly drain: (times?: { delayMs?: number; timeoutMs?: number }) => Promise<boolean>
  readonly server: FrontServer['server']
  /** What WebSockets were told, in order. */
  readonly told: readonly string[]
  readonly port: number
  /** The answers that requests for `/held` wait for. */
  readonly held: readonly ServerResponse[]
  /** A connection on which `GET path` was sent. */
  readonly ask: (path: string) => Client
}

interface Client {
  readonly socket: Socket
  /** What came back, once somebody closed the connection. */
  readonly end: Promise<string>
}

async function startRig(t: Test): Promise<Rig> {
  const held: ServerResponse[] = []
  const front = createServer({
    keepAliveTimeoutMs: 300_000,
    headersTimeoutMs: 300_000,
    requestTimeoutMs: 0,
    maxHeaderBytes: 8_192,
    onRequest: (request, response) => {
      if (request.url === '/held') held.push(response)
      else response.end('ok')
    },
    onRefused: () => '',
  })
  const { server } = front
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const { port } = address
  const ask = (path: string): Client => {
    const socket = connect({ port, host: '127.0.0.1' })
    t.teardown(() => socket.destroy())
    socket.on('error', () => undefined)
    let text = ''
    socket.on('data', chunk => (text += chunk.toString()))
    const end = once(socket, 'close').then(() => text)
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
    return { socket, end }
  }
  const told: string[] = []
  const closeWebSockets = () => {
    told.push(server.listening ? 'while listening' : 'to leave')
  }
  const times = { delayMs: 0, timeoutMs: PATIENCE_MS }
  return {
    ...{ server, port, held, ask, told },
    drain: changed => drain({ ...front, closeWebSockets, ...times, ...changed }),
  }
}

/** Resolves once a request for `/held` waits for its answer. */
async function isHeld(held: readonly ServerResponse[]): Promise<void> {
  while (held.length === 0) await new Promise(resolve => setImmediate(resolve))
}

t.test('a server without connections is drained as soon as the delay is over', async t => {
  const { server, drain, port, told } = await startRig(t)
  t.equal(await drain(), true)
  t.equal(server.listening, false)
  const [error] = await once(connect({ port, host: '127.0.0.1' }), 'error')
  t.match(error, { code: 'ECONNREFUSED' })
  t.same(told, ['to leave'], 'WebSockets are told once, when no new one can come')
})

t.test('requests are still answered during the delay', async t => {
  let answer = ''
  let inTime: boolean | undefined
  const isServed = await givenTime(200, async delayMs => {
    const { server, drain, ask } = await startRig(t)
    const drained = drain({ delayMs })
    const { socket, end } = ask('/')
    await Promise.race([end, new Promise(resolve => socket.once('data', resolve))])
    const wasListening = server.listening
    inTime = await drained
    answer = await end
    return wasListening
  })
  t.ok(isServed, 'while it still listens')
  t.equal(inTime, true)
  t.match(answer, /^HTTP\/1\.1 200 OK\r\n[^]*ok$/)
})

t.test('an idle connection is closed, not waited for', async t => {
  const { drain, ask } = await startRig(t)
  const { socket, end } = ask('/')
  await once(socket, 'data')
  t.equal(await drain(), true)
  t.match(await end, /ok$/)
})

t.test('a request in flight is answered, and its connection is closed behind it', async t => {
  const { drain, held, ask } = await startRig(t)
  const { end } = ask('/held')
  await isHeld(held)
  const drained = drain()
  setTimeout(() => held[0]?.end('late'), 150)
  t.equal(await drained, true)
  t.match(await end, /^HTTP\/1\.1 200 OK\r\n[^]*late$/)
})

t.test('what is not over when the time is up is cut, and said to be', async t => {
  const { server, drain, held, ask } = await startRig(t)
  const { end } = ask('/held')
  await isHeld(held)
  held[0]?.write('half of it')
  t.equal(await drain({ timeoutMs: 250 }), false)
  t.match(await end, /half of it\r\n$/, 'without an end')
  t.equal(server.listening, false)
})

t.test('a request that has arrived but not been read does not make an idle connection', async t => {
  const { drain, ask } = await startRig(t)
  const { socket, end } = ask('/')
  await once(socket, 'data')
  socket.write('GET /again HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  const drained = drain()
  // The delay is over before the loop comes to read again.
  const blockedUntil = Date.now() + 20
  while (Date.now() < blockedUntil);
  t.equal(await drained, true)
  t.equal((await end).match(/ 200 OK/g)?.length, 2)
})
