/**
 * A real handshake for each promise; nothing here looks at the options themselves.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type ConnectionOptions, type TLSSocket } from 'node:tls'
import t from 'tap'
import { listenerOptions } from '../../src/tls/listener.ts'
import { createAuthority, type Issued } from '../fixtures/certificates.ts'

const authority = await createAuthority()
const issued = {
  ec: await authority.issue(),
  rsa: await authority.issue({ kind: 'rsa' }),
}

async function listen(credentials: Issued): Promise<number> {
  const server = createServer(listenerOptions(credentials), socket => {
    socket.on('error', () => undefined)
    socket.end('hello')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}
const ports = { ec: await listen(issued.ec), rsa: await listen(issued.rsa) }

interface Met {
  readonly protocol: string | null
  readonly cipher: string
  readonly alpn: string | false | null
  readonly isReused: boolean
  readonly session: Buffer | undefined
}

/** What was agreed on, or the code of the error that ended it; read to its end. */
async function meet(port: number, options: ConnectionOptions = {}): Promise<Met | string> {
  const socket: TLSSocket = connect({
    port,
    host: '127.0.0.1',
    ca: authority.certificate,
    ...options,
  })
  const sessions: Buffer[] = []
  socket.on('session', session => sessions.push(session))
  return new Promise(resolve => {
    let met: Met | string = 'closed'
    socket.once('secureConnect', () => {
      met = {
        ...{ protocol: socket.getProtocol(), cipher: socket.getCipher().name },
        ...{ alpn: socket.alpnProtocol, isReused: socket.isSessionReused(), session: undefined },
      }
    })
    socket.once('error', ({ code = '' }: NodeJS.ErrnoException) => {
      met = code
    })
    socket.once('close', () => {
      resolve(typeof met === 'string' ? met : { ...met, session: sessions[0] })
    })
    socket.resume()
  })
}

t.test('TLS 1.3 and 1.2 with forward secrecy; nothing older', async t => {
  for (const kind of ['ec', 'rsa'] as const) {
    const signature = kind === 'ec' ? 'ECDSA' : 'RSA'
    t.match(await meet(ports[kind]), { protocol: 'TLSv1.3' })
    t.match(await meet(ports[kind], { maxVersion: 'TLSv1.2' }), {
      ...{ protocol: 'TLSv1.2', cipher: `ECDHE-${signature}-AES128-GCM-SHA256` },
    })
    for (const version of ['TLSv1.1', 'TLSv1'] as const) {
      // At this level even a client of today offers what was withdrawn.
      const old = { minVersion: version, maxVersion: version, ciphers: 'ALL:@SECLEVEL=0' }
      t.equal(await meet(ports[kind], old), 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', version)
    }
    const weak = ['AES128-SHA', `ECDHE-${signature}-AES128-SHA`, 'AES128-GCM-SHA256']
    for (const ciphers of weak) {
      const found = await meet(ports[kind], { maxVersion: 'TLSv1.2', ciphers })
      t.match(found, /^ERR_SSL_.*HANDSHAKE_FAILURE$/, ciphers)
    }
  }
})

/** Both as AWS lists them for connections to targets, in their order. */
const POLICY_2016_08 =
  'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:AES128-GCM-SHA256:AES128-SHA256:AES128-SHA:AES256-GCM-SHA384:AES256-SHA256:AES256-SHA'
const POLICY_TLS13_1_0_2021_06 = `TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:${POLICY_2016_08}`

t.test('an ALB can connect with either of the policies it has for targets', async t => {
  const seclevel = ':@SECLEVEL=0'
  for (const port of Object.values(ports)) {
    t.match(
      await meet(port, {
        ...{ minVersion: 'TLSv1', maxVersion: 'TLSv1.2' },
        ciphers: POLICY_2016_08 + seclevel,
      }),
      { protocol: 'TLSv1.2' },
      'ELBSecurityPolicy-2016-08',
    )
    t.match(
      await meet(port, { minVersion: 'TLSv1', ciphers: POLICY_TLS13_1_0_2021_06 + seclevel }),
      { protocol: 'TLSv1.3' },
      'ELBSecurityPolicy-TLS13-1-0-2021-06',
    )
  }
})

t.test('the one protocol above it is HTTP/1.1', async t => {
  const cases = [
    { offer: undefined, alpn: false },
    { offer: ['http/1.1'], alpn: 'http/1.1' },
    { offer: ['h2', 'http/1.1'], alpn: 'http/1.1' },
  ]
  for (const { offer, alpn } of cases) {
    t.match(await meet(ports.ec, offer && { ALPNProtocols: offer }), { alpn })
  }
  t.equal(
    await meet(ports.ec, { ALPNProtocols: ['h2'] }),
    'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
    'h2 alone',
  )
})

t.test('no session is resumed, whichever way it is offered', async t => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const first = await meet(ports.ec, { maxVersion })
    const { session } = typeof first === 'string' ? { session: undefined } : first
    const again = await meet(ports.ec, { maxVersion, ...(session && { session }) })
    t.match(again, { protocol: maxVersion, isReused: false }, maxVersion)
  }
})

t.test('a client cannot ask for another handshake on the same connection', async t => {
  const server = createServer(listenerOptions(issued.ec), socket => {
    socket.on('error', () => undefined).pipe(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const socket = connect({
    ...{ port, host: '127.0.0.1', ca: authority.certificate, maxVersion: 'TLSv1.2' },
  })
  t.teardown(() => socket.destroy())
  await once(socket, 'secureConnect')
  const outcome = new Promise(resolve => {
    socket.once('error', ({ code = '' }: NodeJS.ErrnoException) => {
      resolve(code)
    })
    socket.once('close', () => {
      resolve('closed')
    })
    socket.renegotiate({}, error => {
      resolve(error?.message ?? 'done again')
    })
  })
  socket.resume()
  t.match(await outcome, /NO_RENEGOTIATION/i)
})
