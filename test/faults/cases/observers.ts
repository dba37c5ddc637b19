/**
 * Nobody reads the log, the disk that it goes to is full, its reader has gone, and scrapes of the
 * metrics are begun and not read.
 *
 * Verdicts are the same as when all is well.
 */
import { closeSync, openSync } from 'node:fs'
import { connect } from 'node:net'
import { ask, freePorts } from '../../../simulator/loopback.ts'
import { having, send } from '../client.ts'
import { every, told, type FaultCase, type Figure } from '../figures.ts'
import { end, residentMb, type Program } from '../program.ts'
import { patience } from '../waiting.ts'
import { OPEN, newSigner, settingsFor, signedIn, type World } from '../world.ts'

const AT_ONCE = 32
const SCRAPES = 50
/** Longest path that is logged: so many requests write more than pipe and backlog hold. */
const PATH = `/${'long-path'.repeat(28)}`
const OVERFLOWING = 10_000

/** Good, bad and open requests in turn. @returns How many got the answer they should. */
async function verdicts(sidecar: Program, count: number, good: Readonly<Record<string, string>>) {
  const bad = { 'X-Amzn-Oidc-Data': (good['X-Amzn-Oidc-Data'] ?? '').replace(/.{8}$/, 'AAAAAA==') }
  const rows = [
    { headers: good, path: PATH, status: 200 },
    { headers: bad, path: PATH, status: 401 },
    { headers: {}, path: OPEN, status: 200 },
  ] as const
  const state = { next: 0, right: 0 }
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (state.next < count) {
        const { status, ...row } = rows[state.next++ % rows.length] ?? rows[0]
        const outcome = await send({ port: sidecar.port, ...row })
        state.right += having([outcome], status)
      }
    }),
  )
  return state.right
}

async function observers(world: World): Promise<readonly Figure[]> {
  const [some, many] = world.isShort ? [1_500, OVERFLOWING] : [25_000, 50_000]
  const signer = newSigner()
  const keys = await world.keyServer([signer])
  const app = await world.application()
  const good = signedIn(signer)
  const settings = { ...settingsFor(keys, app.port), ACCESS_LOG: 'all' }
  const figures: Figure[] = []
  const measure = async (what: string, sidecar: Program, count = some) => {
    await verdicts(sidecar, 1_000, good)
    figures.push(
      every(`${what}: verdicts that are right`, await verdicts(sidecar, count, good), count),
      // Most of it is the collector's, as the first row shows; the backlog itself is at most 4 MB.
      told(`${what}: memory at the end`, `${residentMb(sidecar).toFixed(0)} MB`),
    )
    await end(sidecar)
  }

  await measure('all well', await world.sidecar(settings), many)

  const unread = await world.sidecar(settings)
  unread.stopReading()
  await measure('log pipe not read', unread, many)

  const left = await world.sidecar(settings)
  left.closeLog()
  await measure('log pipe closed', left)

  const full = openSync('/dev/full', 'w')
  const [port = 0, adminPort = 0] = await freePorts([0, 0])
  const onFullDisk = await world.sidecar(
    { ...settings, PORT: String(port), ADMIN_PORT: String(adminPort) },
    { stdout: full, ports: [port, adminPort] },
  )
  closeSync(full)
  const admin = `http://127.0.0.1:${adminPort}`
  await patience(15_000, () =>
    ask(admin, '/readyz').then(
      () => true,
      () => undefined,
    ),
  )
  await measure('disk full', onFullDisk)

  const scraped = await world.sidecar(settings)
  const scrapers = Array.from({ length: SCRAPES }, () => {
    const socket = connect(scraped.adminPort, '127.0.0.1').on('error', () => undefined)
    socket.pause()
    socket.write('GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(20))
    world.onEnd(() => socket.destroy())
    return socket
  })
  await measure(`${SCRAPES} scrapes hung`, scraped)
  for (const socket of scrapers) socket.destroy()
  return figures
}

export const OBSERVERS: FaultCase = {
  name: 'observers',
  figure: 'R14',
  what: 'nobody reads the log, or its disk is full; scrapes hang',
  lane: 'waiting',
  limitSeconds: { short: 300, full: 1_500 },
  run: observers,
}
