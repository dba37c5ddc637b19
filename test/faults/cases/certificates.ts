/**
 * The certificate is renewed under users, file after file and now and then with rubbish, while others
 * connect and say nothing.
 *
 * Nobody is turned away, and whoever connects next sees the new certificate.
 */
import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { connect } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { setTimeout as sleep } from 'node:timers/promises'
import { createAuthority, type Issued } from '../../fixtures/certificates.ts'
import { having, startUsers, tally } from '../client.ts'
import { atMost, every, exactly, told, within, type FaultCase, type Figure } from '../figures.ts'
import { patience, secondsUntil } from '../waiting.ts'
import { newSigner, settingsFor, signedIn, type World } from '../world.ts'

const USERS = 20
const PAUSE_MS = 50
const PATIENCE_MS = 60_000
const SILENT = 200
const HEADERS_TIMEOUT_SECONDS = 5
/** Between certificate and key, while they do not belong together. */
const APART_MS = 200
/** As users name the sidecar; see client.ts. */
const NAMES = { names: ['app.example.com', '127.0.0.1'] } as const

/** The serial number of the certificate that whoever connects now is shown; empty without one. */
function serialShown(port: number, ca: string): Promise<string> {
  return new Promise(resolve => {
    const socket = connectTls({ host: '127.0.0.1', port, ca, ALPNProtocols: ['http/1.1'] })
    const over = (serial: string) => {
      socket.destroy()
      resolve(serial)
    }
    socket.once('secureConnect', () => {
      over(socket.getPeerCertificate().serialNumber)
    })
    socket.once('error', () => {
      over('')
    })
  })
}

async function certificates(world: World): Promise<readonly Figure[]> {
  const rounds = world.isShort ? 5 : 40
  const authority = await createAuthority()
  const { certificate: ca } = authority
  const folder = world.folder()
  const certFile = join(folder, 'tls.crt')
  const keyFile = join(folder, 'tls.key')
  const write = async ({ certificate, key }: Issued) => {
    writeFileSync(certFile, certificate)
    await sleep(APART_MS)
    writeFileSync(keyFile, key)
  }
  await write(await authority.issue(NAMES))

  const signer = newSigner()
  const keys = await world.keyServer([signer])
  const app = await world.application()
  const { port } = await world.sidecar({
    ...settingsFor(keys, app.port),
    TLS_CERT_FILE: certFile,
    TLS_KEY_FILE: keyFile,
    HEADERS_TIMEOUT: `${HEADERS_TIMEOUT_SECONDS}s`,
    ACCESS_LOG: 'off',
  })
  const headers = signedIn(signer)
  // Every other user makes a new connection for each request.
  const agents = Array.from(
    { length: USERS },
    (_, user) => new Agent({ ca, keepAlive: user % 2 === 0, maxSockets: 1 }),
  )
  world.onEnd(() => {
    for (const agent of agents) agent.destroy()
  })
  const users = startUsers(world, USERS, PAUSE_MS, user => ({
    ...{ port, headers, isTls: true },
    ...(agents[user] !== undefined && { agent: agents[user] }),
  }))

  const connectedAt = performance.now()
  const silent = Array.from({ length: SILENT }, () => {
    const state = { closedAfter: Infinity }
    const socket = connect(port, '127.0.0.1').on('error', () => undefined)
    socket.resume().on('close', () => {
      state.closedAfter = (performance.now() - connectedAt) / 1000
    })
    world.onEnd(() => socket.destroy())
    return state
  })

  const figures: Figure[] = []
  const renewal = async () => {
    const next = await authority.issue(NAMES)
    const { serialNumber } = new X509Certificate(next.certificate)
    await write(next)
    return secondsUntil(async () => (await serialShown(port, ca)) === serialNumber)
  }
  figures.push(await within('a new certificate is shown after its files are written', 5, renewal))
  let renewed = 0
  let kept = 0
  for (let round = 0; round < rounds; round++) {
    const before = await serialShown(port, ca)
    writeFileSync(keyFile, `not a key ${round}\n`)
    await sleep(APART_MS)
    kept += before !== '' && (await serialShown(port, ca)) === before ? 1 : 0
    renewed += (await renewal()) < Infinity ? 1 : 0
  }
  const last = () => Math.max(...silent.map(({ closedAfter }) => closedAfter))
  await patience(PATIENCE_MS, () => (last() < Infinity ? true : undefined))
  const outcomes = await users.stop()
  return [
    ...figures,
    every('bad pairs at which the old one was kept', kept, rounds),
    every('renewals after that were shown', renewed, rounds),
    every('requests answered 200', having(outcomes, 200), outcomes.length),
    atMost(
      `${SILENT} connections without a word of TLS ended, with HEADERS_TIMEOUT=${HEADERS_TIMEOUT_SECONDS}s, after`,
      last(),
      HEADERS_TIMEOUT_SECONDS + 5,
      ' s',
    ),
    exactly('requests hung', having(outcomes, 'hung'), 0),
    told('answers', tally(outcomes)),
  ]
}

export const CERTIFICATES: FaultCase = {
  name: 'certificates',
  figure: 'R11',
  what: 'certificate and key are renewed under users, with bad pairs in between',
  lane: 'waiting',
  limitSeconds: { short: 300, full: 900 },
  run: certificates,
}
