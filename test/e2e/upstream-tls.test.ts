/**
 * An application over TLS: whoever cannot show its certificate is sent nothing (T-97). The client is
 * told no more than that the application cannot be reached.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import t from 'tap'
import { startKeyServer } from '../../simulator/key-server.ts'
import { createSigner } from '../../simulator/signer.ts'
import { eventually } from '../attack/rows.ts'
import { createAuthority, type Wishes } from '../fixtures/certificates.ts'
import { ALICE, ARN, CLIENT, ISSUER, startListening } from '../fixtures/sidecar.ts'
import { signedIn, visit } from '../fixtures/visit.ts'

const authority = await createAuthority()
const folder = mkdtempSync(join(tmpdir(), 'upstream-tls-'))
t.teardown(() => {
  rmSync(folder, { recursive: true })
})

/** The path of a file with this text. */
function writeFile(name: string, text: string): string {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

t.test('only who is certified as the application is sent anything', async t => {
  const signer = createSigner({ arn: ARN, client: CLIENT, issuer: ISSUER })
  const keys = await startKeyServer({ keys: [signer] })
  t.teardown(keys.close)
  const stranger = await createAuthority()
  const day = 86_400_000

  /** An application over TLS that keeps every byte it was sent. */
  const serve = async (wishes: Wishes = {}) => {
    const { certificate: cert, key } = await authority.issue(wishes)
    const heard: string[] = []
    const server = createServer({ cert, key }, socket => {
      socket.on('error', () => undefined)
      socket.on('data', (chunk: Buffer) => {
        heard.push(chunk.toString('latin1'))
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok')
      })
    })
    server.on('tlsClientError', () => undefined)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    return { port: (server.address() as AddressInfo).port, heard }
  }
  const [good, foreign, expired] = [
    await serve(),
    await serve({ names: ['app.example.com', '10.0.0.1'] }),
    await serve({ notAfter: new Date(Date.now() - day) }),
  ]
  const [ours, theirs] = [
    writeFile('ours', authority.certificate),
    writeFile('theirs', stranger.certificate),
  ]
  const extra = { NODE_EXTRA_CA_CERTS: ours }
  const rows = [
    { what: 'our authority', on: good, settings: { UPSTREAM_CA_FILE: ours }, isGood: true },
    { what: "node's own way", host: '127.0.0.1', on: good, settings: extra, isGood: true },
    {
      what: 'another authority in place of the roots',
      on: good,
      settings: { ...extra, UPSTREAM_CA_FILE: theirs },
      isGood: false,
    },
    { what: 'another host', on: foreign, settings: { UPSTREAM_CA_FILE: ours }, isGood: false },
    { what: 'expired', on: expired, settings: { UPSTREAM_CA_FILE: ours }, isGood: false },
  ]
  for (const { what, host = 'localhost', on, settings, isGood } of rows) {
    const { port, adminPort, signal, ended, stdout } = await startListening(t, {
      ...{ UPSTREAM_URL: `https://${host}:${on.port}`, ...settings },
      ...{ ALB_KEY_URL: `${keys.url}/{region}/{kid}`, NOAUTH_PATHS: '/open/*' },
      ...{ KEY_FETCH_TIMEOUT: '10s', UPSTREAM_CONNECT_TIMEOUT: '20s', ACCESS_LOG: 'all' },
    })
    const heard = on.heard.length
    const headers = [
      ...signedIn(signer.sign(ALICE)),
      // What a client calls the application decides nothing.
      'X-Forwarded-Host: app.example.com',
    ]
    const requests = [
      { target: '/guarded', headers, method: 'POST', body: '' },
      { target: '/guarded', headers },
      { target: '/open/x' },
    ]
    for (const request of requests) {
      const answer = await visit(port, request)
      t.equal(answer.status, isGood ? 200 : 502, `${what}: ${request.target}`)
      t.notMatch(
        answer.body,
        /altname|certificate|localhost|127\.0\.0\.1/i,
        'the client learns nothing of it',
      )
    }
    t.equal(on.heard.length - heard, isGood ? 3 : 0, `${what}: what it was sent`)
    const isReady = () =>
      fetch(`http://127.0.0.1:${adminPort}/readyz`).then(({ status }) => status === 200)
    if (isGood) t.ok(await eventually(isReady, 30_000), `${what}: ready`)
    else t.notOk(await isReady(), `${what}: not ready`)
    t.notMatch(stdout(), /"level":(?:50|60)/)
    signal('SIGTERM')
    t.equal(await ended, 'exit 0')
  }
})
