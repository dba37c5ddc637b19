import { X509Certificate, createPrivateKey } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:tls'
import t from 'tap'
import { listenerOptions } from '../../src/tls/listener.ts'
import { judgePair } from '../../src/tls/pair.ts'
import { createSelfSigned } from '../../src/tls/self-signed.ts'

const NOW = Math.floor(Date.now() / 1_000)

t.test('a P-256 pair that was valid yesterday and will be for years', async t => {
  const pair = await createSelfSigned(NOW)
  t.same(judgePair(pair.certificate, pair.key), pair, 'as good as one from files')
  t.equal(pair.notBefore.getTime(), (NOW - 86_400) * 1_000)
  t.equal(pair.notAfter.getTime(), (NOW + 3_650 * 86_400) * 1_000)
  const certificate = new X509Certificate(pair.certificate)
  t.equal(certificate.subject, 'CN=alb-auth-sidecar')
  t.equal(certificate.subjectAltName, 'DNS:alb-auth-sidecar')
  t.ok(certificate.verify(certificate.publicKey), 'signed by itself')
  t.match(createPrivateKey(pair.key).asymmetricKeyDetails, { namedCurve: 'prime256v1' })
  t.match(certificate.serialNumber, /^[4-7][0-9A-F]{31}$/, 'a positive number of 16 bytes')
})

t.test('no two are alike', async t => {
  const pairs = await Promise.all([createSelfSigned(NOW), createSelfSigned(NOW)])
  t.equal(
    new Set(pairs.map(pair => createPrivateKey(pair.key).export({ format: 'jwk' }).d)).size,
    2,
  )
  const serials = pairs.map(pair => new X509Certificate(pair.certificate).serialNumber)
  t.equal(new Set(serials).size, 2)
})

t.test('each of a hundred is well-formed, whatever numbers came up', async t => {
  const bad: string[] = []
  for (let round = 0; round < 100; round++) {
    const { certificate } = await createSelfSigned(NOW)
    const parsed = new X509Certificate(certificate)
    if (!parsed.verify(parsed.publicKey)) bad.push(certificate)
  }
  t.same(bad, [])
})

t.test('who pins it can verify it', async t => {
  const pair = await createSelfSigned(NOW)
  const server = createServer(listenerOptions(pair), socket => socket.end())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const socket = connect({
    ...{ port, host: '127.0.0.1', servername: 'alb-auth-sidecar', ca: pair.certificate },
  })
  await once(socket, 'secureConnect')
  t.ok(socket.authorized)
  socket.destroy()
})
