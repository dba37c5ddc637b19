import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import t from 'tap'
import { reach } from '../../src/cli/reach.ts'
import { freePorts } from '../../simulator/loopback.ts'
import { createAuthority } from '../fixtures/certificates.ts'

const PATIENT = 60_000
const sockets = new Set<Socket>()
const server = createServer(socket => sockets.add(socket.on('error', () => undefined)))
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address() as AddressInfo
t.teardown(() => {
  for (const socket of sockets) socket.destroy()
  server.close()
})

const http = (port: number, host = '127.0.0.1') => ({ protocol: 'http:', host, port }) as const
const https = (port: number, host = '127.0.0.1') => ({ protocol: 'https:', host, port }) as const

t.test('who takes a connection is reached', async t => {
  t.equal(await reach(http(port), PATIENT), undefined)
  const folder = mkdtempSync(join(tmpdir(), 'reach-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  const socketPath = join(folder, 'app.sock')
  const local = createServer(socket => socket.end())
  local.listen(socketPath)
  await once(local, 'listening')
  t.equal(await reach({ ...http(80), socketPath }, PATIENT), undefined)
  local.close()
  t.match(await reach({ ...http(80), socketPath: `${socketPath}.not` }, PATIENT), /ENOENT/)
})

t.test('over TLS, the certificate must hold as it must for requests', async t => {
  const authority = await createAuthority()
  const { certificate: cert, key } = await authority.issue()
  const secure = createTlsServer({ cert, key }, socket => socket.on('error', () => undefined))
  secure.on('connection', (socket: Socket) => socket.on('error', () => undefined))
  secure.listen(0, '127.0.0.1')
  await once(secure, 'listening')
  t.teardown(() => secure.close())
  const { port } = secure.address() as AddressInfo
  const ca = [authority.certificate]
  t.equal(await reach({ ...https(port), ca }, PATIENT), undefined)
  t.match(await reach(https(port), PATIENT), /certificate/)
  const { certificate: other } = await createAuthority()
  t.match(await reach({ ...https(port), ca: [other] }, PATIENT), /certificate/)
})

t.test('who does not is not, and it is said why', async t => {
  const [closed = 0] = await freePorts([0])
  t.match(await reach(http(closed), PATIENT), /ECONNREFUSED/)
  t.match(
    await reach(http(closed, 'localhost'), PATIENT),
    /ECONNREFUSED/,
    'every address of a name',
  )
  t.match(await reach(https(port), 200), 'no connection within 200 ms', 'no handshake, no TLS')
  t.match(await reach(https(closed, 'localhost'), PATIENT), /ECONNREFUSED/)
})
