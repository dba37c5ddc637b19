import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, connect, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import t, { type Test } from 'tap'
import { createProbe, type ProbeOptions } from '../../src/forward/probe.ts'
import { createAuthority, type Wishes } from '../fixtures/certificates.ts'
import { bareNode } from '../fixtures/node.ts'
import { eventually, PATIENCE_MS } from '../fixtures/patience.ts'

const HTTP = { protocol: 'http:' } as const

/** A server that counts who connects. */
async function startServer(t: Test, path?: string) {
  const seen = { connections: 0 }
  const server = createServer(socket => {
    seen.connections++
    socket.on('error', () => undefined).resume()
  })
  if (path === undefined) server.listen(0, '127.0.0.1')
  else server.listen(path)
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { port: portOf(server), server, seen }
}

function portOf(server: Server): number {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** A port that listens, but where nobody takes the connections, and the queue for them is full. */
async function startDeaf(t: Test): Promise<number> {
  const program = `
    const server = require('node:net').createServer()
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      require('node:fs').writeSync(1, String(server.address().port))
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    })`
  const child = spawn(...bareNode(['-e', program]), { env: {} })
  t.teardown(() => child.kill('SIGKILL'))
  const [output] = (await once(child.stdout, 'data')) as [Buffer]
  const port = Number(output)
  const fillers = Array.from({ length: 8 }, () => connect({ port, host: '127.0.0.1' }))
  for (const filler of fillers) {
    filler.on('error', () => undefined)
    t.teardown(() => filler.destroy())
  }
  await eventually(() => fillers.some(filler => !filler.connecting))
  return port
}

t.test('an application that takes connections is there, one that does not is not', async t => {
  const { port, server } = await startServer(t)
  const options = { ...HTTP, host: '127.0.0.1', port, timeoutMs: PATIENCE_MS, now: () => 0 }
  t.equal(await createProbe(options)(), true)
  server.close()
  t.equal(await createProbe(options)(), false)
})

t.test('a socket path is asked in place of host and port', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'probe-'))
  t.teardown(() => {
    rmSync(directory, { recursive: true })
  })
  const socketPath = join(directory, 'app.sock')
  const { server } = await startServer(t, socketPath)
  const options = {
    ...HTTP,
    host: 'localhost',
    port: 80,
    socketPath,
    timeoutMs: PATIENCE_MS,
    now: () => 0,
  }
  t.equal(await createProbe(options)(), true)
  server.close()
  t.equal(await createProbe(options)(), false)
})

t.test('an application that does not take a connection in time is not there', async t => {
  const port = await startDeaf(t)
  t.equal(
    await createProbe({ ...HTTP, host: '127.0.0.1', port, timeoutMs: 50, now: () => 0 })(),
    false,
  )
})

t.test('over TLS the certificate is looked at, as requests will look at it', async t => {
  const authority = await createAuthority()
  const stranger = await createAuthority()
  const listen = async (wishes?: Wishes) => {
    const { certificate: cert, key } = await authority.issue(wishes)
    const server = createTlsServer({ cert, key }, socket => {
      socket.on('error', () => undefined).resume()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    return portOf(server)
  }
  const [good, foreign, expired] = [
    await listen(),
    await listen({ names: ['app.example.com'] }),
    await listen({ notAfter: new Date(Date.now() - 60_000) }),
  ]
  const { port: plain } = await startServer(t)
  const ca = [authority.certificate]
  const cases: { what: string; options: Partial<ProbeOptions>; isThere: boolean }[] = [
    { what: 'a name', options: { host: 'localhost', port: good, ca }, isThere: true },
    { what: 'an address', options: { port: good, ca }, isThere: true },
    { what: 'no CA of ours', options: { port: good }, isThere: false },
    { what: 'another CA', options: { port: good, ca: [stranger.certificate] }, isThere: false },
    { what: 'another host', options: { port: foreign, ca }, isThere: false },
    { what: 'an expired one', options: { port: expired, ca }, isThere: false },
    { what: 'no TLS', options: { port: plain, ca, timeoutMs: 300 }, isThere: false },
  ]
  for (const { what, options, isThere } of cases) {
    const probe = createProbe({
      ...{ protocol: 'https:', host: '127.0.0.1', port: 0, timeoutMs: 20_000, now: () => 0 },
      ...options,
    })
    t.equal(await probe(), isThere, what)
  }
})

t.test('an answer serves for half a second, and no longer', async t => {
  const { port, seen, server } = await startServer(t)
  let time = 1_000
  const probe = createProbe({
    ...HTTP,
    host: '127.0.0.1',
    port,
    timeoutMs: PATIENCE_MS,
    now: () => time,
  })
  t.same(await Promise.all([probe(), probe(), probe()]), [true, true, true])
  await eventually(() => seen.connections > 0)
  t.equal(seen.connections, 1, 'asked at once')
  time = 1_500
  server.close()
  t.equal(await probe(), true, 'asked 500 ms later')
  time = 1_501
  t.equal(await probe(), false, 'asked 501 ms later')
  time = 2_001
  await startAgain(server, port)
  t.equal(await probe(), false, 'a no serves as long as a yes')
  time = 2_002
  t.equal(await probe(), true)
  await eventually(() => seen.connections > 1)
  t.equal(seen.connections, 2)
})

async function startAgain(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
}
