import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type ConnectionOptions } from 'node:tls'
import t from 'tap'
import { upstreamTls } from '../../src/forward/upstream-tls.ts'
import { createAuthority, type Wishes } from '../fixtures/certificates.ts'

const [authority, stranger] = await Promise.all([createAuthority(), createAuthority()])
const ca = [authority.certificate]

interface Application {
  readonly port: number
  /** The names that were asked for; `false` where none was. */
  readonly names: (string | false)[]
}

async function listen(wishes: Wishes = {}, options: object = {}): Promise<Application> {
  const { certificate: cert, key } = await authority.issue(wishes)
  const names: (string | false)[] = []
  const server = createServer({ cert, key, ...options }, socket => {
    // What node's types leave out: false for a client that sent none.
    const { servername } = socket as { servername?: string | false }
    names.push(servername ?? false)
    socket.on('error', () => undefined).end()
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { port: (server.address() as AddressInfo).port, names }
}

/** `authorized`, or the code of the error. */
function meet(port: number, options: ConnectionOptions): Promise<string> {
  return new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1', ...options })
    let met = 'closed'
    socket.once('secureConnect', () => {
      met = socket.authorized ? 'authorized' : 'not authorized'
    })
    socket.once('error', ({ code = '' }: NodeJS.ErrnoException) => {
      met = code
    })
    // The server ends it, so that it has seen it too.
    socket.once('close', () => {
      resolve(met)
    })
    socket.resume()
  })
}

t.test('a name is sent and verified; an address is verified', async t => {
  const { port, names } = await listen()
  t.equal(await meet(port, upstreamTls({ host: 'localhost', ca })), 'authorized')
  t.equal(await meet(port, upstreamTls({ host: '127.0.0.1', ca })), 'authorized')
  t.same(names, ['localhost', false])
})

t.test('a certificate that does not hold is refused, whoever asks', async t => {
  const [good, foreign, expired, early] = await Promise.all([
    listen(),
    listen({ names: ['app.example.com', '10.0.0.1'] }),
    listen({ notAfter: new Date(Date.now() - 60_000) }),
    listen({ notBefore: new Date(Date.now() + 3_600_000) }),
  ])
  const unknown = /^(?:SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT_LOCALLY)$/
  const cases = [
    { what: 'from no authority of the system', port: good.port, ca: undefined, code: unknown },
    { what: 'from another', port: good.port, ca: [stranger.certificate], code: unknown },
    { what: 'for another host', port: foreign.port, ca, code: /^ERR_TLS_CERT_ALTNAME_INVALID$/ },
    { what: 'that has expired', port: expired.port, ca, code: /^CERT_HAS_EXPIRED$/ },
    { what: 'that is not valid yet', port: early.port, ca, code: /^CERT_NOT_YET_VALID$/ },
  ]
  for (const { what, port, ca, code } of cases) {
    for (const host of ['localhost', '127.0.0.1']) {
      t.match(await meet(port, upstreamTls({ host, ca })), code, `${what}, asked as ${host}`)
    }
  }
})

t.test('nothing older than TLS 1.2 is spoken', async t => {
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }
  const { port } = await listen({}, old)
  t.match(await meet(port, upstreamTls({ host: 'localhost', ca })), /PROTOCOL/)
})

t.test('several authorities may be trusted', async t => {
  const { port } = await listen()
  const both = [stranger.certificate, authority.certificate]
  t.equal(await meet(port, upstreamTls({ host: 'localhost', ca: both })), 'authorized')
})
